"""The engine for several machines: one PostgreSQL database, shared by any number of web and worker processes."""

from __future__ import annotations

from collections.abc import Callable

from outbox.postgres.claim import choose
from outbox.postgres.database import PostgresDatabase
from outbox.postgres.upkeep import Upkeep
from outbox.sql.group_commit import GroupCommit
from outbox.sql.store import SqlStore


class PostgresStore(SqlStore):
    """See outbox.store.Store. Opening it connects to nothing; `maintenance.migrate` makes the tables.

    now: instead of the server's clock. Raises ValueError for an address that cannot be read.
    """

    def __init__(self, url: str, now: Callable[[], float] | None = None) -> None:
        self.database = PostgresDatabase(url, now)
        self.group_commit = GroupCommit(self.database)
        super().__init__(self.database, self.group_commit, choose, Upkeep(self.database))
