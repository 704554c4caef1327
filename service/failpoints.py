"""Named steps at which a test can end this process: DEALPOST_FAILPOINT=name dies there as a SIGKILL would, name:3 when
the step is taken for the third time, name=rest holds that thread there for a while. Only with SANDBOX=1.

A testing aid. Unset, as it is outside of tests, nothing happens.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter

REST = 12.0
"""Seconds that a thread is held. Others go on: a whole process that stops might hold the lock of the store."""

_lock = threading.Lock()
_taken: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """End the process at once, without cleaning up, if this is the step that DEALPOST_FAILPOINT names."""
    wanted = os.environ.get("DEALPOST_FAILPOINT")
    if not wanted or os.environ.get("SANDBOX") != "1":
        return
    step, _, deed = wanted.partition("=")
    step, _, count = step.partition(":")
    if step != name:
        return
    with _lock:
        _taken[name] += 1
        if _taken[name] != int(count or 1):
            return
        print(f"failpoint {name}: {deed or 'the end'}", file=sys.stderr, flush=True)
        if deed != "rest":
            os._exit(137)
    time.sleep(REST)
