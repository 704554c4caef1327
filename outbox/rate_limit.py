"""The pace of requests to one destination, as a pure function: how long to wait before the next may go."""

from __future__ import annotations

import math
from collections.abc import Iterable

from outbox.clock import from_future

GONE = 15.0
"""After so many seconds a request that nobody reported as done is taken as one that will not arrive any more."""

MARGIN = 0.03
"""Added to the window: clocks of threads and networks are not that exact."""

BURST = 3
"""How many may go at once after a second without requests."""


def wait(history: Iterable[tuple[float, float | None]], now: float, per_second: float) -> float:
    """Seconds until the next request may go; 0.0: now. After that wait, ask again.

    history: when each request began, and when it was answered (None: not yet), of the last 60 seconds. All times by
    one clock. Whatever the network does, the receiver never counts more than `per_second` requests in a window of one
    second (of 1 / per_second seconds, where that is longer): a request counts from its start, as it may arrive at
    once, until a window after its answer, as it may have arrived only just before that.
    """
    if per_second <= 0:
        raise ValueError("a pace is more than zero requests a second")
    window = max(1.0, 1.0 / per_second)
    most = max(1, math.floor(per_second))
    past = [(start, done) for start, done in history if not from_future(start, now)]
    held = sorted(left for left in (_left(start, done, now, window) for start, done in past) if left > now)
    until = held[len(held) - most] if len(held) >= most else now
    starts = sorted(start for start, _ in past)
    if starts and not _burst(starts, now):
        until = max(until, starts[-1] + 1.0 / per_second)
    return max(0.0, until - now)


def _left(start: float, done: float | None, now: float, window: float) -> float:
    """When a request is out of the window, at the earliest."""
    if done is not None:
        return done + window + MARGIN
    return min(now + window + MARGIN, start + GONE)


def _burst(starts: list[float], now: float) -> bool:
    """Whether fewer than three have gone since the last second without requests."""
    after = now
    for start in reversed(starts[-BURST:]):
        if after - start >= 1.0:
            return True
        after = start
    return len(starts) < BURST
