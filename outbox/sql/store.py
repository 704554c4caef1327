"""A store, composed of what every engine runs and the four things that are an engine's own."""

from __future__ import annotations

from outbox import store
from outbox.sql.database import Database
from outbox.sql.lanes import Choose, Lanes
from outbox.sql.maintenance import Maintenance, Upkeep
from outbox.sql.operations import Operations
from outbox.sql.reading import Reading
from outbox.sql.shared import KeyValues, Leases, RateLimiter


class SqlStore:
    """See outbox.store.Store."""

    def __init__(self, database: Database, intake: store.Intake, choose: Choose, upkeep: Upkeep) -> None:
        self.intake = intake
        self.lanes = Lanes(database, choose)
        self.reading = Reading(database)
        self.operations = Operations(database)
        self.maintenance = Maintenance(database, upkeep)
        self.key_values = KeyValues(database)
        self.leases = Leases(database, self.key_values.snapshots)
        self.rate_limiter = RateLimiter(database)
        self.now = database.now
        self.now_at_once = database.now_at_once
        self.close = database.close
