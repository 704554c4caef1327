"""The platform says that a student has finished a lesson."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Blueprint, Response
from flask.globals import request_ctx

from outbox.message import NewEvent, Receipt
from service.config import ApiKey
from service.fields import got
from service.problem_json import Refusal
from service.routing import LESSON, Fault, Refused, known_by_id, route
from service.sources import intake
from service.sources.context import SourceContext, source_context
from service.sources.form import PING, ping_answer, read_signed

bp = Blueprint("lessons", __name__)

PATH = "/api/tripwire/complete"


@bp.post(PATH)
def complete() -> Response:
    """`{"email", "lesson_id" | "lesson", "id"?}` -> 202 `{"id", "status": "accepted", "duplicate"}`."""
    context, request = source_context(), request_ctx.request
    key, body = read_signed(context, request)
    if body is PING:
        return ping_answer()
    if isinstance(body, dict):
        intake.refuse_big(request, [body])
    made, named = read_lesson(context, key, body, request.environ, context.now(), context.name_longest)
    return Response(accepted(intake.commit(made, named)), intake.ACCEPTED, content_type=intake.KIND)


def read_lesson(
    context: SourceContext,
    key: ApiKey,
    body: Any,
    environ: Mapping[str, Any],
    now: float,
    name_longest: Callable[[], int],
) -> tuple[list[NewEvent], list[str]]:
    """-> the event, and where the id stood by which it is known. Raises Refusal 422."""
    if not isinstance(body, dict):
        raise Refusal(422, "The body is no lesson.", [Fault("$", f"got {got(body)}, expected an object")])
    faults: list[Fault] = []
    sent_id = intake.own_id(body.pop("id", None), "id", faults)
    sent_key = intake.idempotency_key(environ)
    try:
        routed = route(LESSON, body, context.lesson_map)
    except Refused as refused:
        faults += refused.faults
    if faults:
        raise Refusal(422, "Nothing was stored: the lesson's data are not right.", faults)
    known = sent_id or sent_key
    dedupe = known_by_id(key.name, LESSON, known, body) if known else None
    event = intake.make_event(LESSON, routed, source="lessons", sender=key.name, dedupe=dedupe, now=now)
    return [event], ["id" if sent_id else "Idempotency-Key"]


def accepted(receipts: Sequence[Receipt]) -> bytes:
    """The busiest answer of all: bytes, not a serializer."""
    (receipt,) = receipts
    duplicate = "true" if receipt.duplicate else "false"
    return f'{{"id":"{receipt.id}","status":"accepted","duplicate":{duplicate}}}'.encode()
