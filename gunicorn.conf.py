"""How the web process runs: workers, threads and hooks. Gunicorn reads it by itself when started in this folder."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
from typing import Any

from dotenv import dotenv_values

FOLDER = pathlib.Path(__file__).resolve().parent


def setting(name: str, default: str) -> str:
    """The environment, then .env; an empty value is an unset one."""
    return os.environ.get(name) or _file.get(name) or default


_file = dotenv_values(os.environ.get("DEALPOST_ENV_FILE") or FOLDER / ".env")

bind = f"0.0.0.0:{setting('PORT', '8000')}"
# Two is what the accept path was measured with; hosts set WEB_CONCURRENCY by rules of thumb of their own.
workers = int(setting("WEB_CONCURRENCY", "2"))
worker_class = "gthread"
# Requests that wait for one commit share it: fewer threads make smaller groups.
threads = 16
# Longer than a proxy keeps its side open (nginx 60 s, Heroku 90 s): a request must never meet a closing connection.
keepalive = 95
# Under the 30 s that hosts leave between SIGTERM and SIGKILL.
graceful_timeout = 25
# Else gunicorn opens a socket in the home folder.
control_socket_disable = True
# The store's threads and connections do not survive a fork: each worker opens its own.
preload_app = False
# Secrets ride in paths. The application writes an access log of its own, with the route's template.
accesslog = None
chdir = str(FOLDER)


# --- each worker on its own CPU ---------------------------------------------------------------------------------------
# Threads that wake each other across CPUs under one interpreter lock cost more than the storage does. Off with more
# workers than CPUs, where it would pile them up, and on Heroku-like hosts, where the CPUs belong to many neighbours.


def _pinned() -> bool:
    if not hasattr(os, "sched_setaffinity"):
        return False
    wish = setting("PIN_WORKERS", "")
    if wish:
        return wish not in ("0", "false", "no", "off")
    return workers <= len(os.sched_getaffinity(0)) and not os.environ.get("DYNO")


def pre_fork(server: Any, worker: Any) -> None:
    taken = {other.slot for other in server.WORKERS.values()}
    worker.slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)


def post_fork(server: Any, worker: Any) -> None:
    # Here, before the worker has any threads: those inherit the choice.
    if _pinned():
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cpus[worker.slot % len(cpus)]})


# --- the worker process beside the web, for hosts that pay by the process ---------------------------------------------


class Companion:
    """`scheduler.py` as a child of gunicorn's master: started again when it dies, so that the web goes on accepting."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _keep(self) -> None:
        wait = 1.0
        while not self._stopping.is_set():
            with self._lock:
                if self._stopping.is_set():
                    return
                self._process = subprocess.Popen([sys.executable, str(FOLDER / "scheduler.py")], cwd=FOLDER)
            self._process.wait()
            if not self._stopping.is_set():
                print(f"The worker ended; starting it again in {wait:g} s.", file=sys.stderr, flush=True)
                self._stopping.wait(wait)
                wait = min(wait * 2, 60.0)

    def stop(self) -> None:
        self._stopping.set()
        with self._lock:
            process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(graceful_timeout)
        except subprocess.TimeoutExpired:
            process.kill()


_companion = Companion() if setting("WORKER_IN_WEB", "0") == "1" else None


def when_ready(server: Any) -> None:
    if _companion:
        _companion.start()


def on_exit(server: Any) -> None:
    if _companion:
        _companion.stop()
