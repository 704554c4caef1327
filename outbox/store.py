"""What every engine of the outbox promises, cut by who needs it: a source, a lane, a page, an operator, a job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from outbox.message import Attempt, Delivery, Event, Json, Known, NewEvent, Receipt, Result, State
from outbox.queries import Action, Bar, CauseGroup, Filter, Page, SourceTally, Student, Tally
from outbox.shared import KeyValues, Lease, Leases, RateLimiter


class Intake(Protocol):
    """For sources: taking events in."""

    def accept(self, events: Sequence[NewEvent], timeout: float = 5.0) -> list[Receipt]:
        """Store these events, all or none, and return when they are on disk. A receipt each, in order.

        Raises Conflict (nothing stored) and StoreUnavailable (nothing stored; also when `timeout` seconds pass).
        A new event makes the waiting deliveries of its keys due at once (those whose own time has come), and sends
        again what was skipped since its deal was GONE.
        """

    def accept_each(
        self, requests: Sequence[Sequence[NewEvent]], timeout: float = 5.0
    ) -> list[list[Receipt] | Exception]:
        """As `accept` for each of these requests, which share their commit. What one of them would raise stands in its
        place, and concerns no other."""


class Lanes(Protocol):
    """For the drain of one destination: claim, begin, record."""

    def claim(
        self,
        lease: Lease,
        destination: str,
        limit: int,
        *,
        whole_keys: bool,
        newest_first: bool,
        only: int | None = None,
        keys: Sequence[str] | None = None,
    ) -> list[Delivery]:
        """Take due deliveries under the lane's lease: the first of each key (with whole_keys: and all behind it).
        only: nothing but this one, or the one that holds up its key, due or not. keys: of these keys alone.

        Rows that an earlier lease left in `sending` are taken back first; where an attempt was open it is closed as
        `interrupted` and the row says so. Raises LeaseLost.
        """

    def begin(self, lease: Lease, delivery_ids: Sequence[int]) -> None:
        """Commit an open attempt for each, under the lease. Raises LeaseLost."""

    def check(self, lease: Lease) -> None:
        """Raises LeaseLost when it is not held any more."""

    def record(self, lease: Lease, results: Sequence[Result], revive: Sequence[int] = ()) -> None:
        """Write the results and close the attempts in one transaction, under the lease. Raises LeaseLost.

        revive: dead rows that go back to pending, due now (five that died of one cause).
        """

    def next_due(self, destination: str) -> float | None:
        """When the next pending delivery of this destination is due; None: nothing waits."""

    def make_due(self, destination: str) -> int:
        """All that wait for this destination are due now, except those whose own time has not come. -> how many."""

    def heed_clock(self, destination: str) -> int:
        """Those whose time was set by a clock that was set back since are due now. -> how many. See outbox.clock."""

    def wait(self, seconds: float, woken: Callable[[], bool]) -> bool:
        """Rest until something was committed by any process, `woken()` says so, or the time is over. -> woken early."""

    def notified(self) -> bool:
        """Whether `wait` hears of commits. False: it looks once a second (PostgreSQL behind a transaction pooler)."""


class Reading(Protocol):
    """For pages, the API and commands: what there is. Changes nothing."""

    def event(self, event_id: str) -> Event | None: ...

    def find(self, where: Filter, limit: int, after: int | None = None, oldest_first: bool = False) -> Page:
        """Deliveries, newest first (by created_at, then id), in pages. after: Page.after of the page before."""

    def delivery(self, delivery_id: int) -> Delivery | None: ...

    def attempts(self, delivery_ids: Sequence[int]) -> dict[int, list[Attempt]]: ...

    def ahead(self, delivery_ids: Sequence[int]) -> dict[int, Delivery]:
        """By waiting delivery: the first open one of its key that came before it. No entry where nothing did."""

    def tallies(self) -> dict[str, Tally]: ...

    def count(self, where: Filter) -> int: ...

    def count_states(self, where: Filter) -> dict[State, int]:
        """Counts by state of all that matches, whatever where.states says (the tabs)."""

    def causes(self, where: Filter) -> list[CauseGroup]:
        """Failures by cause: dead ones, and pending ones that failed at least once. Most needed first: dead, count."""

    def bars(self, since: float, width: float, count: int) -> list[Bar]: ...

    def sources(self, since: float, most: int | None = None, known: Sequence[str] = ()) -> list[SourceTally]:
        """What comes in, by source and name. most: up to how many are counted; None: all. Of each source the first 50
        names are told, and those that are `known`."""

    def events_of(self, email: str | None, lead_id: int | None, limit: int = 200) -> list[Event]:
        """All events of one person or deal, newest first, each with its deliveries. email: also the events that only
        name a deal which is known to be this person's."""

    def look_up(self, where: Filter) -> Filter:
        """The same, with whom its search means (Filter.people), so that several questions look them up once."""

    def students(self, where: Filter, limit: int, after: int | None = None) -> list[Student]:
        """Who there is, latest first; with a search those behind the deliveries that it finds."""

    def actions(self, limit: int, after: int | None = None) -> list[Action]: ...

    def actions_on(self, delivery_id: int, limit: int = 50) -> list[Action]:
        """What people did to this one, by itself or with others, newest first; of the newest thousand deeds."""


class Operations(Protocol):
    """For operators: each deed in one transaction with its line in the action log. Where rows were named by their ids
    and none of them could be changed, there was no deed."""

    def retry(self, where: Filter, who: str, expected: int | None = None, *, at_once: bool = False) -> int:
        """The rows that match and can be sent again (RESENDABLE) go out now. -> how many.

        expected: the count that was shown; another one raises Changed and changes nothing. at_once: also before the
        time that an event itself asked for. Rows of the destination "-" stay as they are: see replace_nowhere.
        """

    def discard(self, where: Filter, who: str, expected: int | None = None) -> int:
        """The rows that match and can be discarded (DISCARDABLE) become `discarded`. As retry otherwise."""

    def replace_nowhere(self, delivery_id: int, events: Sequence[NewEvent], who: str) -> list[str]:
        """Events that were made of the one whose only row goes nowhere ("-") take its place: that row is skipped, and
        names them. -> their ids, or those of the ones that were there before; empty: it is no such row (any more)."""

    def correct(self, delivery_id: int, data: Mapping[str, Json], email: str | None, key: str | None, who: str) -> bool:
        """Send again with corrected data: the event's data is replaced, the old value stays in the action log."""

    def correct_all(
        self, delivery_ids: Sequence[int], data: Mapping[str, Json], email: str, key: str | None, who: str
    ) -> int:
        """Send these again under another e-mail: `data` replaces those fields of their events' data. -> how many."""

    def undoable(self, who: str, within: float) -> Action | None:
        """This person's newest deed of the last seconds that could be taken back."""

    def undo(self, action_id: int, who: str, within: float) -> int:
        """Put back the rows of one's own deed, if it is no older than so many seconds, that nothing has happened to
        since: no attempt, no other deed. -> how many. A retry, a discard or a correction, of a thousand rows at most;
        or a pause, or the end of one while nothing has begun to leave there (1)."""

    def reopen(self, lead_id: int) -> int:
        """What was skipped since this deal counted as gone waits again, as when an event tells of it. -> how many."""

    def learn(self, known: Sequence[Known]) -> None:
        """Keep what was found out about people that there are deliveries of."""

    def log_action(
        self,
        who: str,
        what: str,
        count: int = 1,
        detail: Mapping[str, Json] | None = None,
        before: Mapping[str, Json] | None = None,
    ) -> None:
        """before: how a destination rested before its pause was begun or ended, so that it can be taken back."""


class Maintenance(Protocol):
    """For jobs and commands that look after the store itself."""

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
        """Erase a person: events, deliveries, attempts and key-value entries of this e-mail, what the rows of others
        tell of it, and what was left of it in the files. -> how many events."""

    def probe(self) -> None:
        """Store an event as an intake does, and take it back; raises what keeps events from being stored."""

    def size(self) -> int:
        """Bytes that the store takes, its log with them."""

    def checkpoint(self) -> None:
        """Move the log into the database (embedded engine); called by one process only."""


class LaneStore(Protocol):
    """The parts that the drain of one destination is given."""

    @property
    def lanes(self) -> Lanes: ...
    @property
    def key_values(self) -> KeyValues: ...
    @property
    def leases(self) -> Leases: ...

    def now(self) -> float: ...


class Store(Protocol):
    """A durable outbox, composed of its parts. Every method is safe to call from several threads and processes."""

    @property
    def intake(self) -> Intake: ...
    @property
    def lanes(self) -> Lanes: ...
    @property
    def reading(self) -> Reading: ...
    @property
    def operations(self) -> Operations: ...
    @property
    def maintenance(self) -> Maintenance: ...
    @property
    def key_values(self) -> KeyValues: ...
    @property
    def leases(self) -> Leases: ...
    @property
    def rate_limiter(self) -> RateLimiter: ...

    def now(self) -> float:
        """Seconds since the epoch, UTC, by the clock that all processes of this store share."""

    def now_at_once(self) -> float | None:
        """The same for one who must not wait; None: it has to be asked for."""

    def close(self) -> None: ...
