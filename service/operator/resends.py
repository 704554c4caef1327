"""Resends of many at once, kept for as long as somebody may follow how far they have come."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from outbox.clock import was_before
from outbox.shared import KeyValues

KEPT = 24 * 3600.0
"""Seconds for which a resend can be followed."""


class Resends:
    """Which deliveries each resend sent again: the owner of their namespace."""

    NAMESPACE = "bulk"

    def __init__(self, key_values: KeyValues, now: Callable[[], float]) -> None:
        self._key_values, self._now = key_values, now

    def begin(self, delivery_ids: Sequence[int], who: str) -> str:
        """Keep what was sent again. -> the key by which it is followed."""
        now = self._now()
        key = f"{delivery_ids[0]}-{int(now * 1000)}"
        self._key_values.put(self.NAMESPACE, key, {"ids": list(delivery_ids), "at": now, "who": who})
        return key

    def delivery_ids(self, key: str) -> tuple[int, ...] | None:
        """None: there is no such resend, or it is long over."""
        entry = self._key_values.get(self.NAMESPACE, key)
        return None if entry is None else tuple(entry.value["ids"])

    def tidy(self) -> None:
        """Forget those that nobody follows any more."""
        entries, now = self._key_values.items(self.NAMESPACE), self._now()
        if old := [key for key, entry in entries.items() if not was_before(entry.updated_at, now, KEPT)]:
            self._key_values.delete(self.NAMESPACE, old)
