"""The destination that moves deals: a lesson brings its student's deal to the right stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from service.amocrm import AmocrmAccount
from service.config import Amocrm
from service.destinations.deals.destination import DealMoves
from service.destinations.deals.directory import Directory
from service.destinations.deals.prefetch import Prefetch
from service.destinations.deals.preview import FoundLeads, Preview, Previewer

if TYPE_CHECKING:
    from outbox.shared import KeyValues

__all__ = ["DealMoves", "Deals", "FoundLeads", "Preview", "Previewer"]

FORGOTTEN = 90 * 24 * 3600.0
"""Seconds after which an e-mail or a deal that was not heard of is forgotten."""


class Deals:
    """The destination and the preview of it, over one account. Building it sends nothing."""

    def __init__(
        self, settings: Amocrm, account: AmocrmAccount, key_values: KeyValues, now: Callable[[], float]
    ) -> None:
        prefetch = Prefetch(account.client, account.pipelines, key_values, now)
        self._own_changes = account.own_changes
        self._directory = Directory(account.client, prefetch, key_values, now)
        self._now = now
        self.destination = DealMoves(settings, account, self._directory, key_values, now)
        self.previewer = Previewer(account, self._directory, now)

    def tidy(self) -> int:
        """Forget e-mails and deals that were not heard of for long. -> how many. For a daily job."""
        before = self._now() - FORGOTTEN
        return self._directory.tidy(before) + self._own_changes.tidy(before)
