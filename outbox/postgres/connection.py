"""One connection to the server, and what it is asked."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import conninfo, errors
from psycopg.rows import DictRow, dict_row
from psycopg.types.string import StrDumperUnknown
from psycopg_pool import PoolTimeout

from outbox.message import StoreUnavailable
from outbox.sql.database import Contended

REFUSALS = (errors.IntegrityError, errors.ProgrammingError, errors.DataError, errors.NotSupportedError)
"""What is wrong with the statement or its values, not with the server."""

RIGHTS = "its user needs the rights to make tables in this database and to use them, or owns the database"
MENDS: dict[type[psycopg.Error], str] = {
    errors.InsufficientPrivilege: RIGHTS,
    errors.InvalidSchemaName: RIGHTS,
    errors.UndefinedTable: "its tables were not made yet, or are in another database",
    errors.DuplicateTable: "it belongs to another program; expected a database of its own",
}
"""What is wrong with the database, though the server says it of the statement."""

READING = 30.0
"""Seconds that a question may take."""

# Key by key, or with other figures in mind the planner would go through all that waits. Rows that a lane or another
# request has in hand at this moment need no waking, and must not be waited for.
MAKE_DUE = """UPDATE deliveries SET due_at = ? FROM unnest(?::text[]) AS k (key) CROSS JOIN LATERAL (
        SELECT id FROM deliveries WHERE destination = ? AND key = k.key AND state IN ('pending', 'sending')
        AND state = 'pending' AND due_at > ? AND (not_before IS NULL OR not_before <= ?) FOR UPDATE SKIP LOCKED) AS w
    WHERE deliveries.id = w.id"""

SPEEDS = """SELECT (SELECT percentile_disc(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY greatest(d.took, 0))
        FROM unnest(?::text[]) AS n (name) CROSS JOIN LATERAL (
            SELECT ended_at - received_at AS took FROM deliveries WHERE destination = n.name AND state = 'delivered'
            AND ended_at >= s.start AND ended_at < s.start + ?::float8 ORDER BY ended_at DESC LIMIT ?) AS d) AS took
    FROM unnest(?::float8[]) WITH ORDINALITY AS s (start, place) ORDER BY s.place"""

DEFAULTS = {
    "connect_timeout": "5",
    "application_name": "dealpost",
    # A connection that was cut without a word is noticed within 15 s.
    "keepalives_idle": "5",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "15000",
}
OURS: dict[str, Any] = {
    "autocommit": True,
    "prepare_threshold": None,
    "row_factory": dict_row,
    "cursor_factory": psycopg.RawCursor,
}


class TextDumper(StrDumperUnknown):
    """PostgreSQL's text holds every character but NUL, which a sender, or a recorded answer, may contain."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\ufffd") if "\0" in obj else obj)


class Connection(psycopg.Connection[DictRow]):
    """One that never waits for an answer longer than `limit` seconds: a server that hangs is as one that is gone."""

    limit = READING

    def execute(self, *query: Any, **options: Any) -> psycopg.Cursor[DictRow]:
        try:
            return super().execute(*query, **options)
        except tuple(MENDS) as error:
            raise StoreUnavailable(f"PostgreSQL: {first_line(error)}: {MENDS[type(error)]}") from error

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.limit)
        except errors._WaitTimeout:
            self.close()
            raise errors.OperationalError(f"the server gave no answer within {self.limit:g} s") from None


def parameters(url: str) -> dict[str, Any]:
    """What the address says, for the driver. Raises ValueError, which holds no part of a password."""
    try:
        found = conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        found = {}
    # A password with one of these in it ends too early, and its rest is taken for something else.
    places = f"{found.get('host', '')}{found.get('dbname', '')}"
    if not found or not re.fullmatch(r"[\d,]*", str(found.get("port", ""))) or "@" in places:
        raise ValueError(
            "DATABASE_URL: got an address of PostgreSQL that cannot be read, expected "
            "postgresql://user:password@host:port/database (in a password, / @ and % are written %2F, %40 and %25)"
        )
    return {**DEFAULTS, **found}


def connect(parameters: dict[str, Any]) -> Connection:
    """A connection outside of the pool."""
    connection = Connection.connect("", **OURS, **parameters)
    configure(connection)
    return connection


def configure(connection: Connection) -> None:
    connection.server_cursor_factory = psycopg.RawServerCursor
    connection.adapters.register_dumper(str, TextDumper)


@functools.lru_cache(1024)
def numbered(sql: str) -> bytes:
    """The marks as PostgreSQL wants them: $1, $2 ..."""
    first, *parts = sql.split("?")
    return (first + "".join(f"${number}{part}" for number, part in enumerate(parts, 1))).encode()


@contextmanager
def unavailable() -> Iterator[None]:
    """Turn what is wrong with the server (gone, full, too slow) into StoreUnavailable; faults of ours pass."""
    try:
        yield
    except REFUSALS:
        raise
    except (errors.DeadlockDetected, errors.SerializationFailure) as error:
        raise Contended(f"PostgreSQL: {first_line(error)}") from error
    except PoolTimeout as error:
        raise StoreUnavailable("PostgreSQL gave no connection in time") from error
    except psycopg.Error as error:
        raise StoreUnavailable(f"PostgreSQL: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class Statements:
    """What one connection is asked, as the shared SQL wants it. See outbox.sql.database.Transaction."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.wakes = False

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[DictRow]:
        return self.connection.execute(numbered(sql), params).fetchall()

    def row(self, sql: str, params: Sequence[Any] = ()) -> DictRow | None:
        return self.connection.execute(numbered(sql), params).fetchone()

    def value(self, sql: str, params: Sequence[Any] = ()) -> Any:
        row = self.row(sql, params)
        return next(iter(row.values())) if row else None

    def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        return self.connection.execute(numbered(sql), params).rowcount

    def each(self, sql: str, params: Sequence[Any] = ()) -> Iterator[DictRow]:
        with self.connection.cursor("each") as cursor:
            yield from cursor.execute(numbered(sql), params)

    def lock(self, name: str) -> None:
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        self.execute("SELECT pg_advisory_xact_lock(?)", (key,))

    def alone(self, table: str) -> None:
        self.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")

    def wake(self) -> None:
        self.wakes = True

    def index(self, name: str) -> str:
        """The planner chooses by what it knows of the rows."""
        return ""

    def for_update(self, table: str) -> str:
        return f"FOR UPDATE OF {table}"

    def within(self, column: str, few: str) -> str:
        return f"{column} = ANY (ARRAY({few}))"

    def contains(self, column: str) -> str:
        return f"strpos({column}, ?) > 0"

    def speeds(
        self, destinations: Sequence[str], starts: Sequence[float], width: float, most: int
    ) -> list[tuple[float | None, float | None]]:
        if not starts:
            return []
        rows = self.rows(SPEEDS, (list(destinations), width, most, list(starts)))
        return [tuple(row["took"] or (None, None)) for row in rows]

    def make_due(self, destination: str, keys: Sequence[str], now: float) -> None:
        self.execute(MAKE_DUE, (now, list(keys), destination, now, now))
