"""Events, clocks and destinations for the tests of the store and of the drain."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from outbox.message import Dedupe, Delivery, NewDelivery, NewEvent, Result, State, new_id
from outbox.outcome import Delivered, DeliveryContext, Outcome
from outbox.shared import Lease
from outbox.store import Store


@dataclass
class Clock:
    """A clock that moves only when a test says so."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds


def event(
    email: str | None = "ann@example.com",
    *,
    at: float = 1_800_000_000.0,
    name: str = "lesson.completed",
    destination: str = "amocrm",
    key: str | None = "",
    state: State = State.PENDING,
    reason: str = "",
    cause: str = "",
    dedupe: Dedupe | None = None,
    not_before: float | None = None,
    lead_id: int | None = None,
    data: Mapping[str, Any] | None = None,
    raw: str | None = None,
    source: str = "lessons",
) -> NewEvent:
    """A lesson that one student completed, unless told otherwise. key: "" for the student's own."""
    return NewEvent(
        id=new_id(),
        name=name,
        data={"email": email, "lesson": 1} if data is None else data,
        source=source,
        sender="platform",
        received_at=at,
        deliveries=(
            NewDelivery(destination, f"email:{email}" if key == "" else key, state=state, reason=reason, cause=cause),
        ),
        dedupe=dedupe,
        not_before=not_before,
        email=email,
        lead_id=lead_id,
        raw=raw,
    )


def only(store: Store, event_id: str) -> Delivery:
    """The one delivery of this event."""
    found = store.reading.event(event_id)
    assert found is not None
    (delivery,) = found.deliveries
    return delivery


def lane(store: Store, owner: str = "worker", destination: str = "amocrm") -> Lease:
    lease = store.leases.acquire(f"lane:{destination}", owner, 30.0)
    assert lease is not None
    return lease


def claim(
    store: Store, lease: Lease, limit: int = 50, *, whole_keys: bool = False, newest_first: bool = False
) -> list[Delivery]:
    destination = lease.name.partition(":")[2]
    return store.lanes.claim(lease, destination, limit, whole_keys=whole_keys, newest_first=newest_first)


def finish(store: Store, state: State, delivery_id: int, **fields: Any) -> None:
    """Claim everything, end this delivery in `state` and give the rest back."""
    lease = lane(store, "finisher")
    outcome = {"delivered": "delivered", "skipped": "skipped", "dead": "dead", "pending": "failed"}[state.value]
    results = [
        Result(row.id, state, outcome, **fields)
        if row.id == delivery_id
        else Result(row.id, State.PENDING, None, due_at=row.due_at)
        for row in claim(store, lease, 1000, whole_keys=True)
    ]
    store.lanes.record(lease, results)
    store.leases.release(lease)


Answer = Callable[[Delivery], Outcome | None]


@dataclass
class Fake:
    """A destination that answers as it is told, and remembers what it was handed."""

    answer: Answer = lambda row: Delivered(str(row.id))
    name: str = "amocrm"
    batch: int = 50
    whole_keys: bool = True
    newest_first: bool = True
    fingerprint: str = "first"
    lacks: tuple[str, ...] = ()
    begins: bool = True
    raises: Exception | None = None
    batches: list[list[int]] = field(default_factory=list)

    def missing(self) -> tuple[str, ...]:
        return self.lacks

    def deliver(self, batch: Sequence[Delivery], context: DeliveryContext) -> Mapping[int, Outcome]:
        ids = [row.id for row in batch]
        self.batches.append(ids)
        if self.begins:
            context.begin(ids)
            context.exchange(ids, {"request": {"method": "PATCH"}})
        if self.raises is not None:
            raise self.raises
        answers = {row.id: self.answer(row) for row in batch}
        return {one: answer for one, answer in answers.items() if answer is not None}
