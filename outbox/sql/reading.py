"""What pages, the API and commands ask."""

from __future__ import annotations

from outbox.sql.database import Database
from outbox.sql.figures import Figures
from outbox.sql.lists import Lists


class Reading(Lists, Figures):
    """See outbox.store.Reading: lists and figures."""

    def __init__(self, database: Database) -> None:
        self.database = database
