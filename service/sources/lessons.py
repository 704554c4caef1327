"""The platform says that a student has finished a lesson."""

from __future__ import annotations

from flask import Blueprint, Response
from flask.globals import request_ctx

from service.fields import got
from service.problem_json import Refusal
from service.routing import LESSON, Fault, Refused, known_by_id, route
from service.sources import intake
from service.sources.context import source_context
from service.sources.form import PING, ping_answer, read_data

bp = Blueprint("lessons", __name__)


@bp.post("/api/tripwire/complete")
def complete() -> Response:
    """`{"email", "lesson_id" | "lesson", "id"?}` -> 202 `{"id", "status": "accepted", "duplicate"}`."""
    context, request = source_context(), request_ctx.request
    key = context.keys.require(request)
    body = read_data(request)
    if body is PING:
        return ping_answer()
    if not isinstance(body, dict):
        raise Refusal(422, "The body is no lesson.", [Fault("$", f"got {got(body)}, expected an object")])
    intake.refuse_big(request, [body])
    faults: list[Fault] = []
    sent_id = intake.own_id(body.pop("id", None), "id", faults)
    sent_key = intake.idempotency_key(request)
    try:
        routed = route(LESSON, body, context.lesson_map)
    except Refused as refused:
        faults += refused.faults
    if faults:
        raise Refusal(422, "Nothing was stored: the lesson's data are not right.", faults)
    known = sent_id or sent_key
    dedupe = known_by_id(key.name, LESSON, known, body) if known else None
    event = intake.make_event(LESSON, routed, source="lessons", sender=key.name, dedupe=dedupe, now=context.now())
    receipt = intake.commit([event], ["id" if sent_id else "Idempotency-Key"])[0]
    duplicate = "true" if receipt.duplicate else "false"
    # The busiest answer of all: bytes, not a serializer.
    return Response(
        f'{{"id":"{receipt.id}","status":"accepted","duplicate":{duplicate}}}'.encode(),
        202,
        content_type="application/json",
    )
