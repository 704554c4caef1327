"""Connecting an account: the consent page's address, the code that comes back, and the hook that says it was undone.

Reference: https://www.amocrm.ru/developers/content/oauth/step-by-step
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from outbox.outcome import DeliveryError
from service.amocrm import payloads
from service.amocrm.client import AmocrmClient
from service.amocrm.oauth.endpoint import ALLOWED_HOST, TokenEndpoint, TokenRefused, host_of
from service.amocrm.oauth.tokens import TokenOwner
from service.config import Amocrm


class ConnectError(Exception):
    """The account was not connected. code: referer, grant (the code is old or used), client (our settings), place.
    The text is for the person who pressed Connect."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Connected:
    """The account that was connected. Its name may be "" when amoCRM did not tell it yet."""

    account_id: int | None
    account_name: str
    host: str


class Connect:
    """The way from the button to stored tokens."""

    def __init__(self, settings: Amocrm, endpoint: TokenEndpoint, tokens: TokenOwner, client: AmocrmClient) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._tokens = tokens
        self._client = client

    def missing(self) -> tuple[str, ...]:
        """The settings without which nobody can be asked for consent."""
        names = ("client_id", "client_secret", "redirect_uri")
        return tuple(f"AMOCRM_{name.upper()}" for name in names if not getattr(self._settings, name))

    def consent_url(self, state: str) -> str:
        """Where the browser goes. Only these parameters: amoCRM takes the redirect address from the integration."""
        query = urlencode({"client_id": self._settings.client_id, "state": state, "mode": "popup"})
        return f"{self._settings.consent_url}?{query}"

    def exchange(self, code: str, referer: str, who: str) -> Connected:
        """Trade the code for tokens, store them, and ask the account for its name.

        referer: the account's host, as the callback told it; it comes from outside, and the client's secret is sent
        there. Raises ConnectError, and DeliveryError when amoCRM does not answer.
        """
        base_url = self._base_url(referer)
        try:
            issued = self._endpoint.ask(base_url, {"grant_type": "authorization_code", "code": code})
        except TokenRefused as refused:
            raise ConnectError(refused.kind, _words(refused)) from None
        self._tokens.import_pair(
            issued.access, issued.refresh, who=who, expires_in=issued.expires_in, base_url=base_url
        )
        with contextlib.suppress(DeliveryError):  # connected it is; the name comes with the next reading
            self._client.account()
        status = self._tokens.status()
        return Connected(status.account_id, status.account_name, host_of(base_url))

    def verify_uninstall(self, args: Mapping[str, str]) -> bool:
        """Whether the uninstall hook really comes from amoCRM. args: client_uuid, account_id, signature.

        Reference: https://www.amocrm.ru/developers/content/oauth/uninstall-hook
        """
        if not self._settings.client_secret or args.get("client_uuid") != self._settings.client_id:
            return False
        text = f"{args.get('client_uuid', '')}|{args.get('account_id', '')}"
        expected = hmac.new(self._settings.client_secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected.encode(), str(args.get("signature", "")).lower().encode())

    def disconnected(self, args: Mapping[str, str]) -> bool:
        """Heed the uninstall hook. -> whether it was genuine. Another account's changes nothing here."""
        if not self.verify_uninstall(args):
            return False
        ours = self._tokens.status().account_id
        if ours is None or ours == payloads.whole(args.get("account_id")):
            self._tokens.disconnected("the integration was switched off in amoCRM")
        return True

    def _base_url(self, referer: str) -> str:
        """The account's address, if the referer is a host of amoCRM and no other than the configured one."""
        host = referer.strip().lower().removeprefix("https://").rstrip("/")
        known = self._known_hosts()
        if self._settings.overridden and host == host_of(self._settings.base_url):
            return self._settings.base_url
        if self._settings.overridden or not ALLOWED_HOST.fullmatch(host):
            raise ConnectError(
                "referer", f"amoCRM sent the browser back for the host {host[:80]!r}, which is not one of amoCRM's"
            )
        if known and host not in known and self._tokens.follow():  # it may have been renamed
            known = self._known_hosts()
        if known and host not in known:
            ours = host_of(self._tokens.base_url()) or host_of(self._settings.base_url)
            raise ConnectError(
                "referer",
                f"access was given for {host}, but ours is {ours}. If the account was renamed, set AMOCRM_SUBDOMAIN to "
                f"its present name ({host.partition('.')[0]}), restart and connect again; else choose {ours} in amoCRM",
            )
        return f"https://{host}"

    def _known_hosts(self) -> set[str]:
        return {host_of(url) for url in (self._settings.base_url, self._tokens.base_url()) if url}


def _words(refused: TokenRefused) -> str:
    advice = {
        "grant": "a code is good for 20 minutes and once; press Connect again",
        "client": "check AMOCRM_CLIENT_ID, AMOCRM_CLIENT_SECRET and AMOCRM_REDIRECT_URI (byte for byte)",
        "place": "amoCRM knows no such account at this address; check AMOCRM_SUBDOMAIN and AMOCRM_DOMAIN",
    }
    return f"amoCRM gave no access ({refused.detail}): {advice[refused.kind]}"
