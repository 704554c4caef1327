"""Rukovoditel's REST API: one request at a time, each with key, user and password in its body."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from outbox.whole_numbers import whole_number
from service.config import Erp
from service.destinations.records.rukovoditel.entity_fields import Field, fields_of
from service.destinations.records.rukovoditel.refusals import ITEMS_LACKING, error_of
from service.destinations.records.rukovoditel.replies import Garbled, Refused, Success, read_reply
from service.network.exchange import exchange_of
from service.network.http import Http, NoAnswer, Reply
from service.network.redaction import hide

CONNECT, TOTAL = 5.0, 30.0
"""Seconds for a request."""

Keep = Callable[[Mapping[str, Any]], None]


class Client:
    """Speaks to one Rukovoditel."""

    def __init__(self, settings: Erp, http: Http, now: Callable[[], float]) -> None:
        self._settings = settings
        self._http = http
        self._now = now

    def call(
        self, action: str, parameters: Mapping[str, Any], keep: Keep | None = None, *, total: float | None = None
    ) -> Success:
        """One action. keep: is given the exchange, masked, whatever came of it. total: seconds.

        Raises Refused, Garbled, NoAnswer.
        """
        settings = self._settings
        body = {
            "key": settings.key,
            "username": settings.username,
            "password": settings.password,
            "action": action,
            **parameters,
        }
        at = self._now()
        answer: Reply | NoAnswer
        try:
            answer = self._http.request("POST", settings.url, json=body, total=total)
        except NoAnswer as fault:
            answer = fault
        if keep is not None:
            keep(exchange_of(at, "POST", settings.url, json=body, answer=answer).as_dict())
        if isinstance(answer, NoAnswer):
            raise answer
        location = _place(answer.headers.get("Location", ""))
        try:
            said = read_reply(answer.status, answer.text, location)
            return replace(said, before=hide(said.before, answer.secrets)) if said.before else said
        except Refused:
            # Its words are kept, and may repeat what we sent.
            return read_reply(answer.status, answer.words.decode(), location)
        except Garbled as fault:
            fault.retry_after = _seconds(answer.headers.get("Retry-After"))
            raise

    def login(self, keep: Keep | None = None, *, total: float | None = None) -> Login:
        """Ask whether key, user and password are good. Raises DeliveryError."""
        try:
            said = self.call("login", {}, keep, total=total)
        except (Refused, Garbled, NoAnswer) as fault:
            raise error_of(fault) from None
        user = said.data if isinstance(said.data, Mapping) else {}
        return Login(str(user.get("name") or user.get("username") or ""), said.before)

    def may_create(self, entity: str, keep: Keep | None = None, *, total: float | None = None) -> bool:
        """Whether key, login, entity and the right to create are good: an insert of nothing, which changes nothing.

        Raises Refused, Garbled, NoAnswer; an empty 500, which is what a lacking right gets, is False.
        """
        try:
            self.call("insert", {"entity_id": number_of(entity)}, keep, total=total)
        except Refused as fault:
            if ITEMS_LACKING.search(fault.words):
                return True
            raise
        except Garbled as fault:
            if fault.ended:
                return False
            raise
        return True

    def fields(self, entity: str, keep: Keep | None = None, *, total: float | None = None) -> dict[str, Field]:
        """The fields of an entity by their bare numbers. Raises Refused (as older versions do), Garbled, NoAnswer."""
        return fields_of(self.call("get_entity_fields", {"entity_id": number_of(entity)}, keep, total=total).data)


@dataclass(frozen=True)
class Login:
    """name: the user's, at the ERP. before: what PHP wrote in front of the answer."""

    name: str = ""
    before: str = ""


def number_of(entity: str) -> int | str:
    """An entity's id as the API wants it."""
    number = whole_number(entity)
    return entity if number is None else number


def _place(location: str) -> str:
    """Scheme, host and path of an address: what may be shown of it."""
    try:
        parts = urlsplit(location)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}{parts.path}" if parts.hostname else parts.path
    except ValueError:
        return ""


def _seconds(value: str | None) -> float | None:
    return float(value) if value and re.fullmatch(r"[0-9]{1,5}", value.strip()) else None
