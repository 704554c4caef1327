"""What concerns the whole page: whose it is, and whether anything is accepted and sent at all."""

from __future__ import annotations

from flask import url_for
from flask_babel import gettext as _

from service.current import Dealpost
from service.operator import words
from service.operator.pages.standing import machine

Banner = tuple[str, str, str, str, tuple[str, str] | None]


def school(dealpost: Dealpost) -> str:
    """The account's name, else its address's first part; "" while there is none."""
    return dealpost.wiring.token_status().account_name or dealpost.settings.amocrm.subdomain


def banners(dealpost: Dealpost, now: float, may_change: bool) -> list[Banner]:
    """(tone, icon, bold words, words, link): only what concerns the whole page."""
    found: list[Banner] = []
    for one in machine(dealpost):
        told = f"{words.situation_means(one, now)} {words.who_mends(one)} {words.situation_todo(one, now)}"
        found.append(("bad", "alert", words.as_sentence(words.situation_title(one, now)), told, None))
    if dealpost.settings.sandbox:
        panel = (url_for("pages.practice"), _("Play a trouble")) if may_change else None
        found.append(("blue", "info", _("Practice mode:"), _("real deals do not change."), panel))
    if not may_change:
        found.append(("blue", "eye", "", _("You look without the right to change anything."), None))
    return found
