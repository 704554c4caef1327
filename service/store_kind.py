"""Whether a store holds practice or real events. A file says so by its name; a server's database, by what is in it."""

from __future__ import annotations

from contextlib import suppress

from outbox.message import StoreUnavailable
from outbox.queries import Filter
from outbox.store import Store
from service.config import ConfigError, Settings


class StoreKind:
    """What a store was first used for: the owner of this namespace."""

    NAMESPACE = "store_kind"
    KEY = "practice"

    def __init__(self, store: Store) -> None:
        self._store = store

    def claim(self, settings: Settings) -> None:
        """The first one says what the store is for, and all others are held to it. Raises ConfigError."""
        practice = self._said()
        if practice is None:
            # What was accepted before anybody said so is real, but in a file that practice alone opens.
            real = settings.sandbox and not settings.on_sqlite and bool(self._store.reading.find(Filter(), 1).rows)
            with suppress(StoreUnavailable):  # a full disk keeps nobody from starting
                self._store.key_values.put(self.NAMESPACE, self.KEY, settings.sandbox and not real, 0)
            practice = self._said()
        if settings.on_sqlite or practice in (None, settings.sandbox):
            return
        got = "a database of practice" if practice else "SANDBOX=1 at a database that holds a real outbox"
        wanted = "another, empty database, or SANDBOX=1" if practice else "another, empty database for practice"
        raise ConfigError([f"DATABASE_URL: {got}; expected {wanted}, as practice and real events never mix"])

    def _said(self) -> bool | None:
        entry = self._store.key_values.get(self.NAMESPACE, self.KEY)
        return bool(entry.value) if entry else None
