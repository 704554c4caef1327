"""Waiting that ends when the process is asked to stop."""

from __future__ import annotations

import time
from collections.abc import Callable

from outbox.outcome import Stopping

STEP = 0.2


class InterruptibleWait:
    """stopping: True once the process was asked to stop; the worker puts its own in place."""

    def __init__(self) -> None:
        self.stopping: Callable[[], bool] = lambda: False

    def __call__(self, seconds: float) -> None:
        """Rest so long, but not longer than a stop may wait. Raises Stopping."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.stopping():
                raise Stopping
            time.sleep(min(left, STEP))
