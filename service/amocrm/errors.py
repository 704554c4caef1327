"""What an answer of amoCRM means, as a pure function: nothing wrong, or the error that says who has to wait for what.

Reference: https://www.amocrm.ru/developers/content/crm_platform/error-codes
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from outbox.outcome import DeliveryError, PauseKind
from service.amocrm import payloads
from service.network.http import NoAnswer

NO_RIGHTS = "244"
"""amoCRM's number for "no rights or no subscription"; it comes with 400 or 403."""

ACCOUNT_CODES = {
    "110": ("amocrm_reconnect", PauseKind.RECONNECT),
    "111": ("amocrm_captcha", PauseKind.FORBIDDEN),
    "112": ("amocrm_user_off", PauseKind.FORBIDDEN),
    "113": ("amocrm_ip_refused", PauseKind.FORBIDDEN),
}
"""amoCRM's numbers in a 403 that concerns all of the account: wrong login, captcha, user switched off, address not on
the account's list."""

SIDE_DOORS = {"/api/v4/webhooks": "webhooks_closed", "/api/v4/events": "events_closed"}
"""What is optional, with the cause of its refusal: a tariff or right that is missing there says nothing about deals."""

LONGEST_WAIT = 24 * 3600.0
"""A longer Retry-After is taken as a fault of whoever sent it."""


@dataclass(frozen=True)
class Refused:
    """What a 400 or 422 says about the rows of a batch.

    by_request: text by request_id; by_entity: text by the deal's id. Both empty: it names no row. detail: its words.
    """

    detail: str
    by_request: Mapping[str, str] = field(default_factory=dict)
    by_entity: Mapping[int, str] = field(default_factory=dict)


def classify(
    status: int, headers: Mapping[str, str], body: bytes, what: str = "", *, of_rows: bool = False
) -> DeliveryError | None:
    """The error of an answer, None for a good status. what: "GET /api/v4/leads": for the words, and to know side doors.

    of_rows: the question named certain deals or contacts by their ids, so that a 403 or 404 may concern only them. Such
    an error has no pause, since only who asked knows which rows it concerns; nor has a 400, 409, 410 or 422. 401 comes
    back as "reconnect"; refreshing first is the caller's business. A refusal that is not in amoCRM's own form is some
    gateway's and says nothing about anybody: an outage.
    """
    if 200 <= status < 300:
        return None
    detail = words(body)
    wait = retry_after(headers, body)
    said = f"amoCRM answered {status}{f' ({detail})' if detail else ''}{f' to {what}' if what else ''}"
    params = {"status": status, "detail": detail or f"HTTP {status}"}

    def error(cause: str, message: str, **more: Any) -> DeliveryError:
        return DeliveryError(
            f"{said}: {message}",
            cause=cause,
            status=status,
            retry_after=wait,
            params={**params, **more.pop("also", {})},
            **more,
        )

    side = SIDE_DOORS.get(what.partition(" ")[2])
    if side and status in (402, 403, 404):
        return error(side, "the account's tariff or the user's rights do not allow it; deals go on without")
    if status == 429:
        return error("amocrm_slow_down", _wait_words(wait), pause=PauseKind.RATE, also={"seconds": wait})
    if status == 401:
        message = "our access is no longer accepted; connect the account again"
        return error("amocrm_reconnect", message, pause=PauseKind.RECONNECT, disprovable=True)
    if status == 402:
        return error("amocrm_unpaid", "the account is not paid; everything waits until it is", pause=PauseKind.UNPAID)
    if status == 403 and (named := ACCOUNT_CODES.get(_code(body))) is not None:
        return error(named[0], "this concerns all of the account", pause=named[1], disprovable=True)
    if status == 403 and of_rows and is_own(body):
        return error("amocrm_rights", "the user who connected lacks the right")
    if status == 403 and is_own(body):
        message = "the user who connected lacks the right"
        return error("amocrm_rights", message, pause=PauseKind.FORBIDDEN, disprovable=True)
    if status == 403:
        return error("amocrm_forbidden", "the integration is blocked", pause=PauseKind.FORBIDDEN, disprovable=True)
    if status == 408 or status >= 500:
        return error("amocrm_down", "amoCRM has a fault; we try again by ourselves", outage=True)
    if status == 404 and not of_rows:
        # Lists and the account are always there: it is the whole account that is not at this address.
        message = "the account is not at this address, it has moved or was renamed; we ask again"
        return error("amocrm_moved", message, pause=PauseKind.OUTAGE, disprovable=True)
    if status in (400, 409, 422) and NO_RIGHTS in _numbers(body):
        return error(
            "amocrm_rights", "error 244: the user who connected lacks the right, or the account its subscription"
        )
    if 300 <= status < 400:
        return error("amocrm_unreadable", "a redirect is no answer of the API; we try again by ourselves", outage=True)
    if status != 413 and not is_own(body):
        return error("amocrm_unreadable", "that is a gateway's page; we try again by ourselves", outage=True)
    return error("deal_refused", "amoCRM does not accept this request")


def is_own(body: bytes) -> bool:
    """Whether a refusal has amoCRM's own form, a JSON object, and is no page of some machine in between."""
    try:
        return bool(payloads.document(body))
    except payloads.Unreadable:
        return False


def unreadable(what: str, fault: str, status: int = 200) -> DeliveryError:
    """The error of a good status with a body that is none."""
    message = f"amoCRM answered {status} to {what} with something unreadable ({fault}): we try again by ourselves"
    return DeliveryError(message, cause="amocrm_unreadable", outage=True, status=status, params={"detail": fault})


def no_answer(fault: NoAnswer, what: str) -> DeliveryError:
    """The error of a request that got no whole answer."""
    how = {
        "connect": "no connection could be made",
        "tls": "the connection cannot be trusted",
        "timeout": "no whole answer came in time",
        "too_large": "the answer was larger than any answer of amoCRM",
    }.get(fault.kind, "the connection broke before the whole answer came")
    message = f"amoCRM did not answer {what}: {how}; we try again by ourselves"
    return DeliveryError(
        message, cause="amocrm_down", outage=True, params={"kind": fault.kind, "detail": how, "acted": fault.acted}
    )


def refusal(body: bytes) -> Refused:
    """Which rows a 400 or 422 names, in each of its three shapes. Never raises."""
    try:
        node = payloads.document(body)
    except payloads.Unreadable:
        return Refused(words(body))
    by_request: dict[str, str] = {}
    listed = node.get("validation-errors")
    for item in listed if isinstance(listed, list) else []:
        if isinstance(item, Mapping) and (name := _request_id(item.get("request_id"))) is not None:
            by_request[name] = _errors_text(item.get("errors"))
    by_entity: dict[int, str] = {}
    named = node.get("errors")
    if isinstance(named, Mapping):
        for key, text in named.items():
            if (number := payloads.whole(key)) is not None:
                by_entity[number] = text if isinstance(text, str) else _errors_text(text)
    return Refused(words(body), by_request, by_entity)


def retry_after(headers: Mapping[str, str], body: bytes) -> float | None:
    """Seconds that the server asked for, in the body's retry_after or in the header; the longer of both."""
    asked = headers.get("Retry-After")
    found = [_seconds(asked) or _seconds_until(asked, headers.get("Date"))]
    try:
        node = payloads.document(body)
    except payloads.Unreadable:
        node = {}
    found.append(_seconds(node.get("retry_after")))
    waits = [seconds for seconds in found if seconds is not None]
    return max(waits) if waits else None


def words(body: bytes) -> str:
    """amoCRM's own words in a problem answer, "" where there are none (HTML, nothing)."""
    try:
        node = payloads.document(body)
    except payloads.Unreadable:
        return ""
    old = node.get("response")  # the shape of older versions, which some doors still have
    parts = [str(node[name]).strip() for name in ("detail", "hint") if isinstance(node.get(name), str | int)]
    parts += [str(old["error"]).strip()] if isinstance(old, Mapping) and isinstance(old.get("error"), str) else []
    text = ": ".join(dict.fromkeys(part for part in parts if part)) or str(node.get("title") or "").strip()
    return text[:300]


def _code(body: bytes) -> str:
    """amoCRM's number for what is wrong, "" where it tells none."""
    try:
        node = payloads.document(body)
    except payloads.Unreadable:
        return ""
    old = node.get("response")
    found = [node.get("error_code"), node.get("code"), old.get("error_code") if isinstance(old, Mapping) else None]
    return next((str(one) for one in found if str(one) in ACCOUNT_CODES), "")


def _numbers(body: bytes) -> set[str]:
    return {word.strip(".,:;()\"'") for word in words(body).split()}


def _seconds(value: Any) -> float | None:
    try:
        seconds = float(str(value))
    except ValueError:
        return None
    return min(seconds, LONGEST_WAIT) if math.isfinite(seconds) and seconds > 0 else None


def _seconds_until(moment: str | None, now: str | None) -> float | None:
    """A Retry-After that is a date, against the date of the same answer: our own clock may be wrong."""
    try:
        return _seconds((parsedate_to_datetime(moment or "") - parsedate_to_datetime(now or "")).total_seconds())
    except (ValueError, TypeError):
        return None


def _wait_words(seconds: float | None) -> str:
    return f"we wait {seconds:g} s, then go on more slowly" if seconds else "we wait, then go on more slowly"


def _request_id(value: Any) -> str | None:
    """request_id comes back as text, as a number, or in a list of one."""
    if isinstance(value, list):
        value = value[0] if value else None
    return None if value is None else str(value)


def _errors_text(errors: Any) -> str:
    texts = []
    for one in errors if isinstance(errors, list) else [errors]:
        if isinstance(one, Mapping):
            texts.append(": ".join(str(one[name]) for name in ("path", "detail") if one.get(name)))
        elif one is not None:
            texts.append(str(one))
    return "; ".join(text for text in texts if text)[:300]
