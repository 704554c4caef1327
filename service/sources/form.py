"""Bodies that are forms: of form builders, shops and old scripts, which send texts and now and then test an address."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import Request, Response
from werkzeug.formparser import FormDataParser

from service.config import ApiKey
from service.problem_json import Refusal
from service.sources import bracket_form, intake
from service.sources.context import SourceContext

MULTIPART = "multipart/form-data"
FORMS = ("application/x-www-form-urlencoded", MULTIPART)
FIELDS = {name.casefold(): name for name in ("email", "lesson", "lesson_id", "id", "name", "data")}
"""Form builders write Email where the API says email."""

PING: Any = object()
"""What a body is that only tests whether somebody answers here."""

SIGNS = {"test", "ping", "webhook", "hook", "check", "verify", "verification", "challenge"}
BESIDE = {
    "id",
    "is",
    "mode",
    "event",
    "type",
    "action",
    "topic",
    "delivery",
    "status",
    "time",
    "timestamp",
    "date",
    "ts",
}
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


def read_signed(context: SourceContext, request: Request) -> tuple[ApiKey, Any]:
    """Whose key it bears, and its body; see read_data. Raises what was refused before it came here, Refusal 401."""
    if intake.REFUSED in request.environ:
        raise request.environ[intake.REFUSED]
    return context.keys.require(request), read_data(request)


def read_data(request: Request) -> Any:
    """The body of JSON or of a form, whose values are texts; PING for a form that only tests the address.

    Raises Refusal 400 for what is neither, 413, 415 for another content type, 422 for broken Unicode.
    """
    kind = "" if request.environ.get("CONTENT_TYPE") == "application/json" else request.mimetype
    if kind in FORMS:
        return _read_form(request, kind)
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise Refusal(415, f"Got Content-Type {kind}; expected application/json, or a form.")
    return intake.parse_json(intake.read_body(request))


def ping_answer() -> Response:
    """A success, so that the sender does not switch itself off, which says that nothing came of it."""
    words = "This only tests the address and the key, which are right. Nothing was stored."
    return intake.answer(200, {"status": "test", "detail": words})


def _read_form(request: Request, kind: str) -> Any:
    body = intake.read_body(request)
    if body.lstrip()[:1] in (b"{", b"["):  # as `curl -d` sends JSON when nobody tells it the type
        return intake.parse_json(body)
    if kind == MULTIPART:
        body = _as_urlencoded(request, body)
    if is_ping(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)):
        return PING
    try:
        fields = bracket_form.parse(body)
    except bracket_form.FormError as error:
        raise Refusal(413, f"The form is too big: {error}.") from None
    event = {FIELDS.get(name.casefold(), name): value for name, value in _filled(fields).items()}
    data = event.get("data")
    if isinstance(data, str) and data.lstrip().startswith("{"):
        event["data"] = intake.parse_json(data.encode())
    elif isinstance(data, dict):
        event["data"] = _filled(data)
    return event


def is_ping(fields: Sequence[tuple[str, str]]) -> bool:
    """Whether these are no event: no fields at all, or such as test=1, webhook_id=5, event=ping and nothing beside.

    A field of any other name, and an address in any value, make it an event, right or wrong: an event with a
    misspelt field must be refused, not taken for a test.
    """
    signs = 0
    for name, value in fields:
        words = {word.lower() for word in WORD.findall(name)}
        if not words or words - SIGNS - BESIDE or "@" in value:
            return False
        told = {word.lower() for word in WORD.findall(value)} if words <= BESIDE else set()
        signs += bool((words | told) & SIGNS)
    return bool(signs) or not fields


def _filled(fields: dict[str, Any]) -> dict[str, Any]:
    """Without the fields that were left empty."""
    return {name: value for name, value in fields.items() if value != ""}


def _as_urlencoded(request: Request, body: bytes) -> bytes:
    parser = FormDataParser(
        max_form_memory_size=bracket_form.MAX_BYTES, max_form_parts=bracket_form.MAX_FIELDS, silent=False
    )
    try:
        _, form, _ = parser.parse(BytesIO(body), MULTIPART, len(body), request.mimetype_params)
    except ValueError as error:
        raise Refusal(400, f"The body is no multipart form: {error}.") from None
    return urlencode(list(form.items(multi=True))).encode()
