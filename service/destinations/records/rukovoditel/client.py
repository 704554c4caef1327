"""Rukovoditel's REST API: one request, and a reply whose body decides what came of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from outbox.outcome import DeliveryError, PauseKind
from service.config import Erp
from service.network.exchange import exchange_of
from service.network.http import Http, NoAnswer, Reply

CONNECT, TOTAL = 5.0, 30.0
"""Seconds for a request."""

CREDENTIALS_AT_FAULT = re.compile(
    r"api.?key|key (mismatch|is wrong|is invalid)|(wrong|invalid|bad) key|login|passw|username|access|denied|allowed"
    r"|permission|\b(parameter|param)\b.*\b(key|username|password)\b",
    re.IGNORECASE,
)
"""What a refusal speaks of when it means us, whatever the record is."""

SETTINGS_AT_FAULT = re.compile(
    r"\b(entity|field|action|parameter)\w*.*\b(not found|not exist|unknown|required|missing|invalid|disabled)"
    r"|(unknown|no such|missing|invalid|wrong|bad) (entity|field|action|parameter)",
    re.IGNORECASE,
)
"""What it speaks of when entity or fields are wrong: they come from our settings, so that no record would be taken."""


class Garbled(Exception):
    """A reply that is neither a success nor a refusal: the ERP may or may not have acted."""

    def __init__(self, message: str, status: int, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class Refused(Exception):
    """The ERP says no, in words of its own. Nothing was changed."""

    def __init__(self, words: str, code: str, status: int) -> None:
        super().__init__(words)
        self.words = words
        self.code = code
        self.status = status


@dataclass(frozen=True)
class Success:
    """A reply that says success. data: whatever the action gives; beside: the fields next to it."""

    data: Any
    beside: Mapping[str, Any]


def read_reply(status: int, body: str) -> Success:
    """What a reply says. Its status alone decides nothing, and its content type is always text/html.

    Raises Refused, Garbled.

    Reference: https://docs.rukovoditel.net.ru/index.php?p=57
    """
    text = body.lstrip("\ufeff").strip()
    try:
        node = json.loads(text)
    except (ValueError, RecursionError):
        node = None
    if isinstance(node, dict) and node.get("status") == "success":
        return Success(
            node.get("data"), {name: value for name, value in node.items() if name not in ("status", "data")}
        )
    if isinstance(node, dict) and node.get("status") == "error":
        code = _text(node.get("error_code"))
        words = _text(node.get("error_message")) or code or "no reason given"
        raise Refused(words, code, status)
    raise Garbled(_what_came(text, status, node is not None), status)


def inserted_id(data: Any) -> str:
    """The id of the one row that an insert or update names; "" for none."""
    found = data.get("id") if isinstance(data, Mapping) else None
    text = _text(found)
    return "" if text == "0" else text


def taken_fields(data: Any) -> list[str]:
    """The bare numbers of the unique fields whose value was there already."""
    listed = data.get("unique_fields_warning") if isinstance(data, Mapping) else None
    if isinstance(listed, Mapping):
        listed = list(listed.values())
    if not isinstance(listed, list):
        return []
    return [_text(one.get("id")).removeprefix("field_") for one in listed if isinstance(one, Mapping)]


def rows_of(data: Any) -> list[Mapping[str, Any]]:
    """The rows of a select; PHP writes a list with gaps as an object."""
    listed = list(data.values()) if isinstance(data, Mapping) else data
    return [row for row in listed if isinstance(row, Mapping)] if isinstance(listed, list) else []


class Client:
    """Speaks to one Rukovoditel. Its key, user and password ride in every body."""

    def __init__(self, settings: Erp, http: Http, now: Callable[[], float]) -> None:
        self._settings = settings
        self._http = http
        self._now = now

    def call(
        self,
        action: str,
        parameters: Mapping[str, Any],
        keep: Callable[[Mapping[str, Any]], None] | None = None,
        *,
        total: float | None = None,
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
        try:
            return read_reply(answer.status, answer.text)
        except Garbled as fault:
            fault.retry_after = _seconds(answer.headers.get("Retry-After"))
            raise

    def login(self, keep: Callable[[Mapping[str, Any]], None] | None = None, *, total: float | None = None) -> str:
        """Ask whether key, user and password are good. -> the user's name at the ERP. Raises DeliveryError."""
        try:
            data = self.call("login", {}, keep, total=total).data
        except (Refused, Garbled, NoAnswer) as fault:
            raise error_of(fault) from None
        user = data if isinstance(data, Mapping) else {}
        return _text(user.get("name")) or _text(user.get("username"))

    def unknown_fields(self, *, total: float | None = None) -> tuple[str, ...]:
        """Configured fields that the ERP does not show in the configured entity, as far as it has a row to show. Raises
        DeliveryError, also for an entity that it does not have."""
        settings = self._settings
        names = [settings.field_name, settings.field_amount, settings.field_key, *(name for name, _ in settings.fields)]
        numbers = [name.removeprefix("field_") for name in names if name]
        parameters = {"entity_id": settings.entity_id, "select_fields": ",".join(numbers), "limit": 1}
        try:
            rows = rows_of(self.call("select", parameters, total=total).data)
        except (Refused, Garbled, NoAnswer) as fault:
            raise error_of(fault) from None
        return tuple(f"field_{one}" for one in numbers if rows and one not in rows[0])


def error_of(fault: Refused | Garbled | NoAnswer, *, own_entity: bool = False) -> DeliveryError:
    """The error of a request. own_entity: the entity came with the event, not from the settings."""
    if isinstance(fault, NoAnswer):
        message = f"The ERP did not answer ({fault.kind}); we try again by ourselves. {fault}"
        return DeliveryError(message, cause="erp_down", outage=True, params={"kind": fault.kind, "detail": str(fault)})
    if isinstance(fault, Garbled):
        return DeliveryError(
            f"The ERP answered with something unreadable ({fault.status}): {fault}",
            cause="erp_unreadable",
            outage=True,
            status=fault.status,
            retry_after=fault.retry_after,
            params={"status": fault.status, "detail": str(fault)},
        )
    params = {"status": fault.status, "detail": fault.words}
    ours = fault.code in ("login_fail", "ip_not_allowed") or CREDENTIALS_AT_FAULT.search(fault.words)
    if ours or (SETTINGS_AT_FAULT.search(fault.words) and not own_entity):
        return DeliveryError(
            f"The ERP does not accept our settings: {fault.words}. All records wait; check the ERP's key, user, "
            "password, entity and fields (`flask check`)",
            cause="erp_settings",
            pause=PauseKind.SETTINGS,
            status=fault.status,
            params=params,
        )
    return DeliveryError(
        f"The ERP did not accept the record: {fault.words}. Correct the data or the ERP's field, then send again",
        cause="erp_refused",
        code="refused",
        permanent=True,
        status=fault.status,
        params=params,
    )


def _what_came(text: str, status: int, is_json: bool) -> str:
    if not text:
        return "an empty page, which usually means a wrong user, password or right"
    if "<app_db_error" in text[:200]:
        return "a page that tells of a fault of its database"
    if "Fatal error" in text[:2000]:
        return "a page of a PHP error, which usually means a wrong user, password or right"
    if is_json:
        return "JSON that says neither success nor error"
    return f"a page of {len(text)} characters"


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool | Mapping | list):
        return ""
    return str(value).strip()


def _seconds(value: str | None) -> float | None:
    return float(value) if value and re.fullmatch(r"[0-9]{1,5}", value.strip()) else None
