"""The embedded engine: one SQLite file, shared by the web and the worker of one machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from outbox.message import Attempt, Delivery, Event
from outbox.sqlite.connection import Files
from outbox.sqlite.intake import Intake
from outbox.sqlite.lane import Lanes
from outbox.sqlite.migrations import migrate
from outbox.sqlite.plain import SqliteLeases, SqliteMemory, SqliteRates
from outbox.sqlite.rows import DELIVERY, attempt, by_ids, chunks, delivery, event, marks


class SqliteStore(Intake, Lanes):
    """See outbox.store.Store. Opening it touches no file; `migrate` creates it."""

    def __init__(self, path: str, now: Callable[[], float] | None = None) -> None:
        self.clock = now or time.time
        files = Files(path)
        Intake.__init__(self, files, self.clock)
        self.memory = SqliteMemory(files, self.clock)
        self.leases = SqliteLeases(files, self.clock)
        self.rates = SqliteRates(files, self.clock)

    def migrate(self) -> None:
        migrate(self.files)

    def close(self) -> None:
        self.files.close()

    def wait(self, seconds: float, woken: Callable[[], bool]) -> bool:
        return self.files.wait(seconds, woken)

    def event(self, event_id: str) -> Event | None:
        row = self.files.row("SELECT * FROM events WHERE id = ?", (event_id,))
        return event(row, self.deliveries_of(event_id)) if row else None

    def deliveries_of(self, event_id: str) -> list[Delivery]:
        sql = (
            f"SELECT {DELIVERY} FROM deliveries d JOIN events e ON e.id = d.event_id WHERE d.event_id = ? ORDER BY d.id"
        )
        return [delivery(row) for row in self.files.rows(sql, (event_id,))]

    def delivery(self, delivery_id: int) -> Delivery | None:
        found = by_ids(self.files, [delivery_id])
        return found[0] if found else None

    def attempts(self, delivery_ids: Sequence[int]) -> dict[int, list[Attempt]]:
        found: dict[int, list[Attempt]] = {one: [] for one in delivery_ids}
        for part in chunks(list(found)):
            sql = f"SELECT * FROM attempts WHERE delivery_id IN ({marks(part)}) ORDER BY id"
            for row in self.files.rows(sql, part):
                found[row["delivery_id"]].append(attempt(row))
        return found
