"""Dealpost and its peers as web servers, started alike."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from tests.support.waiting import eventually
from workshop.calls import call
from workshop.processes import FOLDER, free_port

KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
KEY = "bench-key-51d0c2"
PACKAGES = ("huey", "persist-queue", "dbos", "procrastinate", "psycopg[binary,pool]", "requests")
PEERS = ("naive", "huey", "persist_queue", "dbos")
SHOWN = ("huey", "persist-queue", "dbos", "procrastinate")
SLOW_US = 2000


def install(
    folder: Path, packages: Sequence[str] = PACKAGES, shown: Sequence[str] = SHOWN
) -> tuple[Path, dict[str, str]]:
    """-> the Python of an environment with the peers in it, and Flask and gunicorn as ours; versions of those shown."""
    python = folder / "bin" / "python"
    if not python.exists():
        print("Installing the peers into an environment of their own ...", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True)
        same = [line for line in _freeze(Path(sys.executable)) if line.lower().startswith(("flask==", "gunicorn=="))]
        command = [str(python), "-m", "pip", "install", "--quiet", *packages, *same]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    versions = dict(line.split("==") for line in _freeze(python) if "==" in line)
    return python, {name: versions[name] for name in shown}


def _freeze(python: Path) -> list[str]:
    command = [str(python), "-m", "pip", "freeze"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def slow_disk(folder: Path) -> dict[str, str]:
    """Environment under which a commit takes two milliseconds more."""
    library = folder / "slow_disk.so"
    source = Path(__file__).with_name("_slow_disk.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "DELAY_US": str(SLOW_US)}


class Servers:
    """Processes of gunicorn, ended together. environ: what they get beside what the machine needs. peers: the module
    with the others' applications."""

    def __init__(
        self, folder: Path, python: Path, environ: Mapping[str, str] | None = None, peers: str = "_peers"
    ) -> None:
        self.folder, self.python, self.peers = folder, python, peers
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.environ = {**kept, **(environ or {})}
        self.processes: list[subprocess.Popen[bytes]] = []
        self._common = {
            "DEALPOST_ENV_FILE": "/dev/null",
            "ALLOW_EPHEMERAL": "1",
            "DATABASE_URL": f"sqlite:///{folder}/dealpost.db",
            "API_KEYS": f"platform:{KEY}",
            "FOLDER": str(folder),
        }

    def start(self, name: str, servers: int, workers: int, pinned: bool) -> list[int]:
        """So many servers with so many workers each, all on one store. -> their ports.

        name: of a peer, "bare" or "dealpost". pinned: each worker on a processor of its own.
        """
        ports = [free_port() for _ in range(servers)]
        for place, port in enumerate(ports):
            command, cwd, own = self._dealpost(port, workers) if name == "dealpost" else self._peer(name, port, workers)
            cpus = sorted(os.sched_getaffinity(0))
            # A server of one worker is pinned as a whole: two of them would both take the first processor.
            cpu = {cpus[place % len(cpus)]} if pinned and workers == 1 else set(cpus)
            pins = {"PIN_WORKERS": "1" if pinned and workers > 1 else "0"}
            self.run(f"{name}-{port}", command, cwd, {**own, **pins}, cpu)
            # The next one finds the tables made.
            try:
                eventually(partial(_listens, port), 60)
            except AssertionError as error:
                said = (self.folder / f"{name}-{port}.log").read_text(errors="replace")
                raise RuntimeError(f"{name} does not answer: {said[-2000:]}") from error
        return ports

    def run(
        self,
        name: str,
        command: list[str],
        cwd: Path,
        own: Mapping[str, str] | None = None,
        cpus: set[int] | None = None,
    ) -> None:
        """Start one more process among them. cpus: that it may use."""
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**self._common, **self.environ, **(own or {})},
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=partial(os.sched_setaffinity, 0, cpus or os.sched_getaffinity(0)),
            )
        self.processes.append(process)

    def _dealpost(self, port: int, workers: int) -> tuple[list[str], Path, dict[str, str]]:
        own = {"PORT": str(port), "WEB_CONCURRENCY": str(workers)}
        return [sys.executable, "-m", "gunicorn", "wsgi:app"], FOLDER, own

    def _peer(self, name: str, port: int, workers: int) -> tuple[list[str], Path, dict[str, str]]:
        command = [str(self.python), "-m", "gunicorn", f"{self.peers}:{name}()", "--bind", f"127.0.0.1:{port}"]
        command += ["--workers", str(workers), "--threads", "16", "--keep-alive", "95", "--no-control-socket"]
        command += ["--config", "_peers_gunicorn.py"]
        return command, Path(__file__).parent, {}

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(40)


def _listens(port: int) -> bool:
    try:
        return call("GET", f"http://127.0.0.1:{port}/healthz", timeout=5)[0] in (200, 404)
    except OSError:
        return False
