"""Whether the process was told to stop."""

from __future__ import annotations

import contextlib
import os
import select


class StopFlag:
    """Set by a signal's handler, waited for by the main thread. No Event: a handler that sets one may have interrupted
    its own thread in the midst of waiting for it, with the lock in hand, and then waits for itself for ever."""

    def __init__(self) -> None:
        self._set = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)

    def set(self) -> None:
        self._set = True
        with contextlib.suppress(OSError):  # it is full: whoever waits is woken by what is in it
            os.write(self._writer, b"\0")

    def is_set(self) -> bool:
        return self._set

    def wait(self, seconds: float) -> bool:
        """-> whether it is set, at once when it is."""
        select.select([self._reader], [], [], seconds)  # nobody reads what was written: it stays so
        return self._set
