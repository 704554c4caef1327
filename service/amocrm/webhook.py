"""The account's webhook: where it shall send to, which of its hooks are ours, and whether they still are switched on.

Reference: https://www.amocrm.ru/developers/content/crm_platform/webhooks-api
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from service.amocrm.account import AmocrmAccount
from service.secrets import is_secret

STAGE_CHANGED, DEAL_ADDED = "status_lead", "add_lead"
"""What amoCRM is asked to tell, and nothing that would only be thrown away."""

WAIT = 10.0
"""Seconds that the scheduled look may take."""


class Webhook:
    """secrets: of WEBHOOK_SECRET, the one in use first. resubscribe: whether a look may register it again. creations:
    whether it shall tell of deals that are made as well. on_registered: called after each registration."""

    def __init__(
        self,
        account: AmocrmAccount,
        public_url: str,
        secrets: Sequence[str],
        resubscribe: bool,
        creations: bool,
        on_registered: Callable[[], object] = lambda: None,
    ) -> None:
        self._account = account
        self._public_url = public_url
        self._secrets = secrets
        self._resubscribe = resubscribe
        self._on_registered = on_registered
        self.events = (STAGE_CHANGED, DEAL_ADDED) if creations else (STAGE_CHANGED,)

    def address(self) -> str:
        """Where amoCRM shall send its webhooks; "" while PUBLIC_URL or WEBHOOK_SECRET is not set."""
        if not self._public_url or not self._secrets:
            return ""
        return f"{self._public_url}/webhooks/amocrm/{self._secrets[0]}"

    def in_use(self) -> bool:
        """Whether changes of stage are wanted and can be asked for."""
        return bool(self._secrets) and self._account.tokens.connected()

    def ours(self, deadline: float) -> list[dict[str, Any]]:
        """Those of the account's webhooks that bear one of our secrets. Raises DeliveryError."""
        hooks = self._account.client.bound(deadline=deadline).webhooks()
        return [hook for hook in hooks if self._is_ours(str(hook.get("destination", "")))]

    def subscribe(self, deadline: float, address: str = "") -> None:
        """Register the webhook, at `address` or the usual one, which also switches it on. Raises DeliveryError."""
        self._account.client.bound(deadline=deadline).subscribe(address or self.address(), self.events)
        self._on_registered()

    def check(self) -> str:
        """Look whether amoCRM still sends its webhooks here, and mend it where that is allowed. Raises DeliveryError.

        -> hook_on, hook_off (amoCRM switched it off), hook_unknown (not registered), hook_renewed (registered again)
        or hook_unset.
        """
        if not self.in_use():
            return "hook_unset"
        hooks = self.ours(WAIT)
        if any(not hook.get("disabled") for hook in hooks):
            return "hook_on"
        if not hooks and not self.address():
            return "hook_unknown"
        if self._resubscribe:
            self.subscribe(WAIT, str(hooks[0]["destination"]) if hooks else "")
            return "hook_renewed"
        return "hook_off" if hooks else "hook_unknown"

    def _is_ours(self, destination: str) -> bool:
        path, _, query = destination.partition("?")
        secrets = [path.rpartition("/webhooks/amocrm/")[2], *(part.partition("=")[2] for part in query.split("&"))]
        return any(is_secret(secret, self._secrets) for secret in secrets if secret)
