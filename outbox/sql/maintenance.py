"""Looking after the store: check it, let old rows go, erase a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from outbox.failpoints import failpoint
from outbox.message import NOWHERE, NewDelivery, NewEvent, State, new_id
from outbox.sql import counters, undo
from outbox.sql.database import Database, Transaction
from outbox.sql.forget import delete, forget
from outbox.sql.intake import add, ready
from outbox.sql.rows import encode
from outbox.sql.shared import OVERWRITE, VALUE

NAMESPACE, KEY = "health", "probe"
"""When a probe was stored the last time."""

PRUNED = (State.DELIVERED, State.SKIPPED, State.DISCARDED)

FAULTS = {
    "deliveries without their event": "SELECT count(*) FROM deliveries d LEFT JOIN events e ON e.id = d.event_id "
    "WHERE e.id IS NULL",
    "events without any delivery": "SELECT count(*) FROM events e LEFT JOIN deliveries d ON d.event_id = e.id "
    "WHERE d.id IS NULL",
    "attempts without their delivery": "SELECT count(*) FROM attempts a LEFT JOIN deliveries d ON d.id = a.delivery_id "
    "WHERE d.id IS NULL",
    "open attempts of deliveries that are not being sent": "SELECT count(*) FROM attempts a "
    "JOIN deliveries d ON d.id = a.delivery_id WHERE a.outcome = 'open' AND d.state <> 'sending'",
    **counters.FAULTS,
}


class Upkeep(Protocol):
    """What an engine does for itself: its schema, its files, its free space."""

    def migrate(self) -> None: ...

    def faults(self) -> list[str]:
        """What is wrong with the database itself, below the tables."""

    def backup(self, path: str) -> None: ...

    def checkpoint(self) -> None: ...

    def size(self) -> int:
        """Bytes."""

    def shrink(self, db: Transaction) -> None:
        """Some rows were deleted in this transaction: give a bounded part of their room back."""

    def overwrite(self) -> None:
        """A person was erased: nothing of what is deleted may be left readable in the files."""

    def last_numbers(self) -> dict[str, int]:
        """By table the highest number that a row ever had, as it may have been deleted since."""

    def go_on_from(self, numbers: Mapping[str, int]) -> None:
        """Rows that are added from now on have higher numbers."""


class Maintenance:
    """See outbox.store.Maintenance."""

    def __init__(self, database: Database, upkeep: Upkeep) -> None:
        self.database = database
        self.migrate = upkeep.migrate
        self.backup = upkeep.backup
        self.checkpoint = upkeep.checkpoint
        self.size = upkeep.size
        self.last_numbers = upkeep.last_numbers
        self.go_on_from = upkeep.go_on_from
        self._upkeep = upkeep

    def verify(self) -> list[str]:
        found = self._upkeep.faults()
        with self.database.read() as db:
            for what, sql in FAULTS.items():
                count = db.value(sql)
                if count:
                    found.append(f"{count} {what}")
        return found

    def prune(self, older_than: float, limit: int = 1000) -> int:
        with self.database.write() as db:
            ids: list[int] = []
            for name in db.rows("SELECT DISTINCT destination FROM counters"):
                for state in PRUNED:
                    sql = (
                        f"SELECT id FROM deliveries {db.index('deliveries_ended')} WHERE destination = ? AND state = ? "
                        "AND ended_at < ? ORDER BY ended_at LIMIT ?"
                    )
                    params = (name["destination"], state.value, older_than, limit - len(ids))
                    ids += [row["id"] for row in db.rows(sql, params)]
            delete(db, ids)
            undo.clear(db, self.database.now())
            failpoint("prune-before-commit")
            self._upkeep.shrink(db)
        return len(ids)

    def forget(self, email: str, who: str) -> int:
        with self.database.write() as db:
            undo.clear_all(db)
            count = forget(db, email, who, self.database.now())
        self._upkeep.overwrite()
        return count

    def probe(self) -> None:
        with self.database.write() as db:
            now = self.database.now()
            event = NewEvent(new_id(now), "probe", {}, "probe", "", now, (NewDelivery(NOWHERE, state=State.SKIPPED),))
            # What is only rolled back never meets a full disk, so that something is committed beside it.
            db.execute("SAVEPOINT probe")
            add(db, [ready(event, now)], now)
            db.execute("ROLLBACK TO SAVEPOINT probe")
            db.execute("RELEASE SAVEPOINT probe")
            db.execute(f"{VALUE} (?, ?, ?, 1, ?) {OVERWRITE}", (NAMESPACE, KEY, encode(now), now))
