"""The engine for tests and trials: the same SQL over a database without a file, for the threads of one process."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlite_utils import Database

from outbox.message import StoreUnavailable
from outbox.sql.database import PATIENCE, Transaction
from outbox.sql.intake import Intake
from outbox.sql.store import SqlStore
from outbox.sqlite.claim import choose
from outbox.sqlite.connection import PROGRAMMING, Connection, Row, unavailable
from outbox.sqlite.migrations import migrations
from outbox.sqlite.upkeep import fold, go_on_from, last_numbers

NAME = "memory"


class MemoryDatabase:
    """One connection, which the threads take in turns. See outbox.sql.database.Database."""

    refusals = (*PROGRAMMING, OverflowError)

    def __init__(self, clock: Callable[[], float]) -> None:
        self.now = clock
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        connection.row_factory = Row
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA recursive_triggers = ON")
        self.db = connection
        self._connection = Connection(connection)
        self._turn = threading.Lock()
        self._bell = threading.Condition()
        self._commits = 0
        self._seen = threading.local()

    def now_at_once(self) -> float | None:
        """See outbox.store.Store."""
        return self.now()

    def close(self) -> None:
        with self._turn:
            self.db.close()

    @contextmanager
    def _taken(self, begin: str, timeout: float) -> Iterator[Connection]:
        if not self._turn.acquire(timeout=max(0.0, timeout)):
            raise StoreUnavailable(f"{NAME} was not free in time")
        try:
            with unavailable(NAME):
                self.db.execute(begin)
                try:
                    yield self._connection
                    self.db.execute("COMMIT")
                except BaseException:
                    self.db.rollback()
                    raise
        finally:
            self._turn.release()

    @contextmanager
    def write(self, timeout: float = PATIENCE) -> Iterator[Connection]:
        with self._taken("BEGIN IMMEDIATE", timeout) as db:
            yield db
        with self._bell:
            self._commits += 1
            self._bell.notify_all()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._taken("BEGIN", PATIENCE) as db:
            yield db

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        with self.read() as db:
            return db.rows(sql, params)

    def row(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        with self.read() as db:
            return db.row(sql, params)

    def value(self, sql: str, params: Sequence[Any] = ()) -> Any:
        with self.read() as db:
            return db.value(sql, params)

    def notified(self) -> bool:
        return True

    def wait(self, seconds: float, woken: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + seconds
        with self._bell:
            while not woken():
                if self._commits != getattr(self._seen, "commits", None):
                    self._seen.commits = self._commits
                    return True
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._bell.wait(min(left, 0.025))  # `woken` rings no bell
        return True


class MemoryUpkeep:
    """See outbox.sql.maintenance.Upkeep."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database

    def migrate(self) -> None:
        with self.database.write():
            migrations.apply(Database(self.database.db, execute_plugins=False))

    def faults(self) -> list[str]:
        return [row[0] for row in self.database.rows("PRAGMA integrity_check") if row[0] != "ok"]

    def backup(self, path: str) -> None:
        raise StoreUnavailable(f"{path}: a store in memory has no file to copy; DATABASE_URL names one that has")

    def checkpoint(self) -> None:
        """There is no log."""
        fold(self.database)

    def size(self) -> int:
        pages: int = self.database.value("PRAGMA page_count")
        return pages * int(self.database.value("PRAGMA page_size"))

    def last_numbers(self) -> dict[str, int]:
        return last_numbers(self.database)

    def go_on_from(self, numbers: Mapping[str, int]) -> None:
        go_on_from(self.database, numbers)

    def shrink(self, db: Transaction) -> None:
        """Nothing to do: the room is used again."""

    def overwrite(self) -> None:
        """Nothing to do: nothing is left anywhere."""


class MemoryStore(SqlStore):
    """See outbox.store.Store. It is gone with the last one who holds it; `database` may be shared by several."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database
        super().__init__(database, Intake(database), choose, MemoryUpkeep(database))
