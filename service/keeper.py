"""Keeps the worker process running beside the web: `python -P service/keeper.py scheduler.py`, started by gunicorn.

Ends with SIGTERM or with gunicorn, and the worker with it. Only the standard library: it lives as long as the service.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

PATIENCE = 25.0
"""Seconds that the worker has for its end: hosts kill after 30."""

LONG_LIVED = 60.0
"""Seconds after which a death counts as the first one."""


def keep(script: str) -> None:
    """Runs the script until SIGTERM or until the parent is gone; starts it again when it dies, so the web goes on."""
    parent, stopping, wait = os.getppid(), False, 1.0

    def stop(number: int, frame: object) -> None:
        nonlocal stopping
        stopping = True

    def goes_on() -> bool:
        return not stopping and os.getppid() == parent

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    # For gunicorn, which starts another keeper then. Not SIG_IGN: the worker would inherit that.
    signal.signal(signal.SIGHUP, lambda *_: None)
    while goes_on():
        began = time.monotonic()
        process = subprocess.Popen([sys.executable, script])
        while goes_on() and process.poll() is None:
            time.sleep(0.2)
        if process.poll() is None:
            end(process)
            continue
        wait = 1.0 if time.monotonic() - began > LONG_LIVED else wait
        if goes_on():
            tell(f"The worker ended ({process.returncode}); starting it again in {wait:g} s.")
        until, wait = time.monotonic() + wait, min(wait * 2, 60.0)
        while goes_on() and time.monotonic() < until:
            time.sleep(0.2)


def tell(line: str) -> None:
    """Into the log, without waiting for its reader and whether or not there is one."""

    def write() -> None:
        with suppress(OSError):
            os.write(2, f"{line}\n".encode())

    if sys.stderr:  # else the number may be another file's
        threading.Thread(target=write, daemon=True).start()


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()


if __name__ == "__main__":
    keep(sys.argv[1])
