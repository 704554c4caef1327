"""One thread of a process looks for all that wait in it whether another process has committed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

LOOK_EVERY = 0.04
"""Seconds between two looks at the log's size and time."""

READ_EVERY = 0.3
"""Seconds between two looks into the database itself: a commit within the same tick of the clock as the one before
may leave size and time as they were."""

RESTS_AFTER = 5.0
"""Seconds without anybody who waits, after which the thread ends."""


class Watch:
    """log: path of the database's log. version: changes with each commit; called in this thread. ring: wakes those who
    wait."""

    def __init__(self, log: str, version: Callable[[], int], ring: Callable[[], None]) -> None:
        self._log, self._version, self._ring = log, version, ring
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._wanted_at = 0.0

    def go_on(self) -> None:
        """Somebody waits."""
        self._wanted_at = time.monotonic()
        if self._thread is None:
            with self._guard:
                if self._thread is None and not self._over.is_set():
                    self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
                    self._thread.start()

    def close(self) -> None:
        """Nobody looks any more when this returns."""
        self._over.set()
        with self._guard:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        seen: tuple[int, int, int] | None = None
        version, read_at = -1, 0.0
        while not self._over.is_set():
            time.sleep(LOOK_EVERY)  # a third of what a wait for the event costs
            now, log = time.monotonic(), _look(self._log)
            if log != seen or now - read_at > READ_EVERY:
                seen, read_at = log, now
                if (current := self._version()) != version:
                    version = current
                    self._ring()
            if now - self._wanted_at > RESTS_AFTER:
                with self._guard:
                    if now - self._wanted_at > RESTS_AFTER:
                        self._thread = None
                        return


def _look(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
