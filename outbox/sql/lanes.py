"""What a lane does in the store: claim due deliveries, begin attempts, record results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from outbox import clock
from outbox.message import Delivery, Result, State
from outbox.outcome import LeaseLost
from outbox.shared import Lease
from outbox.sql.database import Database, Reader, Row, Transaction
from outbox.sql.results import record_some
from outbox.sql.rows import by_ids, chunks, earlier, marks

FIRST_DUE = """SELECT due_at FROM deliveries d {due}
    WHERE destination = ? AND state = 'pending' AND (key IS NULL OR NOT EXISTS ({earlier}))
    ORDER BY due_at LIMIT 1"""


OF_KEYS = """SELECT id, key, state, due_at FROM deliveries {index}
    WHERE destination = ? AND key IN ({keys}) AND state IN ('pending', 'sending')
    AND (not_before IS NULL OR not_before <= ?) ORDER BY id"""

BEHIND = 100
"""How many rows of one key are claimed at most, when all that wait behind the first are wanted."""


class Choose(Protocol):
    """The ids to claim, in the order of their arrival: the first of each key that is due (keys under which an earlier
    one waits for its time are passed over), or with whole_keys all that wait behind it. limit: of how many keys."""

    def __call__(
        self, db: Transaction, destination: str, limit: int, now: float, *, whole_keys: bool, newest_first: bool
    ) -> list[int]: ...


class Lanes:
    """See outbox.store.Lanes. choose: the engine's own way to find what to claim."""

    def __init__(self, database: Database, choose: Choose) -> None:
        self.database = database
        self.choose = choose

    def claim(
        self,
        lease: Lease,
        destination: str,
        limit: int,
        *,
        whole_keys: bool,
        newest_first: bool,
        only: int | None = None,
        keys: Sequence[str] | None = None,
    ) -> list[Delivery]:
        if only is None and not self._anything(lease, destination):
            return []
        with self.database.write() as db:
            now = hold(db, lease, self.database)
            take_back(db, lease, destination, now)
            if keys is not None:
                ids = of_keys(db, destination, keys, limit, now, BEHIND if whole_keys else 1)
            elif only is None:
                ids = self.choose(db, destination, limit, now, whole_keys=whole_keys, newest_first=newest_first)
            else:
                ids = first_of_key(db, destination, only, now)
            for part in chunks(ids):
                db.execute(
                    "UPDATE deliveries SET state = 'sending', fence = ?, changed_at = ? "
                    f"WHERE state = 'pending' AND id IN ({marks(part)})",
                    (lease.fence, now, *part),
                )
        # Where another transaction may write at the same time, an operator may have been quicker.
        return [row for row in by_ids(self.database, ids) if row.state == State.SENDING]

    def _anything(self, lease: Lease, destination: str) -> bool:
        """Whether a write transaction is worth it: idle lanes ask often, and must not wake each other."""
        with self.database.read() as db:
            now = self.database.now()
            check(db, lease, now)
            due = "SELECT 1 FROM deliveries WHERE destination = ? AND state = 'pending' AND due_at <= ? LIMIT 1"
            left = "SELECT 1 FROM deliveries WHERE destination = ? AND state = 'sending' AND fence <> ? LIMIT 1"
            return bool(db.row(due, (destination, now)) or db.row(left, (destination, lease.fence)))

    def begin(self, lease: Lease, delivery_ids: Sequence[int]) -> None:
        with self.database.write() as db:
            now = hold(db, lease, self.database)
            for part in chunks(list(delivery_ids)):
                db.execute(
                    "INSERT INTO attempts (delivery_id, at, outcome) SELECT d.id, CAST(? AS double precision), 'open' "
                    f"FROM deliveries d WHERE d.id IN ({marks(part)}) AND d.state = 'sending' AND d.fence = ? "
                    "AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.delivery_id = d.id AND a.outcome = 'open') "
                    "ORDER BY d.id",
                    (now, *part, lease.fence),
                )

    def check(self, lease: Lease) -> None:
        check(self.database, lease, self.database.now())

    def record(self, lease: Lease, results: Sequence[Result], revive: Sequence[int] = ()) -> None:
        with self.database.write() as db:
            now = hold(db, lease, self.database)
            for some in chunks(list(results)):
                record_some(db, lease, some, now)
            for part in chunks(list(revive)):
                db.execute(
                    "UPDATE deliveries SET state = 'pending', failures = 0, due_at = ?, changed_at = ?, "
                    f"ended_at = NULL WHERE state = 'dead' AND id IN ({marks(part)})",
                    (now, now, *part),
                )

    def next_due(self, destination: str) -> float | None:
        with self.database.read() as db:
            sql = FIRST_DUE.format(due=db.index("deliveries_due"), earlier=earlier(db))
            due_at: float | None = db.value(sql, (destination, self.database.now()))
        return due_at

    def make_due(self, destination: str) -> int:
        now = self.database.now()
        sql = (
            "UPDATE deliveries SET due_at = ? WHERE destination = ? AND state = 'pending' AND due_at > ? "
            "AND (not_before IS NULL OR not_before <= ?)"
        )
        with self.database.write() as db:
            db.wake()
            return db.execute(sql, (now, destination, now, now))

    def heed_clock(self, destination: str) -> int:
        now = self.database.now()
        late = (
            "destination = ? AND state = 'pending' AND due_at > ? AND (changed_at > ? OR due_at > ?) "
            "AND (not_before IS NULL OR not_before <= ?)"
        )
        params = (destination, now, now + clock.SKEW, now + clock.LONGEST, now)
        if self.database.row(f"SELECT 1 FROM deliveries WHERE {late} LIMIT 1", params) is None:
            return 0
        with self.database.write() as db:
            return db.execute(f"UPDATE deliveries SET due_at = ?, changed_at = ? WHERE {late}", (now, now, *params))

    def wait(self, seconds: float, woken: Callable[[], bool]) -> bool:
        return self.database.wait(seconds, woken)

    def notified(self) -> bool:
        return self.database.notified()


def first_of_key(db: Transaction, destination: str, delivery_id: int, now: float) -> list[int]:
    """This delivery, or the one that it must not overtake; nothing while that one is being sent."""
    sql = (
        f"SELECT d.id, d.state, ({earlier(db, 'min(e.id)')}) AS first FROM deliveries d "
        "WHERE d.id = ? AND d.destination = ? AND d.state = 'pending'"
    )
    row = db.row(sql, (now, delivery_id, destination))
    if row is None:
        return []
    first: int = row["id"] if row["first"] is None else row["first"]
    return [first] if db.value("SELECT state FROM deliveries WHERE id = ?", (first,)) == State.PENDING else []


def of_keys(db: Transaction, destination: str, keys: Sequence[str], limit: int, now: float, behind: int) -> list[int]:
    """The first of each of these keys that is due, and what waits behind it; none where one is being sent."""
    found: dict[str, list[Row]] = {}
    for part in chunks(list(dict.fromkeys(keys))):
        sql = OF_KEYS.format(index=db.index("deliveries_key"), keys=marks(part))
        for row in db.rows(sql, (destination, *part, now)):
            found.setdefault(row["key"], []).append(row)
    free = [rows for rows in found.values() if all(row["state"] == State.PENDING for row in rows)]
    return [row["id"] for rows in [rows for rows in free if rows[0]["due_at"] <= now][:limit] for row in rows[:behind]]


def hold(db: Transaction, lease: Lease, database: Database) -> float:
    """Nobody else gets the lease before this transaction is over. -> now. Raises LeaseLost."""
    db.lock(lease.name)
    now = database.now()
    check(db, lease, now)
    return now


def check(db: Reader, lease: Lease, now: float) -> None:
    row = db.row("SELECT owner, fence, until FROM leases WHERE name = ?", (lease.name,))
    if row is None or row["owner"] != lease.owner or row["fence"] != lease.fence or row["until"] <= now:
        raise LeaseLost(f"{lease.name} is no longer held under fence {lease.fence}")


def take_back(db: Transaction, lease: Lease, destination: str, now: float) -> None:
    """Rows that a worker before this one left in `sending`."""
    sql = "SELECT id FROM deliveries WHERE destination = ? AND state = 'sending' AND fence <> ?"
    ids = [row["id"] for row in db.rows(sql, (destination, lease.fence))]
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
