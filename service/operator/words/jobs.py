"""What runs by the clock: its names, and what each run told of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask_babel import gettext as _

from service.operator.words.numbers import ngettext, number


def job_detail(code: str, params: Mapping[str, Any]) -> str:
    """What the job told of itself, in words; "" for a code that has none."""
    count = int(params.get("count") or 0)
    if code == "cleared":
        return ngettext("%(count)s record cleared", "%(count)s records cleared", count, count=number(count))
    if code == "missed":
        if not count:
            return _("no differences")
        return ngettext("%(count)s change found", "%(count)s changes found", count, count=number(count))
    known = {"renewed": _("renewed"), "not_due": _("not due yet"), "sent": _("sent"), "no_address": _("off")}
    return {**known, **hook_words()}.get(code, "")


def hook_words() -> dict[str, str]:
    """By the code that the check of the webhook left."""
    return {
        "hook_on": _("switched on"),
        "hook_renewed": _("was off, registered again"),
        "hook_off": _("switched off by amoCRM"),
        "hook_unknown": _("not registered in amoCRM"),
        "hook_unset": _("not set up"),
    }


def job_title(name: str) -> str:
    return {
        "hook": _("Webhook check"),
        "tokens": _("Renewing access to amoCRM"),
        "reconcile": _("Comparing with amoCRM"),
        "prune": _("Clearing old records"),
        "checkpoint": _("Care of the database"),
        "ping": _("Sign of life to the outside"),
    }.get(name, name)
