"""Which requests are kept with which deliveries: all that a person needs, and not a batch of 250 for each row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from outbox.message import Delivery
from service.amocrm.api import Params
from service.amocrm.client import AmocrmClient
from service.network.exchange import Exchange

if TYPE_CHECKING:
    from outbox.outcome import DeliveryContext

FEW = 5
"""A reading for so many rows is kept with each of them; one for more only when it failed."""

SHORT = 1024
"""And then with a body of so many characters at most."""


class ExchangeRecorder:
    """Gives out clients whose requests are kept with the attempts of deliveries."""

    def __init__(self, client: AmocrmClient, context: DeliveryContext) -> None:
        self._client = client
        self._context = context

    def reading(self, rows: Sequence[Delivery]) -> AmocrmClient:
        """Its requests are readings for these deliveries; a search for an e-mail is for its own ones."""

        def whose(searched: str | None) -> list[int]:
            return [row.id for row in rows if searched in (None, row.email)]

        def wanted(status: int | None, params: Params) -> bool:
            return status is None or status >= 300 or len(whose(dict(params).get("query"))) <= FEW

        def record(exchange: Exchange) -> None:
            ids = whose(dict(parse_qsl(urlsplit(exchange.url).query)).get("query"))
            if len(ids) > FEW:
                exchange = replace(exchange, response_body=exchange.response_body[:SHORT])
            self._context.exchange(ids, exchange.as_dict())

        return self._client.bound(record, wanted=wanted)

    def writing(self, changes: Sequence[tuple[int, Mapping[str, Any]]]) -> AmocrmClient:
        """Its requests write these (delivery id, row of the body): each keeps its own row of them. They leave only
        while the lane is ours: what waited for the pace, in a process that slept meanwhile, would put deals back."""

        def record(exchange: Exchange) -> None:
            if len(changes) == 1:
                self._context.exchange([changes[0][0]], exchange.as_dict())
                return
            good = exchange.status is not None and exchange.status < 300
            for place, (number, change) in enumerate(changes):
                own = f"[{json.dumps(change)}, … row {place + 1} of {len(changes)}]"
                answer = _own_row(exchange.response_body, change["id"]) if good else exchange.response_body
                self._context.exchange([number], replace(exchange, request_body=own, response_body=answer).as_dict())

        return self._client.bound(record, leaves=self._context.check)


def _own_row(body: str, lead_id: int) -> str:
    """What the answer says of this deal, as far as it was kept."""
    start = body.find(f'{{"id":{lead_id},')
    start = start if start >= 0 else body.find(f'{{"id": {lead_id},')
    return f"… {body[start : start + 200]} …" if start >= 0 else body[:100] + " …"
