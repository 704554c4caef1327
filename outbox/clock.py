"""Times that were kept, under a clock that may be set back or forward. Pure.

A time from further in the future than two clocks of one service differ was written before the clock was set back.
Nothing waits for the clock to catch up with it.
"""

from __future__ import annotations

SKEW = 5.0
"""Seconds by which the clocks of processes may differ."""

LONGEST = 27 * 3600.0
"""Seconds that a row or a pause may wait for its time at most: a day, and what chance adds."""


def from_future(at: float, now: float) -> bool:
    """Whether this was written before the clock was set back."""
    return at > now + SKEW


def was_before(at: float | None, now: float, seconds: float) -> bool:
    """Whether it happened at most so many seconds ago; not if only a clock that was set back says so."""
    return at is not None and not from_future(at, now) and now - at < seconds


def waits(until: float | None, now: float, longest: float) -> bool:
    """Whether that time is still to come. One that is further away than anything waits was written before the clock was
    set back, and is over. longest: seconds."""
    return until is not None and now < until <= now + longest
