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
from service.operator.pages.standing import of_rows
from service.routing import AMOCRM, ERP, WEBHOOK
from service.situations.rows import Standing

ENDED = (State.DELIVERED, State.SKIPPED)


@dataclass(frozen=True)
class Row:
    """Ready for a template. state: (icon, tone, words); took: "" while it is on its way. why: in a few words, of one
    that was not delivered."""

    id: int
    state: tuple[str, str, str]
    who: str
    email: str
    event: str
    destination: str
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
    why: str


def present(dealpost: Dealpost, deliveries: Iterable[Delivery], now: float, by_end: bool = True) -> list[Row]:
    """by_end: the age is that of the last change, else that of the event."""
    rows = list(deliveries)
    standing = of_rows(dealpost, rows)
    return [_row(dealpost, delivery, now, standing[delivery.id], by_end) for delivery in rows]


def _row(dealpost: Dealpost, delivery: Delivery, now: float, standing: Standing, by_end: bool) -> Row:
    title = destinations.title(delivery.destination, dealpost)
    waits = delivery.state == State.PENDING
    at = (
        delivery.changed_at if by_end and delivery.state not in (State.PENDING, State.SENDING) else delivery.received_at
    )
    return Row(
        id=delivery.id,
        state=words.row_chip(delivery, standing, now, title),
        who=person(delivery),
        email=delivery.email or "",
        event=event(delivery, dealpost),
        destination=title,
        done=done(delivery),
        took=words.duration(delivery.changed_at - delivery.received_at) if delivery.state == State.DELIVERED else "",
        at=at,
        when=words.ago(at, now),
        tries=delivery.failures + (delivery.state in ENDED or (delivery.state == State.DEAD and not delivery.failures)),
        lead_id=lead(delivery),
        deal_url=links.deal_url(dealpost, lead(delivery)),
        next=words.next_words(standing, now) if waits else "",
        next_exact=words.exact(standing.at) if waits and standing.at is not None else "",
        why="" if delivery.state == State.DELIVERED else done(delivery),
        late=words.is_late(delivery, now, standing.code not in ("next", "")),
    )


def person(delivery: Delivery) -> str:
    """A student is a name once amoCRM gave one, else the e-mail; a deal without either, its name."""
    if delivery.person:
        return delivery.person
    name = delivery.facts.get("contact_name") or delivery.facts.get("record") or delivery.data.get("dealName")
    if delivery.email:
        return str(delivery.facts.get("contact_name") or delivery.email)
    if name:
        return str(name)
    if delivery.lead_id:
        return _("Deal %(id)s", id=delivery.lead_id)
    return _("Delivery %(id)s", id=delivery.id)


def lead(delivery: Delivery) -> int | None:
    found = delivery.lead_id or delivery.facts.get("lead_id")
    return int(found) if found else None


def event(delivery: Delivery, dealpost: Dealpost) -> str:
    """What happened, with the stage's name where the event knows only its id."""
    return happened(delivery.event_name, delivery.data, delivery.facts, dealpost)


def happened(name: str, data: Mapping[str, Any], facts: Mapping[str, Any], dealpost: Dealpost) -> str:
    stage = stages.name_of(dealpost, data.get("status_id"), data.get("pipeline_id")) if name == WEBHOOK else ""
    return words.event_words(name, data, {**facts, "stage": stage or facts.get("stage")})


def done(delivery: Delivery) -> str:
    """What was done there, or why nothing was, in a few words."""
    if delivery.state == State.SKIPPED:
        stage = delivery.facts.get("from_name")
        if delivery.reason.code == "already_further" and stage:
            return _("already on “%(stage)s”", stage=stage)
        return words.reason_words(delivery.reason)
    if delivery.state in (State.DEAD, State.DISCARDED):
        if delivery.cause:
            return words.cause_title(delivery.cause, delivery.facts)
        return words.reason_words(delivery.reason) if delivery.reason else ""
    if delivery.state == State.PENDING:
        return words.cause_title(delivery.cause, delivery.facts) if delivery.failures and delivery.cause else ""
    if delivery.state != State.DELIVERED:
        return ""
    if delivery.destination == AMOCRM:
        stage = delivery.facts.get("to_name")
        text = _("stage “%(stage)s”", stage=stage) if stage else _("the deal was moved")
    elif delivery.destination == ERP:
        amount = delivery.facts.get("amount")
        text = _("record %(id)s", id=delivery.reference) if delivery.reference else _("the record was made")
        text += f", {words.money(amount)}" if amount not in (None, "", 0, "0") else ""
    else:
        text = ""
    if delivery.failures:
        text += ", " + _("attempt %(num)s", num=delivery.failures + 1)
    return text
