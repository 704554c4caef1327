"""After a 403: is the integration blocked, or may one deal not be changed? The account is asked, then each goes alone.

Reference: https://www.amocrm.ru/developers/content/crm_platform/error-codes
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from service.amocrm.client import AmocrmClient
from service.amocrm.pace_store import PaceStore

if TYPE_CHECKING:
    from outbox.shared import KeyValues

KEPT = 48 * 3600.0
"""Twice the longest pause after a 403; who was not sent by then is forgotten here."""

BELIEVED = 600.0
"""Seconds for which a good account tells that it is not blocked."""


class Quarantine:
    """The deliveries whose request was answered with 403, in memory until each was sent alone."""

    def __init__(self, key_values: KeyValues, now: Callable[[], float]) -> None:
        self._store = PaceStore(key_values)
        self._now = now
        self.account_is_good = False
        self.added = False

    def check(self, client: AmocrmClient) -> frozenset[int]:
        """Ask the account if there was a 403 since it was last known to be good. -> who has to go alone. Raises
        DeliveryError while the account answers 403 too."""
        kept = self._kept()
        if kept is None:
            return frozenset()
        if not 0 <= self._now() - float(kept["checked"]) < BELIEVED:
            client.account()
            self._keep(kept, kept["rows"], self._now())
        self.account_is_good = True
        return frozenset(kept["rows"])

    def add(self, delivery_ids: Iterable[int]) -> None:
        """These were in a request that was answered with 403."""
        kept = self._kept()
        rows = [*(kept["rows"] if kept else []), *delivery_ids][-1000:]
        self._store.keep_forbidden(rows, {"checked": 0.0, "since": self._now()})
        self.added = True

    def clear(self, delivery_ids: Iterable[int]) -> None:
        """These have been sent, or need not be sent any more."""
        kept = self._kept()
        if kept is not None:
            done = set(delivery_ids)
            self._keep(kept, [one for one in kept["rows"] if one not in done], float(kept["checked"]))

    def _kept(self) -> dict[str, Any] | None:
        kept = self._store.forbidden()
        return None if kept is None or self._now() - float(kept["since"]) > KEPT else kept

    def _keep(self, kept: dict[str, Any], rows: list[int], checked: float) -> None:
        self._store.keep_forbidden(rows, {"checked": checked, "since": kept["since"]})
