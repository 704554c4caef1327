"""Taking one's own last deed back, for a few seconds and as far as nothing has left yet."""

from __future__ import annotations

from typing import Any

from flask import flash, g
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.wrappers import Response

from outbox.message import StoreUnavailable
from service.current import current
from service.operator import words
from service.operator.pages.blueprint import back_to, bp, may_change, who
from service.operator.titles import title

SHOWN, TAKEN = 10.0, 15.0
"""Seconds for which it is offered; and for which the press is taken, since a press takes its time too."""

PAUSES = ("pause", "resume")


@bp.app_context_processor
def known() -> dict[str, Any]:
    return {"undoable": undoable}


def undoable() -> tuple[int, str] | None:
    """(the action's id, what it was) of what could be taken back; asked with each page, since a page may refresh."""
    if g.get("store_unavailable") or not may_change():
        return None
    try:
        action = current().store.operations.undoable(who(), SHOWN)
    except StoreUnavailable:
        return None
    if action is None:
        return None
    if action.what in PAUSES:
        return action.id, f"{title(str(action.detail['destination']), current())}: {words.action_words(action.what)}"
    counted = words.counted(action.count, "")
    return action.id, f"{counted}: {words.action_words(action.what)}"


@bp.post("/undo/<int:action_id>")
def undo(action_id: int) -> Response:
    """Puts back what nothing has happened to since."""
    operations = current().store.operations
    action = operations.undoable(who(), TAKEN)
    pause = action is not None and action.id == action_id and action.what in PAUSES
    count = operations.undo(action_id, who(), TAKEN) if action_id < 2**63 else 0
    if count and pause:
        flash(_("Taken back: sending is as it was before."), "ok")
    elif count:
        flash(
            ngettext(
                "Taken back: %(count)s delivery is as it was.",
                "Taken back: %(count)s deliveries are as they were.",
                count,
                count=words.number(count),
            ),
            "ok",
        )
    else:
        flash(_("There is nothing to take back any more: it has left, or more than ten seconds have passed."), "warn")
    return back_to("pages.connections" if pause else "pages.deliveries")
