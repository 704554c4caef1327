"""How long the page and its questions take with a million deliveries: `python -m benchmarks.page`.

First the page itself, asked over HTTP as a browser asks it; then the questions that it puts to the store.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from outbox.message import State, new_id
from outbox.queries import Filter
from outbox.sqlite import SqliteStore
from service import create_app
from service.config import load

NOW = 1_800_000_000.0
DAYS = 30
MOMENT = 86_400.0 * DAYS

EVENT = "INSERT INTO events (id, name, data, source, sender, received_at, email) VALUES (?, ?, ?, ?, 'platform', ?, ?)"
DELIVERY = """INSERT INTO deliveries (event_id, event_name, destination, key, state, reason, cause,
    due_at, created_at, changed_at, ended_at, received_at, email, lead_id, reference)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""


def fill(store: SqliteStore, count: int) -> None:
    """A month of a busy school: nearly all delivered, some skipped, a thousand dead, ten thousand waiting."""
    chance = random.Random(1)
    events: list[tuple[Any, ...]] = []
    rows: list[tuple[Any, ...]] = []
    for number in range(count):
        at = NOW - MOMENT + MOMENT * number / count
        email = f"student{chance.randrange(100_000)}@example.com"
        lesson = chance.random() < 0.8
        name, destination = ("lesson.completed", "amocrm") if lesson else ("crm/create-deal", "erp")
        state, cause = State.DELIVERED, ""
        if number >= count - min(10_000, count // 10):
            state = State.PENDING
        elif chance.random() < 0.001:
            state, cause = State.DEAD, chance.choice(("contact_not_found", "deal_refused", "stage_deleted"))
        elif chance.random() < 0.05:
            state = State.SKIPPED
        took = chance.expovariate(1.0)
        ended = None if state == State.PENDING else at + took
        one = new_id(at)
        data = f'{{"email":"{email}","lesson":{chance.randrange(1, 4)}}}'
        events.append((one, name, data, "lessons" if lesson else "events", at, email))
        reference = str(number) if state == State.DELIVERED else ""
        lead = chance.randrange(100_000) if lesson else None
        reason = f"{cause}: words" if cause else ""
        row = (
            one,
            name,
            destination,
            f"email:{email}",
            state.value,
            reason,
            cause,
            at,
            at,
            ended or at,
            ended,
            at,
            email,
            lead,
            reference,
        )
        rows.append(row)
        if len(rows) == 20_000 or number == count - 1:
            with store.database.write() as db:
                db.db.conn.executemany(EVENT, events)
                db.db.conn.executemany(DELIVERY, rows)
            store.maintenance.checkpoint()
            events.clear()
            rows.clear()


def screens(store: SqliteStore) -> dict[str, Callable[[], object]]:
    """The page as its operator opens it. An answer other than 200 ends the benchmark."""
    settings = load(
        {
            "DATABASE_URL": f"sqlite:///{store.database.path}",
            "SECRET_KEY": "only-for-this-benchmark",
            "TOKEN_KEYS": "V2hhdCBhIHRlc3QgbmVlZHMgaXMgYSBrZXkgbGlrZSE=",
            "ADMIN_USERNAME": "operator",
            "ADMIN_PASSWORD": "benchmark-password",
            "AMOCRM_SUBDOMAIN": "school",
            "AMOCRM_ACCESS_TOKEN": "token-of-the-benchmark",
            "AMOCRM_PIPELINE_ID": "1",
            "AMOCRM_STAGE_LESSON_1": "2",
        }
    )
    client = create_app(settings, store).test_client()
    logging.disable(logging.INFO)  # a line for each answer is of no use here
    newest = store.reading.find(Filter(), 1).rows[0]

    def get(path: str) -> Callable[[], object]:
        def ask() -> object:
            answer = client.get(path, auth=("operator", "benchmark-password"))
            assert answer.status_code == 200, (path, answer.status)
            return answer.text

        return ask

    listed = "/outbox/deliveries"
    return {
        "GET /outbox": get("/outbox"),
        "GET /outbox, chart of a week": get("/outbox?chart=week"),
        "the list": get(listed),
        "the list of dead ones": get(f"{listed}?state=dead"),
        "the list of a cause": get(f"{listed}?state=dead&cause=stage_deleted"),
        "the list of waiting ones": get(f"{listed}?state=pending"),
        "the list of a week": get(f"{listed}?when=week"),
        "a search by e-mail": get(f"{listed}?q=student77@example.com"),
        "a search by part of an e-mail": get(f"{listed}?q=dent7777@"),
        "a search by deal": get(f"{listed}?q=4711"),
        "the question before sending all dead ones": get("/outbox/confirm?act=retry&state=dead"),
        "a delivery": get(f"/outbox/{newest.id}"),
        "the students": get("/outbox/students"),
        "a student's journey": get(f"/outbox/students/journey?email={newest.email}"),
        "the connections": get("/outbox/connections"),
        "the action log": get("/outbox/log"),
    }


def questions(store: SqliteStore) -> dict[str, Callable[[], object]]:
    page = store.reading.find(Filter(), 50)
    middle = store.reading.find(Filter(until=NOW - MOMENT / 2), 50).after
    day = NOW - 86_400
    lease = store.leases.acquire("lane:amocrm", "benchmark", 600)
    assert lease is not None
    return {
        "tallies of all destinations": store.reading.tallies,
        "bars of the last hour (60)": lambda: store.reading.bars(NOW - 3600, 60, 60),
        "bars of the last day (24)": lambda: store.reading.bars(day, 3600, 24),
        "bars of the last week (168)": lambda: store.reading.bars(NOW - 7 * 86_400, 3600, 168),
        "what comes in": lambda: store.reading.sources(day),
        "causes": lambda: store.reading.causes(Filter()),
        "causes of the last day": lambda: store.reading.causes(Filter(since=day)),
        "list, first page": lambda: store.reading.find(Filter(), 50),
        "list, next page": lambda: store.reading.find(Filter(), 50, page.after),
        "list, from the middle": lambda: store.reading.find(Filter(), 50, middle),
        "list of dead ones": lambda: store.reading.find(Filter(states=(State.DEAD,)), 50),
        "list of one cause": lambda: store.reading.find(Filter(cause="stage_deleted"), 50),
        "list of overdue ones": lambda: store.reading.find(Filter(overdue_at=NOW), 50),
        "count of all": lambda: store.reading.count(Filter()),
        "count of what was shown": lambda: store.reading.count(Filter(max_id=10**9)),
        "tabs": lambda: store.reading.count_states(Filter()),
        "tabs of the last week": lambda: store.reading.count_states(Filter(since=NOW - 7 * 86_400)),
        "tabs of the whole month": lambda: store.reading.count_states(Filter(since=NOW - 40 * 86_400)),
        "search: e-mail": lambda: store.reading.find(Filter(search="student77@example.com"), 50),
        "search: beginning of an e-mail": lambda: store.reading.find(Filter(search="student77"), 50),
        "search: part of an e-mail": lambda: store.reading.find(Filter(search="dent7777@"), 50),
        "search: nothing like it": lambda: store.reading.find(Filter(search="nobody@nowhere"), 50),
        "search: deal or record": lambda: store.reading.find(Filter(search="4711"), 50),
        "search: event": lambda: store.reading.find(Filter(search=page.rows[0].event_id), 50),
        "a student's journey": lambda: store.reading.events_of("student77@example.com", None),
        "people": lambda: store.reading.people("", 50),
        "people: a search": lambda: store.reading.people("student77", 50),
        "next due": lambda: store.lanes.next_due("amocrm"),
        "claim of 50 keys": lambda: store.lanes.claim(lease, "amocrm", 50, whole_keys=True, newest_first=True),
        "prune of a thousand": lambda: store.maintenance.prune(NOW - MOMENT + 86_400),
        "retry of a thousand dead": lambda: store.operations.retry(Filter(states=(State.DEAD,)), "benchmark"),
    }


def measure(ask: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds of the first time, and the median of up to nine more."""
    times: list[float] = []
    end = time.perf_counter() + 2.0
    while len(times) < 10 and (not times or time.perf_counter() < end):
        start = time.perf_counter()
        ask()
        times.append((time.perf_counter() - start) * 1000)
    return times[0], statistics.median(times[1:] or times)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args(arguments).rows
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(os.path.join(folder, "page.db"), now=lambda: NOW)
        store.maintenance.migrate()
        start = time.perf_counter()
        fill(store, rows)
        size = os.path.getsize(store.database.path) / 2**20
        print(f"{rows:,} deliveries, {size:,.0f} MiB, made in {time.perf_counter() - start:.0f} s\n")
        for title, asked in (("page", screens), ("question", questions)):
            print(f"| {title} | first, ms | median, ms |\n|---|---|---|")
            for name, ask in asked(store).items():
                first, median = measure(ask)
                print(f"| {name} | {first:.1f} | {median:.1f} |", flush=True)
            print()
        store.close()


if __name__ == "__main__":
    main(sys.argv[1:])
