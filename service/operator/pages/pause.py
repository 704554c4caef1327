"""Pause and resume a destination."""

from __future__ import annotations

from flask import abort, flash, request
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.wrappers import Response

from outbox import pauses
from service.current import current
from service.operator import words
from service.operator.pages import destinations
from service.operator.pages.blueprint import back_to, bp, show, who


def _known(destination: str) -> str:
    dealpost = current()
    if destination not in destinations.NAMES:
        abort(404)
    return destinations.title(destination, dealpost)


@bp.get("/pause/<destination>")
def ask_pause(destination: str) -> Response:
    title = _known(destination)
    return show("ask_pause.html", "pages.connections", destination=destination, title=title)


@bp.post("/pause/<destination>")
def pause(destination: str) -> Response:
    title = _known(destination)
    pauses.pause(current().store, destination, who())
    flash(_("Sending to %(destination)s is paused. Events are accepted and wait.", destination=title), "ok")
    return _back()


@bp.post("/resume/<destination>")
def resume(destination: str) -> Response:
    title = _known(destination)
    count = pauses.resume(current().store, destination, who())
    said = _("Sending to %(destination)s goes on.", destination=title)
    if count:
        said += " " + ngettext(
            "%(count)s delivery goes out.", "%(count)s deliveries go out.", count, count=words.number(count)
        )
    flash(said, "ok")
    return _back()


def _back() -> Response:
    return back_to("pages.connections" if request.form.get("from") == "connections" else "pages.overview")
