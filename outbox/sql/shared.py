"""Key-value store, leases and rate limiter: the three things that all processes of a store share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from outbox import rate_limit
from outbox.clock import SKEW, waits
from outbox.message import Json
from outbox.shared import Entry, Lease
from outbox.sql.database import Database, Row, Transaction
from outbox.sql.rows import chunks, encode, marks
from outbox.sql.snapshot import MOST, Answers, Question, Snapshots

KEPT = 75.0
"""Seconds for which requests are remembered; `used` looks back over 60 at most."""

LONGEST = 600.0
"""Seconds that a lease may run. One that seems to run longer was written before the clock was set back."""

VALUE = "INSERT INTO key_values (namespace, key, value, version, updated_at) VALUES"
OVERWRITE = """ON CONFLICT (namespace, key) DO UPDATE
    SET value = excluded.value, version = key_values.version + 1, updated_at = excluded.updated_at"""


class KeyValues:
    """See outbox.shared.KeyValues."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.snapshots = Snapshots(self._ask)

    def snapshot(self, kind: str) -> AbstractContextManager[None]:
        return self.snapshots.of(kind)

    def _ask(self, questions: Sequence[Question]) -> Answers:
        keys: dict[str, list[str]] = {}
        for namespace, key in questions:
            if key is not None and (namespace, None) not in questions:
                keys.setdefault(namespace, []).append(key)
        whole = [namespace for namespace, key in questions if key is None]
        conditions = [f"namespace IN ({marks(whole)})"] if whole else []
        conditions += [f"(namespace = ? AND key IN ({marks(some)}))" for some in keys.values()]
        params = [*whole, *(text for namespace, some in keys.items() for text in (namespace, *some))]
        found: Answers = {}
        for row in self.database.rows(f"SELECT * FROM key_values WHERE {' OR '.join(conditions)}", params):
            found.setdefault(row["namespace"], {})[row["key"]] = entry(row)
        return found

    @contextmanager
    def _write(self) -> Iterator[Transaction]:
        """No snapshot outlives it, also none that was begun meanwhile."""
        self.snapshots.end()
        with self.database.write() as db:
            yield db
        self.snapshots.end()

    def get(self, namespace: str, key: str) -> Entry | None:
        if (snapshot := self.snapshots.now()) is not None:
            return snapshot.read(namespace, [key]).get(key)
        row = self.database.row("SELECT * FROM key_values WHERE namespace = ? AND key = ?", (namespace, key))
        return entry(row) if row else None

    def get_many(self, namespace: str, keys: Sequence[str]) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        if (snapshot := self.snapshots.now()) is not None and len(keys) <= MOST:
            return snapshot.read(namespace, keys)
        for part in chunks(list(keys)):
            sql = f"SELECT * FROM key_values WHERE namespace = ? AND key IN ({marks(part)})"
            found.update((row["key"], entry(row)) for row in self.database.rows(sql, (namespace, *part)))
        return found

    def items(self, namespace: str) -> dict[str, Entry]:
        if (snapshot := self.snapshots.now()) is not None:
            return snapshot.read_all(namespace)
        rows = self.database.rows("SELECT * FROM key_values WHERE namespace = ? ORDER BY key", (namespace,))
        return {row["key"]: entry(row) for row in rows}

    def put(self, namespace: str, key: str, value: Json, version: int | None = None) -> int | None:
        """One statement decides who was first, so that no engine needs a lock for it."""
        text = encode(value)
        with self._write() as db:
            params: tuple[Any, ...] = (namespace, key, text, self.database.now())
            if version is None:
                sql = f"{VALUE} (?, ?, ?, 1, ?) {OVERWRITE}"
            elif version == 0:
                sql = f"{VALUE} (?, ?, ?, 1, ?) ON CONFLICT (namespace, key) DO NOTHING"
            else:
                sql = (
                    "UPDATE key_values SET value = ?, version = version + 1, updated_at = ? "
                    "WHERE namespace = ? AND key = ? AND version = ?"
                )
                params = (text, self.database.now(), namespace, key, version)
            written: int | None = db.value(f"{sql} RETURNING version", params)
        return written

    def put_many(self, namespace: str, values: Mapping[str, Json]) -> None:
        now = self.database.now()
        # In the order of the keys, as two that write the same ones must not wait for each other.
        rows = [(namespace, key, encode(value), now) for key, value in sorted(values.items())]
        if not rows:
            return
        with self._write() as db:
            for part in chunks(rows):
                flat = [column for row in part for column in row]
                db.execute(f"{VALUE} {','.join(['(?, ?, ?, 1, ?)'] * len(part))} {OVERWRITE}", flat)

    def delete(self, namespace: str, keys: Sequence[str]) -> None:
        if not keys:
            return
        with self._write() as db:
            for part in chunks(list(keys)):
                db.execute(f"DELETE FROM key_values WHERE namespace = ? AND key IN ({marks(part)})", (namespace, *part))

    def delete_old(self, namespace: str, before: float) -> int:
        with self._write() as db:
            return db.execute("DELETE FROM key_values WHERE namespace = ? AND updated_at < ?", (namespace, before))

    def drop(self, namespace: str, key: str, version: int) -> bool:
        with self._write() as db:
            sql = "DELETE FROM key_values WHERE namespace = ? AND key = ? AND version = ?"
            return bool(db.execute(sql, (namespace, key, version)))


class Leases:
    """See outbox.shared.Leases."""

    def __init__(self, database: Database, snapshots: Snapshots | None = None) -> None:
        self.database = database
        self._snapshots = snapshots

    def acquire(self, name: str, owner: str, seconds: float) -> Lease | None:
        """A new fence each time, also for an owner that asks again: what it held before is lost to it."""
        if self._snapshots is not None:
            self._snapshots.end()
        sql = "SELECT * FROM leases WHERE name = ?"
        if taken(self.database.row(sql, (name,)), owner, self.database.now()):
            return None  # without a write transaction: who waits for a lane asks often
        with self.database.write() as db:
            db.lock(name)
            now = self.database.now()
            row = db.row(sql, (name,))
            if taken(row, owner, now):
                return None
            lease = Lease(name, owner, (row["fence"] if row else 0) + 1, now + min(seconds, LONGEST))
            db.execute(
                "INSERT INTO leases (name, owner, fence, until) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE "
                "SET owner = excluded.owner, fence = excluded.fence, until = excluded.until",
                (lease.name, lease.owner, lease.fence, lease.until),
            )
            return lease

    def renew(self, lease: Lease, seconds: float) -> Lease | None:
        with self.database.write() as db:
            now = self.database.now()
            until = now + min(seconds, LONGEST)
            sql = "UPDATE leases SET until = ? WHERE name = ? AND owner = ? AND fence = ? AND until > ?"
            count = db.execute(sql, (until, lease.name, lease.owner, lease.fence, now))
        return Lease(lease.name, lease.owner, lease.fence, until) if count else None

    def release(self, lease: Lease) -> None:
        """The row stays, so that the fence goes on growing."""
        with self.database.write() as db:
            sql = "UPDATE leases SET owner = '', until = 0 WHERE name = ? AND owner = ? AND fence = ?"
            db.execute(sql, (lease.name, lease.owner, lease.fence))


class RateLimiter:
    """See outbox.shared.RateLimiter."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def reserve(self, name: str, per_second: float) -> tuple[int, float]:
        with self.database.write() as db:
            db.lock(name)
            now = self.database.now()
            past = "DELETE FROM requests WHERE name = ? AND (started_at < ? OR started_at > ?)"
            db.execute(past, (name, now - KEPT, now + SKEW))
            rows = db.rows("SELECT started_at, done_at FROM requests WHERE name = ?", (name,))
            seconds = rate_limit.wait([(row["started_at"], row["done_at"]) for row in rows], now, per_second)
            if seconds > 0:
                return 0, seconds
            sql = "INSERT INTO requests (name, started_at) VALUES (?, ?) RETURNING ticket"
            return int(db.value(sql, (name, now))), 0.0

    def done(self, name: str, ticket: int) -> None:
        with self.database.write() as db:
            sql = "UPDATE requests SET done_at = ? WHERE ticket = ? AND name = ?"
            db.execute(sql, (self.database.now(), ticket, name))

    def used(self, name: str, seconds: float) -> int:
        now = self.database.now()
        sql = "SELECT count(*) FROM requests WHERE name = ? AND started_at > ? AND started_at <= ?"
        return int(self.database.value(sql, (name, now - min(seconds, 60.0), now + SKEW)))


def entry(row: Row) -> Entry:
    return Entry(json.loads(row["value"]), row["version"], row["updated_at"])


def taken(row: Row | None, owner: str, now: float) -> bool:
    return row is not None and bool(waits(row["until"], now, LONGEST) and row["owner"] != owner)
