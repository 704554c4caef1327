"""A hundred thousand events on PostgreSQL: two web and three worker processes and the server itself are killed on the
way, and the other side's books are compared with what was acknowledged: `python -m benchmarks.scale`.

Exits 1 unless each event arrived, once and in order. amoCRM is played at its real limit of seven requests a second.
"""

from __future__ import annotations

import argparse
import functools
import pathlib
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg

from chaos.house import API_KEY, House
from chaos.judge import Verdict, judge, read_books
from chaos.producers import LESSONS, Acknowledged
from chaos.run import still_waiting
from workshop.calls import answers, call
from workshop.processes import free_port

WEBS = ("web", "web-2")
WORKERS = ("worker-1", "worker-2", "worker-3")
SENDERS = 8
ARRAY = 250
"""How many events a sender puts into one request."""

TOLD = 10.0
"""Seconds between two lines about how far it is."""

PATIENCE = 1800.0

HOLDER = "SELECT owner FROM leases WHERE name = %s AND until > extract(epoch FROM clock_timestamp())"


class Run:
    """A house of two webs and three workers, what was acknowledged in it, and what was done to it."""

    def __init__(self, house: House, students: int, records: int) -> None:
        self.house, self.students, self.records = house, students, records
        self.total = students * LESSONS + records
        self.book = Acknowledged()
        self.done: Counter[str] = Counter()
        self.ports = {name: free_port() for name in WEBS}
        self.ports["web"] = house.port
        # amoCRM tells of no changes: the records are those that were asked for.
        house.environ |= {"WEB_CONCURRENCY": "1", "LOG_FORMAT": "text"}
        del house.environ["WEBHOOK_SECRET"]

    def open(self) -> None:
        self.house.start_sandbox()
        self.house.ask("POST", "seed", {"students": self.students, "prefix": "scale"})
        for name in WEBS:
            self.start_web(name)
        for name in WEBS:
            self.house.wait(functools.partial(answers, f"{self.url(name)}/readyz"), 60, f"{name} is not ready")
        for name in WORKERS:
            self.house.start_worker(name)

    def start_web(self, name: str) -> None:
        environ = {**self.house.environ, "PORT": str(self.ports[name])}
        self.house.start(name, ["-m", "gunicorn", "wsgi:app"], environ)

    def url(self, web: str) -> str:
        return f"http://127.0.0.1:{self.ports[web]}"

    # -- those who send

    def send(self, sender: int) -> None:
        """The lessons of a part of the students, one after the other, and a part of the records."""
        for number, events in enumerate(self._arrays(sender)):
            web = WEBS[(sender + number) % len(WEBS)]
            self._until_taken(f"{self.url(web)}/api/events", events)
            with self.book.mutex:
                for event in events:
                    data = event["data"]
                    if "lesson" in data:
                        self.book.lessons.append((data["email"], data["lesson"]))
                    else:
                        self.book.records.append(data["dealName"])

    def _arrays(self, sender: int) -> Iterator[list[dict[str, Any]]]:
        mine = [f"scale-{number + 1}@example.com" for number in range(sender, self.students, SENDERS)]
        events: list[dict[str, Any]] = [
            {"name": "lesson.completed", "data": {"email": email, "lesson": lesson}, "id": f"{email}-{lesson}"}
            for lesson in range(1, LESSONS + 1)
            for email in mine
        ]
        names = [f"record-{number}" for number in range(sender, self.records, SENDERS)]
        events += [{"name": "crm/create-deal", "data": {"dealName": name, "amount": 10}, "id": name} for name in names]
        for start in range(0, len(events), ARRAY):
            yield events[start : start + ARRAY]

    def _until_taken(self, url: str, events: list[dict[str, Any]]) -> None:
        """As a sender does: the same again, with the same ids, until it is acknowledged."""
        while True:
            try:
                status, answer = call("POST", url, body=events, headers={"X-API-Key": API_KEY}, timeout=30)
            except OSError:
                status, answer = 0, None
            if status == 202:
                return
            with self.book.mutex:
                told = "no answer" if status == 0 else str(status)
                self.book.refused[told] = self.book.refused.get(told, 0) + 1
            if status not in (0, 503):
                raise RuntimeError(f"POST /api/events: {status} {str(answer)[:500]}")
            time.sleep(0.5)

    # -- how far it is

    def delivered(self) -> int:
        answer = self.house.api("/api/outbox")
        return sum(one["states"].get("delivered", 0) for one in answer["destinations"].values()) if answer else -1

    # -- what happens to it

    def deeds(self) -> list[tuple[float, Callable[[], None]]]:
        """At which part of the way (of taking in and of delivering, in the mean) what is done."""
        return [
            (0.1, self.kill_a_web),
            (0.2, lambda: self.kill_holder("lane:amocrm")),
            (0.3, self.restart_server),
            (0.4, lambda: self.kill_holder("lane:erp")),
            (0.5, self.cut_connections),
            (0.6, self.kill_all_workers),
            (0.7, self.restart_server),
            (0.8, lambda: self.kill_holder("lane:amocrm")),
            (0.9, self.kill_a_web),
        ]

    def kill_a_web(self) -> None:
        name = WEBS[self.done["web killed"] % len(WEBS)]
        self.house.kill(name)
        self.done["web killed"] += 1
        self.start_web(name)

    def kill_holder(self, lane: str) -> None:
        """Another takes over; the one that is started anew is the last in the queue."""
        name = self.holder(lane)
        if name:
            self.house.kill(name)
            self.done["worker killed that held a lane"] += 1
            self.house.start_worker(name)

    def kill_all_workers(self) -> None:
        for name in WORKERS:
            self.house.kill(name)
            self.done["worker killed"] += 1
        for name in WORKERS:
            self.house.start_worker(name)

    def holder(self, lane: str) -> str:
        with psycopg.connect(self.house.environ["DATABASE_URL"], connect_timeout=5) as connection:
            row = connection.execute(HOLDER, (lane,)).fetchone()
        pid = re.search(r":(\d+)", row[0]) if row else None
        return next((name for name in WORKERS if pid and self.house.processes[name].pid == int(pid[1])), "")

    def restart_server(self) -> None:
        """As after a power cut: it recovers from its log."""
        assert self.house.server
        self.house.server.restart()
        self.done["server killed"] += 1

    def cut_connections(self) -> None:
        assert self.house.server
        self.house.server.cut()
        self.done["connections cut"] += 1

    # -- the whole

    def run(self, tell: Callable[[str], None]) -> tuple[Verdict, float, float]:
        """-> the verdict; seconds until all was acknowledged, and until all was delivered."""
        began = time.monotonic()
        taken = 0.0
        deeds, told, calm = self.deeds(), began, 0
        with ThreadPoolExecutor(SENDERS) as pool:
            senders = [pool.submit(self.send, sender) for sender in range(SENDERS)]
            while calm < 3:
                time.sleep(1.0)
                passed = time.monotonic() - began
                if passed > PATIENCE:
                    raise TimeoutError(f"not done after {PATIENCE:g} s: {still_waiting(self.house)}")
                for sender in senders:
                    if sender.done():
                        sender.result()
                if not taken and all(sender.done() for sender in senders):
                    taken = passed
                delivered = self.delivered()
                if deeds and delivered >= 0 and (self.book.count + delivered) / 2 >= deeds[0][0] * self.total:
                    before = Counter(self.done)
                    deeds.pop(0)[1]()
                    tell(f"{passed:4.0f} s: {', '.join(self.done - before) or 'nobody holds that lane'}")
                if time.monotonic() - told > TOLD:
                    told = time.monotonic()
                    tell(f"{passed:4.0f} s: {self.book.count} acknowledged, {max(delivered, 0)} delivered")
                calm = calm + 1 if taken and not still_waiting(self.house) else 0
        spent = time.monotonic() - began
        verdict = judge(self.book, read_books(self.house.ask), still_waiting(self.house), hooks=False)
        return verdict, taken, spent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=25_000, help="each with three lessons, in one deal's order")
    parser.add_argument("--records", type=int, default=25_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dealpost-scale-") as folder:
        house = House(pathlib.Path(folder), engine="postgres")
        try:
            run = Run(house, asked.students, asked.records)
            run.open()
            verdict, taken, spent = run.run(lambda line: print(line, file=sys.stderr, flush=True))
            lead = house.ask("GET", "log?part=amocrm&limit=1000000")["entries"]
        finally:
            house.close()
    lost = sum(run.book.refused.values())
    print(f"{run.total:,} events in arrays of {ARRAY} by {SENDERS} senders: {run.students:,} students with {LESSONS}")
    print(
        f"lessons each, {run.records:,} records. Requests without a 2xx: {lost}, each sent again with the same ids.\n"
    )
    print("| | |\n|---|---|")
    rows: list[tuple[str, object]] = [
        ("acknowledged", f"{run.book.count:,}"),
        *sorted(run.done.items()),
        ("amoCRM requests", f"{len(lead):,}"),
        ("seconds until all was acknowledged", f"{taken:.0f}"),
        ("seconds until all was delivered", f"{spent:.0f}"),
        ("acknowledged minus effects", len(verdict.missing)),
        ("doubles", len(verdict.doubles)),
        ("backward moves, order violations", f"{len(verdict.backward)}, {len(verdict.disorder)}"),
        ("stuck", len(verdict.stuck)),
    ]
    for what, value in rows:
        print(f"| {what} | {value} |")
    for name in ("missing", "doubles", "backward", "disorder", "stuck"):
        for words in getattr(verdict, name)[:5]:
            print(f"{name}: {words}")
    return 0 if verdict.clean and run.book.count == run.total else 1


if __name__ == "__main__":
    sys.exit(main())
