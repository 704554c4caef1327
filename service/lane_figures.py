"""The figures of a lane: how its attempts ended, and how long deliveries took from their acceptance on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from outbox.message import Delivery, Result, State
from outbox.shared import KeyValues, Lease, Leases
from outbox.store import Lanes, LaneStore
from service.counters import ATTEMPTS, DELIVERY_SECONDS, Counters


class CountedLanes:
    """A store's lanes, as outbox.store.Lanes; what was recorded is counted after it was committed."""

    def __init__(self, lanes: Lanes, destination: str, counters: Counters, now: Callable[[], float]) -> None:
        self._lanes, self._destination, self._counters, self._now = lanes, destination, counters, now
        self._received: dict[int, float] = {}

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
        rows = self._lanes.claim(
            lease, destination, limit, whole_keys=whole_keys, newest_first=newest_first, only=only, keys=keys
        )
        # A lane holds one batch at a time, and what it takes in beside that.
        before = self._received if keys is not None else {}
        self._received = {**before, **{row.id: row.received_at for row in rows}}
        return rows

    def begin(self, lease: Lease, delivery_ids: Sequence[int]) -> None:
        self._lanes.begin(lease, delivery_ids)

    def check(self, lease: Lease) -> None:
        self._lanes.check(lease)

    def record(self, lease: Lease, results: Sequence[Result], revive: Sequence[int] = ()) -> None:
        self._lanes.record(lease, results, revive)
        now = self._now()
        for result in results:
            if result.outcome is not None:
                self._counters.add(ATTEMPTS, self._destination, result.outcome)
            began = self._received.get(result.delivery_id)
            if result.state is State.DELIVERED and began is not None:
                self._counters.observe(max(0.0, now - began), DELIVERY_SECONDS, self._destination)

    def next_due(self, destination: str) -> float | None:
        return self._lanes.next_due(destination)

    def make_due(self, destination: str) -> int:
        return self._lanes.make_due(destination)

    def heed_clock(self, destination: str) -> int:
        return self._lanes.heed_clock(destination)

    def notified(self) -> bool:
        return self._lanes.notified()

    def wait(self, seconds: float, woken: Callable[[], bool]) -> bool:
        return self._lanes.wait(seconds, woken)


class CountedLaneStore:
    """What a lane is given of the store, its lanes counted."""

    def __init__(self, store: LaneStore, destination: str, counters: Counters) -> None:
        self._store = store
        self._lanes = CountedLanes(store.lanes, destination, counters, store.now)

    @property
    def lanes(self) -> Lanes:
        return self._lanes

    @property
    def key_values(self) -> KeyValues:
        return self._store.key_values

    @property
    def leases(self) -> Leases:
        return self._store.leases

    def now(self) -> float:
        return self._store.now()
