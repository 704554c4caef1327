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


def classify(status: int, headers: Mapping[str, str], body: bytes, what: str = "") -> DeliveryError | None:
    """The error of an answer, None for a good status. what: "GET /api/v4/leads", for the words.

    A 400, 404, 409, 410 or 422 comes back as an error of a row, not permanent: only who sent it knows which rows it
    concerns. 401 comes back as "reconnect"; refreshing first is the caller's business.
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

    if status == 429:
        return error("amocrm_slow_down", _wait_words(wait), pause=PauseKind.RATE, also={"seconds": wait})
    if status == 401:
        return error(
            "amocrm_reconnect", "our access is no longer accepted; connect the account again", pause=PauseKind.RECONNECT
        )
    if status == 402:
        return error("amocrm_unpaid", "the account is not paid; everything waits until it is", pause=PauseKind.UNPAID)
    if status == 403:
        return error("amocrm_forbidden", "the integration is blocked or lacks a right", pause=PauseKind.FORBIDDEN)
    if status == 408 or status >= 500:
        return error("amocrm_down", "amoCRM has a fault; we try again by ourselves", outage=True)
    if status in (400, 409, 422) and NO_RIGHTS in _numbers(body):
        return error(
            "amocrm_rights", "error 244: the user who connected lacks the right, or the account its subscription"
        )
    if 300 <= status < 400:
        return error("amocrm_unreadable", "a redirect is no answer of the API; we try again by ourselves", outage=True)
    return error("deal_refused", "amoCRM does not accept this request")


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
    parts = [str(node[name]).strip() for name in ("detail", "hint") if isinstance(node.get(name), str | int)]
    text = ": ".join(dict.fromkeys(part for part in parts if part)) or str(node.get("title") or "").strip()
    return text[:300]


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
