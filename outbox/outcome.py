"""What a destination answers for each delivery, and the little it is given to do its work with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from outbox.message import Delivery, Json, Reason


@dataclass(frozen=True)
class Delivered:
    """The other side has it. reference: its id there (a deal, a record). facts: see Delivery.facts."""

    reference: str = ""
    facts: Mapping[str, Json] = field(default_factory=dict)
    person: str | None = None
    lead_id: int | None = None


@dataclass(frozen=True)
class Skipped:
    """Nothing to do, a success. reason: see message.Reason.

    by: the id of the delivery that made this one needless; both are recorded in one transaction.
    cause: by which the page groups those that a person should know of, though nothing failed; "" for all others.
    """

    reason: str
    by: int | None = None
    facts: Mapping[str, Json] = field(default_factory=dict)
    person: str | None = None
    lead_id: int | None = None
    reference: str = ""
    cause: str = ""


@dataclass(frozen=True)
class PauseRules:
    """What a kind of pause means.

    seconds, longest: of the first pause, and of the longest that the doubling comes to; None: until somebody acts.
    by_itself: it ends without anybody. told_at: the how-manyth pause running a person is told of, None: never.
    outlives_settings: new settings or tokens do not lift it. silent: the other side is not asked for anything else
    meanwhile, such as what only has to be read.
    """

    seconds: float | None
    longest: float = math.inf
    by_itself: bool = False
    told_at: int | None = 1
    outlives_settings: bool = False
    silent: bool = False


class PauseKind(StrEnum):
    """How a destination rests when what happened is not one row's fault. The values are what is stored."""

    RATE = "rate"
    OUTAGE = "outage"  # one probe a step
    UNPAID = "unpaid"
    FORBIDDEN = "forbidden"
    SETTINGS = "settings"  # until settings change or an operator resumes, with a probe an hour
    RECONNECT = "reconnect"  # until access is accepted again, with probes ever further apart
    CAUSE = "cause"  # five rows died of one cause: until an operator resumes
    OPERATOR = "operator"

    @property
    def rules(self) -> PauseRules:
        return RULES[self]


RULES = {
    PauseKind.RATE: PauseRules(5.0, 300.0, by_itself=True, told_at=None, outlives_settings=True, silent=True),
    # An outage goes by the schedule of retries, up to `longest`; the fifth pause is after a quarter of an hour.
    PauseKind.OUTAGE: PauseRules(5.0, 600.0, by_itself=True, told_at=5, silent=True),
    PauseKind.UNPAID: PauseRules(3600.0, 3600.0),
    PauseKind.FORBIDDEN: PauseRules(3600.0, 86400.0, silent=True),
    PauseKind.SETTINGS: PauseRules(3600.0, 3600.0),
    # One 401 is no verdict: the first wait is short, and a person hears of the second refusal.
    PauseKind.RECONNECT: PauseRules(15.0, 3600.0, told_at=2, silent=True),
    PauseKind.CAUSE: PauseRules(None),
    PauseKind.OPERATOR: PauseRules(None, told_at=None, outlives_settings=True),
}


class DeliveryError(Exception):
    """Among the outcomes: what went wrong with one row. Raised: what went wrong with the whole destination.

    code: the first word of the row's reason (not_found, refused, ambiguous, ... or the cause itself while it waits).
    cause: a code of service/causes.py, by which the page groups failures and finds its words; params: its figures.
    permanent: no further attempt makes sense (the row is dead). retry_after: seconds that the server asked for; never
    undercut. pause: how the destination rests; a raised error without one is treated as an outage.
    outage: this row's failure may be an outage: the second such row running pauses the destination.
    disprovable: any good answer of the other side, whoever gets it, shows that the reason for the pause is over.
    """

    def __init__(
        self,
        message: str,
        *,
        cause: str,
        code: str = "",
        permanent: bool = False,
        retry_after: float | None = None,
        pause: PauseKind | None = None,
        outage: bool = False,
        disprovable: bool = False,
        status: int | None = None,
        params: Mapping[str, Json] | None = None,
        facts: Mapping[str, Json] | None = None,
        lead_id: int | None = None,
        person: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.code = code or cause
        self.permanent = permanent
        self.retry_after = retry_after
        self.pause = pause
        self.outage = outage
        self.disprovable = disprovable
        self.status = status
        self.params = dict(params or {})
        self.facts = dict(facts or {})
        self.lead_id = lead_id
        self.person = person

    @property
    def reason(self) -> Reason:
        return Reason.of(self.code, self.message)

    def with_facts(self, **facts: Json) -> DeliveryError:
        """The same error for another row, of which other facts are known."""
        return DeliveryError(
            self.message,
            cause=self.cause,
            code=self.code,
            permanent=self.permanent,
            retry_after=self.retry_after,
            pause=self.pause,
            outage=self.outage,
            status=self.status,
            params=self.params,
            facts={**self.facts, **facts},
            lead_id=self.lead_id,
            person=self.person,
        )


@dataclass(frozen=True)
class Later:
    """Not now, and by no fault of the row or of its destination: something else that it needs does not answer.

    The row goes back to pending, due after `seconds`; the attempt is kept as `paused` and uses up no step of the
    schedule. It neither begins nor lifts a pause of the destination, and counts for no series of failures.
    reason: words, in front of them the cause's code. cause, params: as in DeliveryError.
    """

    seconds: float
    reason: str
    cause: str
    status: int | None = None
    params: Mapping[str, Json] = field(default_factory=dict)
    lead_id: int | None = None


Outcome = Delivered | Skipped | DeliveryError | Later


class LeaseLost(Exception):
    """Another worker owns the lane now: stop at once, send nothing more, record nothing."""


class Stopping(Exception):
    """The process was asked to stop: what was not begun goes back to pending, uncounted."""


class DeliveryContext(Protocol):
    """What a destination gets beside its batch."""

    def begin(self, delivery_ids: Sequence[int], ahead: Sequence[int] = ()) -> None:
        """Commit an open attempt for these rows. To be called right before each request that may change something
        on the other side. Raises LeaseLost, and Stopping when the process is asked to stop.

        ahead: rows that come right after these, each with a `begin` of its own. Theirs is committed together with
        this one, and then only the lease is checked. When the worker dies, they count as begun: nobody knows any more
        whether their request left. So only for requests that can be repeated without harm."""

    def check(self) -> None:
        """Raises LeaseLost where another worker may have taken over. For a request that had to wait since it was begun,
        right before it leaves."""

    def exchange(self, delivery_ids: Sequence[int], exchange: Mapping[str, Json]) -> None:
        """Keep a request and its response (already masked) with the attempts of these rows."""

    def join(self, keys: Sequence[str]) -> Sequence[Delivery]:
        """Take what else is due of these keys into the batch, as if it had been claimed with it. Nothing while a pause
        is probed, nor once the pass is to end. Raises LeaseLost."""

    def settle(self, outcomes: Mapping[int, Outcome]) -> None:
        """Record what became of these rows now, before the rest of the batch is done. What was settled stays so,
        whatever is raised afterwards; it need not be returned again. A row that was skipped for another (by) is
        settled together with that one or after it. Raises LeaseLost."""


class Destination(Protocol):
    """A system out. Outcomes by delivery id; rows without one go back to pending, uncounted."""

    name: str
    batch: int  # how many rows it takes at most
    whole_keys: bool  # True: with the first row of a key it wants all that wait behind it
    newest_first: bool  # the order between keys; within a key the order of arrival always holds

    @property
    def fingerprint(self) -> str:
        """Changes when its settings or its tokens change: pauses that wait for that are lifted."""

    def missing(self) -> tuple[str, ...]:
        """The settings that it lacks; while there are any, its rows wait and use up no attempts."""

    def deliver(self, batch: Sequence[Delivery], context: DeliveryContext) -> Mapping[int, Outcome]:
        """Send a batch. Raises DeliveryError for the whole destination, LeaseLost, Stopping."""
