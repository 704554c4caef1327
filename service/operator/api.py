"""The API that reads: one event with its deliveries, how the outbox stands, and the API's own description."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, redirect, render_template, request, url_for
from flask_babel import force_locale, get_locale
from werkzeug.wrappers import Response as AnyResponse

from outbox.message import Attempt, Delivery, State
from service.current import current
from service.fields import Schema
from service.operator.auth import require_reader
from service.operator.openapi import PEOPLE, describe
from service.operator.openapi.routes import EXAMPLE_LESSON, EXAMPLE_RECORD
from service.operator.openapi.samples import samples
from service.problem_json import Refusal
from service.sources.intake import answer
from service.status import destinations_now, iso, token_now, workers_now

bp = Blueprint("api", __name__)


@bp.get("/")
def front() -> AnyResponse:
    """Whoever types the bare address wants the page."""
    return redirect(url_for("pages.overview"))


@bp.get("/api/events/<event_id>")
def event(event_id: str) -> Response:
    """An event, its deliveries and each attempt."""
    dealpost = current()
    dealpost.keys.require_reader(request)
    found = dealpost.store.reading.event(event_id)
    if found is None:
        raise Refusal(
            404, f"No event has the id {event_id[:60]!r}; it may have been pruned. Ids are in the answers to POST."
        )
    attempts = dealpost.store.reading.attempts([delivery.id for delivery in found.deliveries])
    return answer(
        200,
        {
            "id": found.id,
            "name": found.name,
            "data": found.data,
            "received_at": iso(found.received_at),
            "deliveries": [_delivery(one, attempts.get(one.id, [])) for one in found.deliveries],
        },
    )


def _delivery(delivery: Delivery, attempts: list[Attempt]) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "destination": delivery.destination,
        "state": delivery.state.value,
        "reason": delivery.reason,
        "reference": delivery.reference,
        "next_attempt_at": iso(delivery.due_at) if delivery.state == State.PENDING else None,
        "attempts": [
            {"at": iso(one.at), "outcome": one.outcome, "status": one.status, "detail": one.detail} for one in attempts
        ],
    }


@bp.get("/api/outbox")
def outbox() -> Response:
    """Counts, the longest wait and pauses by destination; the token; the workers' heartbeats."""
    require_reader(request)
    dealpost = current()
    shown = ("states", "oldest_pending_seconds", "pause")
    return answer(
        200,
        {
            "destinations": {
                name: {key: one[key] for key in shown} for name, one in destinations_now(dealpost).items()
            },
            "token": token_now(dealpost),
            "workers": workers_now(dealpost),
        },
    )


@bp.get("/openapi.json")
def description() -> Response:
    """The API's description for programs."""
    return answer(200, _describe())


@bp.get("/docs")
def docs() -> Response:
    """The same description for people, in the language that `lang` or the browser asks for."""
    asked = request.args.get("lang", "")
    with force_locale(asked if asked in LANGUAGES else str(get_locale())):
        page = render_template(
            "api/docs.html",
            api=_describe(),
            lang=str(get_locale()),
            languages=LANGUAGES,
            people=PEOPLE,
            base=current().settings.public_url or request.host_url.rstrip("/"),
            samples=SAMPLES,
        )
    return Response(page, content_type="text/html; charset=utf-8")


LANGUAGES = {"en": "English", "ru": "Русский"}
SAMPLES = {
    ("post", "/api/tripwire/complete"): samples("post", "/api/tripwire/complete", EXAMPLE_LESSON),
    ("post", "/api/events"): samples("post", "/api/events", EXAMPLE_RECORD),
    ("post", "/e/{event_key}"): samples("post", "/e/{event_key}", [EXAMPLE_RECORD]),
    ("get", "/api/events/{event_id}"): samples("get", "/api/events/{event_id}"),
    ("get", "/api/outbox"): samples("get", "/api/outbox"),
}


def _describe() -> Schema:
    dealpost = current()
    return describe(current_app, dealpost.settings.amocrm.lesson_map, dealpost.store.now())
