"""How much is kept of what cannot be read."""

from __future__ import annotations

import threading
from collections.abc import Callable

HOUR, MINUTE = 3600.0, 60.0


class Ration:
    """So many within an hour, in each process, and so many in all. A few show what is wrong; millions would fill the
    disk, since nobody but a person takes them away.

    kept: counts those that are there; asked once a minute.
    """

    def __init__(self, kept: Callable[[], int] = lambda: 0, *, most: int = 500, in_all: int = 5000) -> None:
        self._kept = kept
        self._most, self._in_all = most, in_all
        self._lock = threading.Lock()
        self._began = self._counted_at = 0.0
        self._taken = self._there = 0

    def take(self, now: float) -> bool:
        """Whether one more may be kept. now: seconds since the epoch. Raises what `kept` raises."""
        with self._lock:
            if not 0 <= now - self._counted_at < MINUTE:
                self._there, self._counted_at = self._kept(), now
            if not 0 <= now - self._began < HOUR:
                self._began, self._taken = now, 0
            if self._taken >= self._most or self._there >= self._in_all:
                return False
            self._taken += 1
            self._there += 1
            return True
