"""The embedded engine: one SQLite file, shared by the web and the worker of one machine."""

from __future__ import annotations

import time
from collections.abc import Callable

from outbox.shared import KeyValues, Leases, RateLimiter
from outbox.sql.figures import Figures
from outbox.sql.lanes import Lanes
from outbox.sql.lists import Lists
from outbox.sql.maintenance import Maintenance
from outbox.sql.operations import Operations
from outbox.sql.shared import SqliteKeyValues, SqliteLeases, SqliteRateLimiter
from outbox.sqlite.connection import Files
from outbox.sqlite.group_commit import Intake
from outbox.sqlite.migrations import migrate


class SqliteStore(Intake, Lanes, Lists, Figures, Operations, Maintenance):
    """See outbox.store.Store. Opening it touches no file; `migrate` creates it."""

    def __init__(self, path: str, now: Callable[[], float] | None = None) -> None:
        self.files = Files(path)
        self.clock = now or time.time
        Intake.__init__(self)
        self.key_values: KeyValues = SqliteKeyValues(self.files, self.clock)
        self.leases: Leases = SqliteLeases(self.files, self.clock)
        self.rate_limiter: RateLimiter = SqliteRateLimiter(self.files, self.clock)

    def now(self) -> float:
        return self.clock()

    def migrate(self) -> None:
        migrate(self.files)

    def close(self) -> None:
        self.files.close()

    def wait(self, seconds: float, woken: Callable[[], bool]) -> bool:
        return self.files.wait(seconds, woken)

    @property
    def intake(self) -> SqliteStore:
        return self

    @property
    def lanes(self) -> SqliteStore:
        return self

    @property
    def reading(self) -> SqliteStore:
        return self

    @property
    def operations(self) -> SqliteStore:
        return self

    @property
    def maintenance(self) -> SqliteStore:
        return self
