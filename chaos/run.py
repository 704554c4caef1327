"""One run: open the house, send and break for a while, let it come to rest, judge."""

from __future__ import annotations

import pathlib
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chaos.house import WORKERS, House
from chaos.judge import Verdict, judge, read_books
from chaos.other_side import OtherSide
from chaos.producers import Producers
from chaos.trouble import Trouble
from outbox.engines import open_store
from outbox.message import Attempt, Delivery
from outbox.queries import Filter
from service.environment import read_settings

TAKEN_OVER = re.compile("another worker has taken over")
SHORT, LONG = 20.0, 3600.0
"""Seconds that pass at once while nothing is broken any more: at first, and where that brings nothing."""

QUIET, REALLY_QUIET = 150.0, 900.0
"""Seconds in which all that is due has to be done once nothing is broken any more; where time cannot be hurried, longer
than the longest pause."""

WORKER = ("scheduler.py",)
LONGER = 240.0
"""Seconds for which a run goes on, at most, for want of something that must have happened in it."""


@dataclass
class Report:
    """What a run saw. deeds: what was done to the house. faults: why the run cannot be trusted."""

    seed: int
    seconds: float
    acknowledged: int
    refused: dict[str, int]
    moved: int
    records: int
    deeds: Counter[str]
    takeovers: int
    ambiguous: int
    verdict: Verdict
    faults: list[str]

    @property
    def proves(self) -> list[str]:
        """What did not happen though it must, for the run to prove anything."""
        return wanting(self.deeds["killed"], self.takeovers, self.ambiguous, self.acknowledged)

    @property
    def good(self) -> bool:
        return self.verdict.clean and not self.faults and not self.proves

    def table(self) -> str:
        verdict = self.verdict
        rows: list[tuple[str, object]] = [
            ("seed", self.seed),
            ("seconds", f"{self.seconds:.0f}"),
            ("acknowledged events", self.acknowledged),
            ("requests without a 2xx", ", ".join(f"{n} x {s}" for s, n in sorted(self.refused.items())) or 0),
            ("deals moved by a manager", self.moved),
            ("records in the ERP", self.records),
            *((what, count) for what, count in sorted(self.deeds.items())),
            ("lease takeovers seen by the loser", self.takeovers),
            ("ambiguous answers", self.ambiguous),
            ("acknowledged minus effects", len(verdict.missing)),
            ("ERP doubles", len(verdict.doubles)),
            ("backward moves", len(verdict.backward)),
            ("order violations", len(verdict.disorder)),
            ("stuck", len(verdict.stuck)),
        ]
        lines = [f"{what:<36} {value}" for what, value in rows]
        for name in ("missing", "doubles", "backward", "disorder", "stuck"):
            lines += [f"  {name}: {words}" for words in getattr(verdict, name)[:5]]
        lines += [f"  {fault}" for fault in self.faults]
        if self.proves:
            lines.append(f"This run proved nothing: no {', no '.join(self.proves)}.")
        lines.append("clean" if self.good else "NOT CLEAN")
        return "\n".join(lines)


def run(
    folder: pathlib.Path,
    seconds: float,
    seed: int,
    *,
    engine: str = "sqlite",
    worker: Sequence[str] = WORKER,
    long_stop: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> Report:
    """Everything that is written is in `folder`; no process outlives the call, however it ends."""
    began = time.monotonic()
    house = House(folder, engine=engine, worker=worker)
    try:
        house.open()
        # Lenient: with refresh tokens that die at once nobody survives a kill between amoCRM's answer and the commit.
        house.ask("PATCH", "settings", {"time_scale": 600.0, "random_seed": seed, "rotation": "lenient"})
        _wait_for_first_look(house)
        producers = Producers(house, seed, seconds, students=max(10, int(seconds / 2)))
        trouble, other_side = Trouble(house, producers, seed, tell, long_stop), OtherSide(house, seed)
        producers.start()
        end = time.monotonic() + seconds
        trouble.wake_too_late()  # before any pause, so that what it is about surely comes to pass
        trouble.start()
        other_side.start()
        time.sleep(max(0.0, end - time.monotonic()))
        # A run that is broken on purpose has nothing to prove but that it is seen.
        until = end + (LONGER if tuple(worker) == WORKER else 0.0)
        while time.monotonic() < until and not trouble.fault:
            trouble.wanted = wanting(trouble.done["killed"], takeovers(house), ambiguous(house), producers.book.count)
            if not trouble.wanted:
                break
            tell(f"goes on until there are {', '.join(trouble.wanted)}")
            time.sleep(5.0)
        trouble.stop()
        other_side.stop()
        tell("quiet now")
        waiting = _rest(house, producers, tell)
        books = read_books(house.ask)
        verdict = judge(producers.book, books, waiting)
        verdict.missing = explained(house, verdict.missing)
        verdict.disorder = explained(house, verdict.disorder)
        return Report(
            seed=seed,
            seconds=time.monotonic() - began,
            acknowledged=producers.book.count,
            refused=producers.book.refused,
            moved=producers.book.moved,
            records=sum(books.records.values()),
            deeds=trouble.done + Counter({"faults of the other side": other_side.done}),
            takeovers=takeovers(house),
            ambiguous=ambiguous(house),
            verdict=verdict,
            faults=[one for one in (*producers.book.unexpected[:5], trouble.fault, other_side.fault) if one],
        )
    finally:
        house.close()


def explained(house: House, missing: Sequence[str]) -> list[str]:
    """The same words, with what the store says of that student or record: whoever reads them asks that first."""
    store = open_store(read_settings(house.environ).database_url)

    def rows(words: str) -> Sequence[Delivery]:
        whom = words.removeprefix("record ").split()[0].rstrip(":")
        return store.reading.find(Filter(search=whom), 20).rows

    try:
        return [
            "\n    ".join([words, *(_said_of(row, store.reading.attempts([row.id])[row.id]) for row in rows(words))])
            for words in missing
        ]
    finally:
        store.close()


def _said_of(row: Delivery, attempts: Sequence[Attempt]) -> str:
    tries = "; ".join(f"{_clock(one.at)} {one.outcome} {one.status or ''} {one.cause} {one.detail}" for one in attempts)
    when = f"made {_clock(row.created_at)}, {row.state} {_clock(row.changed_at)}"
    return f"{row.id} lesson {row.data.get('lesson')}, {when}: {row.reason} {row.cause} [{tries}]"


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%d. %H:%M:%S}"


def wanting(kills: int, takeovers: int, ambiguous: int, acknowledged: int) -> list[str]:
    """What has not happened yet though it must, for a run to prove anything."""
    counts = {
        "kills": kills,
        "lease takeovers": takeovers,
        "ambiguous answers": ambiguous,
        "acknowledged events": acknowledged,
    }
    return [what for what, count in counts.items() if not count]


def takeovers(house: House) -> int:
    return sum(len(TAKEN_OVER.findall(house.log(name))) for name in WORKERS)


def ambiguous(house: House) -> int:
    acted = house.ask("GET", "log?acted=1&limit=1000000")["entries"]
    return sum(map(_is_ambiguous, acted))


def _is_ambiguous(entry: dict[str, Any]) -> bool:
    """Whether this write was carried out, and its answer lost."""
    body = entry["body"]
    writes = entry["method"] == "PATCH" or (isinstance(body, dict) and body.get("action") == "insert")
    return writes and str(entry["fault"]).endswith("after acting")


def _wait_for_first_look(house: House) -> None:
    """Until the worker has marked where amoCRM's log begins: what was before that is the account's past."""
    house.wait(lambda: _last_look(house) is not None, 60, "nobody looks at amoCRM's log")


def _last_look(house: House) -> float | None:
    """When the worker looked for what no hook told of, by the clock of the house."""
    store = open_store(read_settings(house.environ).database_url)
    try:
        entry = store.key_values.get("reconcile", "position")
        return float(entry.value["ran_at"]) if entry else None
    finally:
        store.close()


def _rest(house: House, producers: Producers, tell: Callable[[str], None]) -> list[str]:
    """Nothing is broken any more, and time passes quickly, so that whatever waits is due. -> what still waits."""
    if not house.alive("web"):
        house.start_web()
    for name in WORKERS:
        house.kill(name)
        house.start_worker(name)
    producers.stop(20)
    look = _last_look(house)
    end = time.monotonic() + (QUIET if house.keeps_time else REALLY_QUIET)
    calm, step = 0, SHORT
    found: list[str] = []
    while time.monotonic() < end and calm < 5:
        house.shim.jump(step)
        time.sleep(1.0)
        before, found = found, still_waiting(house)
        if not found and _last_look(house) == look:
            found = ["nobody has looked for what no hook told of"]
        idle = house.ask("POST", "hooks/wait", {"timeout": 1, "retries": True})["idle"]
        calm = calm + 1 if idle and not found else 0
        # What waits for hours would not be due in time; what is being sent has a lease.
        step = min(step * 2, LONG) if found and found == before and "sending" not in " ".join(found) else SHORT
        if not calm:
            tell("; ".join(found) or "hooks are on their way")
    return found if idle else [*found, "hooks of the sandbox are still on their way"]


def still_waiting(house: House) -> list[str]:
    """What the service says of deliveries that did not arrive."""
    answer = house.api("/api/outbox")
    if answer is None:
        return ["the service does not answer /api/outbox"]
    found = []
    for name, one in answer["destinations"].items():
        for state in ("pending", "sending", "dead"):
            if count := one["states"].get(state, 0):
                pause = (one["pause"] or {}).get("reason", "")
                found.append(f"{count} {state} for {name}{f', paused: {pause}' if pause else ''}")
    return found
