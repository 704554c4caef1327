"""Looking after the file: check it, copy it, let old rows go, erase a person, move the log into the database."""

from __future__ import annotations

import os
from collections.abc import Callable

from sqlite_utils import Database

from outbox.message import State, StoreUnavailable
from outbox.sql.operations import write_action
from outbox.sql.rows import chunks, marks
from outbox.sqlite.connection import Files, unavailable

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


class Maintenance:
    files: Files
    clock: Callable[[], float]

    def verify(self) -> list[str]:
        with self.files.read() as db:
            found = [row[0] for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
            for what, sql in FAULTS.items():
                count = db.execute(sql).fetchone()[0]
                if count:
                    found.append(f"{count} {what}")
        return found

    def backup(self, path: str) -> None:
        """A compact copy of one moment, while all goes on. An older file of that name is replaced once all is well."""
        part = f"{path}.part"
        db = self.files.db()
        try:
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            if os.path.exists(part):
                os.remove(part)
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            with unavailable(self.files.path):
                db.execute("VACUUM INTO ?", (part,))
            os.replace(part, path)
        except OSError as error:
            raise StoreUnavailable(f"{path}: {error.strerror}") from error

    def prune(self, older_than: float, limit: int = 1000) -> int:
        with self.files.write() as db:
            ids: list[int] = []
            names = [row[0] for row in db.execute("SELECT DISTINCT destination FROM counters")]
            for destination in names:
                for state in PRUNED:
                    sql = (
                        "SELECT id FROM deliveries INDEXED BY deliveries_ended WHERE destination = ? AND state = ? "
                        "AND ended_at < ? ORDER BY ended_at LIMIT ?"
                    )
                    ids += [row[0] for row in db.execute(sql, (destination, state, older_than, limit - len(ids)))]
            delete(db, ids)
            db.execute("DELETE FROM counters WHERE n = 0")
            db.execute("PRAGMA incremental_vacuum(1000)").fetchall()
        return len(ids)

    def forget(self, email: str, who: str) -> int:
        """All rows that bear this e-mail, and what is over of the deals that were theirs. What is left of them in the
        log of the database goes with the next checkpoint, since deleted pages are overwritten."""
        db = self.files.db()
        with unavailable(self.files.path):
            db.execute("PRAGMA secure_delete = ON").fetchall()
        with self.files.write() as db:
            sql = "SELECT id, lead_id FROM deliveries INDEXED BY deliveries_email WHERE email = ?"
            rows = db.execute(sql, (email,)).fetchall()
            ids = {row["id"] for row in rows}
            for lead_id in {row["lead_id"] for row in rows} - {None}:
                sql = (
                    "SELECT id FROM deliveries INDEXED BY deliveries_lead WHERE lead_id = ? AND email IS NULL "
                    "AND ended_at IS NOT NULL"
                )
                ids |= {row["id"] for row in db.execute(sql, (lead_id,))}
            sql = (
                "SELECT d.id FROM events e JOIN deliveries d ON d.event_id = e.id "
                "WHERE e.raw IS NOT NULL AND instr(lower(e.raw), ?)"
            )
            ids |= {row["id"] for row in db.execute(sql, (email,))}
            count = delete(db, sorted(ids))
            db.execute("DELETE FROM memory WHERE key = ? OR key LIKE '%:' || ?", (email, email))
            db.execute("UPDATE actions SET detail = '{\"forgotten\":true}' WHERE instr(lower(detail), ?)", (email,))
            write_action(db, self.clock(), who, "forget", count, {"email": masked(email)})
        return count

    def checkpoint(self) -> None:
        """Nobody commits meanwhile: versions of SQLite up to 3.51.2 may otherwise corrupt the log."""
        other = self.files.watcher()
        with self.files.write(), unavailable(self.files.path):
            other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def delete(db: Database, ids: list[int]) -> int:
    """Delete deliveries and those of their events that have no other. -> how many events."""
    count = 0
    for part in chunks(ids):
        sql = f"SELECT DISTINCT event_id FROM deliveries WHERE id IN ({marks(part)})"
        events = [row[0] for row in db.execute(sql, part)]
        db.execute(f"DELETE FROM deliveries WHERE id IN ({marks(part)})", part)
        count += db.execute(
            f"DELETE FROM events WHERE id IN ({marks(events)}) "
            "AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event_id = events.id)",
            events,
        ).rowcount
    return count


def masked(email: str) -> str:
    """s***t@example.com"""
    name, _, domain = email.rpartition("@")
    return f"{name[:1]}***{name[-1:]}@{domain}"
