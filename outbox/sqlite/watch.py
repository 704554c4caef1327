"""One thread of a process notices for all that wait in it that another process has committed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from outbox.sqlite.log_changes import LogChanges, Looked, follow

SOON = 0.004
"""Seconds from a write into the log to the look: the commit can be read only once the disk has it."""

AGAIN = (0.004, 0.012, 0.036, 0.108)
"""Seconds between the looks that follow: a slow disk takes its time, and the write may have been that of the next
commit."""

SELDOM = 1.0
"""Seconds between two looks while nothing is written, as far as one hears."""

BUSY = 0.04
"""Seconds between two looks, at least, while much is written."""

DEAF_AFTER = 3
"""Commits running that were seen and not heard of, as on a file system that another machine writes to, after which the
log is looked at."""

RESTS_AFTER = 5.0
"""Seconds without anybody who waits, after which the thread ends."""


class Watch:
    """log: path of the database's log. version: changes with each commit, -1 while it is unknown; called in this
    thread. ring: wakes those who wait."""

    def __init__(
        self,
        log: str,
        version: Callable[[], int],
        ring: Callable[[], None],
        *,
        follow: Callable[[str], LogChanges] = follow,
        now: Callable[[], float] = time.monotonic,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        self._log, self._version, self._ring = log, version, ring
        self._follow, self._now, self._rest = follow, now, rest
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._changes: LogChanges | None = None
        self._over = threading.Event()
        self._wanted_at = 0.0

    def go_on(self) -> None:
        """Somebody waits."""
        self._wanted_at = self._now()
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
            if self._changes is not None:
                self._changes.end()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        seen = self._version()  # from this first read on the log is there, and stays
        changes = self._begin(self._follow)
        self._ring()  # of what was committed before it was followed
        looked_at, again, deaf = 0.0, iter(AGAIN), 0
        while self._goes_on():
            pause = next(again, SELDOM)
            if heard := changes.wait(pause):
                self._rest(max(SOON, looked_at + BUSY - self._now()))
                changes.forget()
                again = iter(AGAIN)
            looked_at, version = self._now(), self._version()
            if version != seen:
                told = heard or pause < SELDOM or seen < 0 or version < 0 or changes.wait(0)
                deaf = 0 if told else deaf + 1
                seen = version
                self._ring()
            if deaf == DEAF_AFTER and not isinstance(changes, Looked):
                changes = self._begin(Looked)

    def _begin(self, follow: Callable[[str], LogChanges]) -> LogChanges:
        with self._guard:
            if self._changes is not None:
                self._changes.close()
            self._changes = follow(self._log)
            return self._changes

    def _goes_on(self) -> bool:
        """-> False: the thread ends, and another may begin."""
        if not self._over.is_set() and self._now() - self._wanted_at <= RESTS_AFTER:
            return True
        with self._guard:
            if not self._over.is_set() and self._now() - self._wanted_at <= RESTS_AFTER:
                return True
            if self._changes is not None:
                self._changes.close()
            self._changes = self._thread = None
            return False
