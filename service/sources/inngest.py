"""Inngest's event API, so that code which calls `inngest.send` only needs another address."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response
from flask.globals import request_ctx

from outbox.message import Dedupe
from service.fields import TEXT_MAX, Millis, SenderId, Text, Wrong, got
from service.problem_json import Refusal
from service.routing import NAMES, Fault, Refused, Routed, first_wins, known_by_id, not_routed, route
from service.sources import intake
from service.sources.context import source_context

bp = Blueprint("inngest", __name__)

BODY_MAX = 4 * 1024 * 1024
MOST = 5000
NAME = Text()
SENDER_ID = SenderId(empty_is_none=True)
TIME = Millis(ahead=365 * 24 * 3600.0)


@bp.post("/e/<event_key>")
def take(event_key: str) -> Response:
    """An event or an array of them -> 200 `{"ids", "status": 200}`, an id for each in order."""
    context, request = source_context(), request_ctx.request
    request.max_content_length = BODY_MAX
    key = context.keys.find(event_key.encode("utf-8", "replace"))
    if key is None:
        raise context.keys.unknown(True)
    body = intake.parse_json(intake.read_body(request))
    many = isinstance(body, list)
    items = body if many else [body]
    if len(items) > MOST:
        raise Refusal(413, f"Got {len(items)} events; expected at most {MOST} in a request.")
    intake.refuse_big(request, items)
    seed = request.headers.get("x-inngest-event-id-seed", "").strip()
    faults: list[Fault] = []
    events = []
    now = context.now()
    for index, item in enumerate(items):
        place = f"[{index}]" if many else ""
        checked = _check(item, place, faults, context.lesson_map, now)
        if checked is None or faults:
            continue
        name, routed, sent_id, not_before = checked
        dedupe = None
        if sent_id:
            dedupe = first_wins(known_by_id(key.name, name, sent_id, None))
        elif routed.dedupe is None and 0 < len(seed) <= TEXT_MAX:
            # A lesson needs no seed: its student and number are known for longer than the SDK repeats itself.
            dedupe = Dedupe(f"seed:{key.name}:{index}:{seed}")
        events.append(
            intake.make_event(
                name, routed, source="inngest", sender=key.name, dedupe=dedupe, now=now,
                not_before=not_before if not_before and not_before > now else None,
            )
        )  # fmt: skip
    if faults:
        raise Refusal(422, "Nothing was stored", faults)
    receipts = intake.commit(events, [])
    return intake.answer(200, {"ids": [receipt.id for receipt in receipts], "status": 200})


def _check(
    item: Any, place: str, faults: list[Fault], lesson_map: Any, now: float
) -> tuple[str, Routed, str | None, float | None] | None:
    before = len(faults)
    dot = f"{place}." if place else ""
    if not isinstance(item, dict):
        faults.append(Fault(place or "$", f"got {got(item)}, expected an object with name and data"))
        return None
    sent_id = intake.own_id(item.get("id"), f"{dot}id", faults, SENDER_ID)
    not_before = None
    try:
        not_before = TIME.read(item.get("ts"), now)
    except Wrong as wrong:
        faults.append(Fault(f"{dot}ts", str(wrong)))
    name, data = item.get("name"), item.get("data")
    try:
        routed = _route(NAME.read(name), data, lesson_map)
    except Wrong as wrong:
        faults.append(Fault(f"{dot}name", str(wrong)))
    except Refused as refused:
        faults += [Fault(f"{dot}data.{fault.path}".rstrip("."), fault.message) for fault in refused.faults]
    if len(faults) > before:
        return None
    return str(name), routed, sent_id, not_before


def _route(name: str, data: Any, lesson_map: Any) -> Routed:
    data = {} if data is None else data
    if name in NAMES:
        return route(name, data, lesson_map, source_context().name_longest())
    if not isinstance(data, dict):
        raise Refused([Fault("", f"got {got(data)}, expected an object")])
    return not_routed(name, data)
