"""Refusals as the caller's protocol wants them: problem+json, or the shape that Inngest's SDKs read."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from outbox.message import StoreUnavailable
from service.routing import Fault

logger = logging.getLogger(__name__)

MACHINES = ("/api/", "/e/", "/webhooks/", "/healthz", "/readyz", "/metrics", "/openapi.json")
RETRY_AFTER = "2"


class Refusal(Exception):
    """An answer that is no success. detail: what was got, what is expected, what to do."""

    def __init__(
        self, status: int, detail: str, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.faults, self.headers = status, detail, faults, dict(headers or {})


def not_stored() -> Refusal:
    """The 503 for a write that could not be committed."""
    return Refusal(
        503,
        "The event could not be stored in time, so it was not taken. Send the same request again in a moment.",
        headers={"Retry-After": RETRY_AFTER},
    )


def render(refusal: Refusal) -> Response:
    """The answer, shaped by the path that was asked."""
    errors = [{"path": fault.path, "message": fault.message} for fault in refusal.faults]
    if request.path.startswith("/e/"):
        words = "; ".join([refusal.detail, *(f"{fault.path}: {fault.message}" for fault in refusal.faults[:20])])
        # Without `ids`: inngest-py 0.3 takes every answer that has them for a success.
        body: Mapping[str, object] = {"error": words, "status": refusal.status}
        kind = "application/json"
    else:
        title = HTTPStatus(refusal.status).phrase
        body = {"type": "about:blank", "title": title, "status": refusal.status, "detail": refusal.detail}
        body = {**body, "errors": errors}
        kind = "application/problem+json"
    response = Response(json.dumps(body), refusal.status, content_type=kind)
    response.headers.update(refusal.headers)
    return response


DETAILS = {
    400: "The request cannot be read as HTTP.",
    404: "There is nothing at this address. The addresses are listed in /docs.",
    413: "The body is too long; expected at most {limit} bytes. Send fewer events at once.",
    500: "Dealpost itself stumbled over this request. The log has the details; send it again later.",
}


def register(
    app: Flask,
    told: Callable[[Refusal], None] = lambda refusal: None,
    shown: Callable[[HTTPException], Response | HTTPException] = lambda error: error,
) -> None:
    """Every error under the machines' addresses is told in the machines' shape, and no trace leaves the dealpost.

    shown: the same for people. told: called with each refusal before it is answered; whatever it raises changes no
    answer.
    """

    def refuse(refusal: Refusal) -> Response:
        try:
            told(refusal)
        except Exception as error:
            logger.warning("A refusal could not be noted: %s", error)
        return render(refusal)

    @app.errorhandler(Refusal)
    def refused(error: Refusal) -> Response:
        return refuse(error)

    @app.errorhandler(StoreUnavailable)
    def unavailable(error: StoreUnavailable) -> Response:
        logger.warning("The store does not answer: %s", error)
        return refuse(not_stored())

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> Response | HTTPException:
        code = error.code or 500
        if code < 400 or not request.path.startswith(MACHINES):
            return shown(error)
        if code == 405:
            methods = set(getattr(error, "valid_methods", None) or ()) - {"OPTIONS", "HEAD"}
            allowed = " or ".join(sorted(methods))
            detail = f"Got {request.method}; expected {allowed or 'another method'}."
        else:
            detail = DETAILS.get(code, error.description or HTTPStatus(code).phrase)
            detail = detail.format(limit=request.max_content_length) if code == 413 else detail
        headers = {name: value for name, value in error.get_headers() if name not in ("Content-Type", "Content-Length")}
        return refuse(Refusal(code, detail, headers=headers))

    @app.errorhandler(Exception)
    def stumbled(error: Exception) -> Response:
        # Never the path: secrets ride in it.
        rule = request.url_rule.rule if request.url_rule else "an unknown address"
        logger.error("%s %s failed", request.method, rule, exc_info=error)
        if request.path.startswith(MACHINES):
            return refuse(Refusal(500, DETAILS[500]))
        return Response(DETAILS[500], 500, content_type="text/plain; charset=utf-8")
