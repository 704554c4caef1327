"""A lock between processes and threads on a file, so that writers of one database take turns."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from outbox.message import StoreUnavailable


class FileLock:
    """Not reentrant. flock belongs to the open file, which a fork shares: each process opens its own."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._mutex = threading.Lock()  # of the threads of this process
        self._file: LockedFile | None = None

    @contextmanager
    def held(self, timeout: float) -> Iterator[None]:
        """Raises StoreUnavailable when it was not free within `timeout` seconds."""
        if self._pid != os.getpid():
            self._start()
        end = time.monotonic() + timeout
        if not self._mutex.acquire(timeout=max(0.0, timeout)):
            raise StoreUnavailable(f"{os.path.basename(self.path)} was not free in time")
        try:
            try:
                if self._file is None:
                    self._file = LockedFile(self.path)
                file = self._file
                if not file.take(end):
                    raise StoreUnavailable(f"{os.path.basename(self.path)} was not free in time")
            except OSError as error:
                raise StoreUnavailable(f"{self.path}: {error.strerror}") from error
            try:
                yield
            finally:
                file.release()
        finally:
            self._mutex.release()

    def close(self) -> None:
        if self._file is not None and self._pid == os.getpid():
            self._file.close()
        self._file = None


class LockedFile:
    """One open file and its lock, used by one thread at a time.

    flock wakes those who wait in the order of their coming, but knows no time limit. So, unless the lock is free, a
    thread of its own waits for it: who asked can give up, and what comes too late is let go, or taken by the next.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._state = threading.Lock()
        self._asked = threading.Semaphore(0)
        self._granted = threading.Semaphore(0)
        self._waiter: threading.Thread | None = None
        self._waiting = self._wanted = self._closing = False

    def take(self, end: float) -> bool:
        """Whether the lock came before `end`, a time of the monotonic clock."""
        with self._state:
            # While the waiter is at it, nobody else may try: a lock on the same open file would be the waiter's, too.
            if not self._waiting:
                with suppress(BlockingIOError):
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return True
                self._waiting = True
                self._asked.release()
                if self._waiter is None:
                    self._waiter = threading.Thread(target=self._wait, name="filelock", daemon=True)
                    self._waiter.start()
            self._wanted = True
        if self._granted.acquire(timeout=max(0.0, end - time.monotonic())):
            return True
        with self._state:
            self._wanted = False
        return self._granted.acquire(blocking=False)  # it may have come in the last moment

    def release(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        with self._state:
            if self._waiter is None:
                os.close(self._file)
            else:
                self._closing = True
                self._asked.release()

    def _wait(self) -> None:
        while True:
            self._asked.acquire()
            if self._closing and not self._waiting:
                os.close(self._file)
                return
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX)
            except OSError:
                with self._state:
                    self._waiting = False
                continue  # whoever asked gives up at the end of its time
            with self._state:
                self._waiting = False
                if self._wanted:
                    self._wanted = False
                    self._granted.release()
                else:
                    self.release()
