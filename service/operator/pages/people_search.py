"""Whom amoCRM finds by what somebody has typed so far, and what sending to them would do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _

from outbox.message import Delivery
from outbox.outcome import DeliveryError
from service.current import Dealpost
from service.email_address import normal_email
from service.operator import turns, words
from service.operator.pages.preview import foresee

SHORTEST = 3
SEARCHES = threading.BoundedSemaphore(turns.AT_ONCE)
"""Of all people who type at a time so few ask amoCRM, so that threads are left for events."""


@dataclass(frozen=True)
class Found:
    """people: whom amoCRM found, with name, emails, lead_id and stage. foreseen: what sending to a whole address would
    do. fault: why nothing is known."""

    people: Sequence[Any] = ()
    foreseen: str = ""
    fault: str = ""


def look_for(dealpost: Dealpost, text: str, to: Callable[[str], Delivery | None]) -> Found:
    """to: what would be sent to a whole address; None: nothing that is worth foreseeing."""
    if len(text) < SHORTEST or not dealpost.wiring.amocrm.is_set_up():
        return Found()
    if not SEARCHES.acquire(blocking=False):
        return Found(fault=_("Others are searching too; type on, or wait a moment."))
    try:
        people = dealpost.wiring.previewer.find_people(text)
    except DeliveryError as error:
        why = words.cause_title(error.cause, error.params)
        return Found(fault=_("It cannot be looked up now: %(cause)s.", cause=why))
    finally:
        SEARCHES.release()
    email = normal_email(text)
    delivery = to(email) if email is not None else None
    if delivery is None:
        return Found(people)
    seen = foresee(dealpost, delivery)
    said = f"{seen.words} {seen.before} → {seen.after}" if seen.before and seen.after else seen.words
    return Found(people, said)
