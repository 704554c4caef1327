"""How a delivery stands: its state as an icon, a tone and words, and the words of its reason."""

from __future__ import annotations

from flask_babel import gettext as _
from flask_babel import pgettext

from outbox.message import Delivery, Reason, State

LATE = 5 * 60.0
"""Seconds after which somebody who waits is worth a colour."""

OVERDUE = 60.0
"""Seconds after its time when a delivery that nothing took counts as late."""

ICONS = {
    State.PENDING: "clock",
    State.SENDING: "arrow",
    State.DELIVERED: "tick",
    State.SKIPPED: "minus",
    State.DEAD: "alert",
    State.DISCARDED: "stroke",
}

TONES = {
    State.PENDING: "quiet",
    State.SENDING: "blue",
    State.DELIVERED: "ok",
    State.SKIPPED: "quiet",
    State.DEAD: "bad",
    State.DISCARDED: "quiet",
}


def state_word(state: State) -> str:
    """One delivery's state."""
    return {
        State.PENDING: _("Waiting"),
        State.SENDING: _("Sending"),
        State.DELIVERED: _("Delivered"),
        State.SKIPPED: _("Not needed"),
        State.DEAD: _("Not delivered"),
        State.DISCARDED: _("Cancelled"),
    }[state]


def states_word(state: State) -> str:
    """The state of many, as a tab names it."""
    return {
        State.PENDING: pgettext("many", "Waiting"),
        State.SENDING: pgettext("many", "Sending"),
        State.DELIVERED: pgettext("many", "Delivered"),
        State.SKIPPED: pgettext("many", "Not needed"),
        State.DEAD: pgettext("many", "Not delivered"),
        State.DISCARDED: pgettext("many", "Cancelled"),
    }[state]


def is_late(delivery: Delivery, now: float, resting: bool = False) -> bool:
    """It waits longer than people expect, or its time is over and nothing took it. resting: its destination pauses."""
    if delivery.state != State.PENDING:
        return False
    return now - delivery.created_at > LATE or (not resting and now - delivery.due_at > OVERDUE)


def chip(
    delivery: Delivery, now: float, pause: str = "", not_set_up: bool = False, behind: bool = False
) -> tuple[str, str, str]:
    """(icon, tone, words) of a delivery's state. pause: the name of its destination while that rests. behind: it waits
    for an earlier one of its key."""
    icon, tone = ICONS[delivery.state], TONES[delivery.state]
    if delivery.state != State.PENDING:
        return icon, tone, state_word(delivery.state)
    if not_set_up:
        return "plug", "quiet", _("Waits for the connection")
    late = is_late(delivery, now, bool(pause) or behind)
    tone = "warn" if late else "quiet"
    if pause:
        return icon, tone, _("Waiting: %(destination)s is paused", destination=pause)
    if behind:
        return icon, tone, _("Waits for an earlier one")
    if delivery.failures:
        return icon, tone, _("Waits for attempt %(num)s", num=delivery.failures + 1)
    if late:
        return icon, tone, _("Is delayed")
    return icon, tone, state_word(State.PENDING)


def reason_words(reason: str) -> str:
    """Why a delivery was not needed, or what became of it, by the code that its reason begins with."""
    told = Reason(reason)
    known = {
        "already_further": _("the deal is already further"),
        "already_there": _("the deal is already on this stage"),
        "deal_closed": _("the deal is closed"),
        "deal_gone": _("the deal is no longer there"),
        "superseded": _("replaced by a newer one"),
        "no_stage": _("no stage is chosen for this lesson"),
        "stage_gone": _("the stage is gone from the funnel"),
        "not_routed": _("we send such events nowhere"),
        "foreign_account": _("it came from another account"),
        "echo": _("we changed the stage ourselves"),
        "not_found": _("not found"),
        "refused": _("refused"),
        "exhausted": _("all attempts are used up"),
        "ambiguous": _("it is not certain whether it arrived"),
        "unreadable": _("it could not be read"),
    }
    return known.get(told.code) or told.words or told.code


def sentence(text: str) -> str:
    """With a capital at its beginning and a full stop at its end; names of programs stay small."""
    text = text[:1].upper() + text[1:] if not text.startswith("amo") else text
    return text if not text or text.endswith((".", "!", "?")) else text + "."
