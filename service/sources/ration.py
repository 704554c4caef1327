"""How much is kept of what cannot be read. Pure."""

from __future__ import annotations

import threading

HOUR = 3600.0


class Ration:
    """So many within an hour, in each process. A few show what is wrong; millions would fill the disk."""

    def __init__(self, most: int = 500) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._began = 0.0
        self._taken = 0

    def take(self, now: float) -> bool:
        """Whether one more may be kept. now: seconds since the epoch."""
        with self._lock:
            if not 0 <= now - self._began < HOUR:
                self._began, self._taken = now, 0
            self._taken += 1
            return self._taken <= self._most
