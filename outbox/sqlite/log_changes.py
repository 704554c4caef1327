"""Whether anybody writes to the database's log: the kernel tells (Linux), or one looks."""

from __future__ import annotations

import ctypes
import os
import select
import time
from contextlib import suppress
from typing import Protocol

LOOK_EVERY = 0.04
"""Seconds between two looks at the log's size and time, where nobody tells."""

IN_MODIFY = 0x2


class LogChanges(Protocol):
    def wait(self, seconds: float) -> bool:
        """Rest until the log is written to, or the time is over. -> whether it was written to since `forget`."""

    def forget(self) -> None:
        """What was written until now is known."""

    def end(self) -> None:
        """From another thread: whoever waits does so no longer."""

    def close(self) -> None: ...


class Notified:
    """By inotify, which opens nothing: closing the log would drop the locks that SQLite has on it in this process.

    Raises OSError where there is none. Reference: https://man7.org/linux/man-pages/man7/inotify.7.html
    """

    def __init__(self, path: str) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(self._libc, "inotify_init1"):
            raise OSError("this system has no inotify")
        self._file: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self._number: int = self._libc.inotify_add_watch(self._file, os.fsencode(path), IN_MODIFY)
        if self._number < 0:
            error = ctypes.get_errno()
            self.close()
            raise OSError(error, os.strerror(error), path)
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)

    def wait(self, seconds: float) -> bool:
        return bool(self._poll.poll(seconds * 1000))

    def forget(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self._file, 4096):
                pass

    def end(self) -> None:
        self._libc.inotify_rm_watch(self._file, self._number)  # that is told, too

    def close(self) -> None:
        os.close(self._file)


class Looked:
    """By its size and time."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._ended = False

    def wait(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self._look() == self._seen:
            left = end - time.monotonic()
            if left <= 0 or self._ended:
                return False
            time.sleep(min(left, LOOK_EVERY))  # a third of what a wait for an event costs
        return True

    def forget(self) -> None:
        self._seen = self._look()

    def end(self) -> None:
        self._ended = True

    def close(self) -> None:
        """Nothing to do: nothing is open."""

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


def follow(path: str) -> LogChanges:
    """path: of a log that is there."""
    try:
        return Notified(path)
    except OSError:
        return Looked(path)
