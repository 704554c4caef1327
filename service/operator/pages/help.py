"""The keys of the page, and in a few words what it shows; also without scripts."""

from __future__ import annotations

from werkzeug.wrappers import Response

from service.operator.pages.blueprint import bp, show


@bp.get("/help")
def help_page() -> Response:
    return show("help.html", "")
