"""What the ways in share: reading a JSON body, and committing what was made of it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from flask import Request, Response
from werkzeug.exceptions import RequestEntityTooLarge

from outbox.message import Conflict, Dedupe, Json, NewEvent, Receipt, StoreUnavailable, new_id
from service.current import current
from service.problem_json import Refusal, not_stored
from service.routing import Fault, Routed

API_TIMEOUT = 5.0
DEPTH = 64
"""How deep arrays and objects may lie in each other: far beyond any event, far within the interpreter's stack."""
ID_MAX = 255


def read_body(request: Request) -> bytes:
    """The whole body. Raises RequestEntityTooLarge beyond the limit."""
    body = request.get_data(cache=False)
    # One that comes in chunks tells no length, and what is beyond the limit would be cut off without a word.
    whole = request.content_length is not None or len(body) < (request.max_content_length or math.inf)
    if not whole and request.environ["wsgi.input"].read(1):
        raise RequestEntityTooLarge
    return body


def read_json(request: Request, any_type: bool = False) -> Any:
    """The body. Raises Refusal 400 for what is no JSON, 415 for another content type, 422 for broken Unicode.

    any_type: the content type does not matter.
    """
    kind = "" if request.environ.get("CONTENT_TYPE") == "application/json" else request.mimetype
    if kind and not any_type and kind != "application/json" and not kind.endswith("+json"):
        raise Refusal(415, f"Got Content-Type {kind}; expected application/json.")
    body = read_body(request)
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refusal(400, f"The body is no UTF-8 text (byte {error.start}); expected JSON in UTF-8.") from None
    try:
        value = json.loads(text, parse_float=_number, parse_constant=_no_number)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise Refusal(400, f"The body is no JSON: {error}.") from None
    # Most bodies cannot break these rules, and a look at their text shows it.
    if text.count("[") + text.count("{") > DEPTH and _depth(value) > DEPTH:
        raise _too_deep()
    if "\\u" in text and (faults := _lone_surrogates(value)):
        raise Refusal(422, "The body holds halves of characters that no text can hold.", faults)
    return value


def _number(text: str) -> float | str:
    """A decimal that a float would falsify stays as its text: an amount may be numeric text."""
    value = float(text)
    try:
        return value if Decimal(repr(value)) == Decimal(text) else text
    except InvalidOperation:  # an exponent beyond all reason
        return text


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


def _too_deep() -> Refusal:
    return Refusal(400, f"Arrays and objects lie more than {DEPTH} deep; expected an event's flat data.")


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, (dict, list))]:
        depth += 1
        if depth > DEPTH:
            break
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return depth


def _lone_surrogates(value: Any, path: str = "") -> list[Fault]:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return [Fault(path or "$", "got half of a surrogate pair, expected whole characters")]
    elif isinstance(value, dict):
        faults = []
        for key, inner in value.items():
            shown = key.encode("ascii", "backslashreplace").decode() if not key.isascii() else key
            if shown != key:
                faults += _lone_surrogates(key, f"{path}.{shown}" if path else shown)
                key = shown
            faults += _lone_surrogates(inner, f"{path}.{key}" if path else key)
        return faults
    elif isinstance(value, list):
        return [fault for place, inner in enumerate(value) for fault in _lone_surrogates(inner, f"{path}[{place}]")]
    return []


def own_id(value: Any, path: str, faults: list[Fault], *, empty_is_none: bool = False) -> str | None:
    """The sender's id of an event, if it has one."""
    if value is None or (empty_is_none and value == ""):
        return None
    if not isinstance(value, str) or not value.strip() or len(value) > ID_MAX:
        faults.append(Fault(path, f"expected a text of 1 to {ID_MAX} characters, or none"))
        return None
    return value


def idempotency_key(request: Request) -> str | None:
    """The header. Raises Refusal 422 for one that is too long."""
    key = str(request.environ.get("HTTP_IDEMPOTENCY_KEY", "")).strip()
    if len(key) > ID_MAX:
        raise Refusal(
            422, "The Idempotency-Key is too long.", [Fault("Idempotency-Key", f"expected at most {ID_MAX} characters")]
        )
    return key or None


def make_event(
    name: str,
    routed: Routed,
    *,
    source: str,
    sender: str,
    dedupe: Dedupe | None,
    now: float,
    not_before: float | None = None,
) -> NewEvent:
    """An event as the outbox takes it."""
    return NewEvent(
        id=new_id(now),
        name=name,
        data=routed.data,
        source=source,
        sender=sender,
        received_at=now,
        deliveries=routed.deliveries,
        dedupe=dedupe or routed.dedupe,
        not_before=not_before,
        email=routed.email,
    )


def commit(events: Sequence[NewEvent], paths: Sequence[str], timeout: float = API_TIMEOUT) -> list[Receipt]:
    """Receipts once all events are on disk. Raises Refusal 409, naming `paths` of those in conflict, and 503."""
    try:
        return current().store.intake.accept(events, timeout)
    except Conflict as conflict:
        message = "this id was used before for an event with different data; give it another id, or send the same data"
        raise Refusal(
            409,
            "Nothing was stored: an id that was seen before came with different data.",
            [Fault(paths[index], message) for index in conflict.indices],
        ) from None
    except StoreUnavailable:
        raise not_stored() from None


def answer(status: int, body: Json) -> Response:
    """A ready answer."""
    return Response(json.dumps(body, separators=(",", ":")), status, content_type="application/json")
