"""How long the page, the API's readings and their questions take with few and with many deliveries, on both engines:
`python -m benchmarks.page`. Exits 1 when something takes longer than its mark.

First all of it over HTTP as a browser asks it, without the network; then what it asks of the store. With --folder and
--postgres the stores are kept there, to be measured again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from time import perf_counter
from urllib.parse import urlsplit, urlunsplit

import psycopg

from benchmarks._filled import MOMENT, NOW, fill
from outbox.engines import open_store
from outbox.message import State
from outbox.postgres import PostgresStore
from outbox.queries import Filter
from outbox.sql.store import SqlStore
from service import create_app
from service.config import load
from workshop.postgres import Server, create_database

GROWTH, SLOWEST = 1.5, 100.0
"""By how much a page may slow down from the smallest store to the largest one; milliseconds that any may take."""

SHORT = 10.0
"""Milliseconds below which no page is slow, however it has grown."""

BETWEEN = 2.0
"""How much longer PostgreSQL may take than SQLite for all of the page's questions together."""

ENGINES = ("SQLite", "PostgreSQL")

KEY = "key-of-the-benchmark-0123456789"

Asked = dict[str, Callable[[], object]]


def screens(store: SqlStore) -> Asked:
    """The page as its operator opens it. An answer other than 200 ends the benchmark."""
    settings = load(
        {
            "SECRET_KEY": "only-for-this-benchmark",
            "TOKEN_KEYS": "V2hhdCBhIHRlc3QgbmVlZHMgaXMgYSBrZXkgbGlrZSE=",
            "ADMIN_USERNAME": "operator",
            "ADMIN_PASSWORD": "benchmark-password",
            "API_KEYS": f"program:{KEY}",
            "AMOCRM_SUBDOMAIN": "school",
            "AMOCRM_ACCESS_TOKEN": "token-of-the-benchmark",
            "AMOCRM_PIPELINE_ID": "1",
            "AMOCRM_STAGE_LESSON_1": "2",
        }
    )
    client = create_app(settings, store).test_client()
    newest = store.reading.find(Filter(), 1).rows[0]
    done = store.reading.find(Filter(states=(State.DELIVERED,)), 1).rows[0]

    def get(path: str) -> Callable[[], object]:
        def ask() -> object:
            headers = {"X-API-Key": KEY} if path.startswith("/api") else {}
            auth = None if headers else ("operator", "benchmark-password")
            answer = client.get(path, auth=auth, headers=headers)
            assert answer.status_code == 200, (path, answer.status)
            return answer.text

        return ask

    listed = "/outbox/deliveries"
    return {
        "the overview": get("/outbox"),
        "the overview, chart of an hour": get("/outbox?chart=hour"),
        "the overview, chart of a week": get("/outbox?chart=week"),
        "the list": get(listed),
        "the list of dead ones": get(f"{listed}?state=dead"),
        "the list of a cause": get(f"{listed}?state=dead&cause=stage_deleted"),
        "the list of waiting ones": get(f"{listed}?state=pending"),
        "the list of delivered ones": get(f"{listed}?state=delivered"),
        "the list of the ERP": get(f"{listed}?destination=erp"),
        "the list of an event": get(f"{listed}?event=crm/create-deal"),
        "the list of a day": get(f"{listed}?when=day"),
        "the list of a week": get(f"{listed}?when=week"),
        "the list of 30 days": get(f"{listed}?when=month"),
        "dead ones of a week": get(f"{listed}?state=dead&when=week"),
        "a search by e-mail": get(f"{listed}?q={newest.email}"),
        "a search by part of an e-mail": get(f"{listed}?q=udent{newest.id % 100}@"),
        "a search by a part of a name": get(f"{listed}?q=etlana+4711"),
        "a search by the end of a phone": get(f"{listed}?q=04-47-11"),
        "a search that finds nobody": get(f"{listed}?q=nobody@nowhere"),
        "a search that fits everybody": get(f"{listed}?q=example"),
        "the dead ones of a part of a name": get(f"{listed}?state=dead&q=etlana+4711"),
        "the students of a part of a name": get("/outbox/students?q=etlana+4711"),
        "the students, where all fit": get("/outbox/students?q=example"),
        "a search by deal": get(f"{listed}?q={newest.lead_id}"),
        "the question before sending all dead ones": get("/outbox/confirm?act=retry&state=dead"),
        "a delivery that waits": get(f"/outbox/{newest.id}"),
        "a delivery that was delivered": get(f"/outbox/{done.id}"),
        "the students": get("/outbox/students"),
        "a student's journey": get(f"/outbox/students/journey?email={newest.email}"),
        "the connections": get("/outbox/connections"),
        "the action log": get("/outbox/log"),
        "GET /api/outbox": get("/api/outbox"),
        "GET /api/events/<id>": get(f"/api/events/{newest.event_id}"),
        "GET /metrics": get("/metrics"),
        "GET /readyz": get("/readyz"),
        "GET /healthz": get("/healthz"),
    }


def questions(store: SqlStore) -> Asked:
    page = store.reading.find(Filter(), 50)
    middle = store.reading.find(Filter(until=NOW - MOMENT / 2), 50).after
    newest, day, week = page.rows[0], NOW - 86_400, NOW - 7 * 86_400
    return {
        "tallies of all destinations": store.reading.tallies,
        "bars of the last hour (60)": lambda: store.reading.bars(NOW - 3600, 60, 60),
        "bars of the last day (24)": lambda: store.reading.bars(day, 3600, 24),
        "bars of the last week (168)": lambda: store.reading.bars(week, 3600, 168),
        "what comes in": lambda: store.reading.sources(day, 1000),
        "causes": lambda: store.reading.causes(Filter()),
        "causes of the last day": lambda: store.reading.causes(Filter(since=day)),
        "list, first page": lambda: store.reading.find(Filter(), 50),
        "list, next page": lambda: store.reading.find(Filter(), 50, page.after),
        "list, from the middle": lambda: store.reading.find(Filter(), 50, middle),
        "list of dead ones": lambda: store.reading.find(Filter(states=(State.DEAD,)), 50),
        "list of one cause": lambda: store.reading.find(Filter(cause="stage_deleted"), 50),
        "list of overdue ones": lambda: store.reading.find(Filter(overdue_at=NOW), 50),
        "count of all": lambda: store.reading.count(Filter()),
        "count of overdue ones": lambda: store.reading.count(Filter(overdue_at=NOW - 300)),
        "count of what was shown": lambda: store.reading.count(Filter(max_id=page.rows[-1].id)),
        "tabs": lambda: store.reading.count_states(Filter()),
        "tabs of the last hour": lambda: store.reading.count_states(Filter(since=NOW - 3600)),
        "tabs of the last day": lambda: store.reading.count_states(Filter(since=day)),
        "tabs of the last week": lambda: store.reading.count_states(Filter(since=week)),
        "tabs of the whole month": lambda: store.reading.count_states(Filter(since=NOW - MOMENT)),
        "search: e-mail": lambda: store.reading.find(Filter(search=newest.email or ""), 50),
        "search: beginning of an e-mail": lambda: store.reading.find(Filter(search=f"student{newest.id % 100}"), 50),
        "search: part of an e-mail": lambda: store.reading.find(Filter(search=f"udent{newest.id % 100}@"), 50),
        "search: nothing like it": lambda: store.reading.find(Filter(search="nobody@nowhere"), 50),
        "search: deal or record": lambda: store.reading.find(Filter(search=str(newest.lead_id)), 50),
        "search: event": lambda: store.reading.find(Filter(search=newest.event_id), 50),
        "a student's journey": lambda: store.reading.events_of(newest.email, None),
        "search: part of a name": lambda: store.reading.find(Filter(search="etlana 4711"), 50),
        "search: end of a phone": lambda: store.reading.find(Filter(search="04-47-11"), 50),
        "search: all of whom fit": lambda: store.reading.find(Filter(search="example"), 50),
        "students": lambda: store.reading.students(Filter(), 50),
        "students: a search": lambda: store.reading.students(Filter(search="student77"), 50),
        "next due": lambda: store.lanes.next_due("amocrm"),
    }


def measure(ask: Callable[[], object]) -> float:
    """Milliseconds, once it is warm: the fastest of up to fifteen times, since the machine does other things too."""
    ask()
    times: list[float] = []
    end = perf_counter() + 2.0
    while len(times) < 15 and (len(times) < 3 or perf_counter() < end):
        start = perf_counter()
        ask()
        times.append((perf_counter() - start) * 1000)
    return min(times)


@contextlib.contextmanager
def places(engine: str, folder: str, server: str) -> Iterator[Callable[[int], str]]:
    """-> the address of the store of a size; an empty database is made where there is none."""
    if engine == "SQLite":
        yield lambda size: f"sqlite:///{folder}/page_{size}.db"
        return
    with contextlib.ExitStack() as stack:
        given = server or stack.enter_context(Server("-c", "shared_buffers=512MB", durable=True)).url()

        def place(size: int) -> str:
            with contextlib.suppress(psycopg.errors.DuplicateDatabase):
                create_database(given, f"page_{size}")
            return urlunsplit(urlsplit(given)._replace(path=f"/page_{size}"))

        yield place


def filled(address: str, size: int) -> SqlStore:
    store = open_store(address, now=lambda: NOW)
    assert isinstance(store, SqlStore)
    store.maintenance.migrate()
    if not store.reading.find(Filter(), 1).rows:
        start = perf_counter()
        fill(store, size)
        if isinstance(store, PostgresStore):
            with psycopg.connect(store.database.url, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
        print(f"{size:,} deliveries made in {perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return store


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--folder", help="where SQLite's stores are kept, to be measured again")
    parser.add_argument("--postgres", default="", help="the address of a server that keeps its own")
    asked = parser.parse_args()
    columns = [(engine, size) for engine in asked.engines for size in asked.sizes]
    found: dict[str, dict[str, list[float]]] = {"page": {}, "question": {}}
    sizes = []
    with tempfile.TemporaryDirectory() as temporary:
        for engine in asked.engines:
            with places(engine, asked.folder or temporary, asked.postgres) as place:
                for size in asked.sizes:
                    store = filled(place(size), size)
                    for title, those in (("page", screens), ("question", questions)):
                        # Each answer writes a line of the access log, which is of no use here.
                        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
                            for name, ask in those(store).items():
                                found[title].setdefault(name, []).append(measure(ask))
                    sizes.append(f"{store.maintenance.size() / 2**20:,.0f}")
                    store.close()
    print(
        f"Milliseconds in the server, once warm: the fastest of fifteen times. The stores take {', '.join(sizes)} MiB."
    )
    sums = dict(zip(columns, map(sum, zip(*found["question"].values(), strict=True)), strict=True))
    found["question"]["all together"] = list(sums.values())
    for title, rows in found.items():
        print(f"\n| {title} | {' | '.join(f'{engine}, {size:,}' for engine, size in columns)} |")
        print("|---" * (1 + len(columns)) + "|")
        for name, times in rows.items():
            print(f"| {name} | {' | '.join(f'{one:.1f}' for one in times)} |")
    missed = [name for name, times in found["page"].items() if slow(times, len(asked.sizes))]
    most = max(asked.sizes)
    if len(asked.engines) == 2 and sums["PostgreSQL", most] > BETWEEN * sums["SQLite", most]:
        missed.append("all questions together on PostgreSQL")
    if missed:
        print(f"\nSlower than meant: {', '.join(missed)}.")
    return 1 if missed else 0


def slow(times: list[float], sizes: int) -> bool:
    """times: of one page, engine by engine and of each from the smallest store to the largest."""
    of_engines = [times[start : start + sizes] for start in range(0, len(times), sizes)]
    return any(max(part) > SLOWEST or max(part) > max(SHORT, part[0]) * GROWTH for part in of_engines)


if __name__ == "__main__":
    sys.exit(main())
