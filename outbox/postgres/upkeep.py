"""Looking after the tables. Files, copies and free space are the server's own business."""

from __future__ import annotations

from collections.abc import Mapping

from outbox.message import StoreUnavailable
from outbox.postgres.database import PostgresDatabase
from outbox.postgres.migrations import migrate
from outbox.sql.counters import EMPTY, FOLDED, folded
from outbox.sql.database import Transaction

NUMBERED = {"events": "seq", "deliveries": "id", "attempts": "id", "requests": "ticket", "actions": "id"}

# In one statement, or what comes meanwhile would be deleted without being added.
FOLD = f"""WITH moved AS (DELETE FROM movements RETURNING destination, event_name, state, hour, quarter, n),
    {", ".join(f"of_{table} AS ({folded(table, 'moved')})" for table in FOLDED)} SELECT count(*) FROM moved"""


class Upkeep:
    """See outbox.sql.maintenance.Upkeep."""

    def __init__(self, database: PostgresDatabase) -> None:
        self.database = database

    def migrate(self) -> None:
        migrate(self.database.parameters)

    def faults(self) -> list[str]:
        """Checking its pages is pg_amcheck's business."""
        return []

    def backup(self, path: str) -> None:
        raise StoreUnavailable(f"{path}: nothing was written; a PostgreSQL is backed up by pg_dump, or by who hosts it")

    def checkpoint(self) -> None:
        """Add up what the triggers have counted since the last time."""
        with self.database.write() as db:
            db.lock("fold")
            if db.value(FOLD):
                for sql in EMPTY:
                    db.execute(sql)

    def size(self) -> int:
        return int(self.database.value("SELECT pg_database_size(current_database())"))

    def last_numbers(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for table, column in NUMBERED.items():
            sql = "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence(?, ?)::regclass), 0)"
            found[table] = int(self.database.value(sql, (table, column)))
        return found

    def go_on_from(self, numbers: Mapping[str, int]) -> None:
        with self.database.write() as db:
            for table, number in numbers.items():
                if number:
                    sql = "SELECT setval(pg_get_serial_sequence(?, ?), ?)"
                    db.execute(sql, (table, NUMBERED[table], number))

    def shrink(self, db: Transaction) -> None:
        """Nothing to do: autovacuum lets the room be used again."""

    def overwrite(self) -> None:
        """Nothing to do: only the server could write over it, and VACUUM FULL would lock everybody out meanwhile."""
