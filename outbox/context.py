"""What a destination is given to work with: it begins attempts, keeps exchanges and settles rows early."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from outbox.decision import Tried
from outbox.failpoints import failpoint
from outbox.message import Delivery, Json
from outbox.outcome import Outcome, Stopping
from outbox.shared import Lease
from outbox.store import Lanes

EXCHANGES = 20
"""How many requests are kept with one attempt: the newest."""


class LaneContext:
    """The context of one batch. Its methods may be called from several threads."""

    def __init__(
        self,
        lanes: Lanes,
        lease: Lease,
        batch: Sequence[Delivery],
        stopping: Callable[[], bool],
        settled: Callable[[Mapping[int, Outcome]], None],
        joined: Callable[[Sequence[str]], Sequence[Delivery]],
    ) -> None:
        self._lanes = lanes
        self._lease = lease
        self._lane = lease.name.partition(":")[2]
        self._stopping = stopping
        self._settled = settled
        self._joined = joined
        self._mutex = threading.Lock()
        self._settling = threading.Lock()
        self._exchanges: dict[int, list[Mapping[str, Json]]] = {row.id: [] for row in batch}
        self._begun: set[int] = set()
        self._ahead: set[int] = set()  # begun on record, while nothing of theirs has left

    def begin(self, delivery_ids: Sequence[int], ahead: Sequence[int] = ()) -> None:
        if self._stopping():
            raise Stopping
        if self._ahead.issuperset(delivery_ids):
            failpoint(f"{self._lane}-before-next")
            self._lanes.check(self._lease)
            ahead = ()
        else:
            failpoint(f"{self._lane}-before-begin")
            self._lanes.begin(self._lease, [*delivery_ids, *ahead])
            failpoint(f"{self._lane}-after-begin")
        with self._mutex:
            self._begun.update(delivery_ids)
            self._ahead = (self._ahead | set(ahead)) - self._begun

    def check(self) -> None:
        self._lanes.check(self._lease)

    def exchange(self, delivery_ids: Sequence[int], exchange: Mapping[str, Json]) -> None:
        with self._mutex:
            for delivery_id in delivery_ids:
                kept = self._exchanges.setdefault(delivery_id, [])
                kept.append(exchange)
                del kept[:-EXCHANGES]

    def join(self, keys: Sequence[str]) -> Sequence[Delivery]:
        return [] if self._stopping() or not keys else self._joined(keys)

    def settle(self, outcomes: Mapping[int, Outcome]) -> None:
        with self._settling:
            self._settled(outcomes)

    def unsent(self) -> frozenset[int]:
        """Those begun ahead whose turn did not come."""
        with self._mutex:
            return frozenset(self._ahead)

    def tried(self) -> Tried:
        with self._mutex:
            return Tried(
                {delivery_id: tuple(kept) for delivery_id, kept in self._exchanges.items()}, frozenset(self._begun)
            )
