"""A year of a busy school in a quarter of an hour, by a clock that is set: `python -m benchmarks.year`.

Two million events are taken in, claimed, recorded and, thirty days later, cleared away by the worker's own jobs. Exits
1 when the files, the memory or the time of a step grow on after the store has its usual size.
"""

from __future__ import annotations

import argparse
import logging
import random
import re
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from outbox.drain import Lane
from outbox.message import Delivery, NewDelivery, NewEvent, State, new_id
from outbox.outcome import Delivered, DeliveryContext, DeliveryError, Destination, Outcome
from outbox.queries import Filter
from outbox.sqlite import SqliteStore
from service import create_app
from service.amocrm.stage_changes.own import OwnChange
from service.config import load
from service.current import Dealpost
from service.destinations.records.destination import Records
from service.destinations.records.erp import InsertContext, Record, Saved
from service.heartbeat import Heartbeat
from service.jobs import Jobs
from service.routing import AMOCRM, ERP

DAYS, DAY = 365, 86_400.0
STEPS = 8
"""How many times a day events come in and go out."""

ALONE = 5
"""How many of them come one by one, and are timed."""

APART = 2000
"""How many events lie between two lessons of a student."""

BEGINS = 1_800_000_000.0
STEADY = 3
"""The number of the month, from 0, that the later ones are held against: then the first ones are long cleared, and
what is remembered of a deal for ninety days is forgotten for the first time."""

MARGINS = {"megabytes": 1.1, "memory": 1.1, "accept": 1.5, "claim": 1.5, "free": 1.5}
"""By how much each figure may be above that of the steady month."""

NOTHING = {"megabytes": 2.0, "memory": 5.0, "accept": 0.1, "claim": 0.02, "free": 2000.0}
"""Differences too small to mean anything: megabytes, milliseconds, pages."""


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass
class Month:
    """What was seen in it. megabytes: of the files at their largest, the log with them; memory: resident megabytes at
    its end; accept: milliseconds to take one event in, claim: to claim, send and record a delivery in a pass of 50 or
    more, medians; free: pages at its end.
    """

    events: int = 0
    megabytes: float = 0.0
    memory: float = 0.0
    accepts: list[float] = field(default_factory=list)
    claims: list[float] = field(default_factory=list)
    free: float = 0.0

    @property
    def accept(self) -> float:
        return statistics.median(self.accepts)

    @property
    def claim(self) -> float:
        return statistics.median(self.claims)


def growth(months: Sequence[Month]) -> list[str]:
    """What has grown on since the steady month, in words."""
    first, found = months[STEADY], []
    for number, month in enumerate(months[STEADY + 1 :], STEADY + 2):
        for name, margin in MARGINS.items():
            before, now = getattr(first, name), getattr(month, name)
            if now > before * margin and now - before > NOTHING[name]:
                found.append(f"month {number}: {name} {now:,.1f}, in month {STEADY + 1} {before:,.1f}")
    return found


class Deals:
    """In amoCRM's place: nearly every deal is moved, some are found later, some changes are refused for good."""

    name, batch, whole_keys, newest_first, fingerprint = AMOCRM, 50, True, True, ""

    def __init__(self, dealpost: Dealpost, chance: random.Random) -> None:
        self._own, self._now, self._chance = dealpost.wiring.amocrm.own_changes, dealpost.store.now, chance

    def missing(self) -> tuple[str, ...]:
        return ()

    def deliver(self, batch: Sequence[Delivery], context: DeliveryContext) -> Mapping[int, Outcome]:
        context.begin([row.id for row in batch])
        outcomes: dict[int, Outcome] = {}
        moved: dict[int, OwnChange] = {}
        for row in batch:
            lead, lesson = int(str(row.data["lead"])), int(str(row.data["lesson"]))
            shown = f'{{"id": {lead}, "status_id": {lesson}, "pipeline_id": 1}}'
            context.exchange(
                [row.id], {"method": "PATCH", "url": "/api/v4/leads", "status": 200, "request_body": shown}
            )
            draw = self._chance.random()
            if draw < 0.002:
                outcomes[row.id] = DeliveryError("no", cause="deal_refused", code="refused", permanent=True)
            elif draw < 0.02:
                outcomes[row.id] = DeliveryError("not yet", cause="deal_not_found", code="not_found")
            else:
                outcomes[row.id] = Delivered(str(lead), facts={"to_status": lesson}, lead_id=lead)
                moved[lead] = OwnChange(lesson, lesson - 1, 1, self._now(), row.id)
        self._own.keep(moved)
        return outcomes


class Ledger:
    """In the ERP's place: it takes every record."""

    places: frozenset[str] = frozenset()
    fingerprint: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self._count = 0

    def missing(self) -> tuple[str, ...]:
        return ()

    def start(self, delivery_ids: Sequence[int]) -> None:
        pass

    def may_repeat(self, record: Record) -> bool:
        return True

    def insert(self, record: Record, paper: InsertContext) -> Saved:
        paper.begin()
        paper.keep({"method": "POST", "url": "/api/rest.php", "status": 200, "request_body": record.name})
        self._count += 1
        return Saved(str(self._count), "70")

    def update(self, reference: str, record: Record, paper: InsertContext) -> Saved | None:
        raise AssertionError("nothing is repeated here")


def events(count: int, number: int, now: float) -> Iterator[NewEvent]:
    """So many: three of lessons, then one of a record. number: how many there were before."""
    for one in range(number, number + count):
        student, part = divmod(max(one - one % 4 * APART, one % 4), 4)
        email, own_id = f"student-{student}@example.com", new_id(now)
        if part < 3:
            data: dict[str, Any] = {"email": email, "lesson": part + 1, "lead": student + 1}
            row = NewDelivery(AMOCRM, f"email:{email}")
            yield NewEvent(own_id, "lesson.completed", data, "lessons", "year", now, (row,), email=email)
        else:
            data = {"dealName": f"Course of {student}", "amount": "4900.00"}
            yield NewEvent(own_id, "crm/create-deal", data, "events", "year", now, (NewDelivery(ERP),))


def resident() -> float:
    """Megabytes of this process."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


class Year:
    """The house as it stands in one process, and its clock. Needs `close`."""

    def __init__(self, folder: str, clock: Clock) -> None:
        self.clock = clock
        self.store = SqliteStore(f"{folder}/year.db", now=clock)
        self.store.maintenance.migrate()
        settings = {
            "DATABASE_URL": f"sqlite:///{folder}/year.db",
            "SECRET_KEY": "only-for-this-benchmark",
            "TOKEN_KEYS": "V2hhdCBhIHRlc3QgbmVlZHMgaXMgYSBrZXkgbGlrZSE=",
        }
        dealpost: Dealpost = create_app(load(settings), self.store).extensions["dealpost"]
        self.chance = random.Random(1)
        self.heartbeat = Heartbeat.of(self.store, "worker")
        self.told: Counter[str] = Counter()
        self.jobs = Jobs(dealpost, lambda cause, params: self.told.update([cause]), self.heartbeat, lambda: False)
        self.counters = dealpost.wiring.counters
        records = Records(Ledger(), dealpost.wiring.stage_changes, self.store.key_values, clock)
        destinations: tuple[Destination, ...] = (Deals(dealpost, self.chance), records)
        self.lanes = [
            Lane(
                self.store,
                one,
                self.heartbeat.owner,
                random=self.chance.random,
                stopping=lambda: False,
                alert=lambda cause, params: None,
            )
            for one in destinations
        ]
        self.number = 0

    def step(self, count: int, month: Month) -> None:
        """So many events come in, and what is due goes out."""
        come = list(events(count, self.number, self.clock.now))
        for one in come[:ALONE]:
            began = perf_counter()
            self.store.intake.accept([one])
            month.accepts.append((perf_counter() - began) * 1000)
        for place in range(ALONE, count, 100):
            self.store.intake.accept(come[place : place + 100])
        self.number += count
        month.events += count
        for lane in self.lanes:
            assert lane.acquire()
            while True:
                began = perf_counter()
                claimed = lane.run_pass().claimed
                if not claimed:
                    break
                if lane.name == AMOCRM and claimed >= 50:
                    month.claims.append((perf_counter() - began) * 1000 / claimed)
        self.counters.add("events_accepted_total", "lessons", by=count)
        self.counters.flush()
        self.heartbeat.show()
        self.jobs.run("checkpoint")
        self.clock.now += DAY / STEPS

    def end_day(self, month: Month) -> None:
        """An operator discards what has been dead for a week; what is old is cleared away."""
        old = Filter(states=(State.DEAD,), until=self.clock.now - 7 * DAY)
        self.store.operations.discard(old, "operator")
        self.jobs.run("situations")
        month.megabytes = max(month.megabytes, self.store.maintenance.size() / 1024**2)
        self.jobs.run("prune")
        month.megabytes = max(month.megabytes, self.store.maintenance.size() / 1024**2)

    def end_month(self, month: Month) -> None:
        month.free = self.store.database.value("PRAGMA freelist_count")
        month.memory = resident()

    def faults(self) -> list[str]:
        """What is wrong in the store, and which alarms there were that nobody expected."""
        unexpected = {"job_failed", "store_full", "store_refuses"} & set(self.told)
        return [*self.store.maintenance.verify(), *(f"an alert: {cause}" for cause in sorted(unexpected))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000)
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        year = Year(folder, Clock(BEGINS))
        print("| month | events so far | files, MB | free pages | memory, MB | one taken in, ms | one worked off, ms |")
        print("|---|---|---|---|---|---|---|", flush=True)
        months: list[Month] = []
        for day in range(DAYS):
            if day * 12 // DAYS == len(months):
                months.append(Month())
            month = months[-1]
            for step in range(day * STEPS, day * STEPS + STEPS):
                steps = DAYS * STEPS
                year.step(asked.events * (step + 1) // steps - asked.events * step // steps, month)
            year.end_day(month)
            if (day + 1) * 12 // DAYS == len(months):
                year.end_month(month)
                print(
                    f"| {len(months)} | {year.number:,} | {month.megabytes:,.0f} | {month.free:,.0f} | "
                    f"{month.memory:.0f} | {month.accept:.2f} | {month.claim:.2f} |",
                    flush=True,
                )
        faults = [*growth(months), *year.faults()]
        kept = year.store.reading.count(Filter())
        year.store.close()
    print(f"\nDeliveries in the store at the end: {kept:,} of {asked.events:,}.")
    print("\n".join(faults) if faults else "Nothing has grown since month 4, and `flask outbox verify` finds no fault.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
