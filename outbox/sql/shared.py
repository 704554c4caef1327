"""KeyValues, leases and rates: three plain things that all processes of a store share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from outbox import rate_limit
from outbox.message import Json
from outbox.shared import Entry, Lease
from outbox.sql.rows import chunks, encode, marks
from outbox.sqlite.connection import Files, Row

KEPT = 75.0
"""Seconds for which requests are remembered; `used` looks back over 60 at most."""

LONGEST = 600.0
"""Seconds that a lease may run. One that seems to run longer was written before the clock was set back."""


class SqliteKeyValues:
    def __init__(self, files: Files, now: Callable[[], float]) -> None:
        self.files = files
        self.now = now

    def get(self, namespace: str, key: str) -> Entry | None:
        row = self.files.row("SELECT * FROM memory WHERE namespace = ? AND key = ?", (namespace, key))
        return entry(row) if row else None

    def get_many(self, namespace: str, keys: Sequence[str]) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for part in chunks(list(keys)):
            sql = f"SELECT * FROM memory WHERE namespace = ? AND key IN ({marks(part)})"
            found.update((row["key"], entry(row)) for row in self.files.rows(sql, (namespace, *part)))
        return found

    def items(self, namespace: str) -> dict[str, Entry]:
        rows = self.files.rows("SELECT * FROM memory WHERE namespace = ? ORDER BY key", (namespace,))
        return {row["key"]: entry(row) for row in rows}

    def put(self, namespace: str, key: str, value: Json, version: int | None = None) -> int | None:
        text = encode(value)
        with self.files.write() as db:
            sql = "SELECT version FROM memory WHERE namespace = ? AND key = ?"
            row = db.execute(sql, (namespace, key)).fetchone()
            stored = int(row["version"]) if row else 0
            if version is not None and version != stored:
                return None
            db.execute(
                "INSERT OR REPLACE INTO memory (namespace, key, value, version, updated_at) VALUES (?, ?, ?, ?, ?)",
                (namespace, key, text, stored + 1, self.now()),
            )
            return stored + 1

    def put_many(self, namespace: str, values: Mapping[str, Json]) -> None:
        now = self.now()
        rows = [(namespace, key, encode(value), now) for key, value in values.items()]
        if not rows:
            return
        with self.files.write() as db:
            db.conn.executemany(
                "INSERT INTO memory (namespace, key, value, version, updated_at) VALUES (?, ?, ?, 1, ?) "
                "ON CONFLICT DO UPDATE SET value = excluded.value, version = version + 1, "
                "updated_at = excluded.updated_at",
                rows,
            )

    def delete(self, namespace: str, keys: Sequence[str]) -> None:
        if not keys:
            return
        with self.files.write() as db:
            for part in chunks(list(keys)):
                db.execute(f"DELETE FROM memory WHERE namespace = ? AND key IN ({marks(part)})", (namespace, *part))

    def drop(self, namespace: str, key: str, version: int) -> bool:
        with self.files.write() as db:
            sql = "DELETE FROM memory WHERE namespace = ? AND key = ? AND version = ?"
            return bool(db.execute(sql, (namespace, key, version)).rowcount)


class SqliteLeases:
    def __init__(self, files: Files, now: Callable[[], float]) -> None:
        self.files = files
        self.now = now

    def acquire(self, name: str, owner: str, seconds: float) -> Lease | None:
        """A new fence each time, also for an owner that asks again: what it held before is lost to it."""
        row = self.files.row("SELECT * FROM leases WHERE name = ?", (name,))
        if taken(row, owner, self.now()):
            return None  # without a write transaction: who waits for a lane asks often
        with self.files.write() as db:
            now = self.now()
            row = db.execute("SELECT * FROM leases WHERE name = ?", (name,)).fetchone()
            if taken(row, owner, now):
                return None
            lease = Lease(name, owner, (row["fence"] if row else 0) + 1, now + min(seconds, LONGEST))
            db.execute(
                "INSERT OR REPLACE INTO leases (name, owner, fence, until) VALUES (?, ?, ?, ?)",
                (lease.name, lease.owner, lease.fence, lease.until),
            )
            return lease

    def renew(self, lease: Lease, seconds: float) -> Lease | None:
        with self.files.write() as db:
            now = self.now()
            until = now + min(seconds, LONGEST)
            sql = "UPDATE leases SET until = ? WHERE name = ? AND owner = ? AND fence = ? AND until > ?"
            count = db.execute(sql, (until, lease.name, lease.owner, lease.fence, now)).rowcount
        return Lease(lease.name, lease.owner, lease.fence, until) if count else None

    def release(self, lease: Lease) -> None:
        """The row stays, so that the fence goes on growing."""
        with self.files.write() as db:
            sql = "UPDATE leases SET owner = '', until = 0 WHERE name = ? AND owner = ? AND fence = ?"
            db.execute(sql, (lease.name, lease.owner, lease.fence))


class SqliteRateLimiter:
    def __init__(self, files: Files, now: Callable[[], float]) -> None:
        self.files = files
        self.now = now

    def reserve(self, name: str, per_second: float) -> tuple[int, float]:
        with self.files.write() as db:
            now = self.now()
            db.execute("DELETE FROM requests WHERE name = ? AND started_at < ?", (name, now - KEPT))
            rows = db.execute("SELECT started_at, done_at FROM requests WHERE name = ?", (name,)).fetchall()
            seconds = rate_limit.wait([(row["started_at"], row["done_at"]) for row in rows], now, per_second)
            if seconds > 0:
                return 0, seconds
            cursor = db.execute("INSERT INTO requests (name, started_at) VALUES (?, ?)", (name, now))
            return int(cursor.lastrowid or 0), 0.0

    def done(self, name: str, ticket: int) -> None:
        with self.files.write() as db:
            db.execute("UPDATE requests SET done_at = ? WHERE ticket = ? AND name = ?", (self.now(), ticket, name))

    def used(self, name: str, seconds: float) -> int:
        since = self.now() - min(seconds, 60.0)
        row = self.files.row("SELECT count(*) AS n FROM requests WHERE name = ? AND started_at > ?", (name, since))
        return int(row["n"]) if row else 0


def entry(row: Row) -> Entry:
    return Entry(json.loads(row["value"]), row["version"], row["updated_at"])


def taken(row: Row | None, owner: str, now: float) -> bool:
    return row is not None and now < row["until"] <= now + LONGEST and row["owner"] != owner
