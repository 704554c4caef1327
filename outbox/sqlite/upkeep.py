"""Looking after the database file: its schema, copies of it, its log, its free pages."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from outbox.failpoints import failpoint
from outbox.message import StoreUnavailable
from outbox.sql.counters import EMPTY, FOLDED, folded
from outbox.sql.database import PATIENCE, Database, Reader, Transaction
from outbox.sqlite.database import SqliteDatabase
from outbox.sqlite.files import INDEX, LOG

OF_THE_STORE = ("malformed", "not a database", "locked", "no such table")
"""What SQLite says of the file that it reads from, and never of the one that it writes a copy to."""

TRIES = 5

TABLES = ("events", "deliveries", "attempts", "requests", "actions")
LAST = "SELECT name, seq FROM sqlite_sequence UNION ALL SELECT 'events', coalesce(max(seq), 0) FROM events"

MIGRATIONS = ("first_tables", "name_the_key_value_store", "know_the_people", "count_by_time")
"""The names of those in migrations.py."""

IS_BEGUN = "SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'"
APPLIED = "SELECT name FROM _sqlite_migrations WHERE migration_set = 'outbox'"


class Upkeep:
    """See outbox.sql.maintenance.Upkeep."""

    def __init__(self, database: SqliteDatabase) -> None:
        self.database = database

    def migrate(self) -> None:
        if is_migrated(self.database):
            return
        from outbox.sqlite.migrations import migrate  # sqlite-utils takes megabytes, and nearly always all is done

        migrate(self.database)

    def faults(self) -> list[str]:
        rows = self.database.rows("PRAGMA integrity_check")
        return [row[0] for row in rows if row[0] != "ok"]

    def backup(self, path: str) -> None:
        """A compact copy of one moment, while all goes on. An older file of that name is replaced once all is well."""
        refuse(path, self.database.path)
        part = f"{path}.part"
        with blamed(path), removed(part):
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            if os.path.exists(part):
                os.remove(part)
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            try:
                with self.database.using() as db:
                    db.execute("VACUUM INTO ?", (part,))
            except StoreUnavailable as error:
                if any(words in str(error) for words in OF_THE_STORE):
                    raise
                raise StoreUnavailable(f"{path}: {str(error).partition(': ')[2]}; no copy was made") from error
            failpoint("backup-before-rename")
            put(part, path)

    def checkpoint(self) -> None:
        """Nobody commits meanwhile: versions of SQLite up to 3.51.2 may otherwise corrupt the log."""
        try:
            fold(self.database)
        finally:
            with self.database.lock.held(PATIENCE):
                failpoint("checkpoint-before")
                self.database.move_log()
                failpoint("checkpoint-after")

    def size(self) -> int:
        found = 0
        for suffix in ("", LOG):
            with suppress(FileNotFoundError):
                found += os.stat(self.database.path + suffix).st_size
        return found

    def last_numbers(self) -> dict[str, int]:
        return last_numbers(self.database)

    def go_on_from(self, numbers: Mapping[str, int]) -> None:
        go_on_from(self.database, numbers)

    def shrink(self, db: Transaction) -> None:
        db.rows("PRAGMA incremental_vacuum(1000)")

    def overwrite(self) -> None:
        """Deleted rows leave copies in free pages and, where others were moved, between them: so all is written anew,
        and the log, which holds the old pages, is cut to nothing."""
        try:
            with self.database.lock.held(PATIENCE), self.database.using() as db:
                self.database.files.check()
                db.execute("VACUUM")
            if not any(self.database.empty_log() for _ in range(TRIES)):
                raise StoreUnavailable("its log is being read")
        except StoreUnavailable as error:
            raise StoreUnavailable(
                f"The rows are erased, but what is left of them in the files could not be overwritten yet ({error}). "
                "Give the command again"
            ) from error


def refuse(path: str, store: str) -> None:
    """Raises StoreUnavailable where a copy would overwrite the store itself, or is no file."""
    if os.path.isdir(path):
        raise StoreUnavailable(f"{path} is a folder; expected the name of a file")
    for own in (store, store + LOG, store + INDEX, store + ".lock"):
        if os.path.realpath(path) == os.path.realpath(own) or (
            os.path.exists(path) and os.path.exists(own) and os.path.samefile(path, own)
        ):
            raise StoreUnavailable(f"{path} is the store that is in use; name another file")


@contextmanager
def blamed(path: str) -> Iterator[None]:
    """A fault of the disk, told of this file."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}; no copy was made") from error


@contextmanager
def removed(part: str) -> Iterator[None]:
    """Whatever goes wrong, no part stays and keeps a disk full."""
    try:
        yield
    except BaseException:
        for suffix in ("", "-journal", LOG, INDEX):
            with suppress(OSError):
                os.remove(part + suffix)
        raise


def put(part: str, path: str) -> None:
    """Give the whole file its name, both on disk before this returns."""
    sync(part, os.O_RDWR)
    os.replace(part, path)
    sync(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)


def sync(path: str, how: int) -> None:
    file = os.open(path, how)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def is_migrated(database: SqliteDatabase) -> bool:
    with database.using() as db:
        if db.value("PRAGMA journal_mode") != "wal" or db.row(IS_BEGUN) is None:
            return False
        return {row[0] for row in db.rows(APPLIED)} >= set(MIGRATIONS)


def fold(database: Database) -> None:
    """Add up what the triggers have counted since the last time."""
    if database.row("SELECT 1 FROM movements LIMIT 1") is None:
        return
    with database.write() as db:
        for table in FOLDED:
            db.execute(folded(table, "movements"))
        for sql in ("DELETE FROM movements", *EMPTY):
            db.execute(sql)


def last_numbers(db: Reader) -> dict[str, int]:
    return {row["name"]: row["seq"] for row in db.rows(LAST) if row["name"] in TABLES}


def go_on_from(database: Database, numbers: Mapping[str, int]) -> None:
    """Of events the newest row tells it."""
    with database.write() as db:
        for table, number in numbers.items():
            if table != "events":
                db.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
                db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, number))
