"""Events of any kind from our own senders, one or many, all or none."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Blueprint, Request, Response
from flask.globals import request_ctx

from outbox.message import Dedupe, NewEvent, Receipt
from service.config import ApiKey
from service.fields import TEXT_MAX, got
from service.problem_json import Refusal
from service.routing import LESSON, NAMES, Fault, Refused, Routed, known_by_id, known_by_place, route
from service.sources import intake
from service.sources.context import SourceContext, source_context
from service.sources.form import PING, ping_answer, read_signed

bp = Blueprint("events", __name__)

PATH = "/api/events"
MOST = 1000


@bp.post(PATH)
def take() -> Response:
    """One `{"name", "data", "id"?}` or an array of them -> 202 `{"ids", "duplicates"}`."""
    context, request = source_context(), request_ctx.request
    key, body = read_signed(context, request)
    if body is PING:
        return ping_answer()
    made, paths = read_events(context, key, body, request.environ, context.now(), context.name_longest, request)
    return Response(accepted(intake.commit(made, paths)), intake.ACCEPTED, content_type=intake.KIND)


def read_events(
    context: SourceContext,
    key: ApiKey,
    body: Any,
    environ: Mapping[str, Any],
    now: float,
    name_longest: Callable[[], int],
    request: Request | None = None,
) -> tuple[list[NewEvent], list[str]]:
    """-> the events, and where the ids stood by which they are known. Raises Refusal 422, and 413 where `request` may
    be longer than one event."""
    header = intake.idempotency_key(environ)
    many = isinstance(body, list)
    items = body if many else [body]
    if not 1 <= len(items) <= MOST:
        raise Refusal(
            422,
            "Nothing was stored.",
            [Fault("$", f"got {len(items)} events, expected 1 to {MOST}; send them in parts")],
        )
    if request is not None:
        intake.refuse_big(request, items)
    faults: list[Fault] = []
    made, paths = [], []
    for index, (item, entropy) in enumerate(zip(items, intake.entropy_of(len(items)), strict=True)):
        place = f"[{index}]" if many else ""
        checked = _check(item, place, faults, context.lesson_map, name_longest)
        if checked is None or faults:
            continue
        name, routed, sent_id = checked
        dedupe = _dedupe(key, name, sent_id, header, index if many else None, item["data"])
        made.append(
            intake.make_event(
                name, routed, source="events", sender=key.name, dedupe=dedupe, now=now, entropy=entropy
            )
        )  # fmt: skip
        paths.append(_path(place, "id") if sent_id or not header else place or "Idempotency-Key")
    if faults:
        raise Refusal(422, f"Nothing was stored: {len(faults)} faults in what was sent.", faults[:MOST])
    return made, paths


def accepted(receipts: Sequence[Receipt]) -> bytes:
    duplicates = dict.fromkeys(receipt.id for receipt in receipts if receipt.duplicate)
    body = {"ids": [receipt.id for receipt in receipts], "duplicates": list(duplicates)}
    return json.dumps(body, separators=(",", ":")).encode()


def _check(
    item: Any, place: str, faults: list[Fault], lesson_map: Mapping[int, int], name_longest: Callable[[], int]
) -> tuple[str, Routed, str | None] | None:
    if not isinstance(item, dict):
        faults.append(Fault(place or "$", f"got {got(item)}, expected an object with name and data"))
        return None
    sent_id = item.get("id")
    if sent_id is not None:
        sent_id = intake.own_id(sent_id, _path(place, "id"), faults)
    name = item.get("name")
    if not isinstance(name, str) or name not in NAMES:
        faults.append(Fault(_path(place, "name"), f"got {got(name)}, expected one of {', '.join(NAMES)}"))
        return None
    try:
        longest = TEXT_MAX if name == LESSON else name_longest()
        return name, route(name, item.get("data"), lesson_map, longest), sent_id
    except Refused as refused:
        inner = _path(place, "data")
        faults += [Fault(_path(inner, fault.path), fault.message) for fault in refused.faults]
        return None


def _dedupe(
    key: ApiKey, name: str, sent_id: str | None, header: str | None, index: int | None, data: Any
) -> Dedupe | None:
    if sent_id:
        return known_by_id(key.name, name, sent_id, data)
    if header:
        return (
            known_by_id(key.name, name, header, data)
            if index is None
            else known_by_place(key.name, name, header, index, data)
        )
    return None


def _path(place: str, field: str) -> str:
    return f"{place}.{field}" if place and field else place or field
