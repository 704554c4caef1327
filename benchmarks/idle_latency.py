"""How soon a single event on an idle system is delivered, beyond amoCRM's answers: `python -m benchmarks.idle_latency`.

Exits 1 when the median misses its mark.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time

from benchmarks._workers import LIMIT, Workers
from sandbox import Sandbox

MARK = 0.3
"""Seconds beyond amoCRM's own answers, as the median."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50)
    parser.add_argument("--latency-ms", type=float, default=120.0, help="how long the sandbox takes for an answer")
    asked = parser.parse_args()
    beyond: list[float] = []
    requests: list[int] = []
    with tempfile.TemporaryDirectory() as folder, Sandbox(limit_rps=LIMIT, latency_ms=asked.latency_ms) as sandbox:
        sandbox.seed(students=asked.events + 1)
        workers = Workers(sandbox, folder)
        try:
            workers.start()
            workers.lessons(["learner-1@example.com"], 1)  # stages and tokens are known after this one
            workers.wait_for(1, within=60, every=0.01)
            for number in range(2, asked.events + 2):
                time.sleep(1.5)
                entries = len(sandbox.log.entries(part="amocrm"))
                start = time.monotonic()
                workers.lessons([f"learner-{number}@example.com"], 1)
                workers.wait_for(number, within=30, every=0.002)
                took = time.monotonic() - start
                answers = sandbox.log.entries(part="amocrm")[entries:]
                requests.append(len(answers))
                beyond.append(took - sum(entry.ms for entry in answers) / 1000)
        finally:
            workers.stop()
    ordered = sorted(beyond)
    median, worst = statistics.median(ordered), ordered[-1]
    print(f"{asked.events} events of students unknown so far, one at a time, 1.5 s apart; amoCRM answers in")
    print(f"{asked.latency_ms:.0f} ms.\n")
    print("| | median | 90 % within | worst | the mark |\n|---|---|---|---|---|")
    ninety = ordered[int(len(ordered) * 0.9) - 1]
    print(f"| seconds beyond amoCRM's own answers | {median:.3f} | {ninety:.3f} | {worst:.3f} | {MARK} |")
    print(f"| amoCRM requests | {statistics.median(requests):.0f} | | {max(requests)} | 3 |")
    return 0 if median <= MARK and statistics.median(requests) == 3 else 1


if __name__ == "__main__":
    sys.exit(main())
