"""Looking after the database file: its schema, copies of it, its log, its free pages."""

from __future__ import annotations

import os

from outbox.failpoints import failpoint
from outbox.message import StoreUnavailable
from outbox.sql.database import Transaction
from outbox.sqlite.connection import SqliteDatabase, unavailable
from outbox.sqlite.migrations import migrate


class Upkeep:
    """See outbox.sql.maintenance.Upkeep."""

    def __init__(self, database: SqliteDatabase) -> None:
        self.database = database

    def migrate(self) -> None:
        migrate(self.database)

    def faults(self) -> list[str]:
        rows = self.database.rows("PRAGMA integrity_check")
        return [row[0] for row in rows if row[0] != "ok"]

    def backup(self, path: str) -> None:
        """A compact copy of one moment, while all goes on. An older file of that name is replaced once all is well."""
        part = f"{path}.part"
        try:
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            if os.path.exists(part):
                os.remove(part)
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            with unavailable(self.database.path):
                self.database.connection().execute("VACUUM INTO ?", (part,))
            failpoint("backup-before-rename")
            os.replace(part, path)
        except OSError as error:
            raise StoreUnavailable(f"{path}: {error.strerror}") from error

    def checkpoint(self) -> None:
        """Nobody commits meanwhile: versions of SQLite up to 3.51.2 may otherwise corrupt the log."""
        other = self.database.watcher()
        with self.database.write(), unavailable(self.database.path):
            failpoint("checkpoint-before")
            other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            failpoint("checkpoint-after")

    def shrink(self, db: Transaction) -> None:
        db.rows("PRAGMA incremental_vacuum(1000)")

    def overwrite(self) -> None:
        self.database.rows("PRAGMA secure_delete = ON")
