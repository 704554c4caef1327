"""What concerns the whole page: whose it is, and whether anything is being sent at all."""

from __future__ import annotations

from flask_babel import gettext as _

from service.current import Dealpost
from service.heartbeat import SILENT, Processes
from service.operator import words

Banner = tuple[str, str, str, str, tuple[str, str] | None]


def school(dealpost: Dealpost) -> str:
    """The account's name, else its address's first part; "" while there is none."""
    return dealpost.wiring.token_status().account_name or dealpost.settings.amocrm.subdomain


def banners(dealpost: Dealpost, now: float, may_change: bool) -> list[Banner]:
    """(tone, icon, bold words, words, link): only what concerns the whole page."""
    found: list[Banner] = []
    age = Processes(dealpost.store.key_values).worker_age(now)
    if age is None:
        found.append(
            ("bad", "alert", _("The sending process has not been started."),
             _("Events are accepted and wait. The school's developer starts it: python scheduler.py"), None)
        )  # fmt: skip
    elif age > SILENT:
        found.append(
            ("bad", "alert", _("The sending process has been silent for %(time)s.", time=words.duration(age)),
             _("Events are accepted and wait. The school's developer starts it again: python scheduler.py"), None)
        )  # fmt: skip
    if dealpost.settings.sandbox:
        found.append(("blue", "info", _("Practice mode:"), _("real deals do not change."), None))
    if not may_change:
        found.append(("blue", "eye", "", _("You look without the right to change anything."), None))
    return found
