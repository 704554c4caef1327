"""The embedded engine: one SQLite file, shared by the web and the worker of one machine."""

from __future__ import annotations

import time
from collections.abc import Callable

from outbox.plain import Leases, Memory, Rates
from outbox.sqlite.acts import Acts
from outbox.sqlite.care import Care
from outbox.sqlite.connection import Files
from outbox.sqlite.figures import Figures
from outbox.sqlite.intake import Intake
from outbox.sqlite.lane import Lanes
from outbox.sqlite.migrations import migrate
from outbox.sqlite.people import Lists
from outbox.sqlite.plain import SqliteLeases, SqliteMemory, SqliteRates


class SqliteStore(Intake, Lanes, Lists, Figures, Acts, Care):
    """See outbox.store.Store. Opening it touches no file; `migrate` creates it."""

    def __init__(self, path: str, now: Callable[[], float] | None = None) -> None:
        self.files = Files(path)
        self.clock = now or time.time
        Intake.__init__(self)
        self.memory: Memory = SqliteMemory(self.files, self.clock)
        self.leases: Leases = SqliteLeases(self.files, self.clock)
        self.rates: Rates = SqliteRates(self.files, self.clock)

    def now(self) -> float:
        return self.clock()

    def migrate(self) -> None:
        migrate(self.files)

    def close(self) -> None:
        self.files.close()

    def wait(self, seconds: float, woken: Callable[[], bool]) -> bool:
        return self.files.wait(seconds, woken)
