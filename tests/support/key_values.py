"""The key-value store and the leases of the engine in memory, for tests of what stands above them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from outbox.engines import open_store
from outbox.shared import Entry, Leases
from outbox.sql.shared import KeyValues
from outbox.sqlite.memory import MemoryStore


class WatchedKeyValues(KeyValues):
    """broken: raised by the next writes. before_put: called at the beginning of each write."""

    def __init__(self, now: Callable[[], float]) -> None:
        store = open_store("memory://", now=now)
        assert isinstance(store, MemoryStore)
        super().__init__(store.database)
        self.leases: Leases = store.leases
        self.broken: list[Exception] = []
        self.before_put: Callable[[], None] = lambda: None

    @property
    def kept(self) -> dict[tuple[str, str], Entry]:
        """All that there is, by namespace and key."""
        rows = self.database.rows("SELECT DISTINCT namespace FROM key_values")
        spaces = [row["namespace"] for row in rows]
        return {(space, key): entry for space in spaces for key, entry in self.items(space).items()}

    def put(self, namespace: str, key: str, value: Any, version: int | None = None) -> int | None:
        self.before_put()
        if self.broken:
            raise self.broken.pop(0)
        return super().put(namespace, key, value, version)
