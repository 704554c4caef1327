"""How long 1,000 records take from the first request to the last effect recorded, beside what people would use instead:
`python -m benchmarks.end_to_end`. Exits 1 when a mark is missed.

Each is posted by HTTP after the answer to the one before, and makes one call of an ERP that answers at once. The time
begins when a first one has gone through, so that no process is still starting.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from cryptography.fernet import Fernet

from benchmarks._load import load, post
from benchmarks._servers import KEY, Servers, install
from sandbox import Sandbox
from tests.support.waiting import eventually
from workshop.calls import answers, call
from workshop.postgres import Server, new_database
from workshop.processes import FOLDER, free_port

NAMES = ("dealpost-lessons", "dealpost", "dealpost-postgres", "huey", "dbos", "procrastinate")
LESSONS = "dealpost-lessons"
TIMES = ((LESSONS, "huey", 2.0), (LESSONS, "dbos", 5.0))
AUTHORIZATION = f"Authorization: Bearer {KEY}\r\n"
WITHIN = 600.0


def record(number: int) -> bytes:
    body = {"name": "crm/create-deal", "data": {"dealName": f"Deal {number}", "amount": 1500.5}}
    return post("/api/events", json.dumps(body).encode(), AUTHORIZATION)


def lesson(number: int) -> bytes:
    body = {"email": f"learner-{number + 1}@example.com", "lesson": 1}
    return post("/api/tripwire/complete", json.dumps(body).encode(), AUTHORIZATION)


def measure(port: int, events: int, request: Callable[[int], bytes], done: Callable[[], int]) -> float:
    """-> seconds. One more goes through before them: until then a worker may still be starting."""
    _go_through(port, iter([request(events)]), 1, done)
    began = time.perf_counter()
    _go_through(port, map(request, range(events)), events + 1, done)
    return time.perf_counter() - began


def _go_through(port: int, requests: Iterator[bytes], count: int, done: Callable[[], int]) -> None:
    """Send these and wait for so many effects."""
    end = time.perf_counter() + WITHIN
    sent = load([port], 1, requests, lambda so_far, now: False)
    if sent.refused:
        raise RuntimeError(f"refused: {sent.refused}")
    while done() < count:
        if time.perf_counter() > end:
            raise TimeoutError(f"{done()} of {count} within {WITHIN:g} s")
        time.sleep(0.02)


@contextmanager
def running(
    name: str, folder: Path, python: Path, endpoint: str, postgres: str
) -> Iterator[tuple[int, Callable[[], int]]]:
    """Web and worker of it. -> its port, and how many effects it has recorded."""
    settings = {
        "ENDPOINT": endpoint,
        "POSTGRES": postgres,
        "CRM_API_URL": endpoint,
        "CRM_API_KEY": "bench-key",
        "CRM_API_USERNAME": "bench",
        "CRM_API_PASSWORD": "bench-password-4711",
        "ERP_ENTITY_ID": "25",
        "ERP_FIELD_KEY": "field_300",  # as docs/erp.md says: without it a note is committed before each insert
        "LOG_LEVEL": "WARNING",
    }
    servers = Servers(folder, python, settings, "_peers_working")
    try:
        if name.startswith("dealpost"):
            if name.endswith("postgres"):
                keys = {"SECRET_KEY": token_urlsafe(32), "TOKEN_KEYS": Fernet.generate_key().decode()}
                servers.environ |= {"DATABASE_URL": postgres, **keys}
            (port,) = servers.start("dealpost", 1, 1, False)
            servers.run("worker", [sys.executable, "scheduler.py"], FOLDER)
        else:
            (port,) = servers.start(name, 1, 1, False)
            if name in ("huey", "procrastinate"):
                work = f"import _peers_working; _peers_working.work({name!r})"  # its tasks bear the module's name
                servers.run("worker", [str(python), "-c", work], Path(__file__).parent)
        yield port, ours(port) if name.startswith("dealpost") else lambda: _get(port, "/done")["done"]
    finally:
        servers.stop()


@contextmanager
def lessons(folder: Path, python: Path, students: int) -> Iterator[tuple[int, Callable[[], int]]]:
    """The same for lessons, with the sandbox as an amoCRM that answers at once; fifty requests a second."""
    with Sandbox(limit_rps=1000) as sandbox:
        sandbox.seed(students=students)
        servers = Servers(folder, python, {**sandbox.env, "SANDBOX": "1", "AMOCRM_RPS": "50", "LOG_LEVEL": "WARNING"})
        servers.environ["API_KEYS"] = f"platform:{KEY}"
        servers.environ["DATABASE_URL"] = f"sqlite:///{folder}/dealpost.db"
        try:
            (port,) = servers.start("dealpost", 1, 1, False)
            servers.run("worker", [sys.executable, "scheduler.py"], FOLDER)
            yield port, ours(port, "amocrm")
        finally:
            servers.stop()


def ours(port: int, destination: str = "erp") -> Callable[[], int]:
    return lambda: int(_get(port, "/api/outbox")["destinations"][destination]["states"]["delivered"])


def _get(port: int, path: str) -> Any:
    return call("GET", f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {KEY}"})[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(NAMES), help=", ".join(NAMES))
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="keep the peers' environment here for the next time")
    asked = parser.parse_args()
    found: dict[str, list[float]] = {}
    with ExitStack() as stack:
        own = stack.enter_context(tempfile.TemporaryDirectory())
        python, versions = install(Path(asked.folder or own) / "peers")
        server = stack.enter_context(Server(durable=True))
        port = free_port()
        endpoint = subprocess.Popen([sys.executable, str(Path(__file__).with_name("_endpoint.py")), str(port)])
        stack.callback(endpoint.wait)
        stack.callback(endpoint.terminate)
        address = f"http://127.0.0.1:{port}/api/rest.php"
        eventually(lambda: answers(address), 20)
        for number in range(asked.rounds):
            for name in asked.names:
                print(f"round {number + 1} of {asked.rounds}: {name}", file=sys.stderr, flush=True)
                request = lesson if name == LESSONS else record
                with (
                    tempfile.TemporaryDirectory() as folder,
                    new_database(server.url(socket=False)) as postgres,
                    lessons(Path(folder), python, asked.events + 1)
                    if name == LESSONS
                    else running(name, Path(folder), python, address, postgres) as (port, done),
                ):
                    found.setdefault(name, []).append(measure(port, asked.events, request, done))
    seconds = {name: statistics.median(each) for name, each in found.items()}
    words = {
        LESSONS: "**Dealpost**, SQLite: lessons, whose deals move fifty in a request",
        "dealpost": "**Dealpost**, SQLite: records, a request each",
        "dealpost-postgres": "**Dealpost**, PostgreSQL: records",
        "huey": f"huey {versions['huey']}, SQLite",
        "dbos": f"DBOS {versions['dbos']}, SQLite",
        "procrastinate": f"procrastinate {versions['procrastinate']}, PostgreSQL",
    }
    print(f"{asked.events:,} records, {asked.rounds} rounds taking turns; medians. One web process, one worker.\n")
    print("| | seconds | lowest and highest |\n|---|---|---|")
    for name, each in found.items():
        print(f"| {words[name]} | {seconds[name]:.1f} | {min(each):.1f} to {max(each):.1f} |")
    missed = [
        f"{seconds[other] / seconds[name]:.1f} times {other}, mark {times:g}"
        for name, other, times in TIMES
        if {name, other} <= seconds.keys() and seconds[other] < times * seconds[name]
    ]
    if missed:
        print(f"\nMissed: {'; '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
