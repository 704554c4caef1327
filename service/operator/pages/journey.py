"""The way of one student or deal across platform, amoCRM and ERP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.wrappers import Response

from outbox.message import Delivery, Event, State
from service.amocrm.payloads import CLOSED
from service.current import Dealpost, current
from service.email_address import canonical
from service.operator import words
from service.operator.pages import delivery_row, destinations, links, stages
from service.operator.pages.blueprint import bp, show
from service.operator.pages.headline import Headline
from service.routing import AMOCRM, ERP, WEBHOOK

EVENTS = 200


@dataclass(frozen=True)
class Piece:
    """One place on a lane. lane: 1 platform, 2 amoCRM, 3 ERP. arrow: words on the way to it, "" for a cause."""

    lane: int
    head: str
    note: str = ""
    state: tuple[str, str, str] | None = None
    link: str = ""
    arrow: str = ""
    cause: bool = False


@dataclass(frozen=True)
class Way:
    """One event and what came of it."""

    time: str
    exact: str
    pieces: tuple[Piece, ...]


@dataclass
class Day:
    title: str
    ways: list[Way] = field(default_factory=list)


@bp.get("/students/journey")
def journey() -> Response:
    dealpost = current()
    now = dealpost.store.now()
    email = canonical(request.args.get("email", "")[:254])
    deal = request.args.get("deal", "")
    lead_id = int(deal) if deal.isascii() and deal.isdigit() and len(deal) < 19 else None
    events = whole(dealpost, email, lead_id)
    deliveries = [delivery for event in events for delivery in event.deliveries]
    name = next(
        (
            delivery_row.person(delivery)
            for delivery in deliveries
            if delivery.person or delivery.facts.get("contact_name")
        ),
        "",
    )
    name = name or email or (_("Deal %(id)s", id=lead_id) if lead_id else _("Nobody"))
    lead = lead_id or next(
        (delivery_row.lead(delivery) for delivery in deliveries if delivery_row.lead(delivery)), None
    )
    return show(
        "journey.html",
        "pages.students",
        live=True,
        name=name,
        email=email,
        lead=lead,
        deal_url=links.deal_url(dealpost, lead),
        crm=destinations.title(AMOCRM, dealpost),
        records=_records(dealpost, deliveries),
        headline=_headline(dealpost, name, deliveries, now),
        track=track(dealpost, deliveries, now),
        days=days(dealpost, events, now),
        found=len(events),
        most=EVENTS,
    )


def whole(dealpost: Dealpost, email: str, lead_id: int | None) -> list[Event]:
    """All events of a student, with those that only name the student's deals, or of a deal; newest first."""
    if not email:
        return dealpost.store.reading.events_of(None, lead_id, EVENTS) if lead_id else []
    return dealpost.store.reading.events_of(email, None, EVENTS)


def _records(dealpost: Dealpost, deliveries: Sequence[Delivery]) -> list[tuple[str, str]]:
    found = []
    for delivery in deliveries:
        if delivery.destination == ERP and delivery.reference and delivery.state == State.DELIVERED:
            url = links.record_url(dealpost, delivery.facts.get("entity_id"), delivery.reference)
            found.append((delivery.reference, url))
    return list(dict.fromkeys(found))[:3]


def _headline(dealpost: Dealpost, name: str, deliveries: Sequence[Delivery], now: float) -> Headline:
    if not deliveries:
        return Headline("quiet", "user", name, _("Nothing has come in about them."), "", "nobody")
    dead = sum(delivery.state == State.DEAD for delivery in deliveries)
    waits = sum(delivery.state in (State.PENDING, State.SENDING) for delivery in deliveries)
    if dead:
        then = ngettext("%(num)s delivery did not arrive.", "%(num)s deliveries did not arrive.", dead)
        return Headline("bad", "alert", name, then, "", f"dead:{dead}")
    if waits:
        then = ngettext("%(num)s delivery is on its way.", "%(num)s deliveries are on their way.", waits)
        return Headline("warn", "clock", name, then, "", f"waits:{waits}")
    last = _last_move(dealpost, deliveries)
    then = _("Everything arrived.")
    if last is not None:
        stage, at = last
        then += " " + _("The deal is on the stage “%(stage)s” %(since)s.", stage=stage, since=words.since_when(at, now))
    return Headline("ok", "tick", name, then, "", "well")


def _last_move(dealpost: Dealpost, deliveries: Sequence[Delivery]) -> tuple[str, float] | None:
    moves = [(at, status) for at, status in reached(deliveries)]
    if not moves:
        return None
    at, status = max(moves)
    name = stages.name_of(dealpost, status)
    return (name, at) if name else None


def reached(deliveries: Sequence[Delivery]) -> list[tuple[float, int]]:
    """When the deal came to which stage, as far as we know."""
    found = []
    for delivery in deliveries:
        status = delivery.facts.get("to_status")
        if delivery.destination == AMOCRM and delivery.state == State.DELIVERED and isinstance(status, int):
            found.append((delivery.changed_at, status))
        elif delivery.event_name == WEBHOOK and isinstance(delivery.data.get("status_id"), int):
            found.append((delivery.received_at, int(delivery.data["status_id"])))
    return found


@dataclass(frozen=True)
class Stop:
    name: str
    note: str
    done: bool
    now: bool


def track(dealpost: Dealpost, deliveries: Sequence[Delivery], now: float) -> list[Stop]:
    """The funnel's stages, with those that the deal has passed; empty while the funnel is not known."""
    pipeline = stages.ours(dealpost)
    been: dict[int, float] = {}
    for at, status in reached(deliveries):
        been[status] = max(at, been.get(status, 0.0))
    funnel = [stage for stage in (pipeline.stages if pipeline else ()) if stage.type != 1 and stage.id != 143]
    if not been or not funnel:
        return []
    funnel.sort(key=lambda stage: (stage.id in CLOSED, stage.sort))
    latest = max(been, key=been.__getitem__)
    here = next((index for index, stage in enumerate(funnel) if stage.id == latest), -1)
    stops = []
    for index, stage in enumerate(funnel):
        came = been.get(stage.id) if index <= here else None
        note = words.when(came, now) if came else "" if index <= here else _("still ahead")
        stops.append(Stop(stage.name, note, index <= here, index == here))
    return stops


def days(dealpost: Dealpost, events: Sequence[Event], now: float) -> list[Day]:
    """The events by day, newest first."""
    found: list[Day] = []
    for event in events:
        title = words.heading(event.received_at, now)
        if not found or found[-1].title != title:
            found.append(Day(title))
        found[-1].ways.append(_way(dealpost, event, now))
    return found


def _way(dealpost: Dealpost, event: Event, now: float) -> Way:
    first = event.deliveries[0] if event.deliveries else None
    facts = next((delivery.facts for delivery in event.deliveries if delivery.facts), {})
    what = delivery_row.happened(event.name, event.data, facts, dealpost)
    lane = 2 if event.name == WEBHOOK else 1
    link = url_for("pages.delivery", delivery_id=first.id) if first else ""
    pieces = [
        Piece(
            lane,
            what[:1].upper() + what[1:],
            _changed(dealpost, event.data) if lane == 2 else "",
            link=link,
            cause=True,
        )
    ]
    pieces += [_effect(dealpost, delivery, now) for delivery in event.deliveries]
    return Way(words.clock(event.received_at), words.exact(event.received_at), tuple(pieces))


def _effect(dealpost: Dealpost, delivery: Delivery, now: float) -> Piece:
    lane = {AMOCRM: 2, ERP: 3}.get(delivery.destination, 2 if delivery.event_name != WEBHOOK else 3)
    head, note = delivery_row.done(delivery), ""
    if delivery.destination == AMOCRM and delivery.state == State.DELIVERED:
        head, note = _("The deal moved"), _moved(delivery.facts)
    elif delivery.destination == AMOCRM and delivery.state == State.SKIPPED:
        head, note = _("The deal was left alone"), delivery_row.done(delivery)
    elif delivery.destination == ERP and delivery.state == State.DELIVERED:
        head = _("Record %(id)s was made", id=delivery.reference) if delivery.reference else _("The record was made")
        note = words.money(delivery.facts["amount"]) if delivery.facts.get("amount") else ""
    elif delivery.destination == ERP and delivery.state == State.SKIPPED:
        head, note = _("No record is needed"), words.reason_words(delivery.reason)
    elif delivery.destination == "-":
        head, note = _("Goes nowhere"), words.reason_words(delivery.reason)
    head = head or words.state_word(delivery.state)
    took = words.duration(delivery.changed_at - delivery.received_at) if delivery.state in delivery_row.ENDED else ""
    tries = delivery.failures + 1
    arrow = took
    if tries > 1:
        arrow = ", ".join(filter(None, (ngettext("%(num)s attempt", "%(num)s attempts", tries), took)))
    return Piece(
        lane, head, note, words.chip(delivery, now), url_for("pages.delivery", delivery_id=delivery.id), arrow or "…"
    )


def _moved(facts: Mapping[str, Any]) -> str:
    before, after = facts.get("from_name") or "", facts.get("to_name") or ""
    if before and after:
        return _("“%(before)s” → “%(after)s”", before=before, after=after)
    return _("“%(stage)s”", stage=after) if after else ""


def _changed(dealpost: Dealpost, data: Mapping[str, Any]) -> str:
    """What a hook tells of the deal's way."""
    names = {
        "from_name": stages.name_of(dealpost, data.get("old_status_id"), data.get("pipeline_id")),
        "to_name": stages.name_of(dealpost, data.get("status_id"), data.get("pipeline_id")),
    }
    return _moved(names)
