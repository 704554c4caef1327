"""How many lessons a second are taken in by HTTP, each on disk before its answer, beside a bare Flask that forgets and
beside what people would use instead: `python -m benchmarks.ingest`. Exits 1 when a mark is missed.

All servers of a table run at once, and their rounds take turns, so that a busy machine is busy for all of them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks._chart import bars
from benchmarks._load import Load, load, post
from benchmarks._servers import KEY, PEERS, Servers, install, slow_disk

PATH = "/api/tripwire/complete"
AUTHORIZATION = f"Authorization: Bearer {KEY}\r\n"
WARM_UP = 0.5
ARRAY = 50
FLOOR, MARK = 0.8, 1.0
TIMES = {"huey": 2.0, "persist_queue": 3.0, "dbos": 5.0}
"""How many times as many as these."""

P99, ARRAYS = 0.1, 10.0
"""Of the naive insert's, and how many times its lessons a second."""

NUMBERS = itertools.count()


@dataclass
class Cell:
    """One server in one setting. lessons: of a request."""

    name: str
    ports: list[int]
    lessons: int = 1
    rounds: list[Load] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        return [load.rate * self.lessons for load in self.rounds]

    @property
    def rate(self) -> float:
        """Lessons a second."""
        return statistics.median(self.rates)

    @property
    def p99(self) -> float:
        return statistics.median(load.p99 for load in self.rounds)


@dataclass(frozen=True)
class Setting:
    """servers: with `workers` each. slow: on a disk that takes two milliseconds more for a commit."""

    words: str
    names: Sequence[str]
    servers: int = 1
    workers: int = 1
    pinned: bool = False
    clients: int = 32
    slow: bool = False


ALL = ("bare", "dealpost", *PEERS)
TWO = ("bare", "dealpost")
SETTINGS = {
    "two": Setting("two servers with one worker each, half of the connections to each", ALL, servers=2),
    "two-pinned": Setting("the same, each on a processor of its own", TWO, servers=2, pinned=True),
    "two-64": Setting("two servers with one worker each, 64 connections", TWO, servers=2, clients=64),
    "one": Setting("one server with one worker", TWO),
    "shipped": Setting("one server with one worker, on a processor of its own: as shipped", TWO, pinned=True),
    "workers-pinned": Setting("one server with two workers, each on a processor of its own", TWO, workers=2,
                              pinned=True),
    "workers": Setting("one server with two workers", TWO, workers=2),
    "slow": Setting("two servers with one worker each, a commit takes 2 ms more", ALL, servers=2, slow=True),
}  # fmt: skip


def lessons(size: int) -> Iterator[bytes]:
    """Requests with one lesson each, or with arrays of `size`."""
    for number in NUMBERS:
        if size == 1:
            body = json.dumps({"email": f"student-{number}@example.com", "lesson": 1})
            yield post(PATH, body.encode(), AUTHORIZATION)
        else:
            data = [{"email": f"student-{number}-{place}@example.com", "lesson": 1} for place in range(size)]
            body = json.dumps([{"name": "lesson.completed", "data": one} for one in data])
            yield post("/api/events", body.encode(), AUTHORIZATION)


def measure(setting: Setting, folder: Path, python: Path, rounds: int, seconds: float) -> list[Cell]:
    servers = Servers(folder, python, slow_disk(folder) if setting.slow else None)
    try:
        cells = [
            Cell(name, servers.start(name, setting.servers, setting.workers, setting.pinned)) for name in setting.names
        ]
        ours = next(cell for cell in cells if cell.name == "dealpost")
        cells.append(Cell("arrays", ours.ports, ARRAY))
        for cell in cells:
            send(cell, setting.clients, WARM_UP)
        for number in range(rounds):
            print(f"{setting.words}: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            for cell in cells:
                cell.rounds.append(send(cell, setting.clients, seconds))
    finally:
        servers.stop()
    return cells


def send(cell: Cell, clients: int, seconds: float) -> Load:
    done = load(cell.ports, clients, lessons(cell.lessons), lambda so_far, now: now > seconds)
    if done.refused:
        raise RuntimeError(f"{cell.name} refused: {done.refused}")
    return done


def table(cells: Sequence[Cell], names: dict[str, str]) -> Iterator[str]:
    bare = cells[0]
    yield "| | lessons a second | lowest and highest | of the bare one | p99, ms |\n|---|---|---|---|---|"
    for cell in cells:
        each = [own / other for own, other in zip(cell.rates, bare.rates, strict=True)]
        yield (
            f"| {names[cell.name]} | {cell.rate:,.0f} | {min(cell.rates):,.0f} to {max(cell.rates):,.0f} | "
            f"{statistics.median(each):.2f} | {cell.p99 * 1000:.0f} |"
        )


def ratio(cells: Sequence[Cell], name: str, other: str) -> float:
    """The median of the rounds' ratios."""
    by_name = {cell.name: cell for cell in cells}
    return statistics.median(one / two for one, two in zip(by_name[name].rates, by_name[other].rates, strict=True))


def missed(cells: Sequence[Cell]) -> Iterator[str]:
    """The marks that were missed where all of the peers took part."""
    if (found := ratio(cells, "dealpost", "bare")) < FLOOR:
        yield f"{found:.2f} of the bare Flask, floor {FLOOR:g}"
    for name, times in TIMES.items():
        if (found := ratio(cells, "dealpost", name)) < times:
            yield f"{found:.1f} times {name}, mark {times:g}"
    by_name = {cell.name: cell for cell in cells}
    if by_name["dealpost"].p99 > P99 * by_name["naive"].p99:
        yield f"p99 {by_name['dealpost'].p99 * 1000:.0f} ms, mark {P99 * by_name['naive'].p99 * 1000:.0f}"
    if (found := ratio(cells, "arrays", "naive")) < ARRAYS:
        yield f"arrays {found:.1f} times the naive insert, mark {ARRAYS:g}"


def plain(words: str) -> str:
    """Without what stands after a comma; one in brackets stays."""
    return re.sub(r",[^()]*$", "", words.replace("*", ""))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", nargs="*", default=list(SETTINGS), help=", ".join(SETTINGS))
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each round of each server")
    parser.add_argument("--svg", help="write the first table here as a chart")
    parser.add_argument("--folder", help="keep the peers' environment here for the next time")
    asked = parser.parse_args()
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as own:
        python, versions = install(Path(asked.folder or own) / "peers")
        names = {
            "bare": "a bare Flask, which forgets",
            "dealpost": "**Dealpost**, one lesson a request",
            "arrays": f"Dealpost, arrays of {ARRAY}",
            "naive": "a row and a commit for each, by hand",
            "huey": f"huey {versions['huey']} (SQLite, fsync)",
            "persist_queue": f"persist-queue {versions['persist-queue']} (SQLite)",
            "dbos": f"DBOS {versions['dbos']} (SQLite)",
        }
        print(f"{asked.rounds} rounds of {asked.seconds:g} s each, taking turns; 16 threads in each worker; medians.")
        for key in asked.settings:
            setting = SETTINGS[key]
            with tempfile.TemporaryDirectory() as folder:
                cells = measure(setting, Path(folder), python, asked.rounds, asked.seconds)
            print(f"\n{setting.clients} connections; {setting.words}:\n")
            print("\n".join(table(cells, names)), flush=True)
            if key == "two":
                failed += missed(cells)
                if asked.svg:
                    rows = [(plain(names[cell.name]), cell.rate, cell.name == "dealpost") for cell in cells[:-1]]
                    Path(asked.svg).write_text(bars("Lessons a second, one a request", rows))
    if failed:
        print(f"\nMissed: {'; '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
