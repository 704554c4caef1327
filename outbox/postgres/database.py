"""A pool of connections to the server, and the transactions on them.

Nothing is kept in a session between two transactions, so that a transaction pooler (PgBouncer) may stand in between:
no prepared statements, settings only for one transaction, locks that end with it.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import psycopg
from psycopg.rows import DictRow
from psycopg_pool import ConnectionPool

from outbox.postgres.clock import ServerClock
from outbox.postgres.connection import (
    OURS,
    READING,
    REFUSALS,
    Connection,
    Statements,
    configure,
    connect,
    parameters,
    unavailable,
)
from outbox.postgres.notify import CHANNEL, Listener
from outbox.sql.database import PATIENCE

CONNECTIONS = 5
"""How many a process holds at most, beside its listener's. Requests that come together share a commit, so that few are
enough; the smallest servers that are for hire take twenty in all, of two web processes and a worker."""

IDLE = 60.0
"""Seconds after which a connection that nobody needed is let go, for other processes to have."""

STOPPED = 10_000
"""Milliseconds after which the server ends a transaction whose process has stopped, or is cut off, in its middle."""

WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED"
READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8 AS now"

# Every question is made for an index. For a large part of the rows, or before they have been analysed, the planner
# would rather read all of them, or all of an index to join it with a few hundred rows.
PLANS = "SET LOCAL enable_seqscan = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off"

T = TypeVar("T")


class PostgresDatabase:
    """The server's database, its pool and its listener. See outbox.sql.database.Database.

    The pool is opened by the first who needs it. After a fork the child opens its own and never touches the parent's.
    """

    refusals = REFUSALS

    def __init__(self, url: str, clock: Callable[[], float] | None = None) -> None:
        self.parameters = parameters(url)
        self.url = url
        self._given = clock
        self._forked: list[object] = []
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._name = uuid.uuid4().hex
        self._guard = threading.Lock()
        self._pool: ConnectionPool[Connection] | None = None
        self._clock = ServerClock()
        self._bell = threading.Condition(threading.Lock())
        self._rings = 0
        self._seen = threading.local()
        self._listener = Listener(self._name, lambda: connect(self.parameters), self._probe, self.ring)

    def _own(self) -> None:
        if self._pid != os.getpid():
            self._forked.append((self._pool, self._listener))
            self._start()

    def pool(self) -> ConnectionPool[Connection]:
        self._own()
        with self._guard:
            if self._pool is None:
                self._pool = ConnectionPool(
                    "",
                    connection_class=Connection,
                    kwargs={**OURS, **self.parameters},
                    min_size=1,
                    max_size=CONNECTIONS,
                    max_idle=IDLE,
                    open=False,
                    configure=configure,
                    name="dealpost",
                    # Then whoever asks next begins anew; a longer one would let attempts come ever more rarely.
                    reconnect_timeout=3.0,
                    num_workers=2,
                )
                self._pool.open()
        return self._pool

    def close(self) -> None:
        self._own()
        self._listener.close()
        with self._guard:
            if self._pool is not None:
                self._pool.close(1.0)
                self._pool = None

    # -- transactions

    @contextmanager
    def write(self, timeout: float = PATIENCE) -> Iterator[Statements]:
        with self._transaction(WRITE, timeout) as db:
            yield db
        if db.wakes:
            self.ring()

    transaction = write
    """See outbox.sql.group_commit.GroupDatabase."""

    def turn(self, timeout: float) -> AbstractContextManager[None]:
        """Transactions run side by side."""
        return nullcontext()

    def read(self) -> AbstractContextManager[Statements]:
        return self._transaction(READ, READING)

    @contextmanager
    def _transaction(self, begin: str, timeout: float) -> Iterator[Statements]:
        milliseconds = max(1, int(timeout * 1000))
        start = (
            f"{begin}; SET LOCAL statement_timeout = {milliseconds}; SET LOCAL lock_timeout = {milliseconds}; "
            f"SET LOCAL idle_in_transaction_session_timeout = {STOPPED}; {PLANS}; {CLOCK}"
        ).encode()
        with unavailable(), self._connection(timeout, lambda db: self._look(db, start)) as (db, _):
            try:
                yield db
                db.connection.execute(f"NOTIFY {CHANNEL}, '{self._name}'; COMMIT".encode() if db.wakes else b"COMMIT")
            except BaseException:
                if not db.connection.closed:
                    db.connection.execute("ROLLBACK")
                raise

    def _look(self, db: Statements, sql: bytes) -> None:
        """Run these statements, of which the last one tells the server's time."""
        sent = time.monotonic()
        cursor = db.connection.execute(sql)
        received = time.monotonic()
        while cursor.nextset():
            pass
        row = cursor.fetchone()
        assert row is not None
        self._clock.heard(row["now"], sent, received)

    @contextmanager
    def _connection(self, timeout: float, first: Callable[[Statements], T]) -> Iterator[tuple[Statements, T]]:
        """A connection and what `first` made of it. That is the health check, too: where it finds the connection cut,
        the next one is taken, until `timeout` seconds are over."""
        pool = self.pool()
        end = time.monotonic() + timeout
        while True:
            connection = pool.getconn(max(0.001, end - time.monotonic()))
            connection.limit = timeout + 1.0
            db = Statements(connection)
            try:
                try:
                    done = first(db)
                except psycopg.OperationalError:
                    if connection.closed and time.monotonic() < end:
                        continue
                    raise
                yield db, done
                return
            finally:
                pool.putconn(connection)

    # -- single questions

    def _ask(self, question: Callable[[Statements], T]) -> T:
        with unavailable(), self._connection(READING, question) as (_, answer):
            return answer

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[DictRow]:
        return self._ask(lambda db: db.rows(sql, params))

    def row(self, sql: str, params: Sequence[Any] = ()) -> DictRow | None:
        return self._ask(lambda db: db.row(sql, params))

    def value(self, sql: str, params: Sequence[Any] = ()) -> Any:
        return self._ask(lambda db: db.value(sql, params))

    # -- time

    def now(self) -> float:
        """By the server's clock. It is asked when no transaction has told it for a while."""
        if self._given is not None:
            return self._given()
        self._own()
        known = self._clock.now(time.monotonic())
        while known is None:
            self._ask(lambda db: self._look(db, CLOCK.encode()))
            known = self._clock.now(time.monotonic())
        return known

    def now_at_once(self) -> float | None:
        """See outbox.store.Store."""
        if self._given is not None:
            return self._given()
        self._own()
        return self._clock.now(time.monotonic())

    # -- waking

    def ring(self) -> None:
        """Wake those who wait in this process."""
        with self._bell:
            self._rings += 1
            self._bell.notify_all()

    def _probe(self, payload: str) -> None:
        with self._transaction(WRITE, 5.0) as db:
            db.execute("SELECT pg_notify(?, ?)", (CHANNEL, payload))

    def notified(self) -> bool:
        self._own()
        return self._listener.works()

    def wait(self, seconds: float, woken: Callable[[], bool]) -> bool:
        """What was committed between two rests of a thread ends the second one at once: nothing is slept over."""
        self._own()
        self._listener.works()
        deadline = time.monotonic() + seconds
        while not woken():
            with self._bell:
                if self._rings != getattr(self._seen, "rings", None):
                    self._seen.rings = self._rings
                    return True
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._bell.wait(min(left, 0.05))  # `woken` rings no bell
        return True
