"""The database file: its connections, one per thread and process, and the transactions on them."""

from __future__ import annotations

import ctypes
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from outbox.message import StoreUnavailable
from outbox.sql.database import PATIENCE
from outbox.sqlite.connection import PROGRAMMING, Connection, Row, unavailable
from outbox.sqlite.filelock import FileLock
from outbox.sqlite.files import LOG, Files
from outbox.sqlite.watch import Watch

WAIT_AT_ONCE = 1.0
"""Seconds after which one who waits looks around, also if nobody rings."""

LOG_CEILING = 16 * 1024 * 1024
"""Bytes of the log beyond which whoever commits moves it into the database, so that it needs no worker for that."""

CACHE = 256
"""KiB of the database that a connection keeps in memory."""

STATEMENTS = 64
"""How many compiled statements a connection keeps: lists of every length are statements of their own, of 20 KiB each,
and to compile one anew is quicker than to read a page of the disk."""

LOG_EVERY = 1.0
"""Seconds between two such attempts: a long read can keep the log from starting over."""

CLOSING = 2.0
"""Seconds that closing may wait: for what still reads or writes, and for the turn of the last checkpoint."""


class Own(threading.local):
    """What a thread has for itself. in_use: held while it uses its connections, so that nobody closes them."""

    def __init__(self) -> None:
        self.in_use = threading.RLock()
        self.db: sqlite3.Connection | None = None
        self.watcher: sqlite3.Connection | None = None
        self.steps = -1
        self.version = -2


@dataclass(frozen=True)
class Opened:
    thread: threading.Thread
    in_use: threading.RLock
    db: sqlite3.Connection


class SqliteDatabase:
    """The database file, its lock and its connections. See outbox.sql.database.Database.

    A connection is used by the thread that opened it only. After a fork the child opens its own and never touches
    the parent's, not even to close them: closing one would drop the locks of the others.
    """

    files: Files
    refusals = (*PROGRAMMING, OverflowError)

    def __init__(self, path: str, clock: Callable[[], float]) -> None:
        self.path = os.path.abspath(path)
        self.now = clock
        self.lock = FileLock(self.path + ".lock")
        self._forked: list[object] = []
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._local = Own()
        self._opened: list[Opened] = []
        self._guard = threading.Lock()
        self._bell = threading.Condition(threading.Lock())
        self._rings = 0
        self._closed = False
        self._log_at = 0.0
        self.files = Files(self.path)
        self.watch = Watch(self.path + LOG, self._data_version, self.ring)

    def _own(self) -> None:
        if self._pid != os.getpid():
            self._forked.append((self._local, self._opened))
            self._start()

    def db(self, patience: float = PATIENCE) -> sqlite3.Connection:
        """This thread's connection, which waits `patience` seconds for writers that do not know the file lock.

        Raises StoreUnavailable when the file cannot be opened.
        """
        self._own()
        local = self._local
        with local.in_use:
            if local.db is None:
                local.db = self.connect()
                # From its first read on a connection keeps the others from deleting the log when they close.
                with unavailable(self.path):
                    local.db.execute("PRAGMA schema_version").fetchall()
                    self.files.read()
            steps = math.ceil(patience * 4)
            if steps != local.steps:
                local.db.execute(f"PRAGMA busy_timeout = {steps * 250}")
                local.steps = steps
            return local.db

    def watcher(self) -> sqlite3.Connection:
        """This thread's connection that never writes, for `PRAGMA data_version`."""
        self._own()
        local = self._local
        with local.in_use:
            if local.watcher is None:
                local.watcher = self.connect()
            return local.watcher

    @contextmanager
    def using(self, patience: float = PATIENCE) -> Iterator[Connection]:
        """This thread's connection, which is not closed by another thread meanwhile: Python would crash."""
        self._own()
        with self._local.in_use, unavailable(self.path):
            yield Connection(self.db(patience))

    def connect(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreUnavailable(f"{self.path} was closed: this process is ending")
        if self.files.known:
            self.files.check_known()  # another file there must not be taken for ours, nor a new one be made
        else:
            self._create()
        self.files.check_rights()
        with unavailable(self.path):
            before = self._stat()
            connection = sqlite3.connect(
                self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS
            )
            try:
                self.files.opened(before)
                connection.row_factory = Row
                # Versions up to 3.51.2 can corrupt a log that two connections reset at the same instant, so that nobody
                # moves it into the database but who holds the file lock.
                connection.execute("PRAGMA wal_autocheckpoint = 0")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA foreign_keys = ON")
                # Each thread has a connection, and what it keeps is read again from the system's own cache in no time.
                connection.execute(f"PRAGMA cache_size = -{CACHE}")
                connection.execute(f"PRAGMA journal_size_limit = {LOG_CEILING}")
                # A row that takes another's place counts as deleted, for the triggers as well.
                connection.execute("PRAGMA recursive_triggers = ON")
            except BaseException:
                connection.close()
                raise
        with self._guard:
            # Not the first one: while it is open nobody may take the log away, and `files` relies on that.
            for old in [opened for opened in self._opened[1:] if not opened.thread.is_alive()]:
                old.db.close()
                self._opened.remove(old)
            self._opened.append(Opened(threading.current_thread(), self._local.in_use, connection))
        return connection

    def _create(self) -> None:
        if os.path.exists(self.path + LOG) and not os.path.exists(self.path):
            # An empty store beside it would take over the log of the one that was moved away.
            raise StoreUnavailable(
                f"{self.path} is not there, though its log is. Put the file back, or move {self.path}{LOG} away, too, "
                "to begin with an empty store"
            )
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            # SQLite would make it readable for all; -wal and -shm take over the rights of the file. Never open a file
            # that is there: closing it again would drop all locks that SQLite holds on it in this process, and the
            # next process that closes its last connection would delete a log that is in use.
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            pass
        except OSError as error:
            raise StoreUnavailable(f"{self.path}: {error.strerror}") from error

    def _stat(self) -> os.stat_result:
        try:
            return os.stat(self.path)
        except OSError as error:
            raise StoreUnavailable(f"{self.path}: {error.strerror}") from error

    def close(self) -> None:
        """For good, in this process. The last process that closes leaves one file with everything in it.

        What another thread has begun may end first. A connection that is in use for longer stays open until the
        process ends.
        """
        self._own()
        self._closed = True
        self.watch.close()
        with self._guard:
            opened = self._opened
            self._opened = []
        self._local = Own()  # who comes now finds no connection, and may open none
        deadline = time.monotonic() + CLOSING
        with ExitStack() as held:
            with suppress(StoreUnavailable):
                held.enter_context(self.lock.held(CLOSING))
            idle, busy = [], []
            for entry in opened:
                if entry.in_use.acquire(timeout=max(0.0, deadline - time.monotonic())):
                    held.callback(entry.in_use.release)
                    idle.append(entry.db)
                else:
                    busy.append(entry.db)
            self._close(idle, busy)
        self.lock.close()

    def _close(self, idle: list[sqlite3.Connection], busy: list[sqlite3.Connection]) -> None:
        try:
            if idle:
                self.files.check_known()
        except StoreUnavailable:
            # SQLite deletes the log by its name, which is another store's now.
            idle, busy = [], [*idle, *busy]
        for db in busy:
            # It is not even collected, since that would close it.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(db))
        for db in idle:
            with suppress(sqlite3.Error):
                db.close()

    @contextmanager
    def write(self, timeout: float = PATIENCE) -> Iterator[Connection]:
        self.db(timeout)  # before the lock: opening the file may take its time
        with self.turn(timeout), self.transaction(timeout) as db:
            yield db

    def turn(self, timeout: float) -> AbstractContextManager[None]:
        """See outbox.sql.group_commit.GroupDatabase."""
        return self.lock.held(timeout)

    @contextmanager
    def transaction(self, timeout: float) -> Iterator[Connection]:
        """See outbox.sql.group_commit.GroupDatabase."""
        with self.using(timeout) as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                self.commit(db)
            except BaseException:
                db.rollback()
                raise

    def commit(self, db: Connection) -> None:
        """Commit, under the file lock, what goes to the files that the path names. Raises StoreUnavailable."""
        size = self.files.check()
        db.execute("COMMIT")
        if size > LOG_CEILING and time.monotonic() - self._log_at > LOG_EVERY:
            self._log_at = time.monotonic()
            with suppress(sqlite3.Error, StoreUnavailable):  # what was committed is safe, whatever becomes of this
                self.move_log()

    def move_log(self) -> None:
        """Copy the log into the database, under the file lock: nobody commits or resets it meanwhile."""
        with self.using() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                self.watcher().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            finally:
                db.rollback()

    def empty_log(self, patience: float = PATIENCE) -> bool:
        """Copy all of the log into the database and cut it to nothing. -> False: a reader was in the way.

        SQLite itself holds the right to write from before it looks at the log, beside the file lock.
        """
        with self.lock.held(patience), self.using(patience) as db:
            self.files.check()
            ((busy, *_),) = db.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        return not busy

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self.using() as db:
            db.execute("BEGIN")
            try:
                yield db
            finally:
                db.rollback()

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        with self.using() as db:
            return db.rows(sql, params)

    def row(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        with self.using() as db:
            return db.row(sql, params)

    def value(self, sql: str, params: Sequence[Any] = ()) -> Any:
        with self.using() as db:
            return db.value(sql, params)

    def now_at_once(self) -> float | None:
        """See outbox.store.Store."""
        return self.now()

    def notified(self) -> bool:
        return True

    def ring(self) -> None:
        """Wake those who wait in this process."""
        with self._bell:
            self._rings += 1
            self._bell.notify_all()

    def wait(self, seconds: float, woken: Callable[[], bool]) -> bool:
        """Rest until something was committed since this thread's last rest, or `woken()`, or the time is over.

        What was committed between two rests ends the second one at once, so that nothing is slept over.
        """
        self._own()
        deadline = time.monotonic() + seconds
        while True:
            if woken():
                return True
            rings, version = self._rings, self._data_version()
            if version != self._local.version:
                self._local.version = version
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.watch.go_on()
            with self._bell:
                if self._rings == rings:
                    self._bell.wait(min(left, WAIT_AT_ONCE))

    def _data_version(self) -> int:
        """A number that changes with each commit of any other connection; -1 while the file cannot be read."""
        try:
            with self._local.in_use, unavailable(self.path):
                return int(self.watcher().execute("PRAGMA data_version").fetchone()[0])
        except StoreUnavailable:
            return -1
