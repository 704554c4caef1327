"""The policy of waiting, as pure functions: when a row is tried next, and how long a destination rests."""

from __future__ import annotations

MINUTE, HOUR = 60.0, 3600.0

SCHEDULE = (5.0, 30.0, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, 1 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR) + 3 * (24 * HOUR,)
"""Seconds until the next attempt of a row, by the number of attempts that failed (94 hours in all)."""

JITTER = 0.1
"""Waits are lengthened, never shortened, by up to this part."""

OUTAGE_CAP = 10 * MINUTE
"""The longest wait between two probes of a destination that does not answer."""


def next_attempt(failures: int, now: float, jitter: float, retry_after: float | None = None) -> float | None:
    """When a row that has failed `failures` times (one or more) is tried again, or None: give up.

    jitter: a random number in [0, 1). retry_after: seconds that the server asked for, never undercut.
    """
    if failures > len(SCHEDULE):
        return None
    wait = max(SCHEDULE[failures - 1], retry_after or 0.0)
    return now + wait * (1 + JITTER * jitter)


def pause_seconds(kind: str, step: int, jitter: float, retry_after: float | None = None) -> float | None:
    """How long a destination rests in the step-th pause running (from 1) of its kind; None: until somebody acts.

    Kinds: see outcome.Pause. A pause that waits for somebody (settings, reconnect) still probes once an hour.
    """
    if kind in ("operator", "cause"):
        return None
    if kind == "rate":
        wait = retry_after if retry_after is not None else min(5.0 * 2 ** (min(step, 20) - 1), 5 * MINUTE)
    elif kind == "outage":
        wait = min(SCHEDULE[min(step, len(SCHEDULE)) - 1], OUTAGE_CAP)
    elif kind == "forbidden":
        wait = min(HOUR * 2 ** (min(step, 20) - 1), 24 * HOUR)
    else:
        wait = HOUR
    return max(wait, retry_after or 0.0) * (1 + JITTER * jitter)
