"""`make chaos`: break Dealpost on purpose for a while, and tell what was lost. Exit code 1 unless nothing was."""

from __future__ import annotations

import argparse
import os
import pathlib
import random
import signal
import sys
import tempfile

from chaos.run import run
from chaos.shim import available
from workshop.postgres import programs

BROKEN = {"": ("scheduler.py",), "lease": ("-m", "chaos.worker_without_lease")}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="how long things break (default: 300)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="repeats the same troubles")
    parser.add_argument("--engine", choices=("sqlite", "postgres"), default=os.environ.get("ENGINE") or "sqlite")
    parser.add_argument("--break", dest="broken", choices=tuple(BROKEN), default="", help="leave out a safeguard")
    parser.add_argument("--long-stop", action="store_true", help="at the end stop a worker for 35 real seconds")
    parser.add_argument("--folder", help="leave the store and all logs here, to be looked at")
    asked = parser.parse_args()
    if not available():
        parser.error("gcc was not found: the clock that jumps is built with it (apt install gcc libc6-dev)")
    if asked.engine == "postgres" and programs() is None:
        parser.error("PostgreSQL was not found (apt install postgresql): one of its own is started, and broken, too")
    # As Ctrl-C: what was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored
    print(f"seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="dealpost-chaos-") as own:
        folder = pathlib.Path(asked.folder or own)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            report = run(
                folder,
                asked.seconds,
                asked.seed,
                engine=asked.engine,
                worker=BROKEN[asked.broken],
                long_stop=asked.long_stop,
                tell=lambda line: print(f"  {line}", flush=True),
            )
        except KeyboardInterrupt:
            print("stopped; nothing was judged", flush=True)
            return 130
    print(report.table(), flush=True)
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
