"""amoCRM's webhooks: believed by the secret in their address, committed at once, read again from amoCRM later."""

from __future__ import annotations

from flask import Blueprint, Response, request

from outbox.message import StoreUnavailable
from service.problem_json import Refusal, not_stored
from service.secrets import is_secret
from service.sources.amocrm_webhook_events import BODY_MAX, hook_events
from service.sources.context import source_context
from service.sources.intake import read_body

bp = Blueprint("amocrm_webhook", __name__)

TIMEOUT = 1.5
"""Seconds; amoCRM hangs up after two, and repeats what it was refused with a 503."""


@bp.get("/webhooks/amocrm/<secret>")
@bp.get("/api/amocrm-webhook")
@bp.get("/api/inngest")
def ready(secret: str = "") -> Response:
    """Says that somebody listens here, and nothing about the secret."""
    return Response("ready\n", content_type="text/plain; charset=utf-8")


@bp.post("/webhooks/amocrm/<secret>")
def by_path(secret: str) -> Response:
    """200 once all changes of the hook are on disk."""
    return _take(secret)


@bp.post("/api/amocrm-webhook")
@bp.post("/api/inngest")
def by_query() -> Response:
    """The addresses that running accounts have, with `?secret=` added."""
    return _take(request.args.get("secret", ""))


def _take(secret: str) -> Response:
    context = source_context()
    if not is_secret(secret, context.webhook_secrets):
        mend = (
            "The secret in the address is not WEBHOOK_SECRET. Correct the hook's address in amoCRM."
            if context.webhook_secrets
            else "No WEBHOOK_SECRET is set up here yet: set it and restart."
        )
        raise Refusal(401, mend, headers={"WWW-Authenticate": 'Webhook realm="Dealpost"'})
    request.max_content_length = BODY_MAX
    now = context.now()
    events = hook_events(
        read_body(request),
        configured_subdomain=context.subdomain,
        account_id=context.account_id(),
        now=now,
        creations=context.creations,
    )
    try:
        if any(event.raw is not None for event in events) and not context.unreadable.take(now):
            events = [event for event in events if event.raw is None]
            context.not_kept()
        if events:
            context.accept(events, TIMEOUT)
    except StoreUnavailable:
        raise not_stored() from None
    return Response(b"ok\n", content_type="text/plain; charset=utf-8")
