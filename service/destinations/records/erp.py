"""What an ERP is to Dealpost: records that it is given, and what it answers. Each ERP is a folder beside this file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from outbox.outcome import Later


@dataclass(frozen=True)
class Record:
    """What an ERP is to hold. amount: exact; None where the event tells none, which is not zero.

    entity: the kind of record that the event asks for; None: the configured one. places: what templates may name.
    """

    name: str
    amount: Decimal | None
    entity: str | None = None
    places: Mapping[str, str] = field(default_factory=dict)

    def value(self, place: str) -> str:
        """The text for a place such as deal.name or custom:City; "" where nothing is known."""
        head, colon, rest = place.partition(":")
        return self.places.get(f"{head}:{rest.strip().casefold()}" if colon else place, "")


@dataclass(frozen=True)
class Saved:
    """The ERP has it. reference: its id there. note: what a person should know of how that came, or ""."""

    reference: str
    entity: str
    note: str = ""


@dataclass(frozen=True)
class InsertContext:
    """One delivery as an ERP sees it. interrupted: its last attempt was open when the worker died.

    begin: to be called right before each request that may change something. keep: is given each exchange, masked.
    """

    delivery_id: int
    event_id: str
    interrupted: bool
    begin: Callable[[], None]
    keep: Callable[[Mapping[str, Any]], None]


class Erp(Protocol):
    """One ERP. How to add another is told in docs/adding-an-erp.md."""

    @property
    def places(self) -> frozenset[str]:
        """The places that its field map names, so that no more is read from amoCRM than is needed."""

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """All settings that may change its answers."""

    def missing(self) -> tuple[str, ...]:
        """The settings that it lacks."""

    def start(self, delivery_ids: Sequence[int]) -> None:
        """A pass begins with these deliveries; what was told of the ones before is on record by now."""

    def may_repeat(self, record: Record) -> bool:
        """Whether it is known that the ERP itself takes no second record for the same event. Asks nobody."""

    def insert(self, record: Record, paper: InsertContext) -> Saved | Later:
        """Make a record, once. Raises DeliveryError: with a pause it concerns all records, else this one."""

    def update(self, reference: str, record: Record, paper: InsertContext) -> Saved | None:
        """Bring a record up to date; None: there is none of this id any more. Raises as insert does."""
