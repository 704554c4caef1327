"""Putting a backup in the place of the store, while no process has it open."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from outbox.message import StoreUnavailable
from outbox.sqlite.filelock import FileLock
from outbox.sqlite.files import INDEX, LOG
from outbox.sqlite.migrations import migrations
from outbox.sqlite.upkeep import put, refuse, removed

SHARED, SHARED_SIZE = 0x40000002, 510
"""The bytes that every connection to a file of SQLite keeps locked. Reference: sqlite.org/lockingv3.html, os.h"""

TURN = 5.0
"""Seconds that the lock of the writers may take: a command of a moment may hold it."""

FOREIGN = "has none of the tables of this service; expected a file that `flask outbox backup` made"


@dataclass(frozen=True)
class Restored:
    """What was done. aside: where the old store is now, "" where there was none. events, newest: of the backup, the
    time of the newest event in seconds since the epoch."""

    aside: str
    events: int
    newest: float | None


def restore(backup: str, store: str, now: float) -> Restored:
    """Put a copy of `backup` at `store`; what was there is kept beside it. Raises StoreUnavailable, nothing changed."""
    if not os.path.isfile(backup):
        raise StoreUnavailable(f"{backup}: expected a file that `flask outbox backup` made, got none")
    refuse(backup, store)
    os.makedirs(os.path.dirname(store), mode=0o700, exist_ok=True)
    lock = FileLock(store + ".lock")
    part = store + ".restoring"
    try:
        with lock.held(TURN), removed(part):
            with unused(store):
                copy(backup, part)
            events, newest = examine(backup, part)
            fold(store)
            with unused(store):
                aside = set_aside(store, now)
                put(part, store)
        return Restored(aside, events, newest)
    except OSError as error:
        raise StoreUnavailable(f"{error.filename or store}: {error.strerror}; nothing was changed") from error
    finally:
        lock.close()


@contextmanager
def unused(store: str) -> Iterator[None]:
    """Nobody has the store open, and nobody opens it meanwhile. Raises StoreUnavailable.

    Asks for the lock as SQLite does, without reading: the file may be broken. No connection of this process may be open
    to it, since closing the file drops their locks.
    """
    try:
        file = os.open(store, os.O_RDWR)
    except FileNotFoundError:
        yield
        return
    try:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, SHARED_SIZE, SHARED)
        except (BlockingIOError, PermissionError):
            raise StoreUnavailable(
                f"{store} is in use: stop the service, web and worker, and give the command again"
            ) from None
        yield
    finally:
        os.close(file)


def copy(backup: str, part: str) -> None:
    """The backup, with a log where one lies beside it: then it was copied by hand."""
    for suffix in ("", LOG, INDEX):
        with suppress(FileNotFoundError):
            os.remove(part + suffix)
    for suffix in ("", LOG):
        source = backup + suffix
        if not suffix or os.path.exists(source):
            target = os.open(part + suffix, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with open(source, "rb") as read, os.fdopen(target, "wb") as written:
                shutil.copyfileobj(read, written, 1024 * 1024)


def examine(backup: str, part: str) -> tuple[int, float | None]:
    """Whether the copy is whole, is ours and not from a later version. -> its events, and the newest one's time."""
    try:
        with closing(sqlite3.connect(part, isolation_level=None)) as db:
            faults = [row[0] for row in db.execute("PRAGMA integrity_check(3)") if row[0] != "ok"]
            if faults:
                raise StoreUnavailable(f"{backup} is damaged: {'; '.join(faults)}. Take another backup")
            tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not {"events", "deliveries", migrations.migrations_table} <= tables:
                raise StoreUnavailable(f"{backup} {FOREIGN}")
            rows = db.execute(
                f"SELECT name FROM {migrations.migrations_table} WHERE migration_set = ?", (migrations.name,)
            )
            known = {migration.name for migration in migrations._migrations}
            if later := {row[0] for row in rows} - known:
                raise StoreUnavailable(
                    f"{backup} was made by a later version, which changed the tables ({', '.join(sorted(later))}): "
                    "update this one first"
                )
            events, newest = db.execute("SELECT count(*), max(received_at) FROM events").fetchone()
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{backup} is no backup that can be used: {error}") from error
    return events, newest


def fold(store: str) -> None:
    """Bring the old store into one file, as far as it can still be read: it is then moved in one step."""
    if not os.path.exists(store) or not os.path.exists(store + LOG):
        return
    with suppress(sqlite3.Error), closing(sqlite3.connect(store, timeout=0.0, isolation_level=None)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def set_aside(store: str, now: float) -> str:
    """The old store under a name with the date, and its log with it. -> that name, "" where there was nothing."""
    if not any(os.path.exists(store + suffix) for suffix in (LOG, INDEX, "")):
        return ""
    aside = f"{store}.{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H%M%SZ}"
    # The log first: a database without it is an older one, a log without its database spoils the next.
    for suffix in (LOG, INDEX, ""):
        with suppress(FileNotFoundError):
            os.rename(store + suffix, aside + suffix)
    return aside
