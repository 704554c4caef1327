"""What readers of the outbox ask, and what they get: filters, figures, pages of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from outbox.message import Delivery, Json, State


@dataclass(frozen=True)
class People:
    """Students and deals that a search means. cut: there are more than are looked at."""

    emails: tuple[str, ...] = ()
    lead_ids: tuple[int, ...] = ()
    cut: bool = False


@dataclass(frozen=True)
class Filter:
    """Which deliveries. Empty fields do not narrow. search: an e-mail or a name (or a part), a telephone (or its end),
    a deal id, an ERP id (reference), an event id or a delivery id. Times in seconds since the epoch:
    since <= created_at < until. people: whom the search means, where that was looked up before."""

    states: tuple[State, ...] = ()
    destination: str = ""
    event_name: str = ""
    cause: str = ""
    search: str = ""
    email: str = ""  # exactly this one
    lead_id: int | None = None  # exactly this one
    since: float | None = None
    until: float | None = None
    overdue_at: float | None = None  # pending rows that were due before this time
    max_id: int | None = None  # none that came after this one: what was shown and counted
    ids: tuple[int, ...] = ()  # only these, of at most a thousand: those that a person ticked
    people: People | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Tally:
    """Figures of one destination."""

    states: Mapping[State, int]
    oldest_pending: float | None  # created_at of the one that waits longest
    next_due: float | None
    delivered_hour: int
    delivered_day: int
    seconds_p50: float | None  # from received_at to delivered, of the last day (or hour when enough)
    seconds_p99: float | None
    seconds_since: float = 0.0  # what the two were taken from: all that was delivered since then, of the newest


@dataclass(frozen=True)
class CauseGroup:
    """Deliveries that failed alike."""

    destination: str
    cause: str
    state: State
    count: int
    first_at: float
    last_at: float
    params: Mapping[str, Json]  # of the newest one
    reason: str  # of the newest one
    sample: tuple[Delivery, ...]  # up to three, oldest first
    max_id: int
    due_at: float | None = None  # of those that wait: when the first that nothing holds up is due


@dataclass(frozen=True)
class Bar:
    """One bar of the throughput chart: what ended between `start` and `start + width`."""

    start: float
    delivered: Mapping[str, int]  # by destination
    dead: int
    seconds_p50: float | None
    seconds_p99: float | None


EVENT_NAMES = 50
"""Event names that are told of each source: a sender may make up as many as it likes."""


@dataclass(frozen=True)
class SourceTally:
    """What comes in from one source, under one event name."""

    source: str
    event_name: str
    last_at: float
    count: int  # since the time asked for, at most as many as asked for
    first_at: float = 0.0


@dataclass(frozen=True)
class Action:
    """Who did what on the page or by a command."""

    id: int
    at: float
    who: str
    what: str  # retry, discard, pause, resume, correct, connect, choose_stage, subscribe, forget, ...
    count: int
    detail: Mapping[str, Json]


@dataclass(frozen=True)
class Student:
    """Somebody behind the deliveries: a student by e-mail, or a deal of which none is known. open: rows that wait or
    are dead. deliveries: the newest ones. after: to go on from."""

    email: str | None
    lead_id: int | None
    name: str | None
    phones: str
    last_at: float
    open: int
    deliveries: tuple[Delivery, ...]
    after: int


@dataclass(frozen=True)
class Page:
    """Rows of a list, newest first. after: the id to go on from (older), or None at the end."""

    rows: tuple[Delivery, ...]
    after: int | None


class Changed(Exception):
    """Between showing and doing, the set of rows changed. Nothing was done."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"{expected} deliveries were shown, {found} match now: look again")
        self.expected, self.found = expected, found
