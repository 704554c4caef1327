"""Named steps at which an experiment may end the process. Nobody listens outside of experiments."""

from __future__ import annotations

from collections.abc import Callable


class _Listener:
    hear: Callable[[str], None] | None = None


def listen(hear: Callable[[str], None]) -> None:
    """From now on `hear(name)` is called at each step, in the thread that takes it."""
    _Listener.hear = hear


def failpoint(name: str) -> None:
    if _Listener.hear is not None:
        _Listener.hear(name)
