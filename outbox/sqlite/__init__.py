"""The embedded engine: one SQLite file, shared by the web and the worker of one machine."""

from __future__ import annotations

import time
from collections.abc import Callable

from outbox.sql.group_commit import GroupCommit
from outbox.sql.store import SqlStore
from outbox.sqlite.claim import choose
from outbox.sqlite.database import SqliteDatabase
from outbox.sqlite.upkeep import Upkeep


class SqliteStore(SqlStore):
    """See outbox.store.Store. Opening it touches no file; `maintenance.migrate` creates it."""

    def __init__(self, path: str, now: Callable[[], float] | None = None) -> None:
        self.database = SqliteDatabase(path, now or time.time)
        self.group_commit = GroupCommit(self.database)
        super().__init__(self.database, self.group_commit, choose, Upkeep(self.database))
