"""Pause and resume a destination."""

from __future__ import annotations

from flask import abort, flash
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from outbox import pauses
from outbox.message import State
from outbox.queries import Filter
from service.current import current
from service.operator import words
from service.operator.pages import destinations
from service.operator.pages.blueprint import back_here, bp, show, who
from service.operator.words.numbers import ngettext


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


@bp.post("/try/<destination>")
def try_one(destination: str) -> Response:
    """Let one delivery out of what rests: of five alike one of them, else whichever is first."""
    title, dealpost = _known(destination), current()
    paused = pauses.read(dealpost.store.key_values, destination)
    rows = list(paused.params.get("rows") or ()) if paused is not None else []
    waits = Filter(states=(State.PENDING,), destination=destination, ids=tuple(rows))
    found = dealpost.store.reading.find(waits, 1, oldest_first=True).rows if rows else ()
    if pauses.try_one(dealpost.store, destination, who(), found[0].id if found else None):
        flash(
            _("One delivery to %(destination)s is being tried. This page tells how it went.", destination=title), "ok"
        )
    else:
        flash(_("There is nothing to try: sending to %(destination)s does not rest.", destination=title), "warn")
    return _back()


def _back() -> Response:
    return back_here("pages.overview")
