"""Views that wait for another system: few of a process at once, so that the ways in keep their threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

from flask import current_app

AT_ONCE = 4
RETRY_AFTER = "5"

View = TypeVar("View", bound=Callable[..., Any])


class Busy(Exception):
    """As many of this process as may wait for another system wait already; nothing was done."""


@contextmanager
def turn() -> Iterator[None]:
    """Within it another system may be waited for. Raises Busy at once when there is no room."""
    turns: threading.BoundedSemaphore = current_app.extensions["dealpost.turns"]
    if not turns.acquire(blocking=False):
        raise Busy
    try:
        yield
    finally:
        turns.release()


def waits_for_others(view: View) -> View:
    """The whole view is a turn."""

    @wraps(view)
    def guarded(*args: Any, **values: Any) -> Any:
        with turn():
            return view(*args, **values)

    return guarded  # type: ignore[return-value]
