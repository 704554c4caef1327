"""Inngest's event API, so that code which calls `inngest.send` only needs another address."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response
from flask.globals import request_ctx

from outbox.message import Dedupe
from service.current import current
from service.problem_json import Refusal
from service.routing import NAMES, Fault, Refused, Routed, first_wins, got, known_by_id, not_routed, route
from service.sources import intake

bp = Blueprint("inngest", __name__)

BODY_MAX = 4 * 1024 * 1024
EVENT_MAX = 256 * 1024
MOST = 5000
LATEST = 253_402_300_799_000
"""The last millisecond that a date can hold."""


@bp.post("/e/<event_key>")
def take(event_key: str) -> Response:
    """An event or an array of them -> 200 `{"ids", "status": 200}`, an id for each in order."""
    dealpost, request = current(), request_ctx.request
    request.max_content_length = BODY_MAX
    key = dealpost.keys.find(event_key.encode("utf-8", "replace"))
    if key is None:
        raise dealpost.keys.unknown(True)
    body = intake.read_json(request, any_type=True)
    many = isinstance(body, list)
    items = body if many else [body]
    if len(items) > MOST:
        raise Refusal(413, f"Got {len(items)} events; expected at most {MOST} in a request.")
    if (request.content_length or BODY_MAX) > EVENT_MAX:
        _refuse_big(items, many)
    seed = request.headers.get("x-inngest-event-id-seed", "").strip()
    faults: list[Fault] = []
    events = []
    now = dealpost.store.now()
    for index, item in enumerate(items):
        place = f"[{index}]" if many else ""
        checked = _check(item, place, faults, dealpost.settings.amocrm.lesson_map)
        if checked is None or faults:
            continue
        name, routed, sent_id, not_before = checked
        dedupe = None
        if sent_id:
            dedupe = first_wins(known_by_id(key.name, name, sent_id, None))
        elif routed.dedupe is None and 0 < len(seed) <= intake.ID_MAX:
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
    item: Any, place: str, faults: list[Fault], lesson_map: Any
) -> tuple[str, Routed, str | None, float | None] | None:
    before = len(faults)
    dot = f"{place}." if place else ""
    if not isinstance(item, dict):
        faults.append(Fault(place or "$", f"got {got(item)}, expected an object with name and data"))
        return None
    sent_id = intake.own_id(item.get("id"), f"{dot}id", faults, empty_is_none=True)
    ts = item.get("ts")
    if ts is not None and (isinstance(ts, bool) or not isinstance(ts, (int, float)) or not 0 <= ts <= LATEST):
        faults.append(Fault(f"{dot}ts", f"got {got(ts)}, expected milliseconds since 1970"))
    name = item.get("name")
    data = item.get("data")
    if not isinstance(name, str) or not name.strip() or len(name) > intake.ID_MAX:
        faults.append(Fault(f"{dot}name", f"got {got(name)}, expected a text of 1 to {intake.ID_MAX} characters"))
    elif name in NAMES:
        try:
            routed = route(name, {} if data is None else data, lesson_map)
        except Refused as refused:
            faults += [Fault(f"{dot}data.{fault.path}".rstrip("."), fault.message) for fault in refused.faults]
    elif data is not None and not isinstance(data, dict):
        faults.append(Fault(f"{dot}data", f"got {got(data)}, expected an object"))
    else:
        routed = not_routed(name, data or {})
    if len(faults) > before:
        return None
    return str(name), routed, sent_id, ts / 1000 if ts else None


def _refuse_big(items: list[Any], many: bool) -> None:
    for index, item in enumerate(items):
        size = len(json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode())
        if size > EVENT_MAX:
            where = f"Event [{index}]" if many else "The event"
            raise Refusal(413, f"{where} has {size} bytes; expected at most {EVENT_MAX}.")
