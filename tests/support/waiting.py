"""The only place where a test waits."""

import time
from collections.abc import Callable
from typing import Literal, TypeVar

T = TypeVar("T")


def eventually(check: Callable[[], T | Literal[False] | None], within: float = 10.0, every: float = 0.02) -> T:
    """Polls until `check` returns something true, and returns it. A check that raises AssertionError or OSError says
    "not yet". Fails after `within` seconds, with the last error."""
    deadline = time.monotonic() + within
    last: Exception | None = None
    value: object = None
    while True:
        try:
            value = check()
            last = None
            if value:
                return value
        except (AssertionError, OSError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s; last seen: {value if last is None else last!r}") from last
        time.sleep(every)
