"""Each worker of a peer on a processor of its own, as ours are, when PIN_WORKERS is 1."""

import os
from typing import Any


def post_fork(server: Any, worker: Any) -> None:
    if os.environ.get("PIN_WORKERS") == "1":
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cpus[worker.age % len(cpus)]})
