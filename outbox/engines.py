"""The engines of the outbox, and how a store is opened by its address."""

from __future__ import annotations

from collections.abc import Callable

from outbox.store import Store


def open_store(url: str, *, now: Callable[[], float] | None = None) -> Store:
    """The store at `sqlite:///relative/or//absolute/path`. Raises ValueError for an address of an unknown kind."""
    kind, _, rest = url.partition("://")
    if kind == "sqlite":
        from outbox.sqlite import SqliteStore

        return SqliteStore(rest.removeprefix("/") or "var/dealpost.db", now=now)
    raise ValueError(f"DATABASE_URL: got an address that begins with {kind!r}, expected sqlite:///path")
