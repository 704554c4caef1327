"""A lock between processes and threads on a file, so that writers of one database take turns."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from outbox.message import StoreUnavailable

POLL = 0.0003
"""Seconds between two tries while another process holds the lock. Even tries are what makes it fair enough: SQLite's
own busy handler waits longer after each, so that whoever has waited long goes on waiting."""


class FileLock:
    """Not reentrant. flock belongs to the open file, which a fork shares: each process opens its own."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._open()

    def _open(self) -> None:
        self._pid = os.getpid()
        self._mutex = threading.Lock()
        self._file: int | None = None

    @contextmanager
    def held(self, timeout: float) -> Iterator[None]:
        """Raises StoreUnavailable when it was not free within `timeout` seconds."""
        if self._pid != os.getpid():
            self._open()
        deadline = time.monotonic() + timeout
        if not self._mutex.acquire(timeout=max(0.0, timeout)):
            raise StoreUnavailable(f"{self.path} was not free within {timeout:g} s")
        try:
            file = self._wait(deadline, timeout)
            try:
                yield
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)
        finally:
            self._mutex.release()

    def _wait(self, deadline: float, timeout: float) -> int:
        try:
            if self._file is None:
                self._file = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            while True:
                try:
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return self._file
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise StoreUnavailable(f"{self.path} was not free within {timeout:g} s") from None
                    time.sleep(POLL)
        except OSError as error:
            raise StoreUnavailable(f"{self.path}: {error.strerror}") from error

    def close(self) -> None:
        if self._file is not None and self._pid == os.getpid():
            os.close(self._file)
            self._file = None
