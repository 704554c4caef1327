"""The story of deliveries in a terminal: a line when one ends, and when it has to wait. Addresses are masked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flask_babel import gettext as _

from outbox.masking import masked_email
from outbox.message import Delivery, State
from outbox.pauses import Paused
from outbox.queries import Filter
from outbox.store import Reading
from service.causes import CAUSES
from service.logs import mask_emails
from service.operator import words
from service.routing import AMOCRM, ERP

AT_ONCE = 3.0
"""Seconds within which a delivery is expected to end; who waits longer is told of, though nothing has failed."""

MOST = 200
NAMES = {AMOCRM: "amoCRM", ERP: "ERP"}


@dataclass
class Story:
    """since: seconds since the epoch; what ended earlier is no part of it."""

    reading: Reading
    since: float
    told: dict[int, str] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)

    def lines(self, now: float, paused: Mapping[str, Paused]) -> list[str]:
        """What is new since the last call, oldest first. Needs an application context."""
        rows = {one.id: one for one in self.reading.find(Filter(since=self.since), MOST).rows}
        if left := sorted(self.open - set(rows))[-1000:]:
            rows |= {one.id: one for one in self.reading.find(Filter(ids=tuple(left)), len(left)).rows}
        self.open = {number for number, one in rows.items() if one.state in (State.PENDING, State.SENDING)}
        self.told = {number: outcome for number, outcome in self.told.items() if number in rows}
        found = []
        for number in sorted(rows):
            outcome = mask_emails(came_to(rows[number], now, paused))
            if outcome and self.told.get(number) != outcome:
                self.told[number] = outcome
                found.append(f"{words.clock(now, seconds=True)}  {came_in(rows[number])}: {outcome}")
        return found


def came_in(delivery: Delivery) -> str:
    """What came in, of whom, and where it goes."""
    what = mask_emails(words.event_words(delivery.event_name, delivery.data, delivery.facts))
    whose = masked_email(delivery.email) if delivery.email else ""
    if not whose and delivery.lead_id:
        whose = _("deal %(id)s", id=delivery.lead_id)
    return f"{', '.join(filter(None, (whose, what)))} → {NAMES.get(delivery.destination, delivery.destination)}"


def came_to(delivery: Delivery, now: float, paused: Mapping[str, Paused]) -> str:
    """What became of it; "" while it is on its way as expected."""
    reason = delivery.reason
    if delivery.state == State.DELIVERED:
        took = words.duration(delivery.changed_at - delivery.received_at)
        arrived = _("arrived after %(time)s", time=took)
        return ", ".join(filter(None, (arrived, _reference(delivery))))
    if delivery.state == State.SKIPPED:
        return _("nothing to do: %(why)s", why=words.reason_words(reason))
    if delivery.state == State.DEAD:
        return _("did not arrive: %(why)s", why=_why(delivery.cause, reason.words or words.reason_words(reason)))
    if delivery.state == State.DISCARDED:
        return _("will not be sent")
    if pause := paused.get(delivery.destination):
        return _("waits: %(why)s", why=_why(pause.cause, pause.reason or pause.kind.value))
    if delivery.failures:
        why, at = _why(delivery.cause, reason), words.clock(delivery.due_at, True)
        return _("waits: %(why)s, next attempt at %(time)s", why=why, time=at)
    if now - delivery.created_at < AT_ONCE:
        return ""
    if delivery.due_at > now:
        return _("waits for its time, %(time)s", time=words.clock(delivery.due_at, True))
    return _("waits for its turn, or for the settings: flask check")


def _why(cause: str, told: str) -> str:
    """The cause as the page names it, or what was told of it."""
    title = CAUSES[cause].title if cause in CAUSES else ""
    return words.cause_title(cause, {}) if title and "%(" not in title else told


def _reference(delivery: Delivery) -> str:
    if not delivery.reference:
        return ""
    if delivery.destination == AMOCRM:
        return _("deal %(id)s", id=delivery.reference)
    return _("record %(id)s", id=delivery.reference)
