"""What every engine of the outbox promises, and how one is opened by its address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from outbox.message import Attempt, Delivery, Event, Json, NewEvent, Receipt, State
from outbox.plain import Entry as Entry
from outbox.plain import Lease as Lease
from outbox.plain import Leases as Leases
from outbox.plain import Memory as Memory
from outbox.plain import Rates as Rates

# --- what a pass of a lane records ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """What became of one claimed delivery.

    outcome: how its attempt ends (see Attempt.outcome); None: no attempt is written, the row only goes back.
    state: PENDING (due again at due_at; None: now), DELIVERED, SKIPPED or DEAD. With outcome None or `paused` the
        row keeps its reason and cause. counts: the attempt uses up a step of the schedule.
    """

    delivery_id: int
    state: State
    outcome: str | None
    reason: str = ""
    cause: str = ""
    reference: str = ""
    due_at: float | None = None
    counts: bool = False
    status: int | None = None
    detail: str = ""
    params: Mapping[str, Json] = field(default_factory=dict)
    exchanges: tuple[Mapping[str, Json], ...] = ()
    facts: Mapping[str, Json] = field(default_factory=dict)  # merged into the delivery's
    person: str | None = None
    lead_id: int | None = None
    interrupted: bool = False  # what was sent may have arrived, as after a worker's death: the row says so


# --- what the page, the API and the commands ask ----------------------------------------------------------------------


@dataclass(frozen=True)
class Filter:
    """Which deliveries. Empty fields do not narrow. search: an e-mail (or its part), a deal id, an ERP id (reference),
    an event id or a delivery id. Times in seconds since the epoch: since <= created_at < until."""

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


@dataclass(frozen=True)
class Bar:
    """One bar of the throughput chart: what ended between `start` and `start + width`."""

    start: float
    delivered: Mapping[str, int]  # by destination
    dead: int
    seconds_p50: float | None
    seconds_p99: float | None


@dataclass(frozen=True)
class SourceTally:
    """What comes in from one source, under one event name."""

    source: str
    event_name: str
    last_at: float
    count: int  # since the time asked for


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
class Page:
    """Rows of a list, newest first. after: the id to go on from (older), or None at the end."""

    rows: tuple[Delivery, ...]
    after: int | None


class Store(Protocol):
    """A durable outbox. Every method is safe to call from several threads and processes at once."""

    memory: Memory
    leases: Leases
    rates: Rates

    def now(self) -> float:
        """Seconds since the epoch, UTC, by the clock that all processes of this store share."""

    def close(self) -> None: ...

    # -- intake

    def accept(self, events: Sequence[NewEvent], timeout: float = 5.0) -> list[Receipt]:
        """Store these events, all or none, and return when they are on disk. A receipt each, in order.

        Raises Conflict (nothing stored) and StoreUnavailable (nothing stored; also when `timeout` seconds pass).
        A new event makes the waiting deliveries of its keys due at once (those whose own time has come).
        """

    def event(self, event_id: str) -> Event | None: ...

    # -- drain

    def claim(
        self, lease: Lease, destination: str, limit: int, *, whole_keys: bool, newest_first: bool
    ) -> list[Delivery]:
        """Take due deliveries under the lane's lease: the first of each key (with whole_keys: and all behind it).

        Rows that an earlier lease left in `sending` are taken back first; where an attempt was open it is closed as
        `interrupted` and the row says so. Raises LeaseLost.
        """

    def begin(self, lease: Lease, delivery_ids: Sequence[int]) -> None:
        """Commit an open attempt for each, under the lease. Raises LeaseLost."""

    def record(self, lease: Lease, results: Sequence[Result], revive: Sequence[int] = ()) -> None:
        """Write the results and close the attempts in one transaction, under the lease. Raises LeaseLost.

        revive: dead rows that go back to pending, due now (five that died of one cause).
        """

    def next_due(self, destination: str) -> float | None:
        """When the next pending delivery of this destination is due; None: nothing waits."""

    def make_due(self, destination: str) -> int:
        """All that wait for this destination are due now, except those whose own time has not come. -> how many."""

    def wait(self, seconds: float, woken: Callable[[], bool]) -> bool:
        """Rest until something was committed by any process, `woken()` says so, or the time is over. -> woken early."""

    # -- people

    def delivery(self, delivery_id: int) -> Delivery | None: ...

    def attempts(self, delivery_ids: Sequence[int]) -> dict[int, list[Attempt]]: ...

    def tallies(self) -> dict[str, Tally]: ...

    def count(self, where: Filter) -> int: ...

    def count_states(self, where: Filter) -> dict[State, int]:
        """Counts by state of all that matches, whatever where.states says (the tabs)."""

    def causes(self, where: Filter) -> list[CauseGroup]:
        """Failures by cause: dead ones, and pending ones that failed at least once. Most needed first: dead, count."""

    def bars(self, since: float, width: float, count: int) -> list[Bar]: ...

    def sources(self, since: float) -> list[SourceTally]: ...

    def events_of(self, email: str | None, lead_id: int | None, limit: int = 200) -> list[Event]:
        """All events of one person or deal, newest first, each with its deliveries. email: also the events that only
        name a deal which is known to be this person's."""

    def people(self, search: str, limit: int, after: str | None = None) -> list[Mapping[str, Json]]:
        """Who there is: {"email", "lead_id", "person", "last_at", "open": waiting or dead rows}, latest first."""

    def retry(self, where: Filter, who: str, expected: int | None = None) -> int:
        """Dead, skipped, discarded and waiting rows that match go out now, in one transaction with the action log.

        expected: the count that was shown; another one raises Changed and changes nothing. -> how many.
        """

    def discard(self, where: Filter, who: str, expected: int | None = None) -> int:
        """Rows that match and are not delivered nor being sent become `discarded`. As retry otherwise."""

    def retry_one(self, delivery_id: int, who: str) -> bool: ...

    def discard_one(self, delivery_id: int, who: str) -> bool: ...

    def correct(self, delivery_id: int, data: Mapping[str, Json], email: str | None, key: str | None, who: str) -> bool:
        """Send again with corrected data: the event's data is replaced, the old value stays in the action log."""

    def log_action(self, who: str, what: str, count: int = 1, detail: Mapping[str, Json] | None = None) -> None: ...

    def actions(self, limit: int, after: int | None = None) -> list[Action]: ...

    # -- care

    def migrate(self) -> None:
        """Bring the schema up to date; safe when several processes start at once."""

    def verify(self) -> list[str]:
        """What is wrong inside (integrity, orphans); an empty list when all is well."""

    def backup(self, path: str) -> None: ...

    def prune(self, older_than: float, limit: int = 1000) -> int:
        """Delete up to `limit` delivered, skipped and discarded rows that ended before, and events that have no other.

        Dead ones stay. -> how many rows.
        """

    def forget(self, email: str, who: str) -> int:
        """Erase a person: events, deliveries, attempts, memory entries of this e-mail. -> how many events."""

    def checkpoint(self) -> None:
        """Move the log into the database (embedded engine); called by one process only."""

    # The last one: in a class, its name hides the builtin from all annotations that follow.
    def list(self, where: Filter, limit: int, after: int | None = None, oldest_first: bool = False) -> Page:
        """Deliveries, newest first (by created_at, then id), in pages. after: Page.after of the page before."""


class Changed(Exception):
    """Between showing and doing, the set of rows changed. Nothing was done."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"{expected} deliveries were shown, {found} match now: look again")
        self.expected, self.found = expected, found


def open_store(url: str, *, now: Callable[[], float] | None = None) -> Store:
    """The store at `sqlite:///relative/or//absolute/path`. Raises ValueError for an address of an unknown kind."""
    kind, _, rest = url.partition("://")
    if kind == "sqlite":
        from outbox.sqlite import SqliteStore

        return SqliteStore(rest.removeprefix("/") or "var/dealpost.db", now=now)
    raise ValueError(f"DATABASE_URL: got an address that begins with {kind!r}, expected sqlite:///path")
