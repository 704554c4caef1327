"""One delivery: what keeps it, and when the next thing happens to it. Pure, from what its lane goes by."""

from __future__ import annotations

from dataclasses import dataclass, replace

from outbox.message import Delivery, State
from outbox.outcome import PauseKind
from outbox.pauses import Paused
from service.situations.rules import needs_person, pause_need
from service.situations.signals import Need

BROKEN_OFF = 60.0
"""Seconds in hand, longer than any lease and any request, after which a delivery of a destination that rests is no
longer being sent: whoever had it has died."""


@dataclass(frozen=True)
class Lane:
    """What holds for all rows of a destination. silent: no worker is heard. whole_keys: with the first row of a key
    it takes all behind it, whenever those are due."""

    missing: bool = False
    pause: Paused | None = None
    silent: bool = False
    whole_keys: bool = False


@dataclass(frozen=True)
class Standing:
    """How a waiting delivery stands.

    code: silent, bare, paused, stopped, pause (it passes by itself), behind, retry, next; "" while it does not wait.
    One that a dead process left in hand stands as if it waited.
    at: when the next thing happens to it, None: not before somebody acts, or not to be told.
    behind: the earlier delivery of its key that has to end first. need: None while nobody has to do anything.
    """

    code: str
    need: Need | None = None
    at: float | None = None
    behind: Delivery | None = None
    pause: Paused | None = None


def stand(row: Delivery, lane: Lane, now: float, ahead: Delivery | None = None) -> Standing:
    """ahead: the first open delivery of its key that came before it, if there is one."""
    if row.state == State.SENDING and now - row.changed_at > BROKEN_OFF and (lane.silent or lane.pause is not None):
        row = replace(row, state=State.PENDING, due_at=row.changed_at)  # nobody sends it, and whoever goes on will
    if row.state != State.PENDING:
        return Standing("")
    own = Need.PERSON if row.failures and row.cause and needs_person(row.cause) else None
    if lane.silent:
        return Standing("silent", Need.PERSON, behind=ahead)
    if lane.missing:
        return Standing("bare", Need.PERSON, behind=ahead)
    due = row.due_at
    if ahead is not None:
        due = ahead.due_at if lane.whole_keys else max(row.due_at, ahead.due_at)
    if lane.pause is not None:
        return replace(_rest(lane.pause, due, now), behind=ahead)
    if ahead is not None:
        first = Need.PERSON if ahead.failures and ahead.cause and needs_person(ahead.cause) else own
        at = None if ahead.state == State.SENDING else max(due, now)
        return Standing("behind", first, at, ahead)
    if row.due_at > now:
        return Standing("retry", own, row.due_at)
    return Standing("next", own, now)


def _rest(pause: Paused, due: float, now: float) -> Standing:
    need = pause_need(pause)
    at = None if pause.until is None else max(pause.until, due, now)
    if pause.kind is PauseKind.OPERATOR:
        return Standing("paused", need, None, pause=pause)
    return Standing("pause" if need is Need.TIME else "stopped", need, at, pause=pause)
