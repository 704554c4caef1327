"""Thousands of changes of stage against lost, repeated, doubled and late hooks and lost answers of the ERP, counted in
the sandbox's own books: `python -m benchmarks.ledger`."""

from __future__ import annotations

import argparse
import os
import pathlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks._odd_answers import OddAnswers, Students
from outbox import pauses
from outbox.engines import open_store
from outbox.message import State
from outbox.queries import Filter
from sandbox import Sandbox, defaults
from workshop.calls import answers, call
from workshop.processes import Crew, free_port

PYTHON = sys.executable
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
API_KEY = "ledger-key-51c09e"
A, B, C = defaults.STAGE_NEW, defaults.STAGE_PAID, defaults.STAGE_LESSON_1
LIFE = (B, A, B, C)
"""What each deal does, beginning on A: there, back, there again, and on."""


@dataclass(frozen=True)
class Outcome:
    """What the books say. missing, double: records, and moves of lessons, too few and too many, over all deals.
    lessons: how many were sent. unexplained: how many waited with no reason that a person could read."""

    changes: int
    records: int
    missing: int
    double: int
    hooks: int
    lost_answers: int
    by_log: int
    seconds: float
    left: str
    lessons: int = 0
    unexplained: int = 0

    @property
    def exact(self) -> bool:
        return self.records == self.changes and not (self.missing or self.double or self.unexplained or self.left)

    def __str__(self) -> str:
        left = f"; left over: {self.left}" if self.left else ""
        return (
            f"{self.changes} changes of stage, {self.lessons} lessons, {self.hooks} hooks sent, {self.by_log} events "
            f"taken from amoCRM's log, {self.lost_answers} answers of the ERP lost: {self.records} records, "
            f"{self.missing} missing, {self.double} double, {self.unexplained} waiting for no reason, "
            f"{self.seconds:.0f} s{left}"
        )


def run(
    folder: pathlib.Path,
    changes: int = 5000,
    *,
    keyed: bool = True,
    per_second: float = 120.0,
    kill: bool = False,
    odd: bool = False,
    seed: int = 1,
    tell: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """One ledger run. kill: the worker is killed in the middle, and another one takes over. odd: with odd answers of
    amoCRM, and lessons."""
    knobs: dict[str, Any] = {
        "hook_doubled": 0.2,
        "hook_duplicates": 0.3,
        "hook_shuffle": 3.0,
        "hook_time_skew": 1,
        "random_seed": seed,
    }
    with Sandbox(**knobs) as sandbox:
        return _Run(sandbox, folder, keyed, odd, seed, tell).run(changes, per_second, kill)


class _Run:
    def __init__(
        self, sandbox: Sandbox, folder: pathlib.Path, keyed: bool, odd: bool, seed: int, tell: Callable[[str], None]
    ) -> None:
        self.sandbox, self.folder, self.tell = sandbox, folder, tell
        self.chance = random.Random(seed)
        self.odd = odd
        self.students = Students(sandbox, 30 if odd else 0)
        self.unexplained = 0
        self.port = free_port()
        self.environ = {
            **{name: os.environ[name] for name in KEPT if name in os.environ},
            **sandbox.env,
            "DEALPOST_ENV_FILE": "/dev/null",
            "SANDBOX": "1",
            "ALLOW_EPHEMERAL": "1",  # a temporary folder may lie in memory
            "DATABASE_URL": f"sqlite:///{folder}/ledger.db",
            "API_KEYS": f"ledger:{API_KEY}",
            "PORT": str(self.port),
            "WEB_CONCURRENCY": "1",
            "ERP_FIELD_KEY": defaults.ERP_FIELD_KEY if keyed else "",
        }
        self.url = f"http://127.0.0.1:{self.port}"
        self.hook = f"{self.url}/webhooks/amocrm/{defaults.WEBHOOK_SECRET}"
        self.crews: dict[str, Crew] = {}

    def run(self, changes: int, per_second: float, kill: bool) -> Outcome:
        started = time.monotonic()
        try:
            self.start("web", "-m", "gunicorn", "wsgi:app")
            self.wait(lambda: answers(f"{self.url}/readyz"), 30, "the web process is not ready")
            self.start("worker", "scheduler.py")
            self.wait(self.log_is_marked, 30, "the worker does not look at amoCRM's log")
            self.change(changes, per_second, kill)
            self.tell("changes done; waiting for the hooks")
            self.sandbox.hooks.wait_idle(60)
            # A worker that starts looks at once for what the hooks did not tell of.
            self.crews.pop("worker").stop()
            self.start("worker", "scheduler.py")
            self.tell("waiting for the records")
            left = self.finish()
            return self.outcome(changes, time.monotonic() - started, left)
        finally:
            for crew in self.crews.values():
                crew.stop()

    def start(self, name: str, *command: str) -> None:
        log = self.folder / f"{name}.log"
        crew = self.crews[name] = Crew(lambda _, line: _append(log, line))
        crew.start(name, [PYTHON, *command], self.environ)

    def log_is_marked(self) -> bool:
        path = self.environ["DATABASE_URL"].replace("ledger.db", "ledger-sandbox.db")
        store = open_store(path)
        try:
            return store.key_values.get("reconcile", "position") is not None
        finally:
            store.close()

    def change(self, changes: int, per_second: float, kill: bool) -> None:
        """Moves deals; in the middle the hook is switched off for a while."""
        sandbox, account = self.sandbox, self.sandbox.amocrm
        sandbox.hooks.subscribe(self.hook, ["status_lead", "update_lead"])
        sandbox.faults.add("drop", act=True, count=None, fraction=0.1, part="erp", contains='"insert"')
        deals = [account.add_deal(f"Сделка {number}", number, A, quiet=True) for number in range(changes // len(LIFE))]
        quick = set(self.chance.sample(range(len(deals)), len(deals) // 10))
        moves = [
            (deal.id, stage)
            for turn, stage in enumerate(LIFE)
            for number, deal in enumerate(deals)
            for stage in ((LIFE if turn == 0 else ()) if number in quick else (stage,))
        ]
        answers = OddAnswers(sandbox) if self.odd else None
        lessons = [self.students.events(lesson) for lesson in (1, 2, 3)] if self.odd else []
        began = time.monotonic()
        for place, (deal_id, stage) in enumerate(moves):
            part = place / len(moves)
            if answers is not None:
                answers.at(part)
            if lessons and part >= (0.05, 0.38, 0.72)[3 - len(lessons)]:
                status, body = call(
                    "POST", f"{self.url}/api/events", body=lessons.pop(0), headers={"X-API-Key": API_KEY}
                )
                assert status == 202, body
            wait = began + place / per_second - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            if place == len(moves) * 4 // 10:
                self.tell("the hook is switched off")
                sandbox.hooks.set_disabled(self.hook, True)
            if place == len(moves) * 5 // 10:
                sandbox.hooks.set_disabled(self.hook, False)
                self.tell("the hook is switched on again")
            if kill and place == len(moves) * 6 // 10:
                self.tell("the worker is killed")
                self.crews.pop("worker").stop(within=0)
                self.start("worker", "scheduler.py")
            account.move_deal(deal_id, stage)
        if answers is not None:
            answers.end()

    def finish(self) -> str:
        """What is still left over when nothing moves any more; "" when all is done."""
        last, since = (-1, -1), time.monotonic()
        while True:
            time.sleep(0.5)
            status, body = call("GET", f"{self.url}/api/outbox", headers={"X-API-Key": API_KEY})
            every = [one["states"] for one in body["destinations"].values()] if status == 200 else [{"pending": 1}]
            waiting = sum(states.get("pending", 0) + states.get("sending", 0) for states in every)
            now = (waiting, len(self.sandbox.erp.records()))
            if now != last:
                last, since = now, time.monotonic()
            self.unexplained = max(self.unexplained, self.without_reason())
            dead = sum(states.get("dead", 0) for states in every)
            expected = sum(change.type == "lead_status_changed" for change in self.sandbox.amocrm.changes)
            if waiting == 0 and now[1] >= expected and time.monotonic() - since > 3:
                return f"{dead} dead" if dead else ""
            if time.monotonic() - since > (200 if self.odd else 90):
                return f"nothing moves with {waiting} waiting, {dead} dead"

    def without_reason(self) -> int:
        """How many have waited for half a minute, with no reason, no pause, and none of their own key before them."""
        store = open_store(self.environ["DATABASE_URL"].replace("ledger.db", "ledger-sandbox.db"))
        try:
            rows = store.reading.find(Filter(states=(State.PENDING,)), 5000, oldest_first=True).rows
            resting = {name for name in ("amocrm", "erp") if pauses.read(store.key_values, name)}
            keys: set[tuple[str, str | None]] = set()
            count = 0
            for row in rows:
                place = (row.destination, row.key)
                told = (
                    row.reason
                    or row.destination in resting
                    or place in keys
                    or store.reading.attempts([row.id])[row.id]
                )
                count += not told and store.now() - row.changed_at > 30
                keys.add(place)
            return count
        finally:
            store.close()

    def outcome(self, changes: int, seconds: float, left: str) -> Outcome:
        expected: Counter[str] = Counter()
        for one in self.sandbox.amocrm.changes:
            if one.type == "lead_status_changed":
                expected[self.sandbox.amocrm.deals[one.entity_id].name] += 1
        found = Counter(record["1039"] for record in self.sandbox.erp.records())
        store = open_store(self.environ["DATABASE_URL"].replace("ledger.db", "ledger-sandbox.db"))
        try:
            by_log = sum(one.count for one in store.reading.sources(0.0) if one.source == "reconcile")
        finally:
            store.close()
        return Outcome(
            changes=sum(expected.values()),
            records=sum(found.values()),
            missing=sum((expected - found).values()) + self.students.moves()[0],
            double=sum((found - expected).values()) + self.students.moves()[1],
            hooks=sum(len(job["attempts"]) for job in self.sandbox.hooks.deliveries()),
            lost_answers=sum(1 for entry in self.sandbox.log.entries(part="erp") if entry.fault and entry.acted),
            by_log=by_log,
            seconds=seconds,
            left=left,
            lessons=3 * len(self.students.deals),
            unexplained=self.unexplained,
        )

    def wait(self, check: Callable[[], bool], within: float, fault: str) -> None:
        end = time.monotonic() + within
        while True:
            try:
                if check():
                    return
            except Exception as error:
                fault = f"{fault} ({error})"
            if time.monotonic() > end:
                raise TimeoutError(f"{fault}; see {self.folder}")
            time.sleep(0.1)


def _append(log: pathlib.Path, line: str) -> None:
    with log.open("a") as file:
        file.write(line + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=5000)
    parser.add_argument("--per-second", type=float, default=120.0)
    parser.add_argument("--without-key", action="store_true", help="without ERP_FIELD_KEY")
    parser.add_argument("--kill", action="store_true", help="kill the worker in the middle")
    parser.add_argument("--odd", action="store_true", help="odd answers of amoCRM as well, and lessons")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(
            pathlib.Path(folder),
            asked.changes,
            keyed=not asked.without_key,
            per_second=asked.per_second,
            kill=asked.kill,
            odd=asked.odd,
            seed=asked.seed,
            tell=lambda line: print(line, flush=True),
        )
    print(outcome)
    return 0 if outcome.exact else 1


if __name__ == "__main__":
    sys.exit(main())
