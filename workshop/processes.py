"""Several processes as one: started side by side, their lines told apart, stopped together."""

import os
import pathlib
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

FOLDER = pathlib.Path(__file__).resolve().parent.parent


@dataclass
class Member:
    name: str
    process: subprocess.Popen[str]
    reader: threading.Thread


class Crew:
    """Processes that live and die together. `tell(name, line)` gets each line that one of them writes.

    Each runs in a session of its own: Ctrl-C in a terminal reaches only the caller, who decides on the order.
    """

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        self._members: list[Member] = []

    def start(self, name: str, command: Sequence[str], environ: Mapping[str, str]) -> None:
        process = subprocess.Popen(
            command,
            cwd=FOLDER,
            env={**environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        reader = threading.Thread(target=self._read, args=(name, process), daemon=True)
        reader.start()
        self._members.append(Member(name, process, reader))

    def _read(self, name: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
                self._tell(name, line.rstrip("\n"))

    def dead(self) -> tuple[str, int] | None:
        """The first that has ended, with its exit code (negative: the signal)."""
        for member in self._members:
            code = member.process.poll()
            if code is not None:
                return member.name, code
        return None

    def stop(self, within: float = 30.0, hurry: Callable[[], bool] = lambda: False) -> list[str]:
        """SIGTERM to each, the last started first, and wait for it; SIGKILL to those that outlive `within` seconds or a
        `hurry`. Returns the names of the killed ones."""
        killed = []
        deadline = time.monotonic() + within
        for member in reversed(self._members):
            if member.process.poll() is None:
                member.process.send_signal(signal.SIGTERM)
            while member.process.poll() is None and time.monotonic() < deadline and not hurry():
                try:
                    member.process.wait(0.2)
                except subprocess.TimeoutExpired:
                    continue
            if member.process.poll() is None:
                os.killpg(member.process.pid, signal.SIGKILL)
                member.process.wait()
                killed.append(member.name)
            member.reader.join(5)
        self._members.clear()
        return killed


OURS = range(20_000, 32_000)
"""Ports that no system gives away by itself, as it comes, to a connection that goes out or to whoever asks for any."""


def free_port() -> int:
    """A port that nobody listens on, and that the system gives to nobody else before it is listened on."""
    tried = random.SystemRandom().sample(OURS, 100)  # whatever seed the caller's own chances have
    return next(port for port in tried if is_free(port))


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server may listen there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def next_free_port(wanted: int, host: str = "127.0.0.1") -> int:
    """The wanted port, or the first free one of the twenty after it, or any."""
    near = range(wanted, min(wanted + 21, 65536))
    return next((port for port in near if is_free(port, host)), 0) or free_port()
