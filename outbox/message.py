"""What moves through the outbox: events that came in, the deliveries they mean, and each attempt to make one."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = Any  # a value that json.loads can return


class State(StrEnum):
    """Where a delivery stands. The diagram is in docs/states.md."""

    PENDING = "pending"  # waits for its time, for an earlier one of its key, or for its destination
    SENDING = "sending"  # a worker holds it under the lease of its lane
    DELIVERED = "delivered"  # the other side has it
    SKIPPED = "skipped"  # nothing to do: a success, with a reason
    DEAD = "dead"  # will not be tried again unless an operator says so
    DISCARDED = "discarded"  # an operator said that it is not to be sent


OPEN_STATES = (State.PENDING, State.SENDING)
"""The states in which a delivery holds its key."""

RESENDABLE = (State.DEAD, State.SKIPPED, State.DISCARDED, State.PENDING)
"""What an operator can send again (or sooner)."""

DISCARDABLE = (State.DEAD, State.SKIPPED, State.PENDING)
"""What an operator can discard."""

BIGGEST = 2**63 - 1
"""The largest number, and so the largest id, that every engine holds."""

GONE = "deal_gone"
"""The code of the reason of rows that were skipped since the deal that they are about was not there. A new event about
that deal is a witness against it, and reopens them."""

NOWHERE = "-"
"""The destination of the one row of an event that has nothing to deliver."""


class Reason(str):
    """Why a delivery stands as it does: a code, and after ": " words for a person. The text is what is stored and
    shown; it is put together and taken apart here and nowhere else."""

    __slots__ = ()

    @classmethod
    def of(cls, code: str, words: str = "") -> Reason:
        return cls(f"{code}: {words}" if words else code)

    @property
    def code(self) -> str:
        return self.partition(":")[0].strip()

    @property
    def words(self) -> str:
        return self.partition(":")[2].strip()


@dataclass(frozen=True)
class Dedupe:
    """How an event is recognised when it is sent again.

    key: unique among all events that are kept.
    fingerprint: of the canonical data; another fingerprint under the same key is a Conflict. None: the first one wins.
    window: seconds for which the key counts, and only against an event whose delivery waits (for no later time than the
        new one's), is being sent or was delivered; outside of that the new event takes the key over. None: as long as
        the event is kept.
    """

    key: str
    fingerprint: str | None = None
    window: float | None = None


@dataclass(frozen=True)
class NewDelivery:
    """One delivery that an event means. A row that needs no work is born in its end state (skipped, dead)."""

    destination: str
    key: str | None = None
    state: State = State.PENDING
    reason: str = ""
    cause: str = ""


@dataclass(frozen=True)
class Known:
    """What somebody told of a person: of the students with these e-mails, and of these deals. phones: as they are
    written there. is_title: the name is a deal's own; one of a person is better."""

    name: str = ""
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    lead_ids: tuple[int, ...] = ()
    is_title: bool = False


@dataclass(frozen=True)
class NewEvent:
    """An event, checked and ready to be stored. Times are seconds since the epoch, UTC."""

    id: str
    name: str
    data: Mapping[str, Json]
    source: str  # lessons, events, inngest, webhook, reconcile, operator
    sender: str  # the API key's name, or "amocrm", or the operator's name
    received_at: float
    deliveries: tuple[NewDelivery, ...]
    dedupe: Dedupe | None = None
    not_before: float | None = None
    email: str | None = None  # trimmed and casefolded; what the page searches and `forget` erases
    lead_id: int | None = None
    raw: str | None = None  # the body as it came, where it could not be read
    known: tuple[Known, ...] = ()  # what it tells of people, by the way


@dataclass(frozen=True)
class Receipt:
    """The store's answer for one event: its id (of the first one, for a duplicate)."""

    id: str
    duplicate: bool


class Conflict(Exception):
    """The same dedupe key came with other data. Nothing of the request was stored."""

    def __init__(self, indices: tuple[int, ...]) -> None:
        super().__init__(f"events {list(indices)} bear an id that was seen before with different data")
        self.indices = indices


class StoreUnavailable(Exception):
    """A write could not be committed (locked, full, broken disk, or not in time). Nothing was stored."""


class StoreNotWritable(StoreUnavailable):
    """The user of this process has no right to write the files of the store, or their folder."""


@dataclass(frozen=True)
class Attempt:
    """One try of one delivery, as kept.

    outcome: open (the request may be on its way), delivered, skipped, failed, dead, paused (no attempt in the sense of
        the schedule), interrupted (the worker died with it open).
    status: the HTTP status that decided, where there was one. detail: words, English, for a person.
    cause, params: the cause's code and its figures, from which the page makes its words in any language.
    exchanges: the requests and responses as masked when captured (dicts made by the destination's HTTP seam).
    """

    id: int
    delivery_id: int
    at: float
    outcome: str
    finished_at: float | None = None
    status: int | None = None
    detail: str = ""
    cause: str = ""
    params: Mapping[str, Json] = field(default_factory=dict)
    exchanges: tuple[Mapping[str, Json], ...] = ()


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one destination, together with what a destination needs of its event.

    failures: attempts that counted. interrupted: the last attempt was open when its worker died.
    facts: what destinations learnt (amocrm: lead_id, contact_name, pipeline_id, from_status, to_status, names;
        erp: entity_id, record name, amount; note: words for a person about a delivery that went through): for the
        page and for the next attempt.
    person, phones: what is known by now of whom it is about, from whichever delivery.
    """

    id: int
    event_id: str
    event_name: str
    destination: str
    key: str | None
    state: State
    reason: Reason
    cause: str
    reference: str
    due_at: float
    failures: int
    created_at: float
    changed_at: float
    data: Mapping[str, Json]
    source: str
    received_at: float
    email: str | None = None
    lead_id: int | None = None
    person: str | None = None
    interrupted: bool = False
    facts: Mapping[str, Json] = field(default_factory=dict)
    phones: str = ""


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
    unsent: bool = False  # nothing was sent, though its attempt may be open: that goes without a trace


@dataclass(frozen=True)
class Event:
    """An event as kept, with its deliveries."""

    id: str
    name: str
    data: Mapping[str, Json]
    source: str
    sender: str
    received_at: float
    email: str | None
    lead_id: int | None
    raw: str | None = None
    deliveries: tuple[Delivery, ...] = ()


def new_id(now: float | None = None, entropy: bytes | None = None) -> str:
    """A UUIDv7: ordered by its millisecond, then random. Reference: RFC 9562, section 5.7."""
    milliseconds = int((time.time() if now is None else now) * 1000)
    random = os.urandom(10) if entropy is None else entropy
    value = bytearray(milliseconds.to_bytes(6, "big") + random)
    value[6] = 0x70 | (value[6] & 0x0F)
    value[8] = 0x80 | (value[8] & 0x3F)
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
