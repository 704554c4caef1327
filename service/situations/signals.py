"""What was asked of the store and the wiring at one moment, and what follows from it: plain values, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from outbox.message import Delivery, Json
from outbox.pauses import Paused
from outbox.queries import CauseGroup, Tally
from service.heartbeat import Process
from service.job_results import JobResult
from service.refusals import RefusalRun


@dataclass(frozen=True)
class DestinationSignals:
    """missing: the settings that it lacks. due_at: when the next row that nothing holds up is due; None: none waits.

    tried: of a pause that five alike began, those five (as they stand now) and what else is known of them.
    """

    name: str
    missing: tuple[str, ...] = ()
    pause: Paused | None = None
    waiting: int = 0
    oldest: float | None = None
    due_at: float | None = None
    tried: tuple[Delivery, ...] = ()


@dataclass(frozen=True)
class TokenSignals:
    """state: as TokenStatus. The times in seconds since the epoch."""

    state: str = "connected"
    expires_at: float | None = None
    refresh_expires_at: float | None = None
    lost_keys: bool = False


@dataclass(frozen=True)
class HookSignals:
    """wanted: a secret is set and the account can be asked. found: the code that the last look left, "" while none."""

    wanted: bool = False
    found: str = ""
    at: float | None = None


@dataclass(frozen=True)
class Unmapped:
    """Lessons that moved nothing, as they have no stage. unset: those of them that have none now either."""

    count: int = 0
    lessons: tuple[int, ...] = ()
    unset: tuple[int, ...] = ()
    since: float | None = None
    last_at: float | None = None
    sample: tuple[Delivery, ...] = ()
    max_id: int = 0


@dataclass(frozen=True)
class SourceSignals:
    """One way in. count: of the four weeks before now; first_at: when the first event of all came."""

    source: str
    event_name: str
    last_at: float
    count: int = 0
    since: float = 0.0


@dataclass(frozen=True)
class StoreSignals:
    """fault: why nothing can be written, "" when it can. free: bytes left on its disk, None where that is unknown."""

    fault: str = ""
    free: int | None = None


@dataclass(frozen=True)
class Signals:
    """Everything that was asked. late: how many wait for longer than people expect; students: whether that counts
    students. dead: of every destination, whatever the cause. tallies: by destination, of those that there are any
    deliveries for."""

    now: float
    destinations: tuple[DestinationSignals, ...] = ()
    groups: tuple[CauseGroup, ...] = ()
    dead: int = 0
    late: int = 0
    late_since: float | None = None
    students: bool = False
    unmapped: Unmapped = Unmapped()
    stages_gone: tuple[tuple[int, str], ...] = ()
    token: TokenSignals = TokenSignals()
    hook: HookSignals = HookSignals()
    jobs: tuple[JobResult, ...] = ()
    sources: tuple[SourceSignals, ...] = ()
    processes: tuple[Process, ...] = ()
    refused: tuple[RefusalRun, ...] = ()
    store: StoreSignals = StoreSignals()
    tallies: Mapping[str, Tally] = field(default_factory=dict)


class Need(StrEnum):
    """Who ends a situation."""

    PERSON = "person"  # nothing ends it but somebody
    TIME = "time"  # it passes by itself


class Mend(StrEnum):
    """The control that mends it, in the place of the fault."""

    NONE = ""
    CONNECT = "connect"  # the Connect button
    STAGE = "stage"  # choose another stage for the lesson in params
    TRY = "try"  # send one, and see
    REST = "rest"  # one went through: send the others
    RESUME = "resume"
    SEND = "send"  # send the rows again
    LOOK = "look"  # look at the rows and decide
    FUNNEL = "funnel"  # choose whose deals are moved
    SUBSCRIBE = "subscribe"  # the webhook
    SETTINGS = "settings"  # params["missing"], or what the checks find
    MACHINE = "machine"  # the server: its disk, its processes


@dataclass(frozen=True)
class Situation:
    """One thing that is not as it should be.

    cause: a code of service/causes.py, which has the words: what is so, what it means, who mends it, what to do.
    since: when it began. until: when the next thing happens by itself, None: nothing does. ends: when that stops.
    count: the rows that wait or did not arrive because of it. people: whether the count is of students.
    rows: those by which it was found out, up to five. rank: what is worse comes first.
    """

    code: str
    need: Need
    cause: str
    destination: str = ""
    since: float | None = None
    until: float | None = None
    ends: float | None = None
    count: int = 0
    mend: Mend = Mend.NONE
    params: Mapping[str, Json] = field(default_factory=dict)
    group: CauseGroup | None = None
    pause: Paused | None = None
    rows: tuple[Delivery, ...] = ()
    refused: RefusalRun | None = None
    rank: int = 50
