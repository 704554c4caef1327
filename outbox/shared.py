"""What a store lends to destinations: key-value store, leases and rate limiter, shared by all processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from outbox.message import Json


@dataclass(frozen=True)
class Entry:
    """One value as stored. version grows by one with each write; updated_at is in seconds since the epoch."""

    value: Json
    version: int
    updated_at: float


class KeyValues(Protocol):
    """Named values that outlive a process: directory, tokens, pauses, choices. Committed when the call returns."""

    def snapshot(self, kind: str) -> AbstractContextManager[None]:
        """Within the block what this thread reads is of one moment, up to a second and until this process writes or
        takes a lease: each entry is read once, with the first all that the last block of this kind has read. Not to be
        nested."""

    def get(self, namespace: str, key: str) -> Entry | None: ...

    def get_many(self, namespace: str, keys: Sequence[str]) -> dict[str, Entry]: ...

    def items(self, namespace: str) -> dict[str, Entry]: ...

    def put(self, namespace: str, key: str, value: Json, version: int | None = None) -> int | None:
        """Write and return the new version. With `version` (0: must not exist yet) only if that is still the stored
        one; None: somebody else was first, nothing was written."""

    def put_many(self, namespace: str, values: Mapping[str, Json]) -> None: ...

    def delete(self, namespace: str, keys: Sequence[str]) -> None: ...

    def delete_old(self, namespace: str, before: float) -> int:
        """Delete what was written the last time before then (seconds since the epoch). -> how many."""

    def drop(self, namespace: str, key: str, version: int) -> bool:
        """Delete this entry if that is still its version. False: somebody else was first, nothing was deleted."""
        ...


@dataclass(frozen=True)
class Lease:
    """The right to do something alone until `until`. fence grows with each new owner."""

    name: str
    owner: str
    fence: int
    until: float


class Leases(Protocol):
    def acquire(self, name: str, owner: str, seconds: float) -> Lease | None:
        """The lease, or None while another owner's is running."""

    def renew(self, lease: Lease, seconds: float) -> Lease | None:
        """The same lease, longer; None: it was lost."""

    def release(self, lease: Lease) -> None: ...


class RateLimiter(Protocol):
    """One pace for all processes. Reference: outbox/rate_limit.py."""

    def reserve(self, name: str, per_second: float) -> tuple[int, float]:
        """Ask for one request. -> (ticket, 0.0): go now and call `done` after; (0, seconds): ask again after those."""

    def done(self, name: str, ticket: int) -> None:
        """The request with this ticket was answered (or given up)."""

    def used(self, name: str, seconds: float) -> int:
        """How many requests went out in the last `seconds` (60 at most)."""
