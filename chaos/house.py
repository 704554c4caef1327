"""The house that is broken: the sandbox, the web and two workers as real processes, each a group of its own."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cryptography.fernet import Fernet

from chaos.shim import Shim
from sandbox import defaults
from workshop.calls import answers, call
from workshop.postgres import Server
from workshop.processes import FOLDER, free_port

KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
API_KEY = "chaos-key-9b41d7e0"
WORKERS = ("worker-1", "worker-2")
LEASE = 31.0
"""Seconds after which a lane's lease has run out for sure."""


class House:
    """Starts, kills, stops and ends what `environ` describes. Everything it writes is in `folder`.

    engine: sqlite, a file in `folder`, or postgres, a server of its own. worker: the command after `python`.
    """

    def __init__(self, folder: pathlib.Path, *, engine: str = "sqlite", worker: Sequence[str] = ("scheduler.py",)):
        self.folder = folder
        self.worker = tuple(worker)
        self.shim = Shim(folder)
        self.denial = threading.Lock()  # held: amoCRM denies what it has, or time makes a leap
        self.peace = threading.Lock()  # held: the other side is (or shall be) as its holder wants it
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.sandbox = f"http://127.0.0.1:{free_port()}"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.bare = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.server = self._server() if engine == "postgres" else None
        self.environ = {
            **self.bare,
            **defaults.SETTINGS(self.sandbox),
            **self.shim.environ,
            "DEALPOST_ENV_FILE": "/dev/null",
            "PYTHONUNBUFFERED": "1",
            "SANDBOX": "1",
            "DATABASE_URL": self.server.create("chaos") if self.server else f"sqlite:///{folder}/chaos.db",
            "SECRET_KEY": "chaos-only-0f7d1c5b2a9e4483",
            "TOKEN_KEYS": Fernet.generate_key().decode(),
            "API_KEYS": f"chaos:{API_KEY}",
            "PORT": str(self.port),
            "WEB_CONCURRENCY": "2",
        }

    def _server(self) -> Server:
        """By the clock that jumps, which it runs under another user to read."""
        for path in (self.folder, *self.folder.iterdir()):
            path.chmod(0o777)
        return Server(durable=True, environ=self.shim.environ)

    # -- processes

    def open(self) -> None:
        self.start_sandbox()
        self.start_web()
        self.wait(lambda: answers(f"{self.url}/readyz"), 60, "the web process is not ready")
        for name in WORKERS:
            self.start_worker(name)

    def start(self, name: str, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self.kill(name)
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *command],
                cwd=FOLDER,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start_sandbox(self) -> None:
        port = self.sandbox.rpartition(":")[2]
        # By its own clock, not by the one that jumps.
        self.start("sandbox", ["-m", "sandbox", "--port", port], {**self.bare, "PYTHONUNBUFFERED": "1"})
        self.wait(lambda: answers(f"{self.sandbox}/_sandbox"), 30, "the sandbox does not answer")

    def start_web(self, failpoint: str = "") -> None:
        self.start("web", ["-m", "gunicorn", "wsgi:app"], {**self.environ, "DEALPOST_FAILPOINT": failpoint})

    def start_worker(self, name: str, failpoint: str = "") -> None:
        self.start(name, self.worker, {**self.environ, "DEALPOST_FAILPOINT": failpoint})

    def alive(self, name: str) -> bool:
        process = self.processes.get(name)
        return process is not None and process.poll() is None

    def signal(self, name: str, number: int) -> None:
        """To the process and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.processes[name].pid, number)

    def kill(self, name: str) -> None:
        process = self.processes.pop(name, None)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def terminate(self, name: str, within: float = 35.0) -> None:
        """As a host does: SIGTERM, and SIGKILL to what is still there after `within` seconds."""
        process = self.processes[name]
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(within)
        self.kill(name)

    def children(self, name: str) -> list[int]:
        pid = self.processes[name].pid
        try:
            return [int(one) for one in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except OSError:
            return []

    def close(self) -> None:
        """Ends all of them, whatever state they are in; returns when none is left."""
        for name in list(self.processes):
            self.signal(name, signal.SIGTERM)
            self.signal(name, signal.SIGCONT)
        end = time.monotonic() + 5
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.05, end - time.monotonic()))
        for name in list(self.processes):
            self.kill(name)
        if self.server:
            self.server.close()
        self.shim.close()

    @property
    def keeps_time(self) -> bool:
        """Whether the store goes by the clock of its processes, which can be set."""
        return self.environ["DATABASE_URL"].startswith("sqlite")

    def pass_time(self, seconds: float) -> None:
        """So many seconds go by for the store. A database server has a clock of its own: with one they really do, as
        many as a lease needs."""
        if self.keeps_time:
            self.shim.jump(seconds)
        else:
            time.sleep(min(seconds, LEASE))

    # -- what the others say

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The sandbox's control. Raises RuntimeError for any answer but a 200."""
        status, answer = call(method, f"{self.sandbox}/_sandbox/{path}", body=body, timeout=30)
        if status != 200:
            raise RuntimeError(f"{method} /_sandbox/{path}: {status} {answer}")
        return answer

    def api(self, path: str) -> Any:
        """A GET of the service's API; None without a 200."""
        try:
            status, answer = call("GET", f"{self.url}{path}", headers={"X-API-Key": API_KEY}, timeout=10)
        except OSError:
            return None
        return answer if status == 200 else None

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def wait(self, check: Callable[[], Any], within: float, fault: str) -> None:
        end = time.monotonic() + within
        while not check():
            if time.monotonic() > end:
                logs = "".join(f"\n--- {name}\n{self.log(name)[-2000:]}" for name in self.processes)
                raise TimeoutError(f"{fault}{logs}")
            time.sleep(0.1)
