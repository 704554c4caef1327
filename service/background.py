"""Writing what was noted soon after, from a thread of its own: whoever notes waits for nobody."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

REST = 1.0
"""Seconds between two writes: under load one write a second bears all that was noted meanwhile."""


class BackgroundWriter:
    """Calls each of `writes` after `wake`; the first time at once, then every REST seconds at most.

    Until `start`, nothing is written by itself: a command or a test writes when it reads.
    """

    def __init__(self, writes: Sequence[Callable[[], None]]) -> None:
        self._writes = writes
        self._noted = threading.Event()

    def wake(self) -> None:
        """Something was noted. Costs next to nothing."""
        if not self._noted.is_set():
            self._noted.set()

    def start(self) -> None:
        """In a server that forks: after the fork."""
        threading.Thread(target=self._run, daemon=True, name="figures").start()

    def flush(self) -> None:
        """Write now. What could not be written is kept for the next time; nobody hears of it but the log."""
        self._noted.clear()
        for write in self._writes:
            try:
                write()
            except Exception as error:
                logger.warning("Figures could not be written, they wait: %s", error)

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._noted.wait()
            self.flush()
            pause.wait(REST)
