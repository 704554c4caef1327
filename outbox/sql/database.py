"""What the shared SQL needs of an engine: transactions, rows by name, and the few places where the dialects differ.

Statements are written with `?` marks, for SQLite and PostgreSQL alike; an engine translates the marks where its driver
wants others. Texts are compared byte by byte (PostgreSQL: collation "C").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from outbox.message import StoreUnavailable

PATIENCE = 15.0
"""Seconds that a write waits for its turn when nobody waits for an answer."""


class Contended(StoreUnavailable):
    """Two transactions were in each other's way and this one was undone: it may be tried again at once."""


class Row(Protocol):
    """One row: its values by the names of the columns."""

    def __getitem__(self, column: str, /) -> Any: ...

    def values(self) -> Iterable[Any]:
        """In the order of the columns."""


class Reader(Protocol):
    """Whoever answers questions: a transaction, or the database itself for a single one."""

    def rows(self, sql: str, params: Sequence[Any] = ()) -> Sequence[Row]: ...

    def row(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        """The first row, if there is one."""

    def value(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """The first column of the first row; None without a row."""


class Transaction(Reader, Protocol):
    """Reads of one moment; what is written is committed together."""

    def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        """Run a statement that writes. -> how many rows it changed."""

    def each(self, sql: str, params: Sequence[Any] = ()) -> Iterator[Row]:
        """The rows one after the other, of a question whose answer may be longer than what is taken of it."""

    def lock(self, name: str) -> None:
        """Until the end of this transaction no other one has passed `lock` of this name. Nothing to do where only one
        transaction writes at a time."""

    def alone(self, table: str) -> None:
        """Until the end of this transaction nobody else writes to this table, and what others wrote is committed.
        Nothing to do where only one transaction writes at a time."""

    def wake(self) -> None:
        """Once this is committed, lanes that wait look again. Nothing to do where they see each commit."""

    def index(self, name: str) -> str:
        """To stand behind a table: take this index, whatever the statistics say; without a name none but that of the
        rows' own numbers. Empty where that cannot be said."""

    def for_update(self, table: str) -> str:
        """To stand behind a question: nobody changes these rows before this transaction is over. Empty where only one
        transaction writes at a time."""

    def within(self, column: str, few: str) -> str:
        """A condition: the column is one of the few values that this question finds. Found by an index of the column,
        however many rows the engine expects."""

    def contains(self, column: str) -> str:
        """A condition with one mark: the text of the column contains this one, letter by letter."""

    def speeds(
        self, destinations: Sequence[str], starts: Sequence[float], width: float, most: int
    ) -> Sequence[tuple[float | None, float | None]]:
        """Of each span of `width` seconds: the median and the 99th percentile, by nearest rank, of the seconds from the
        event to its delivery, of at most `most` of the newest deliveries of each destination. None where nothing was
        delivered."""

    def make_due(self, destination: str, keys: Sequence[str], now: float) -> None:
        """What waits for this destination under one of these keys is due now, if its own time has come. Found by the
        keys alone, however much waits."""


class Database(Reader, Protocol):
    """One database, used by several threads and processes. All raise StoreUnavailable when it is out of reach."""

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """What is raised for rows that break a rule of the tables."""

    def write(self, timeout: float = PATIENCE) -> AbstractContextManager[Transaction]:
        """A transaction that is on disk when the block is left, and undone when it raises. Not to be nested.

        timeout: seconds that it waits for its turn.
        """

    def read(self) -> AbstractContextManager[Transaction]:
        """A transaction that only reads. Not to be nested."""

    def now(self) -> float:
        """Seconds since the epoch, UTC, by the clock that all processes of this database share."""

    def now_at_once(self) -> float | None:
        """See outbox.store.Store."""

    def wait(self, seconds: float, woken: Callable[[], bool]) -> bool:
        """See outbox.store.Lanes.wait."""

    def notified(self) -> bool:
        """See outbox.store.Lanes.notified."""

    def close(self) -> None: ...
