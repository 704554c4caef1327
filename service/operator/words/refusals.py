"""What was refused at the door, as a person says it: what came, how often, since when, and who mends it."""

from __future__ import annotations

from flask_babel import gettext as _

from service.operator.words.numbers import ngettext, number
from service.operator.words.times import since_when, when
from service.refusals import RefusalRun


def refusal_sender(run: RefusalRun) -> str:
    """Who knocked: amoCRM, or the platform with the key's name."""
    if run.way == "webhook":
        return "amoCRM"
    return _("The platform (key “%(key)s”)", key=run.key) if run.key else _("The platform")


def refusal_title(run: RefusalRun, now: float) -> str:
    """What it does, since when, how often: "The platform sends a wrong key or none, since 12:40, 17 times"."""
    if run.count == 1:
        return _("%(does)s, once: %(time)s", does=_does(run), time=when(run.first_at, now))
    times = ngettext("%(count)s time", "%(count)s times", run.count, count=number(run.count))
    return f"{_does(run)}, {since_when(run.first_at, now)}, {times}"


def _does(run: RefusalRun) -> str:
    who = refusal_sender(run)
    if run.status == 401:
        if run.way == "webhook":
            return _("%(who)s calls with a wrong secret in the address", who=who)
        return _("%(who)s sends a wrong key or none", who=who)
    if run.status == 409:
        return _("%(who)s sends other data under an id that was used before", who=who)
    if run.status == 413:
        return _("%(who)s sends more than fits into one request", who=who)
    if run.status == 422:
        return _("%(who)s sends data that cannot be taken", who=who)
    if run.status in (500, 503):
        return _("%(who)s could not hand over events", who=who)
    return _("%(who)s sends requests that cannot be read (%(status)s)", who=who, status=run.status)


def refusal_mend(run: RefusalRun) -> str:
    """Who mends it and how, and whether anything is lost."""
    if run.status == 401 and run.way == "webhook":
        return _("Subscribe the webhook anew under “Connections”: its address then bears the right secret.")
    if run.status == 401:
        return _("The platform's developer puts in a key of API_KEYS. Until then its events do not arrive.")
    if run.status in (500, 503):
        return _("Whoever was refused sends again by itself, or its developer does. See whether the store works.")
    return _("The platform's developer corrects what it sends. What was refused was not taken.")
