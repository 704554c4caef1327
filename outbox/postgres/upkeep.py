"""Looking after the tables. Files, copies and free space are the server's own business."""

from __future__ import annotations

from outbox.message import StoreUnavailable
from outbox.postgres.database import PostgresDatabase
from outbox.postgres.migrations import migrate
from outbox.sql.database import Transaction

# In one statement: whoever counts meanwhile sees all of the changes or their sum.
FOLD = """WITH gone AS (DELETE FROM counter_changes RETURNING destination, event_name, state, n)
    INSERT INTO counter_changes (destination, event_name, state, n)
    SELECT destination, event_name, state, sum(n) FROM gone GROUP BY destination, event_name, state
    HAVING sum(n) <> 0"""


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
            db.execute(FOLD)

    def size(self) -> int:
        return int(self.database.value("SELECT pg_database_size(current_database())"))

    def shrink(self, db: Transaction) -> None:
        """Nothing to do: autovacuum lets the room be used again."""

    def overwrite(self) -> None:
        """Nothing to do: what is deleted is gone from the files after the next vacuum."""
