"""What a lane does in the store: claim due deliveries, begin attempts, record results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

from sqlite_utils import Database

from outbox.message import Delivery, Result, State
from outbox.outcome import LeaseLost
from outbox.shared import Lease
from outbox.sql.rows import by_ids, chunks, encode, marks
from outbox.sqlite.connection import Files

BEHIND = 100
"""How many rows of one key are claimed at most, when all that wait behind the first are wanted."""

ROWS = 20
"""How many rows a claim takes at most, as a multiple of the keys that were asked for."""

DUE = """SELECT id, key FROM deliveries INDEXED BY deliveries_due
    WHERE destination = ? AND state = 'pending' AND due_at <= ? ORDER BY id {}"""
HEAD = """SELECT id, state, due_at FROM deliveries INDEXED BY deliveries_key
    WHERE destination = ? AND key = ? AND state IN ('pending', 'sending') AND (not_before IS NULL OR not_before <= ?)
    ORDER BY id LIMIT ?"""
FIRST_DUE = """SELECT due_at FROM deliveries d INDEXED BY deliveries_due
    WHERE destination = ? AND state = 'pending' AND (key IS NULL OR NOT EXISTS (
        SELECT 1 FROM deliveries e INDEXED BY deliveries_key
        WHERE e.destination = d.destination AND e.key = d.key AND e.state IN ('pending', 'sending') AND e.id < d.id
        AND (e.not_before IS NULL OR e.not_before <= ?)))
    ORDER BY due_at LIMIT 1"""


class Lanes:
    files: Files
    clock: Callable[[], float]

    def claim(
        self, lease: Lease, destination: str, limit: int, *, whole_keys: bool, newest_first: bool
    ) -> list[Delivery]:
        if not self._anything(lease, destination):
            return []
        with self.files.write() as db:
            now = self.clock()
            check(db, lease, now)
            take_back(db, lease, destination, now)
            ids = choose(db, destination, limit, now, whole_keys=whole_keys, newest_first=newest_first)
            for part in chunks(ids):
                sql = f"UPDATE deliveries SET state = 'sending', fence = ?, changed_at = ? WHERE id IN ({marks(part)})"
                db.execute(sql, (lease.fence, now, *part))
        return by_ids(self.files, ids)

    def _anything(self, lease: Lease, destination: str) -> bool:
        """Whether a write transaction is worth it: idle lanes ask often, and must not wake each other."""
        with self.files.read() as db:
            now = self.clock()
            check(db, lease, now)
            due = "SELECT 1 FROM deliveries WHERE destination = ? AND state = 'pending' AND due_at <= ? LIMIT 1"
            left = "SELECT 1 FROM deliveries WHERE destination = ? AND state = 'sending' AND fence <> ? LIMIT 1"
            return bool(
                db.execute(due, (destination, now)).fetchone()
                or db.execute(left, (destination, lease.fence)).fetchone()
            )

    def begin(self, lease: Lease, delivery_ids: Sequence[int]) -> None:
        with self.files.write() as db:
            now = self.clock()
            check(db, lease, now)
            for one in delivery_ids:
                db.execute(
                    "INSERT INTO attempts (delivery_id, at, outcome) SELECT id, ?, 'open' FROM deliveries "
                    "WHERE id = ? AND state = 'sending' AND fence = ? AND NOT EXISTS "
                    "(SELECT 1 FROM attempts WHERE delivery_id = ? AND outcome = 'open')",
                    (now, one, lease.fence, one),
                )

    def record(self, lease: Lease, results: Sequence[Result], revive: Sequence[int] = ()) -> None:
        with self.files.write() as db:
            now = self.clock()
            check(db, lease, now)
            for result in results:
                record_one(db, lease, result, now)
            for part in chunks(list(revive)):
                db.execute(
                    "UPDATE deliveries SET state = 'pending', failures = 0, due_at = ?, changed_at = ?, "
                    f"ended_at = NULL WHERE state = 'dead' AND id IN ({marks(part)})",
                    (now, now, *part),
                )

    def next_due(self, destination: str) -> float | None:
        row = self.files.row(FIRST_DUE, (destination, self.clock()))
        return float(row["due_at"]) if row else None

    def make_due(self, destination: str) -> int:
        now = self.clock()
        sql = (
            "UPDATE deliveries SET due_at = ? WHERE destination = ? AND state = 'pending' AND due_at > ? "
            "AND (not_before IS NULL OR not_before <= ?)"
        )
        with self.files.write() as db:
            return int(db.execute(sql, (now, destination, now, now)).rowcount)


def check(db: Database, lease: Lease, now: float) -> None:
    row = db.execute("SELECT owner, fence, until FROM leases WHERE name = ?", (lease.name,)).fetchone()
    if row is None or row["owner"] != lease.owner or row["fence"] != lease.fence or row["until"] <= now:
        raise LeaseLost(f"{lease.name} is no longer held under fence {lease.fence}")


def take_back(db: Database, lease: Lease, destination: str, now: float) -> None:
    """Rows that a worker before this one left in `sending`."""
    sql = "SELECT id FROM deliveries WHERE destination = ? AND state = 'sending' AND fence <> ?"
    ids = [row["id"] for row in db.execute(sql, (destination, lease.fence)).fetchall()]
    for part in chunks(ids):
        open_ones = f"SELECT delivery_id FROM attempts WHERE outcome = 'open' AND delivery_id IN ({marks(part)})"
        db.execute(f"UPDATE deliveries SET interrupted = 1 WHERE id IN ({open_ones})", part)
        db.execute(
            "UPDATE attempts SET outcome = 'interrupted', finished_at = ?, detail = 'the worker stopped meanwhile' "
            f"WHERE outcome = 'open' AND delivery_id IN ({marks(part)})",
            (now, *part),
        )
        db.execute(
            "UPDATE deliveries SET state = 'pending', fence = NULL, due_at = ?, changed_at = ? "
            f"WHERE id IN ({marks(part)})",
            (now, now, *part),
        )


def choose(
    db: Database, destination: str, limit: int, now: float, *, whole_keys: bool, newest_first: bool
) -> list[int]:
    """The ids to claim: the first of each key, or with all that wait behind it, in the order of their arrival.

    A key is as new as its newest due row: who has just done something goes first, together with what waited before.
    """
    seen: set[str] = set()
    ids: list[int] = []
    heads = 0
    for row in db.execute(DUE.format("DESC" if newest_first else "ASC"), (destination, now)):
        if heads >= limit or len(ids) >= limit * ROWS:
            break
        if row["key"] is None:
            ids.append(row["id"])
            heads += 1
        elif row["key"] not in seen:
            seen.add(row["key"])
            params = (destination, row["key"], now, BEHIND if whole_keys else 1)
            rows = db.execute(HEAD, params).fetchall()
            if rows and rows[0]["state"] == State.PENDING and rows[0]["due_at"] <= now:
                ids += [one["id"] for one in rows]
                heads += 1
    return ids


def record_one(db: Database, lease: Lease, result: Result, now: float) -> None:
    sql = "SELECT facts FROM deliveries WHERE id = ? AND state = 'sending' AND fence = ?"
    row = db.execute(sql, (result.delivery_id, lease.fence)).fetchone()
    if row is None:
        return  # erased meanwhile
    waits = result.state == State.PENDING
    columns: dict[str, object] = {
        "state": result.state.value,
        "changed_at": now,
        "ended_at": None if waits else now,
        "due_at": now if result.due_at is None else result.due_at,
        "fence": None,
    }
    if result.outcome not in (None, "paused"):
        columns |= {"reason": result.reason, "cause": result.cause, "interrupted": int(result.interrupted)}
    elif result.interrupted or (result.outcome is None and is_open(db, result.delivery_id)):
        columns["interrupted"] = 1  # it goes back, and nobody knows what became of what was sent
    if result.reference:
        columns["reference"] = result.reference
    if result.facts:
        columns["facts"] = encode({**json.loads(row["facts"]), **result.facts})
    if result.person is not None:
        columns["person"] = result.person
    if result.lead_id is not None:
        columns["lead_id"] = result.lead_id
    sets = ", ".join(f"{name} = ?" for name in columns)
    sql = f"UPDATE deliveries SET {sets}, failures = failures + ? WHERE id = ?"
    db.execute(sql, (*columns.values(), int(result.counts), result.delivery_id))
    close_attempt(db, result, now)


def is_open(db: Database, delivery_id: int) -> bool:
    sql = "SELECT 1 FROM attempts WHERE delivery_id = ? AND outcome = 'open'"
    return db.execute(sql, (delivery_id,)).fetchone() is not None


def close_attempt(db: Database, result: Result, now: float) -> None:
    """The open attempt ends; without one, and with something to tell, a closed one is written."""
    end: Iterable[object] = (
        now,
        result.outcome or "interrupted",
        result.status,
        result.detail,
        result.cause,
        encode(result.params),
        encode(list(result.exchanges)),
        result.delivery_id,
    )
    closed = db.execute(
        "UPDATE attempts SET finished_at = ?, outcome = ?, status = ?, detail = ?, cause = ?, params = ?, "
        "exchanges = ? WHERE delivery_id = ? AND outcome = 'open'",
        tuple(end),
    ).rowcount
    if not closed and result.outcome is not None:
        db.execute(
            "INSERT INTO attempts (at, finished_at, outcome, status, detail, cause, params, exchanges, delivery_id) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (now, *end),
        )
