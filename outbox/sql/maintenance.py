"""Looking after the store: check it, let old rows go, erase a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from outbox.failpoints import failpoint
from outbox.masking import masked_email
from outbox.message import State
from outbox.sql.database import Database, Transaction
from outbox.sql.operations import write_action
from outbox.sql.rows import chunks, marks

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
    "figures that differ from what is there": "SELECT count(*) FROM counters c LEFT JOIN (SELECT destination, "
    "event_name, state, count(*) AS n FROM deliveries GROUP BY destination, event_name, state) d "
    "USING (destination, event_name, state) WHERE c.n <> coalesce(d.n, 0)",
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
        """From now on nothing that is deleted may be left readable in the files."""

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
            failpoint("prune-before-commit")
            self._upkeep.shrink(db)
        return len(ids)

    def forget(self, email: str, who: str) -> int:
        """All rows that bear this e-mail, and what is over of the deals that were theirs. What is left of them in the
        log of the database goes with the next checkpoint, since deleted pages are overwritten."""
        self._upkeep.overwrite()
        with self.database.write() as db:
            sql = f"SELECT id, lead_id FROM deliveries {db.index('deliveries_email')} WHERE email = ?"
            rows = db.rows(sql, (email,))
            ids = {row["id"] for row in rows}
            for lead_id in {row["lead_id"] for row in rows} - {None}:
                sql = (
                    f"SELECT id FROM deliveries {db.index('deliveries_lead')} WHERE lead_id = ? AND email IS NULL "
                    "AND ended_at IS NOT NULL"
                )
                ids |= {row["id"] for row in db.rows(sql, (lead_id,))}
            sql = (
                "SELECT d.id FROM events e JOIN deliveries d ON d.event_id = e.id "
                f"WHERE e.raw IS NOT NULL AND {db.contains('lower(e.raw)')}"
            )
            ids |= {row["id"] for row in db.rows(sql, (email,))}
            count = delete(db, sorted(ids))
            end = f":{email}"
            sql = "DELETE FROM key_values WHERE key = ? OR substr(key, length(key) - ?) = ?"
            db.execute(sql, (email, len(end) - 1, end))
            sql = f"UPDATE actions SET detail = '{{\"forgotten\":true}}' WHERE {db.contains('lower(detail)')}"
            db.execute(sql, (email,))
            failpoint("forget-before-commit")
            write_action(db, self.database.now(), who, "forget", count, {"email": masked_email(email)})
        return count


def delete(db: Transaction, ids: list[int]) -> int:
    """Delete deliveries and those of their events that have no other. -> how many events."""
    count = 0
    for part in chunks(ids):
        sql = f"SELECT DISTINCT event_id FROM deliveries WHERE id IN ({marks(part)})"
        events = [row["event_id"] for row in db.rows(sql, part)]
        db.execute(f"DELETE FROM deliveries WHERE id IN ({marks(part)})", part)
        count += db.execute(
            f"DELETE FROM events WHERE id IN ({marks(events)}) "
            "AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event_id = events.id)",
            events,
        )
    return count
