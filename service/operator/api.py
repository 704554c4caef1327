"""The API that reads: one event with its deliveries, how the outbox stands, and the API's own description."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from outbox.message import Attempt, Delivery, State
from service.current import current
from service.operator.auth import require_reader
from service.operator.openapi import DESCRIPTION
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
    """The API's description for programs. Reference: https://spec.openapis.org/oas/v3.1.0"""
    return answer(200, DESCRIPTION)


@bp.get("/docs")
def docs() -> Response:
    """The same description for people."""
    return Response(render_template("api/docs.html", api=DESCRIPTION), content_type="text/html; charset=utf-8")
