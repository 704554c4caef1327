"""Links to amoCRM's consent page: each is good once and not for long, and says who began it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable

from outbox.clock import was_before
from outbox.shared import KeyValues

LIFE = 20 * 60.0
"""Seconds; amoCRM's code lives no longer either."""


class ConsentLinks:
    """The states of links that are on their way, kept only as digests: the owner of their namespace."""

    NAMESPACE = "oauth_state"

    def __init__(self, key_values: KeyValues, now: Callable[[], float]) -> None:
        self._key_values, self._now = key_values, now

    def begin(self, who: str) -> str:
        """A new state for a link that this person follows."""
        state = secrets.token_urlsafe(24)
        self._key_values.put(self.NAMESPACE, _key(state), {"at": self._now(), "who": who})
        return state

    def spend(self, state: str) -> str | None:
        """Who began this; None for a state that is unknown, used or too old. Of two that come at once one wins."""
        key = _key(state)
        entry = self._key_values.get(self.NAMESPACE, key)
        if entry is None or entry.value.get("spent"):
            return None
        if self._key_values.put(self.NAMESPACE, key, {**entry.value, "spent": True}, entry.version) is None:
            return None
        return str(entry.value["who"]) if was_before(entry.value["at"], self._now(), LIFE) else None

    def tidy(self) -> None:
        """Forget those that are too old to be followed."""
        entries, now = self._key_values.items(self.NAMESPACE), self._now()
        if old := [key for key, entry in entries.items() if not was_before(entry.updated_at, now, LIFE)]:
            self._key_values.delete(self.NAMESPACE, old)


def _key(state: str) -> str:
    return hashlib.sha256(state.encode("utf-8", "replace")).hexdigest()
