"""The policy of waiting, as pure functions: when a row is tried next, and how long a destination rests."""

from __future__ import annotations

from outbox.outcome import PauseKind

MINUTE, HOUR = 60.0, 3600.0

SCHEDULE = (5.0, 30.0, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, 1 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR) + 3 * (24 * HOUR,)
"""Seconds until the next attempt of a row, by the number of attempts that failed (94 hours in all)."""

JITTER = 0.1
"""Waits are lengthened, never shortened, by up to this part."""


def next_attempt(failures: int, now: float, jitter: float, retry_after: float | None = None) -> float | None:
    """When a row that has failed `failures` times (one or more) is tried again, or None: give up.

    jitter: a random number in [0, 1). retry_after: seconds that the server asked for, never undercut.
    """
    if failures > len(SCHEDULE):
        return None
    wait = max(SCHEDULE[failures - 1], retry_after or 0.0)
    return now + wait * (1 + JITTER * jitter)


def pause_seconds(kind: PauseKind, step: int, jitter: float, retry_after: float | None = None) -> float | None:
    """How long a destination rests in the step-th pause running (from 1) of its kind; None: until somebody acts."""
    rules = kind.rules
    if rules.seconds is None:
        return None
    if kind is PauseKind.OUTAGE:
        wait = SCHEDULE[min(step, len(SCHEDULE)) - 1]
    elif kind is PauseKind.RATE and retry_after is not None:
        wait = retry_after
    else:
        wait = rules.seconds * 2 ** (min(step, 20) - 1)
    return max(min(wait, rules.longest), retry_after or 0.0) * (1 + JITTER * jitter)
