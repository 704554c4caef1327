"""The switch of languages: the choice is kept in a cookie, and the reader goes back to where they were."""

from __future__ import annotations

from flask import redirect, request
from werkzeug.wrappers import Response

from service.operator.auth import own_path
from service.operator.language import COOKIE, LANGUAGES
from service.operator.pages.blueprint import bp

YEAR = 365 * 24 * 3600


@bp.post("/language")
def choose_language() -> Response:
    response = redirect(request.script_root + own_path(request.form.get("back", "")), 303)
    code = request.form.get("language", "")
    if code in LANGUAGES:
        response.set_cookie(
            COOKIE, code, max_age=YEAR, samesite="Lax", httponly=True, secure=request.is_secure,
            path=request.script_root or "/",
        )  # fmt: skip
    return response
