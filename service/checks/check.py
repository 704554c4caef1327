"""One line of `flask check`, and the words of what fails."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from flask_babel import get_locale
from flask_babel import gettext as _

from outbox.message import Json
from outbox.outcome import DeliveryError
from service.causes import CAUSES
from service.check_results import FAULT as FAULT
from service.check_results import NOTE as NOTE
from service.check_results import OK as OK

DEADLINE = 8.0
"""Seconds that all questions to one system may take together."""


@dataclass(frozen=True)
class Check:
    """state: ok; note: works without, but know of it; fault: has to be mended. mend: what to do, or "". source: where a
    setting's value comes from. part: settings, store, amocrm, erp, email or deliveries.
    code, params: of the words, where they are kept."""

    name: str
    state: str
    words: str
    mend: str = ""
    source: str = ""
    part: str = ""
    code: str = ""
    params: Mapping[str, Json] = field(default_factory=dict)


class Remaining:
    """The seconds that are left of a deadline, for one request after the other; never none at all."""

    def __init__(self, seconds: float = DEADLINE) -> None:
        self._until = time.monotonic() + seconds

    def __call__(self) -> float:
        return max(0.1, self._until - time.monotonic())


def not_set_up(name: str, missing: tuple[str, ...], any_set: bool) -> Check:
    mend = _("Set %(names)s.", names=", ".join(missing))
    words = _("half set up; deliveries wait") if any_set else _("not set up; deliveries wait")
    return Check(name, FAULT if any_set else NOTE, words, mend)


def failed(name: str, error: DeliveryError, mend: str = "") -> Check:
    """A question that got no good answer."""
    todo = CAUSES[error.cause].todo if error.cause in CAUSES else ""
    params = {
        **dict.fromkeys(
            ("missing", "detail", "account", "address", "since", "lesson", "host", "stages", "settings"), "…"
        ),
        **error.params,
    }
    words = _(CAUSES[error.cause].title) % params if error.cause in CAUSES else ""
    more = (
        error.message if not words or str(get_locale()).startswith("en") else error.status
    )  # our messages are in English
    words = f"{words} ({more})" if words and more and more != words else words or error.message
    mend = (_(todo) % params if todo else "") or mend or _("Try again in a minute.")
    return Check(name, FAULT, words, mend, code=error.cause, params=error.params)
