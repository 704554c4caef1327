"""Stand-ins in memory for what the ERP side is lent: the store's memory, a context, deals of amoCRM, an ERP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from outbox.message import Delivery, Known, State
from outbox.outcome import DeliveryError, Stopping
from service.amocrm.client import Found


class Clock:
    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class DeliveryContext:
    def __init__(self, stop_after: int | None = None) -> None:
        self.begun: list[int] = []
        self.ahead: list[list[int]] = []
        self.exchanges: list[tuple[list[int], Mapping[str, Any]]] = []
        self.settled: list[list[int]] = []
        self._stop_after = stop_after

    def check(self) -> None: ...

    def begin(self, delivery_ids: Sequence[int], ahead: Sequence[int] = ()) -> None:
        if self._stop_after is not None and len(self.begun) >= self._stop_after:
            raise Stopping
        self.begun += delivery_ids
        self.ahead.append(list(ahead))

    def exchange(self, delivery_ids: Sequence[int], exchange: Mapping[str, Any]) -> None:
        self.exchanges.append((list(delivery_ids), exchange))

    def join(self, keys: Sequence[str]) -> Sequence[Delivery]:
        return []

    def settle(self, outcomes: Mapping[int, Any]) -> None:
        self.settled.append(list(outcomes))


@dataclass(frozen=True)
class Lead:
    id: int
    name: str = "Курс"
    price: Decimal = Decimal("1500")
    pipeline_id: int = 7
    is_deleted: bool = False
    main_contact_id: int | None = None
    custom_fields: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Contact:
    id: int
    name: str = "Анна Петрова"
    custom_fields: Sequence[Mapping[str, Any]] = ()


@dataclass
class Amocrm:
    """service.amocrm.AmocrmAccount as the ERP side reads it."""

    deals: dict[int, Lead] = field(default_factory=dict)
    people: dict[int, Contact] = field(default_factory=dict)
    stages: dict[tuple[int, int], tuple[str, str]] = field(default_factory=dict)
    error: Exception | None = None
    unread: dict[int, DeliveryError] = field(default_factory=dict)
    asked: list[list[int]] = field(default_factory=list)
    number: int | None = 55
    set_up: bool = True
    asked_account: int = 0
    refused: int = 0

    def __post_init__(self) -> None:
        self.client = self.pipelines = self.tokens = self

    learned: list[Known] = field(default_factory=list)

    def bound(self, record: Any = None, deadline: Any = None) -> "Amocrm":
        return self

    def learn(self, known: Sequence[Known]) -> None:
        self.learned += known

    def is_set_up(self) -> bool:
        return self.set_up

    def account(self) -> dict[str, Any]:
        self.asked_account += 1
        return {"id": self.number}

    def leads(self, ids: Sequence[int]) -> Found[Any]:
        if self.error:
            self.refused += 1
            raise self.error
        self.asked.append(list(ids))
        found: Found[Any] = Found()
        found.update({one: self.deals[one] for one in ids if one in self.deals})
        found.absent |= set(ids) - set(found) - set(self.unread)
        found.unread |= {one: self.unread[one] for one in ids if one in self.unread}
        return found

    def contacts(self, ids: Sequence[int]) -> dict[int, Contact]:
        return {one: self.people[one] for one in ids if one in self.people}

    def is_wanted(self, pipeline_id: int, status_id: int, wanted: Sequence[tuple[str, str]]) -> bool:
        names = self.names(pipeline_id, status_id)
        return any(one in ("", str(pipeline_id), names[0]) and two in (str(status_id), names[1]) for one, two in wanted)

    def names(self, pipeline_id: int, status_id: int) -> tuple[str, str]:
        return self.stages.get((pipeline_id, status_id), ("", ""))


def delivery(number: int, name: str = "crm/create-deal", **more: Any) -> Delivery:
    """A pending row. data: of its event."""
    data = more.pop("data", {"dealName": f"Deal {number}", "amount": 100})
    lead_id = data.get("lead_id")
    return Delivery(
        **{
            "id": number,
            "event_id": f"event-{number}",
            "event_name": name,
            "destination": "erp",
            "key": f"lead:{lead_id}" if lead_id else None,
            "state": State.SENDING,
            "reason": "",
            "cause": "",
            "reference": "",
            "due_at": 0.0,
            "failures": 0,
            "created_at": 0.0,
            "changed_at": 0.0,
            "data": data,
            "source": "webhook" if lead_id else "events",
            "received_at": 1_800_000_000.0,
            "lead_id": lead_id,
            **more,
        }
    )


def change(
    number: int, lead_id: int = 1, old: int | None = 10, new: int = 20, at: float | None = None, **more: Any
) -> Delivery:
    """A row that tells of a change of stage."""
    data = {"lead_id": lead_id, "pipeline_id": 7, "status_id": new, "old_status_id": old, "at": at, "kind": "status"}
    return delivery(number, "amocrm/webhook", data={**data, **more.pop("also", {})}, **more)
