"""How many events a second one process takes in on PostgreSQL, each on disk before its answer, and how many jobs two
other queues do: `python -m benchmarks.postgres_ingest`. Exits 1 unless it is ahead of both.

Installs the two others from PyPI into an environment of its own, in a temporary folder.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from benchmarks._servers import install
from outbox.message import NewDelivery, NewEvent, Receipt, new_id
from outbox.postgres import PostgresStore
from outbox.postgres.connection import Statements
from outbox.postgres.database import WRITE
from outbox.sql.group_commit import GroupCommit, Item
from outbox.sql.intake import EVENT, KNOWN, Intake, add_deliveries, insert
from workshop.postgres import Server, new_database

RIVALS = ("procrastinate", "pgqueuer")
PACKAGES = ("procrastinate", "pgqueuer", "asyncpg", "psycopg[binary,pool]")
ROUNDS = 3

Accept = Callable[[Sequence[NewEvent], float], list[Receipt]]


class Piped(GroupCommit):
    """The same group in one pipeline. Without the look whether all were new, so that it is a little faster than it
    could be."""

    store: PostgresStore

    def _together(self, group: list[Item], now: float, timeout: float) -> bool:
        events = [event for item in group for event in item.events]
        pool = self.store.database.pool()
        with pool.connection() as connection, connection.pipeline():
            db = Statements(connection)
            db.execute(WRITE)
            insert(db, EVENT, [event.row for event in events], KNOWN)
            add_deliveries(db, events, now)
            db.execute("SELECT pg_notify('dealpost', '')")
            db.execute("COMMIT")
        for item in group:
            item.receipts = [Receipt(event.id, False) for event in item.events]
        return True


def lesson(number: int, now: float) -> NewEvent:
    email = f"s{number}@example.com"
    data = {"email": email, "lesson": 1}
    deliveries = (NewDelivery("amocrm", f"email:{email}"),)
    return NewEvent(new_id(), "lesson.completed", data, "lessons", "bench", now, deliveries, email=email)


def measure(accept: Accept, clients: int, events: int, now: float) -> float:
    """Each client waits for the answer before it sends the next one. -> events per second."""
    work = [[lesson(number, now) for number in range(first, events, clients)] for first in range(clients)]

    def client(own: list[NewEvent]) -> None:
        for event in own:
            accept([event], 30.0)

    began = perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, work))
    return events / (perf_counter() - began)


def ours(address: str, way: str, clients: int, events: int) -> float:
    store = PostgresStore(address)
    try:
        store.maintenance.migrate()
        piped = Piped(store.database)
        piped.store = store
        ways: dict[str, Accept] = {
            "single": Intake(store.database).accept,
            "grouped": store.intake.accept,
            "pipeline": piped.accept,
        }
        return measure(ways[way], clients, events, store.now())
    finally:
        store.close()


def rival(python: pathlib.Path, name: str, address: str, clients: int, events: int) -> float:
    command = [str(python), str(pathlib.Path(__file__).with_name("_rivals.py")), name, address]
    done = subprocess.run([*command, str(clients), str(events)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    return float(done.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=4000, help="in each round of each way")
    parser.add_argument("--clients", type=int, default=64)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Server(durable=True) as server:
        python, versions = install(pathlib.Path(folder), PACKAGES, RIVALS)
        found: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for name in ("single", "grouped", "pipeline", *RIVALS):
                with new_database(server.url(socket=False)) as address:
                    if name in RIVALS:
                        rate = rival(python, name, address, asked.clients, asked.events)
                    else:
                        rate = ours(address, name, asked.clients, asked.events)
                found.setdefault(name, []).append(rate)
    rates = {name: statistics.median(each) for name, each in found.items()}
    print(f"{asked.clients} clients, each waiting for its answer; {asked.events} events in each of {ROUNDS} rounds;")
    print("their median. PostgreSQL on the same machine, by TCP, fsync on. One process each.\n")
    print("| | events a second | of a commit for each |\n|---|---|---|")
    words = {
        "single": "Dealpost, a commit for each event",
        "grouped": "Dealpost as it is: those that wait together share a commit",
        "pipeline": "the same, its statements in a pipeline",
        **{name: f"{name} {version}" for name, version in versions.items()},
    }
    for name, text in words.items():
        print(f"| {text} | {rates[name]:,.0f} | {rates[name] / rates['single']:.1f} |")
    return 0 if rates["grouped"] > max(rates[name] for name in RIVALS) else 1


if __name__ == "__main__":
    sys.exit(main())
