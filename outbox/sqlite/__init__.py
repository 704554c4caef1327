"""The embedded engine: one SQLite file, shared by the web and the worker of one machine."""

from __future__ import annotations

import time
from collections.abc import Callable

from outbox.sql.lanes import Lanes
from outbox.sql.maintenance import Maintenance
from outbox.sql.operations import Operations
from outbox.sql.reading import Reading
from outbox.sql.shared import KeyValues, Leases, RateLimiter
from outbox.sqlite.claim import choose
from outbox.sqlite.connection import SqliteDatabase
from outbox.sqlite.group_commit import GroupCommit
from outbox.sqlite.upkeep import Upkeep


class SqliteStore:
    """See outbox.store.Store. Opening it touches no file; `maintenance.migrate` creates it."""

    def __init__(self, path: str, now: Callable[[], float] | None = None) -> None:
        self.database = SqliteDatabase(path, now or time.time)
        self.intake = GroupCommit(self.database)
        self.lanes = Lanes(self.database, choose)
        self.reading = Reading(self.database)
        self.operations = Operations(self.database)
        self.maintenance = Maintenance(self.database, Upkeep(self.database))
        self.key_values = KeyValues(self.database)
        self.leases = Leases(self.database)
        self.rate_limiter = RateLimiter(self.database)
        self.now = self.database.now
        self.close = self.database.close
