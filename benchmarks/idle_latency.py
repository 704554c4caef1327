"""How soon a single event on an idle system is delivered, and what an idle system costs.

`python -m benchmarks.idle_latency`. Exits 1 when a mark is missed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks._workers import LIMIT, Workers
from sandbox import Sandbox
from tests.support.waiting import eventually
from workshop.calls import answers
from workshop.processes import FOLDER, free_port

MARK = 0.3
"""Seconds beyond amoCRM's own answers, as the median."""

FIRST = 0.03
"""Seconds to the first request, as the median."""

IDLE = 0.005
"""Of a processor, web and worker together."""


def whole(root: int) -> Iterator[int]:
    """A process and all that it started."""
    yield root
    children = subprocess.run(["pgrep", "-P", str(root)], capture_output=True, text=True).stdout.split()
    for child in children:
        yield from whole(int(child))


def spent(pids: list[int]) -> tuple[float, int]:
    """-> seconds of processor time, and how often a thread was woken."""
    seconds, woken = 0.0, 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            seconds += int((task / "schedstat").read_text().split()[0]) / 1e9
            lines = (task / "status").read_text().splitlines()
            woken += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return seconds, woken


def start_web(workers: Workers) -> None:
    port = free_port()
    with (workers.folder / "web.log").open("wb") as log:
        workers.processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "wsgi:app"],
                cwd=FOLDER,
                env={**workers.environ, "PORT": str(port)},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        )
    eventually(lambda: answers(f"http://127.0.0.1:{port}/healthz"), 30)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50)
    parser.add_argument("--latency-ms", type=float, default=120.0, help="how long the sandbox takes for an answer")
    parser.add_argument("--idle-seconds", type=float, default=60.0)
    asked = parser.parse_args()
    beyond: list[float] = []
    firsts: list[float] = []
    requests: list[int] = []
    with tempfile.TemporaryDirectory() as folder, Sandbox(limit_rps=LIMIT, latency_ms=asked.latency_ms) as sandbox:
        sandbox.seed(students=asked.events + 1)
        workers = Workers(sandbox, folder)
        try:
            workers.start()
            start_web(workers)
            workers.lessons(["learner-1@example.com"], 1)  # stages and tokens are known after this one
            workers.wait_for(1, within=60, every=0.01)
            for number in range(2, asked.events + 2):
                time.sleep(1.5)
                entries = len(sandbox.log.entries(part="amocrm"))
                start, at = time.monotonic(), time.time()
                workers.lessons([f"learner-{number}@example.com"], 1)
                accepted = time.time() - at
                workers.wait_for(number, within=30, every=0.002)
                took = time.monotonic() - start
                answered = sandbox.log.entries(part="amocrm")[entries:]
                requests.append(len(answered))
                firsts.append(answered[0].ts - at - accepted)
                beyond.append(took - sum(entry.ms for entry in answered) / 1000)
            time.sleep(10)
            pids = [pid for process in workers.processes for pid in whole(process.pid)]
            seconds, woken = spent(pids)
            time.sleep(asked.idle_seconds)
            idle, wakes = (after - before for after, before in zip(spent(pids), (seconds, woken), strict=True))
        finally:
            workers.stop()
    print(f"{asked.events} events of students unknown so far, one at a time, 1.5 s apart; amoCRM answers in")
    print(f"{asked.latency_ms:.0f} ms. Then {asked.idle_seconds:.0f} s of nothing: one web (as shipped), one worker.\n")
    print("| | median | 90 % within | worst | the mark |\n|---|---|---|---|---|")
    for words, values, mark in (
        ("seconds beyond amoCRM's own answers", sorted(beyond), MARK),
        ("seconds from the commit to the first request", sorted(firsts), FIRST),
    ):
        ninety = values[int(len(values) * 0.9) - 1]
        print(f"| {words} | {statistics.median(values):.3f} | {ninety:.3f} | {values[-1]:.3f} | {mark} |")
    print(f"| amoCRM requests | {statistics.median(requests):.0f} | | {max(requests)} | 3 |")
    part = idle / asked.idle_seconds
    print(f"| of a processor while idle, % | {part * 100:.2f} | | | {IDLE * 100} |")
    print(f"| wake-ups a second while idle | {wakes / asked.idle_seconds:.0f} | | | |")
    good = statistics.median(beyond) <= MARK and statistics.median(firsts) <= FIRST and part <= IDLE
    return 0 if good and statistics.median(requests) == 3 else 1


if __name__ == "__main__":
    sys.exit(main())
