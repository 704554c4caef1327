"""Settings into destinations, and the parts that pages, commands and jobs need: composition only."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from functools import cached_property

from outbox import pauses
from outbox.drain import describe
from outbox.message import Known
from outbox.outcome import Destination
from outbox.store import Store
from service.amocrm import AmocrmAccount
from service.amocrm.account_facts import AccountFacts
from service.amocrm.oauth.token_store import KnownAccount
from service.amocrm.oauth.tokens import TokenStatus
from service.amocrm.webhook import Webhook
from service.background import BackgroundWriter
from service.config import Settings
from service.counters import AMOCRM_REQUESTS, Counters, counting
from service.destinations.deals import Deals, Previewer
from service.destinations.records.changes import StageChanges
from service.destinations.records.destination import Records
from service.destinations.records.missed_changes import MissedChanges
from service.destinations.records.rukovoditel.client import CONNECT, TOTAL, Client
from service.destinations.records.rukovoditel.entity_fields import NameLimit
from service.destinations.records.rukovoditel.insert import Rukovoditel
from service.network.http import Http
from service.network.waiting import InterruptibleWait
from service.proxies import Unexpected
from service.refusals import Refusals
from service.routing import AMOCRM, ERP
from service.sandbox_control import SandboxControl

log = logging.getLogger(__name__)


class Wiring:
    """All destinations of these settings. Nothing is opened or sent before it is needed."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings, self.store = settings, store
        self.wait = InterruptibleWait()
        self.account_id = KnownAccount(lambda: store.key_values)
        self.name_longest = NameLimit(settings.erp.entity_id, settings.erp.field_name, lambda: store.key_values)
        self.counters = Counters(lambda: store.key_values, lambda: self.figures.wake())
        self.refusals = Refusals(lambda: store.key_values, store.now, lambda: self.figures.wake())
        self.unexpected = Unexpected(lambda: store.key_values, store.now, lambda: self.figures.wake())
        self.figures = BackgroundWriter([self.refusals.flush, self.counters.flush, self.unexpected.flush])

    @cached_property
    def destinations(self) -> dict[str, Destination]:
        """By name. To add one, add a line."""
        return {AMOCRM: self.deals.destination, ERP: self.records}

    @cached_property
    def amocrm(self) -> AmocrmAccount:
        store = self.store
        return AmocrmAccount(
            self.settings.amocrm,
            key_values=store.key_values,
            leases=store.leases,
            rate_limiter=store.rate_limiter,
            now=store.now,
            token_keys=self.settings.token_keys,
            owner=f"{socket.gethostname()}:{os.getpid()}",
            wait=self.wait,
            on_answer=self._answered,
            learn=self._learn,
            reopen=store.operations.reopen,
            told=lambda status: self.counters.add(AMOCRM_REQUESTS, status),
        )

    def _learn(self, known: Sequence[Known]) -> None:
        """A name that cannot be kept holds up nothing: it is read again with a later delivery."""
        try:
            self.store.operations.learn(known)
        except Exception as error:
            log.warning("What amoCRM tells of people could not be kept: %s", describe(error))

    def _answered(self) -> None:
        """amoCRM gave somebody a good answer: what waits for that goes on, and so do records that need its deals."""
        store = self.store
        if pauses.disprove(store.key_values, store.lanes, AMOCRM, store.now()):
            store.lanes.make_due(ERP)
        self.stage_changes.answered()

    @cached_property
    def webhook(self) -> Webhook:
        settings = self.settings
        one = settings.amocrm
        return Webhook(
            self.amocrm,
            settings.public_url,
            settings.webhook_secrets,
            one.webhook_resubscribe,
            one.counts_creations,
            AccountFacts(self.store.key_values, self.store.now).keep_hook_registered,
        )

    @cached_property
    def deals(self) -> Deals:
        return Deals(self.settings.amocrm, self.amocrm, self.store.key_values, self.store.now)

    @property
    def previewer(self) -> Previewer:
        return self.deals.previewer

    @cached_property
    def stage_changes(self) -> StageChanges:
        return StageChanges(
            self.settings.amocrm,
            self.amocrm,
            self.store.key_values,
            self.store.now,
            account_id=self.account_id,
            paused=lambda: pauses.read(self.store.key_values, AMOCRM),
        )

    @cached_property
    def missed_changes(self) -> MissedChanges:
        store = self.store
        return MissedChanges(
            self.amocrm.client,
            self.stage_changes.changes,
            counting(store.intake.accept, self.counters),
            store.key_values,
            store.now,
            in_use=self.webhook.in_use,
            hear=self.amocrm.absences.hear,
            is_wanted=self.stage_changes.is_wanted if self.settings.amocrm.counts_creations else None,
        )

    @cached_property
    def erp_client(self) -> Client:
        return Client(self.settings.erp, Http(connect=CONNECT, total=TOTAL), self.store.now)

    @cached_property
    def records(self) -> Records:
        store, erp = self.store, self.settings.erp
        return Records(
            Rukovoditel(erp, self.erp_client, store.key_values, store.now),
            self.stage_changes,
            store.key_values,
            store.now,
            on_repeat=erp.on_repeat,
            also=lambda: self.amocrm.tokens.generation,
        )

    @cached_property
    def sandbox(self) -> SandboxControl | None:
        """What plays amoCRM and the ERP; None outside practice."""
        if not self.settings.sandbox:
            return None
        here = Http(connect=2.0, total=5.0)
        return SandboxControl(self.settings.amocrm.base_url, here, self.store.key_values)

    def pauses(self) -> dict[str, pauses.Paused]:
        """Those destinations that rest now."""
        read = {name: pauses.read(self.store.key_values, name) for name in (AMOCRM, ERP)}
        return {name: paused for name, paused in read.items() if paused}

    def token_status(self) -> TokenStatus:
        """Sends nothing."""
        return self.amocrm.tokens.status()
