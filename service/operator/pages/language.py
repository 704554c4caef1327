"""The switch of languages: the choice is kept in a cookie, and the reader goes back to where they were."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import redirect, request, url_for
from werkzeug.wrappers import Response

from service.operator.language import COOKIE, LANGUAGES
from service.operator.pages.blueprint import bp

YEAR = 365 * 24 * 3600


@bp.post("/language")
def choose_language() -> Response:
    response = redirect(back(request.form.get("back", "")), 303)
    code = request.form.get("language", "")
    if code in LANGUAGES:
        response.set_cookie(
            COOKIE, code, max_age=YEAR, samesite="Lax", httponly=True, secure=request.is_secure,
            path=request.script_root or "/",
        )  # fmt: skip
    return response


def back(path: str) -> str:
    """A path of ours as an address; anything else would send the reader to another site."""
    parts = urlsplit(path)
    ours = path.startswith("/outbox") and not parts.scheme and not parts.netloc and "\\" not in path
    return request.script_root + path if ours else url_for("pages.overview")
