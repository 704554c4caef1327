"""One connection to the database file, as the SQL that all engines share wants it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from outbox.message import StoreUnavailable
from outbox.sql.figures import speeds

MAKE_DUE = """UPDATE deliveries INDEXED BY deliveries_key SET due_at = ? WHERE destination = ?
    AND state IN ('pending', 'sending') AND state = 'pending' AND due_at > ?
    AND (not_before IS NULL OR not_before <= ?)"""

PROGRAMMING = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)


class Row(sqlite3.Row):
    """See outbox.sql.database.Row."""

    __slots__ = ()

    def values(self) -> Iterator[Any]:
        return iter(self)


@contextmanager
def unavailable(path: str) -> Iterator[None]:
    """Turn what is wrong with the file (locked, full, broken) into StoreUnavailable; faults of ours pass."""
    try:
        yield
    except PROGRAMMING:
        raise
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{os.path.basename(path)}: {error}") from error


class Connection:
    """One connection of one thread, as the shared SQL wants it. See outbox.sql.database.Transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.rollback = db.rollback

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        return self.db.execute(sql, params).fetchall()

    def row(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        rows = self.rows(sql, params)  # to the end: a statement that is still running would hold up the commit
        return rows[0] if rows else None

    def value(self, sql: str, params: Sequence[Any] = ()) -> Any:
        row = self.row(sql, params)
        return row[0] if row else None

    def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        return self.db.execute(sql, params).rowcount

    def each(self, sql: str, params: Sequence[Any] = ()) -> Iterator[Row]:
        return self.db.execute(sql, params)

    def lock(self, name: str) -> None:
        """Nothing to do: a write transaction has the whole file."""

    def alone(self, table: str) -> None:
        """Nothing to do: a write transaction has the whole file."""

    def wake(self) -> None:
        """Nothing to do: whoever waits sees each commit."""

    def index(self, name: str) -> str:
        return f"INDEXED BY {name}" if name else "NOT INDEXED"

    def for_update(self, table: str) -> str:
        return ""

    def within(self, column: str, few: str) -> str:
        return f"{column} IN ({few})"

    def contains(self, column: str) -> str:
        return f"instr({column}, ?) > 0"

    def speeds(
        self, destinations: Sequence[str], starts: Sequence[float], width: float, most: int
    ) -> list[tuple[float | None, float | None]]:
        return list(speeds(self, destinations, starts, width, most))

    def make_due(self, destination: str, keys: Sequence[str], now: float) -> None:
        sql = f"{MAKE_DUE} AND key IN ({','.join('?' * len(keys))})"
        self.execute(sql, (now, destination, now, now, *keys))
