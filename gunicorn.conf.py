"""How the web process runs: workers, threads and hooks. Gunicorn reads it by itself when started in this folder."""

import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

from service.environment import held, hold_settings  # noqa: E402
from service.log_writer import STDERR  # noqa: E402
from service.startup import CANNOT_START, remarks, said_plainly  # noqa: E402

# Read here, by the master alone, at its start and at each HUP: the web's workers are forked from it, the worker inside
# is started by it, and so all have the same settings, whatever happens to .env meanwhile.
try:
    hold_settings()
except CANNOT_START as error:
    STDERR.write(said_plainly(error))
    if held() is None:
        sys.exit(2)
    STDERR.write("The settings stay as they were until these can be used.")

settings, environ_of_settings = held() or sys.exit(2)
web = settings.web

bind = web.bind
# One takes in more than two that share a file and a socket, and needs less memory.
workers = web.processes
# Clients that are slow, or mean harm, hold a connection and never a thread.
worker_class = "service.serving.worker.BufferingWorker"
# Of each process. When there are as many, the one whose time is up first makes room.
worker_connections = 1000
# gunicorn would believe SCRIPT_NAME and X-Forwarded-Proto of anybody on this machine, a web server that passes on what
# strangers send among them. TRUSTED_PROXIES alone says whom to believe.
forwarded_allow_ips = ""
forwarder_headers = ""
# Requests that wait for one commit share it: fewer threads make smaller groups.
threads = 16
# Longer than a proxy keeps its side open (nginx 60 s, Heroku 90 s): a request must never meet a closing connection.
keepalive = 95
# Under the 30 s that hosts leave between SIGTERM and SIGKILL.
graceful_timeout = 25
# Else gunicorn opens a socket in the home folder.
control_socket_disable = True
# gunicorn would make the application once, whatever a HUP says. See on_starting.
preload_app = False
# Masked, and never waited for.
logger_class = "service.gunicorn_log.GunicornLog"
# Secrets ride in paths. The application writes an access log of its own, with the route's template.
accesslog = None
chdir = str(FOLDER)


# --- one copy of the application --------------------------------------------------------------------------------------


def on_starting(server: Any) -> None:
    from service.preload import preload

    preload(settings)
    halt = server.halt

    def halt_once(*args: Any, **kwargs: Any) -> None:
        # Of a second worker that could not start, gunicorn would raise in the midst of this, and end with a trace. So
        # no code is one; None is that of a worker which a signal ended.
        server.WORKER_BOOT_ERROR = server.APP_LOAD_ERROR = -1
        halt(*args, **kwargs)

    server.halt = halt_once


# --- each worker on its own CPU ---------------------------------------------------------------------------------------
# Threads that wake each other across CPUs under one interpreter lock cost more than the storage does. Off with more
# workers than CPUs, where it would pile them up.


def _pinned() -> bool:
    if not hasattr(os, "sched_setaffinity"):
        return False
    return workers <= len(os.sched_getaffinity(0)) if web.pinned is None else web.pinned


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


def start_worker(server: Any) -> None:
    if web.worker_inside:
        command = [sys.executable, "-P", str(FOLDER / "service" / "keeper.py"), str(FOLDER / "scheduler.py")]
        server.keepers.append(subprocess.Popen(command, cwd=FOLDER, env=environ_of_settings))


def when_ready(server: Any) -> None:
    os.register_at_fork(after_in_parent=hear)
    # On the server, since a HUP runs this file anew: a stop has to find the worker from before it.
    server.keepers = []
    start_worker(server)
    if settings.on_sqlite:
        server.log.info("Events are kept in %s", settings.database_path)
    for remark in remarks(settings):
        server.log.warning(remark)


def on_reload(server: Any) -> None:
    from service.preload import preload

    preload(settings)
    # The one with the old settings finishes its pass while the new one starts: lanes go from one to the other by lease.
    server.keepers = [process for process in server.keepers if process.poll() is None]
    for process in server.keepers:
        process.terminate()
    start_worker(server)


def on_exit(server: Any) -> None:
    keepers = getattr(server, "keepers", [])
    for process in keepers:
        process.terminate()
    # Longer than a keeper itself waits, or its child would be left behind.
    until = time.monotonic() + graceful_timeout + 2
    for process in keepers:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
