"""Counters for Prometheus that all processes share and that survive a restart."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from outbox.message import NewEvent, Receipt
from outbox.shared import KeyValues

NAMESPACE, ALL = "counters", "all"
MOST = 1000
"""Series that are kept at most; labels come from settings and from our own code, so that there are few."""

TRIES = 20
"""How often a write is tried that other processes were quicker with."""

Series = tuple[str, ...]
"""The name of a counter, then the values of its labels."""

EVENTS_ACCEPTED = "events_accepted"
REFUSED = "refused"
ATTEMPTS = "attempts"
AMOCRM_REQUESTS = "amocrm_requests"
ALERTS = "alerts"
DELIVERY_SECONDS = "delivery_seconds"

BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 43200.0, 172800.0, 345600.0)
"""Upper bounds of delivery_seconds: from at once to the end of the schedule."""


class Accept(Protocol):
    """As accept of outbox.store.Intake."""

    def __call__(self, events: Sequence[NewEvent], timeout: float = 5.0) -> list[Receipt]: ...


class AcceptEach(Protocol):
    """As accept_each of outbox.store.Intake, for requests of one source."""

    def __call__(
        self, requests: Sequence[Sequence[NewEvent]], timeout: float = 5.0
    ) -> list[list[Receipt] | Exception]: ...


class Counters:
    """What was counted in this process waits in memory until `flush` adds it to what the store has.

    told: called after each addition, so that somebody flushes soon.
    """

    def __init__(self, key_values: Callable[[], KeyValues], told: Callable[[], None] = lambda: None) -> None:
        self._key_values = key_values
        self._told = told
        self._lock = threading.Lock()
        self._waiting: dict[Series, float] = {}

    def add(self, *series: str, by: float = 1) -> None:
        """Count `by` more: the counter's name, then its labels' values."""
        with self._lock:
            self._waiting[series] = self._waiting.get(series, 0) + by
        self._told()

    def observe(self, seconds: float, *series: str) -> None:
        """Count one value in a histogram: in the bucket that it falls into, and in its sum."""
        place = bisect_left(BOUNDS, seconds)
        name, *labels = series
        self.add(f"{name}_bucket", *labels, str(BOUNDS[place]) if place < len(BOUNDS) else "+Inf")
        self.add(f"{name}_sum", *labels, by=seconds)

    def flush(self) -> None:
        """Raises what the store raises; nothing is lost by that, and nothing counted twice."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        written = False
        try:
            written = any(self._write(waiting) for _ in range(TRIES))
        finally:
            if not written:
                with self._lock:
                    for series, by in waiting.items():
                        self._waiting[series] = self._waiting.get(series, 0) + by

    def stored(self) -> dict[Series, float]:
        """What the store has: never less than before, whichever process is asked."""
        entry = self._key_values().get(NAMESPACE, ALL)
        return dict(_rows(entry.value)) if entry else {}

    def _write(self, waiting: dict[Series, float]) -> bool:
        entry = self._key_values().get(NAMESPACE, ALL)
        counted = dict(_rows(entry.value)) if entry else {}
        for series, by in waiting.items():
            if series in counted or len(counted) < MOST:
                counted[series] = counted.get(series, 0) + by
        rows = [[*series, count] for series, count in sorted(counted.items())]
        return self._key_values().put(NAMESPACE, ALL, rows, entry.version if entry else 0) is not None


def _rows(value: object) -> Iterator[tuple[Series, float]]:
    for row in value if isinstance(value, list) else []:
        yield tuple(row[:-1]), row[-1]


def counting(accept: Accept, counters: Counters) -> Accept:
    """An intake that counts what came in new, after it is on disk."""

    def accept_and_count(events: Sequence[NewEvent], timeout: float = 5.0) -> list[Receipt]:
        receipts = accept(events, timeout)
        _count(counters, events, receipts)
        return receipts

    return accept_and_count


def counting_each(accept_each: AcceptEach, counters: Counters) -> AcceptEach:
    """The same for many requests at once."""

    def accept_and_count(
        requests: Sequence[Sequence[NewEvent]], timeout: float = 5.0
    ) -> list[list[Receipt] | Exception]:
        answers = accept_each(requests, timeout)
        receipts = [receipt for answer in answers if isinstance(answer, list) for receipt in answer]
        _count(counters, [event for events in requests for event in events], receipts)
        return answers

    return accept_and_count


def _count(counters: Counters, events: Sequence[NewEvent], receipts: Sequence[Receipt]) -> None:
    if fresh := sum(not receipt.duplicate for receipt in receipts):
        counters.add(EVENTS_ACCEPTED, events[0].source, by=fresh)
