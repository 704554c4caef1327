"""The engines of the outbox, and how a store is opened by its address."""

from __future__ import annotations

import time
from collections.abc import Callable

from outbox.store import Store


def open_store(url: str, *, now: Callable[[], float] | None = None) -> Store:
    """The store at `sqlite:///relative/or//absolute/path`, at `postgresql://user:password@host/database`, or at
    `memory://` a new one, with empty tables.

    Raises ValueError for an address of an unknown kind, or one that cannot be read.
    """
    kind, _, rest = url.partition("://")
    if kind == "sqlite":
        from outbox.sqlite import SqliteStore

        return SqliteStore(rest.removeprefix("/") or "var/dealpost.db", now=now)
    if kind in ("postgres", "postgresql"):
        from outbox.postgres import PostgresStore

        return PostgresStore(url, now=now)
    if url == "memory://":
        from outbox.sqlite.memory import MemoryDatabase, MemoryStore

        store = MemoryStore(MemoryDatabase(now or time.time))
        store.maintenance.migrate()
        return store
    raise ValueError(
        f"DATABASE_URL: got an address that begins with {kind!r}, expected sqlite:///path or postgresql://..."
    )
