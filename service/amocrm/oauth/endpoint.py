"""amoCRM's token endpoint: one request, and what its answer means for the tokens that were sent.

Reference: https://www.amocrm.ru/developers/content/oauth/step-by-step
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from outbox.outcome import DeliveryError, PauseKind
from service.amocrm import errors, payloads
from service.amocrm.rate_limit import Pace
from service.config import Amocrm
from service.network.http import Http, NoAnswer, Reply

TOTAL = 15.0
"""Seconds for a request to the token endpoint."""

DAY = 24 * 3600.0

ALLOWED_HOST = re.compile(r"[a-z0-9_-]+\.(amocrm\.ru|amocrm\.com|kommo\.com)")
"""The only hosts that a token or the client's secret may be sent to, where the host's name came from outside."""

CLIENT_WORDS = ("client", "redirect", "авторизация клиента")
"""By these an answer blames our own settings (client id, secret, redirect address) and not the token."""


@dataclass(frozen=True)
class Issued:
    """A new pair. expires_in: seconds that the access token lives from now."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_in: float


class TokenRefused(Exception):
    """amoCRM answered that it will not give tokens for this.

    kind: grant (the code or refresh token is no good), client (our client id, secret or redirect address is not), place
        (no such account at this host). detail: its own words.
    """

    def __init__(self, kind: str, detail: str, status: int) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.status = status


class TokenEndpoint:
    """Sends grants to an account's host. Nothing here is ever logged or kept as an exchange."""

    def __init__(self, settings: Amocrm, http: Http, pace: Pace) -> None:
        self._settings = settings
        self._http = http
        self._pace = pace

    def ask(self, base_url: str, grant: Mapping[str, str], before: Callable[[], None] = lambda: None) -> Issued:
        """Send {"grant_type", "code" or "refresh_token"}. before: called last, when the request may go at once.

        Raises TokenRefused when the answer is final, DeliveryError when the same grant may be sent again.
        """
        body = {
            "client_id": self._settings.client_id,
            "client_secret": self._settings.client_secret,
            # Needed in both grants, byte for byte as in the integration's settings.
            "redirect_uri": self._settings.redirect_uri,
            **grant,
        }
        what = "POST /oauth2/access_token"
        with self._pace.turn():
            before()
            try:
                reply = self._http.request("POST", f"{base_url}/oauth2/access_token", json=body, total=TOTAL)
            except NoAnswer as fault:
                raise _whole(errors.no_answer(fault, what)) from None
        self._refuse(reply, what)
        return _issued(reply, what, grant.get("refresh_token", ""))

    def home_of(self, api_domain: str, refresh_token: str) -> tuple[int | None, str]:
        """(account id, host) of the account that this refresh token belongs to, asked at an allow-listed API domain.

        Raises DeliveryError when no good answer came or it names a host that is not allow-listed.
        """
        what = "GET /oauth2/account/current/subdomain"
        with self._pace.turn():
            try:
                reply = self._http.request(
                    "GET",
                    f"https://{api_domain}/oauth2/account/current/subdomain",
                    headers={"X-Refresh-Token": refresh_token},
                    total=TOTAL,
                )
            except NoAnswer as fault:
                raise _whole(errors.no_answer(fault, what)) from None
        error = errors.classify(reply.status, reply.headers, reply.words, what)
        if error is not None:
            raise _whole(error)
        try:
            node = payloads.document(reply.body)
        except payloads.Unreadable as fault:
            raise _whole(errors.unreadable(what, str(fault))) from None
        host = str(node.get("domain") or "").lower()
        if not ALLOWED_HOST.fullmatch(host):
            raise _whole(errors.unreadable(what, "it names no host of amoCRM"))
        return payloads.whole(node.get("id")), host

    def _refuse(self, reply: Reply, what: str) -> None:
        detail = errors.words(reply.words)
        if reply.status == 404 or "invalid account" in detail.lower():
            raise TokenRefused("place", detail or "no such account", reply.status)
        # A 400 or 401 without words is some gateway's: nothing final is concluded from it.
        if reply.status in (400, 401, 422) and detail:
            blamed = any(word in detail.lower() for word in CLIENT_WORDS)
            raise TokenRefused("client" if blamed else "grant", detail, reply.status)
        error = errors.classify(reply.status, reply.headers, reply.words, what)
        if error is None:
            return
        if reply.status == 429:
            self._pace.slow_down(error.retry_after)
        elif error.retry_after:
            self._pace.hold(error.retry_after)
        if reply.status in (402, 403, 429):
            raise error
        raise _whole(DeliveryError(error.message, cause="amocrm_down", status=reply.status, params=error.params))


def host_of(base_url: str) -> str:
    """Host and port of an address, in lower case."""
    return urlsplit(base_url).netloc.lower()


def _issued(reply: Reply, what: str, old_refresh: str) -> Issued:
    try:
        node: dict[str, Any] = payloads.document(reply.body)
    except payloads.Unreadable as fault:
        raise _whole(errors.unreadable(what, str(fault), reply.status)) from None
    access, refresh = node.get("access_token"), node.get("refresh_token") or old_refresh
    if not isinstance(access, str) or not access or not isinstance(refresh, str) or not refresh:
        raise _whole(errors.unreadable(what, "it holds no tokens", reply.status))
    seconds = payloads.whole(node.get("expires_in"))
    return Issued(access, refresh, float(seconds) if seconds and seconds > 0 else DAY)


def _whole(error: DeliveryError) -> DeliveryError:
    """Without tokens nothing goes out, so the whole destination rests, whichever row asked first."""
    error.pause = error.pause if error.pause not in (None, PauseKind.RECONNECT) else PauseKind.OUTAGE
    error.outage = False
    return error
