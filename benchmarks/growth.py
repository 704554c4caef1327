"""What taking in, claiming and recording cost with few and with many deliveries in the store, on both engines:
`python -m benchmarks.growth`. Exits 1 when the cost grows by more than its mark.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from time import perf_counter

import psycopg

from outbox.engines import open_store
from outbox.message import NewDelivery, NewEvent, Result, State, new_id
from outbox.postgres.database import PostgresDatabase
from outbox.sql.maintenance import Maintenance
from outbox.store import Store
from workshop.postgres import Server

MARK = 1.5
"""By how much the median may grow from the smallest store to the largest."""

SINGLE, CLAIMS, BATCH = 300, 40, 50

# As after months: nearly all was delivered, a hundredth waits for its next try, some are dead.
EVENTS = """INSERT INTO events (id, name, data, source, sender, received_at, email, dedupe)
    WITH RECURSIVE numbers (i) AS (SELECT ? + 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < ?)
    SELECT 'e' || i, 'lesson.completed', '{"lesson":1}', 'lessons', 'platform', 1700000000.0 + i,
        's' || (i / 4) || '@x', 'k' || i FROM numbers"""
DELIVERIES = """INSERT INTO deliveries (event_id, event_name, destination, key, state, reason, cause, due_at,
        created_at, changed_at, ended_at, received_at, email, lead_id)
    SELECT id, name, 'amocrm', 'email:' || email, CASE seq % 100 WHEN 0 THEN 'pending' WHEN 1 THEN 'dead'
        ELSE 'delivered' END, '', CASE seq % 100 WHEN 1 THEN 'deal_refused' ELSE '' END, 4000000000.0, received_at,
        received_at, CASE seq % 100 WHEN 0 THEN NULL ELSE received_at + 1 END, received_at, email, seq / 4
    FROM events WHERE seq > ? AND seq <= ?"""
PART = 250_000
"""How many are filled in with one statement."""


def fill(store: Store, count: int) -> None:
    assert isinstance(store.maintenance, Maintenance)
    database = store.maintenance.database
    for start in range(0, count, PART):
        end = min(start + PART, count)
        with database.write(600.0) as db:
            db.execute(EVENTS, (start, end))
            db.execute(DELIVERIES, (start, end))
    store.maintenance.checkpoint()
    if isinstance(database, PostgresDatabase):
        # As it is once the server has come to rest: what it does after so many rows at once is not measured.
        with psycopg.connect(database.url, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE)")
            connection.execute("CHECKPOINT")


def lesson(now: float) -> NewEvent:
    one = new_id()
    email = f"{one}@example.com"
    return NewEvent(
        one,
        "lesson.completed",
        {"email": email, "lesson": 1},
        "lessons",
        "bench",
        now,
        (NewDelivery("amocrm", f"email:{email}"),),
        email=email,
    )


def cost(stores: Sequence[Store]) -> list[tuple[float, float]]:
    """By turns, so that whatever else the machine does hits all alike. -> of each store the medians, in milliseconds:
    to take an event in; to claim, begin and record a batch."""
    taken: list[list[float]] = [[] for _ in stores]
    worked: list[list[float]] = [[] for _ in stores]
    for _ in range(SINGLE):
        for store, times in zip(stores, taken, strict=True):
            event = lesson(store.now())
            began = perf_counter()
            store.intake.accept([event], 30.0)
            times.append(perf_counter() - began)
    leases = [store.leases.acquire("lane:amocrm", "bench", 300.0) for store in stores]
    for _ in range(CLAIMS):
        for store, lease, times in zip(stores, leases, worked, strict=True):
            assert lease is not None
            store.intake.accept([lesson(store.now()) for _ in range(BATCH)], 30.0)
            began = perf_counter()
            rows = store.lanes.claim(lease, "amocrm", BATCH, whole_keys=True, newest_first=True)
            store.lanes.begin(lease, [row.id for row in rows])
            store.lanes.record(lease, [Result(row.id, State.DELIVERED, "delivered", reference="1") for row in rows])
            times.append(perf_counter() - began)
            assert len(rows) == BATCH
    return [
        (statistics.median(one) * 1000, statistics.median(other) * 1000)
        for one, other in zip(taken, worked, strict=True)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 1_000_000, 5_000_000])
    asked = parser.parse_args()
    found: dict[tuple[str, int], tuple[float, float]] = {}
    for engine in ("SQLite", "PostgreSQL"):
        with tempfile.TemporaryDirectory() as folder, Server(durable=True) as server:
            stores = []
            for size in asked.sizes:
                postgres = engine == "PostgreSQL"
                address = server.create(f"bench{size}") if postgres else f"sqlite:///{folder}/{size}.db"
                store = open_store(address)
                store.maintenance.migrate()
                began = perf_counter()
                fill(store, size)
                print(f"{engine}: {size:,} filled in, {perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
                stores.append(store)
            for size, store, medians in zip(asked.sizes, stores, cost(stores), strict=True):
                found[engine, size] = medians
                store.close()
    print(f"Milliseconds, medians: an event taken in, of {SINGLE}; {BATCH} deliveries claimed, begun and recorded, of")
    print(f"{CLAIMS} such passes.\n")
    print("| engine | deliveries in the store | taken in | 50 worked off |\n|---|---|---|---|")
    good = True
    for (engine, size), (taken, worked) in found.items():
        print(f"| {engine} | {size:,} | {taken:.2f} | {worked:.1f} |")
        first = found[engine, asked.sizes[0]]
        good = good and taken <= first[0] * MARK and worked <= first[1] * MARK
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
