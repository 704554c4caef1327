"""A destination in sixty lines: posts each event as JSON to an address of yours, signed, until that says 2xx."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence

from outbox.message import Delivery
from outbox.outcome import Delivered, DeliveryContext, DeliveryError, Outcome, PauseKind
from service.network.exchange import exchange_of
from service.network.http import Http, NoAnswer


class Notify:
    """Reference: https://www.standardwebhooks.com/ for the idea of a signed body with an id."""

    name = "notify"
    batch = 20
    whole_keys = False
    newest_first = False

    def __init__(self, url: str, secret: str, now: Callable[[], float], http: Http | None = None) -> None:
        self._url, self._secret, self._now = url, secret, now
        self._http = http or Http(connect=5.0, total=10.0)

    @property
    def fingerprint(self) -> str:
        """When it changes, pauses that wait for settings end."""
        return hashlib.sha256(f"{self._url} {self._secret}".encode()).hexdigest()

    def missing(self) -> tuple[str, ...]:
        """Without these, deliveries wait and use up no attempts."""
        return tuple(name for name, value in (("NOTIFY_URL", self._url), ("NOTIFY_SECRET", self._secret)) if not value)

    def deliver(self, batch: Sequence[Delivery], context: DeliveryContext) -> Mapping[int, Outcome]:
        """One request for each; what concerns them all is raised."""
        return {row.id: self._post(row, context) for row in batch}

    def _post(self, row: Delivery, context: DeliveryContext) -> Outcome:
        body = json.dumps({"id": row.event_id, "name": row.event_name, "data": dict(row.data)}).encode()
        signature = hmac.new(self._secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "Idempotency-Key": row.event_id, "X-Signature": signature}
        context.begin([row.id])  # an open attempt is on disk before the request leaves
        try:
            answer = self._http.request("POST", self._url, headers=headers, data=body)
        except NoAnswer as fault:
            exchange = exchange_of(self._now(), "POST", self._url, headers=headers, data=body, answer=fault)
            context.exchange([row.id], exchange.as_dict())
            return DeliveryError(str(fault), cause="notify_down", outage=True)
        exchange = exchange_of(self._now(), "POST", self._url, headers=headers, data=body, answer=answer)
        context.exchange([row.id], exchange.as_dict())
        if 200 <= answer.status < 300:
            return Delivered(reference=row.event_id)
        words = f"{self._url} answered {answer.status}"
        if answer.status in (401, 403):  # every one would be refused: rest until the settings change
            raise DeliveryError(words, cause="notify_settings", pause=PauseKind.SETTINGS, status=answer.status)
        if answer.status == 429 or answer.status >= 500:
            return DeliveryError(words, cause="notify_down", outage=answer.status >= 500, status=answer.status)
        return DeliveryError(words, cause="notify_refused", code="refused", permanent=True, status=answer.status)
