"""How the web process runs: workers, threads and hooks. Gunicorn reads it by itself when started in this folder."""

import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

from dotenv import dotenv_values

FOLDER = pathlib.Path(__file__).resolve().parent
_file = dotenv_values(os.environ.get("DEALPOST_ENV_FILE") or FOLDER / ".env")


def setting(name: str, default: str) -> str:
    """The environment, then .env; an empty value is an unset one."""
    return os.environ.get(name) or _file.get(name) or default


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


# --- settings that cannot be used -------------------------------------------------------------------------------------


def on_starting(server: Any) -> None:
    # Here, before any worker: each of them would say it again, and gunicorn would add a traceback of its own.
    sys.path.insert(0, str(FOLDER))
    from service.environment import read_settings
    from service.startup import CANNOT_START, said_plainly

    try:
        read_settings()
    except CANNOT_START as error:
        print(said_plainly(error), file=sys.stderr, flush=True)
        sys.exit(2)


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
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)


def post_fork(server: Any, worker: Any) -> None:
    # Here, before the worker has any threads: those inherit the choice.
    if _pinned():
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cpus[worker.slot % len(cpus)]})


# --- a stop during a start --------------------------------------------------------------------------------------------
# Between the fork and its own first handler a worker has gunicorn's, and would swallow a SIGTERM: gunicorn then waits
# for it until graceful_timeout. So from before the fork until it is set up, the signal waits.

STOPS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}


def hear() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def post_worker_init(worker: Any) -> None:
    hear()


# --- the worker process beside the web, for hosts that pay by the process ---------------------------------------------


# A process of its own keeps it running: a thread here would fork beside gunicorn's own forks, and a worker would
# inherit the pipe that subprocess waits on.


def keep_worker() -> None:
    """Runs scheduler.py until SIGTERM or until gunicorn is gone; starts it again when it dies, so the web goes on."""
    parent, stopping, wait = os.getppid(), False, 1.0

    def stop(number: int, frame: object) -> None:
        nonlocal stopping
        stopping = True

    def goes_on() -> bool:
        return not stopping and os.getppid() == parent

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while goes_on():
        began = time.monotonic()
        process = subprocess.Popen([sys.executable, str(FOLDER / "scheduler.py")], cwd=FOLDER)
        while goes_on() and process.poll() is None:
            time.sleep(0.2)
        if process.poll() is None:
            end(process, graceful_timeout)
            continue
        wait = 1.0 if time.monotonic() - began > 60 else wait
        if goes_on():
            print(f"The worker ended ({process.returncode}); starting it again in {wait:g} s.", file=sys.stderr)
        until, wait = time.monotonic() + wait, min(wait * 2, 60.0)
        while goes_on() and time.monotonic() < until:
            time.sleep(0.2)


def end(process: subprocess.Popen[bytes], within: float) -> None:
    process.terminate()
    try:
        process.wait(within)
    except subprocess.TimeoutExpired:
        process.kill()


_keeper: list[subprocess.Popen[bytes]] = []


def when_ready(server: Any) -> None:
    os.register_at_fork(after_in_parent=hear)
    if setting("WORKER_IN_WEB", "0") == "1":
        _keeper.append(subprocess.Popen([sys.executable, str(FOLDER / "gunicorn.conf.py")], cwd=FOLDER))


def on_exit(server: Any) -> None:
    for process in _keeper:
        # Longer than the keeper itself waits, or its child would be left behind.
        end(process, graceful_timeout + 2)


if __name__ == "__main__":
    keep_worker()
