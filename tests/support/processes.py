"""The service's own processes, started as a host starts them, for tests that look from outside."""

import os
import pathlib
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.waiting import eventually
from workshop.calls import answers, call
from workshop.processes import FOLDER, free_port

PYTHON = sys.executable
TRACEBACK = "Traceback (most recent call last)"
# What a process needs of the machine; nothing of the developer's own settings comes along.
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TEST_POSTGRES_URL")

API_KEY = "platform-key-7f3a91"
INGEST_KEY = "ingest-key-20c4e8"
ADMIN = ("admin", "correct-horse-9")


def bare_environ(**settings: str) -> dict[str, str]:
    """An environment with these settings and no others; .env is not read."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    # The folder for tests may lie in memory.
    of_tests = {"DEALPOST_ENV_FILE": "/dev/null", "PYTHONUNBUFFERED": "1", "ALLOW_EPHEMERAL": "1"}
    return {**kept, **of_tests, **settings}


GONE = (FileNotFoundError, ProcessLookupError)
"""What is raised of a process that ends before its file is opened, or before it is read."""


def children(pid: int) -> list[int]:
    """The processes that this one started and that still run."""
    try:
        return [int(one) for one in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except GONE:
        return []


@dataclass
class Process:
    """One running process. Its lines, out and err together, go to the file `log`."""

    name: str
    popen: subprocess.Popen[bytes]
    log: pathlib.Path
    url: str = ""

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    def says(self, pattern: str, within: float = 20.0) -> re.Match[str]:
        """Waits until the output holds the pattern."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.output)
            assert found or self.running, f"{self.name} ended with {self.popen.returncode}:\n{self.output}"
            return found

        return eventually(look, within)

    def call(self, method: str, path: str, **what: Any) -> tuple[int, Any]:
        return call(method, self.url + path, **what)

    def send(self, number: int) -> None:
        """A signal to it and to its children."""
        os.killpg(self.popen.pid, number)

    def stop(self, number: int = signal.SIGTERM, within: float = 35.0) -> int:
        """Asks the process to end, and returns its exit code. What does not end in time is killed, and fails."""
        if self.running:
            self.popen.send_signal(number)
        try:
            return self.popen.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop within {within:g} s:\n{self.output}") from None

    def kill(self) -> None:
        """SIGKILL to it and to its children."""
        try:
            self.send(signal.SIGKILL)
        except ProcessLookupError:
            return
        self.popen.wait(10)


class Processes:
    """Starts processes in the project folder and ends those that are left."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._started: list[Process] = []

    def start(
        self,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str],
        cwd: pathlib.Path = FOLDER,
        into: int | None = None,
    ) -> Process:
        """into: an open file for what it says, in place of one that is made."""
        log = self._folder / f"{name}-{len(self._started)}.log"
        with log.open("wb") as out:
            popen = subprocess.Popen(
                command,
                cwd=cwd,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=out if into is None else into,
                stderr=subprocess.STDOUT,
                # A group of its own: what it started can be ended with it.
                start_new_session=True,
            )
        process = Process(name, popen, log)
        self._started.append(process)
        return process

    def web(
        self, environ: Mapping[str, str], ready: bool = True, within: float = 30.0, into: int | None = None
    ) -> Process:
        """gunicorn, answering /readyz unless `ready` is false."""
        port = environ.get("PORT") or str(free_port())
        command = [PYTHON, "-m", "gunicorn", "wsgi:app"]
        process = self.start("web", command, {"WEB_CONCURRENCY": "1", **environ, "PORT": port}, into=into)
        process.url = f"http://127.0.0.1:{port}"
        if ready:
            self.ready(process, "/readyz", within)
        return process

    def worker(self, environ: Mapping[str, str], into: int | None = None) -> Process:
        return self.start("worker", [PYTHON, "scheduler.py"], environ, into=into)

    def ready(self, process: Process, path: str, within: float = 30.0) -> None:
        """Waits for a 200."""

        def look() -> bool:
            if not process.running:
                raise RuntimeError(f"{process.name} ended with {process.popen.returncode}:\n{process.output}")
            return answers(process.url + path)

        try:
            eventually(look, within)
        except AssertionError as error:
            raise AssertionError(f"{process.name} is not ready: {error}\n{process.output}") from error

    def stop(self) -> None:
        for process in reversed(self._started):
            if process.running:
                process.popen.terminate()
        for process in reversed(self._started):
            try:
                process.popen.wait(35)
            except subprocess.TimeoutExpired:
                pass
            finally:
                # Also what an ended process may have left behind.
                process.kill()


@dataclass(frozen=True)
class Finished:
    """What a command that ended left behind."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


def run(
    command: Sequence[str], environ: Mapping[str, str], within: float = 60.0, cwd: pathlib.Path = FOLDER
) -> Finished:
    """Runs a command to its end."""
    done = subprocess.run(
        command, cwd=cwd, env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within
    )
    return Finished(done.returncode, done.stdout, done.stderr)
