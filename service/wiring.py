"""Settings into destinations: the only module that sees both sides, and the one door to them for pages and commands."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

from outbox import pauses
from outbox.message import Delivery
from outbox.outcome import DeliveryError, Destination, Stopping
from outbox.store import Store
from service.amocrm import AmocrmAccount
from service.amocrm.account import Preview
from service.amocrm.connect import ConnectError
from service.amocrm.oauth import token_store
from service.amocrm.oauth.tokens import TokenStatus
from service.config import Settings
from service.destinations.records.changes import Deals, Rest
from service.destinations.records.destination import Records
from service.destinations.records.rukovoditel.client import Client
from service.destinations.records.rukovoditel.insert import Rukovoditel
from service.network.http import Http, NoAnswer
from service.routing import AMOCRM, ERP
from service.secrets import is_secret
from service.sources.missed_changes import MissedChanges

logger = logging.getLogger(__name__)

ERP_CONNECT, ERP_TOTAL = 5.0, 30.0
PING_TOTAL = 10.0
KNOWN = 30.0
"""Seconds for which the account's id is taken as it was, so that no webhook waits for a look at the tokens."""

CLOSED = ("rate", "outage", "forbidden", "reconnect")
"""Pauses of amoCRM in which it is not asked for deals either."""

HOOK_SETTINGS = ("status_lead",)
"""What amoCRM is asked to tell: changes of stage, and nothing that would only be thrown away."""


class ConnectFailed(Exception):
    """The account was not connected; the text is for the person who pressed Connect. status: of the answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Wiring:
    """All destinations of these settings. Nothing is opened or sent before it is needed.

    stopping: True once the process was asked to stop; the worker puts its own in place.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings, self.store = settings, store
        self.stopping: Callable[[], bool] = lambda: False
        self._account: tuple[int | None, float] | None = None

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
            wait=self._wait,
        )

    @cached_property
    def _erp_client(self) -> Client:
        return Client(self.settings.erp, Http(connect=ERP_CONNECT, total=ERP_TOTAL), self.store.now)

    @cached_property
    def _deals(self) -> Deals:
        return Deals(
            self.settings.amocrm,
            self.store.key_values,
            self.store.now,
            _Reader(self.amocrm),
            account_id=self.account_id,
            resting=self._amocrm_rests,
            noting=self.amocrm.client.noting,
        )

    @cached_property
    def _missed(self) -> MissedChanges:
        store, client = self.store, self.amocrm.client
        return MissedChanges(
            client.status_changes, self._deals.changes.known, store.intake.accept, store.key_values, store.now
        )

    @cached_property
    def records(self) -> Records:
        store, erp = self.store, self.settings.erp
        return Records(
            Rukovoditel(erp, self._erp_client, store.key_values, store.now),
            self._deals,
            store.key_values,
            store.now,
            on_repeat=erp.on_repeat,
            also=lambda: self.amocrm.tokens.generation,
        )

    @cached_property
    def destinations(self) -> dict[str, Destination]:
        """By name. To add one, add a line."""
        return {AMOCRM: self.amocrm.moves, ERP: self.records}

    def pauses(self) -> dict[str, pauses.Paused]:
        """Those destinations that rest now."""
        found = {name: pauses.read(self.store.key_values, name) for name in (AMOCRM, ERP)}
        return {name: paused for name, paused in found.items() if paused}

    # -- amoCRM: the connection

    def token_status(self) -> TokenStatus:
        """Sends nothing."""
        return self.amocrm.tokens.status()

    def account_id(self) -> int | None:
        """Of the connected account, as far as it is known without asking or writing anything."""
        now = time.monotonic()
        if self._account is None or now >= self._account[1]:
            entry = self.store.key_values.get(token_store.NAMESPACE, token_store.KEY)
            found = entry.value.get("account_id") if entry else None
            self._account = (found, now + KNOWN)
        return self._account[0]

    def refresh_tokens(self) -> bool:
        """Renew the access if it is due. -> whether it was. Raises DeliveryError."""
        tokens = self.amocrm.tokens
        if not tokens.connected():
            return False
        return tokens.refresh()

    def lacking_for_consent(self) -> tuple[str, ...]:
        """The settings without which nobody can be asked for consent."""
        return self.amocrm.connect.missing()

    def consent_url(self, state: str) -> str:
        return self.amocrm.connect.consent_url(state)

    def exchange(self, code: str, referer: str, who: str) -> str:
        """Connect the account. -> its name, for a person. Raises ConnectFailed."""
        try:
            connected = self.amocrm.connect.exchange(code, referer, who)
        except ConnectError as error:
            raise ConnectFailed(error.message, 400) from None
        except DeliveryError as error:
            raise ConnectFailed(error.message, 502) from None
        except RuntimeError as error:  # no key to seal the tokens with
            raise ConnectFailed(str(error), 500) from None
        self._account = None
        return connected.account_name or connected.host

    def disconnected(self, args: Mapping[str, str]) -> bool:
        """Heed amoCRM's word that the integration was removed. -> whether it was genuine."""
        return self.amocrm.connect.disconnected(args)

    # -- amoCRM: the webhook

    def hook_address(self) -> str:
        """Where amoCRM shall send its webhooks; "" while PUBLIC_URL or WEBHOOK_SECRET is not set."""
        if not self.settings.public_url or not self.settings.webhook_secrets:
            return ""
        return f"{self.settings.public_url}/webhooks/amocrm/{self.settings.webhook_secrets[0]}"

    def our_hooks(self, deadline: float) -> list[dict[str, Any]]:
        """Those of the account's webhooks that bear one of our secrets. Raises DeliveryError."""
        return [
            hook for hook in self.amocrm.client.webhooks(deadline) if self._is_ours(str(hook.get("destination", "")))
        ]

    def subscribe_hook(self, deadline: float, address: str = "") -> None:
        """Register the webhook, at `hook_address` or another, which also switches it on. Raises DeliveryError."""
        self.amocrm.client.subscribe(address or self.hook_address(), HOOK_SETTINGS, deadline)

    def _is_ours(self, destination: str) -> bool:
        path, _, query = destination.partition("?")
        secrets = [path.rpartition("/webhooks/amocrm/")[2], *(part.partition("=")[2] for part in query.split("&"))]
        return any(is_secret(one, self.settings.webhook_secrets) for one in secrets if one)

    def check_hook(self, alert: Callable[[str, Mapping[str, Any]], None]) -> str:
        """Look whether amoCRM still sends its webhooks here, and mend it where that is allowed.

        -> hook_on, hook_off (amoCRM switched it off), hook_unknown (not registered), hook_renewed (registered again)
        or hook_unset.
        """
        if not self.settings.webhook_secrets or not self.amocrm.tokens.connected():
            return "hook_unset"
        hooks = self.our_hooks(10.0)
        if any(not hook.get("disabled") for hook in hooks):
            return "hook_on"
        if not hooks and not self.hook_address():
            return "hook_unknown"
        if self.settings.amocrm.webhook_resubscribe:
            address = str(hooks[0]["destination"]) if hooks else self.hook_address()
            self.amocrm.client.subscribe(address, HOOK_SETTINGS, 10.0)
            return "hook_renewed"
        alert("hook_silent", {"destination": AMOCRM})
        return "hook_off" if hooks else "hook_unknown"

    def fetch_missed(self) -> int:
        """Take over changes of stage that no webhook told of. -> how many. Raises DeliveryError, Stopping.

        Only where webhooks are in use: a school that does not want records of its changes of stage gets none.
        """
        if not self.settings.webhook_secrets or not self.amocrm.tokens.connected() or not self._missed.is_due():
            return 0
        return self._missed.run().taken

    # -- what people ask

    def preview(self, delivery: Delivery) -> Preview:
        """What sending this delivery to amoCRM now would change. Raises DeliveryError."""
        return self.amocrm.preview(delivery)

    def previews(self, deliveries: Sequence[Delivery]) -> dict[int, Preview]:
        """The same of many, by their ids, without those that were not looked up. Raises DeliveryError."""
        return self.amocrm.previews(deliveries)

    def check_erp(self, deadline: float = 10.0) -> str:
        """Sign in to the ERP. -> its name for our user. Raises DeliveryError."""
        return self._erp_client.login(total=deadline)

    def unknown_erp_fields(self, deadline: float = 10.0) -> tuple[str, ...]:
        """Configured fields that the ERP does not show. Raises DeliveryError, also for an unknown entity."""
        return self._erp_client.unknown_fields(total=deadline)

    def ping(self) -> bool:
        """Tell HEARTBEAT_URL that the worker lives. -> whether somebody was told."""
        if not self.settings.heartbeat_url:
            return False
        with suppress(NoAnswer):
            reply = Http(connect=5.0, total=PING_TOTAL).request("GET", self.settings.heartbeat_url)
            if reply.status < 300:
                return True
        logger.warning("HEARTBEAT_URL did not take the heartbeat")
        return False

    def tidy(self) -> int:
        """Forget what destinations remember of people and deals long gone. -> how many."""
        return self.amocrm.tidy() + self._deals.changes.sweep()

    # -- how destinations wait

    def _wait(self, seconds: float) -> None:
        """Rest, but not longer than a stop may wait. Raises Stopping."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.stopping():
                raise Stopping
            time.sleep(min(left, 0.2))

    def _amocrm_rests(self) -> Rest | None:
        """Whether the ERP's lane may not ask amoCRM for deals now."""
        if not self.amocrm.tokens.connected() or not self.amocrm.tokens.base_url():
            return Rest(600.0, "amocrm_not_set_up", "The deal has to be read from amoCRM, which is not connected yet")
        paused = pauses.read(self.store.key_values, AMOCRM)
        if paused is None or paused.kind not in CLOSED or paused.until is None:
            return None
        left = paused.until - self.store.now()
        return (
            Rest(left, paused.cause, f"The deal has to be read from amoCRM, which rests: {paused.reason}")
            if left > 0
            else None
        )


class _Reader:
    """Reads deals for an ERP, which knows no amoCRM."""

    def __init__(self, account: AmocrmAccount) -> None:
        self._account = account

    def account_id(self) -> int | None:
        told = str(self._account.client.account().get("id"))
        return int(told) if told.isdigit() else None

    def leads(self, ids: Any) -> Any:
        return self._account.client.leads(ids)

    def contacts(self, ids: Any) -> Any:
        return self._account.client.contacts(ids)

    def is_wanted(self, pipeline_id: int, status_id: int, wanted: Any) -> bool:
        return self._account.pipelines.is_wanted(pipeline_id, status_id, wanted)

    def names(self, pipeline_id: int, status_id: int) -> tuple[str, str]:
        return self._account.pipelines.names(pipeline_id, status_id)
