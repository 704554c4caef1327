"""A delivery as a row of a list: who, what happened, what was done, and how it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _

from outbox.message import Delivery, State
from service.current import Dealpost
from service.operator import words
from service.operator.pages import destinations, links, stages
from service.routing import AMOCRM, ERP, WEBHOOK

ENDED = (State.DELIVERED, State.SKIPPED)


@dataclass(frozen=True)
class Row:
    """Ready for a template. state: (icon, tone, words); took: "" while it is on its way."""

    id: int
    state: tuple[str, str, str]
    who: str
    email: str
    event: str
    place: str
    done: str
    took: str
    at: float
    when: str
    tries: int
    lead_id: int | None
    deal_url: str
    next: str
    next_exact: str
    late: bool


def present(dealpost: Dealpost, deliveries: Iterable[Delivery], now: float, by_end: bool = True) -> list[Row]:
    """by_end: the age is that of the last change, else that of the event."""
    rests = dealpost.wiring.pauses()
    lacking = {name for name in destinations.NAMES if destinations.missing(dealpost, name)}
    return [_row(dealpost, one, now, rests, lacking, by_end) for one in deliveries]


def _row(
    dealpost: Dealpost, one: Delivery, now: float, rests: Mapping[str, Any], lacking: set[str], by_end: bool
) -> Row:
    title = destinations.title(one.destination, dealpost)
    waits = one.state == State.PENDING
    at = one.changed_at if by_end and one.state not in (State.PENDING, State.SENDING) else one.received_at
    return Row(
        id=one.id,
        state=words.chip(one, now, title if one.destination in rests else "", one.destination in lacking),
        who=person(one),
        email=one.email or "",
        event=event(one, dealpost),
        place=title,
        done=done(one),
        took=words.duration(one.changed_at - one.received_at) if one.state == State.DELIVERED else "",
        at=at,
        when=words.ago(at, now),
        tries=one.failures + (one.state in ENDED or (one.state == State.DEAD and not one.failures)),
        lead_id=lead(one),
        deal_url=links.deal_url(dealpost, lead(one)),
        next=_next(one, now, rests.get(one.destination)) if waits else "",
        next_exact=words.exact(one.due_at) if waits else "",
        late=words.is_late(one, now, one.destination in rests or one.destination in lacking),
    )


def _next(one: Delivery, now: float, rest: Any) -> str:
    if rest is not None:
        return _("after the pause")
    if one.due_at <= now:
        return _("now")
    return words.in_words(one.due_at - now) if one.due_at - now < 3600 else words.when(one.due_at, now)


def person(one: Delivery) -> str:
    """A student is a name once amoCRM gave one, else the e-mail; a deal without either, its name."""
    if one.person:
        return one.person
    name = one.facts.get("contact_name") or one.facts.get("record") or one.data.get("dealName")
    if one.email:
        return str(one.facts.get("contact_name") or one.email)
    if name:
        return str(name)
    if one.lead_id:
        return _("Deal %(id)s", id=one.lead_id)
    return _("Delivery %(id)s", id=one.id)


def lead(one: Delivery) -> int | None:
    found = one.lead_id or one.facts.get("lead_id")
    return int(found) if found else None


def event(one: Delivery, dealpost: Dealpost) -> str:
    """What happened, with the stage's name where the event knows only its id."""
    return happened(one.event_name, one.data, one.facts, dealpost)


def happened(name: str, data: Mapping[str, Any], facts: Mapping[str, Any], dealpost: Dealpost) -> str:
    stage = stages.name_of(dealpost, data.get("status_id"), data.get("pipeline_id")) if name == WEBHOOK else ""
    return words.event_words(name, data, {**facts, "stage": stage or facts.get("stage")})


def done(one: Delivery) -> str:
    """What was done there, or why nothing was, in a few words."""
    if one.state == State.SKIPPED:
        stage = one.facts.get("from_name")
        if one.reason.startswith("already_further") and stage:
            return _("already on “%(stage)s”", stage=stage)
        return words.reason_words(one.reason)
    if one.state == State.DEAD:
        return words.cause_title(one.cause, one.facts) if one.cause else words.reason_words(one.reason)
    if one.state == State.DISCARDED:
        return words.reason_words(one.reason) if one.reason else ""
    if one.state == State.PENDING:
        return words.cause_title(one.cause, one.facts) if one.failures and one.cause else ""
    if one.state != State.DELIVERED:
        return ""
    if one.destination == AMOCRM:
        stage = one.facts.get("to_name")
        text = _("stage “%(stage)s”", stage=stage) if stage else _("the deal was moved")
    elif one.destination == ERP:
        amount = one.facts.get("amount")
        text = _("record %(id)s", id=one.reference) if one.reference else _("the record was made")
        text += f", {words.money(amount)}" if amount not in (None, "", 0, "0") else ""
    else:
        text = ""
    if one.failures:
        text += ", " + _("attempt %(num)s", num=one.failures + 1)
    return text
