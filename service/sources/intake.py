"""What the ways in share: reading a JSON body, and committing what was made of it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from typing import Any

from flask import Request, Response
from werkzeug.exceptions import RequestEntityTooLarge

from outbox.message import Conflict, Dedupe, Json, NewEvent, Receipt, StoreUnavailable, new_id
from service.fields import SenderId, Wrong
from service.problem_json import Refusal, not_stored
from service.routing import Fault, Routed
from service.sources.context import source_context

API_TIMEOUT = 5.0
ACCEPTED, KIND = 202, "application/json"
REFUSED = "dealpost.refused"
"""In the environ of a request that was read, and that was not stored: the exception."""

EVENT_MAX = 256 * 1024
DEPTH = 64
"""How deep arrays and objects may lie in each other: far beyond any event, far within the interpreter's stack."""
SENDER_ID = SenderId()


def read_body(request: Request) -> bytes:
    """The whole body. Raises RequestEntityTooLarge beyond the limit."""
    body = request.get_data(cache=False)
    # One that comes in chunks tells no length, and what is beyond the limit would be cut off without a word.
    whole = request.content_length is not None or len(body) < (request.max_content_length or math.inf)
    if not whole and request.environ["wsgi.input"].read(1):
        raise RequestEntityTooLarge
    if request.content_length is not None and len(body) < request.content_length:
        raise Refusal(
            400,
            f"Got {len(body)} bytes of a body of {request.content_length}: the connection broke, and nothing was "
            "stored. Send the same request again.",
        )
    return body


def parse_json(body: bytes) -> Any:
    """Raises Refusal 400 for what is no JSON, 422 for broken Unicode."""
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


def refuse_big(request: Request, items: Sequence[Any]) -> None:
    """Raises Refusal 413 for an event over 256 KiB; in a body that is shorter there can be none."""
    if (request.content_length or EVENT_MAX + 1) <= EVENT_MAX:
        return
    for index, item in enumerate(items):
        size = len(json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode())
        if size > EVENT_MAX:
            raise Refusal(413, f"Event [{index}] has {size} bytes; expected at most {EVENT_MAX}. Nothing was stored.")


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


def own_id(value: Any, path: str, faults: list[Fault], kind: SenderId = SENDER_ID) -> str | None:
    """The sender's id of an event, if it has one."""
    try:
        return kind.read(value)
    except Wrong as wrong:
        faults.append(Fault(path, str(wrong)))
        return None


def idempotency_key(environ: Mapping[str, Any]) -> str | None:
    """The header of a request by WSGI. Raises Refusal 422 for one that is too long."""
    key = str(environ.get("HTTP_IDEMPOTENCY_KEY", "")).strip()
    try:
        return SENDER_ID.read(key or None)
    except Wrong as wrong:
        fault = Fault("Idempotency-Key", str(wrong))
        raise Refusal(422, "The Idempotency-Key cannot be used.", [fault]) from None


def entropy_of(count: int) -> list[bytes]:
    """Ten random bytes for each of so many ids. Asked of the system at once, since each question lets another thread
    go first."""
    drawn = os.urandom(10 * count)
    return [drawn[start : start + 10] for start in range(0, len(drawn), 10)]


def make_event(
    name: str,
    routed: Routed,
    *,
    source: str,
    sender: str,
    dedupe: Dedupe | None,
    now: float,
    not_before: float | None = None,
    entropy: bytes | None = None,
) -> NewEvent:
    """An event as the outbox takes it. entropy: of its id; see `entropy_of`."""
    return NewEvent(
        id=new_id(now, entropy),
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
    with as_refusals(paths):
        return source_context().accept(events, timeout)


@contextmanager
def as_refusals(paths: Sequence[str]) -> Iterator[None]:
    """What the outbox raises, as the sender is told of it. See `commit`."""
    try:
        yield
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
    return Response(json.dumps(body, separators=(",", ":")), status, content_type=KIND)
