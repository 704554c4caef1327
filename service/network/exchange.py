"""What is kept of a request and its answer: as a person may see it, with its secrets masked when captured."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from service.network.http import NoAnswer, Reply
from service.network.redaction import HIDDEN, SECRET_KEYS, kept, masked_headers, masked_url, sent_secrets


@dataclass(frozen=True)
class Exchange:
    """One request and what came of it, as a person may see it: secrets are masked here already, bodies are cut.

    at: seconds since the epoch. status None: no answer came, and fault says why. Bodies are text as it went over the
    wire, so that long integers stay exact.
    """

    at: float
    method: str
    url: str
    request_headers: Mapping[str, str] = field(default_factory=dict)
    request_body: str = ""
    status: int | None = None
    response_headers: Mapping[str, str] = field(default_factory=dict)
    response_body: str = ""
    seconds: float = 0.0
    fault: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Exchange:
        """Back from as_dict; unknown fields are left out."""
        return cls(**{name: given[name] for name in cls.__dataclass_fields__ if name in given})


def exchange_of(
    at: float,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    params: Any = None,
    json: Any = None,
    data: Mapping[str, Any] | str | bytes | None = None,
    answer: Reply | NoAnswer,
) -> Exchange:
    """What is kept of one request: the arguments are those of Http.request and what it returned or raised.

    Hidden are the headers that carry credentials; the values of key, password, username, client_secret, refresh_token,
    access_token, api_key, secret and code in bodies and queries, whole JSON or cut; our hook's address; and wherever
    else the same values turn up in the answer. In answers `code` stays: there it is the code of an error.
    """
    reply = answer if isinstance(answer, Reply) else None
    secrets = (reply.secrets if reply else ()) or sent_secrets(url, headers, json, data)
    if json is not None:
        body = json_module.dumps(json, ensure_ascii=False)
    elif isinstance(data, Mapping):
        body = urlencode({k: HIDDEN if k.lower() in SECRET_KEYS else v for k, v in data.items()}, doseq=True, safe="[]")
    else:
        body = data.decode("utf-8", "replace") if isinstance(data, bytes) else data or ""
    return Exchange(
        at=at,
        method=method.upper(),
        url=reply.url if reply else masked_url(_with_params(url, params)),
        request_headers=masked_headers(headers or {}, ()),
        request_body=kept(body, ()),
        status=reply.status if reply else None,
        response_headers=masked_headers(reply.headers, secrets) if reply else {},
        response_body=kept(reply.text, secrets, errors=True) if reply else "",
        seconds=round(answer.seconds, 3),
        fault="" if reply else str(answer),
    )


def _with_params(url: str, params: Any) -> str:
    query = params if isinstance(params, str) else urlencode(params or {}, doseq=True)
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url
