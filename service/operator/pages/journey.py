"""The way of one student or deal across platform, amoCRM and ERP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from outbox.message import Delivery, Event, State
from outbox.whole_numbers import whole_number
from service.closed_stages import CLOSED, LOST
from service.current import Dealpost, current
from service.email_address import canonical
from service.operator import words
from service.operator.pages import delivery_row, destinations, links, stages
from service.operator.pages.blueprint import bp, show
from service.operator.pages.headline import Headline
from service.operator.pages.standing import of_rows, situations
from service.operator.words.numbers import ngettext
from service.routing import AMOCRM, ERP, WEBHOOK
from service.situations.rows import Standing
from service.situations.signals import Need

EVENTS = 200
ECHO = 3600.0
"""Seconds after a move of ours within which a hook of the same deal and stage tells of that move."""


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
    lead_id = whole_number(request.args.get("deal"))
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
        phones=next((delivery.phones for delivery in deliveries if delivery.phones), ""),
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
    waiting = [delivery for delivery in deliveries if delivery.state in (State.PENDING, State.SENDING)]
    moved_nothing = sum(delivery.state == State.SKIPPED and bool(delivery.cause) for delivery in deliveries)
    if dead:
        then = ngettext("%(num)s delivery did not arrive.", "%(num)s deliveries did not arrive.", dead)
        return Headline("bad", "alert", name, then + " " + _("Somebody has to decide."), "", f"dead:{dead}")
    if waiting:
        then, needs = _waiting(dealpost, waiting, now)
        return Headline("warn", "clock", name, then, "", f"waits:{len(waiting)}:{needs}")
    if moved_nothing:
        then = ngettext(
            "%(num)s lesson moved no deal: no stage is chosen for it.",
            "%(num)s lessons moved no deal: no stage is chosen for them.",
            moved_nothing,
        )
        return Headline("warn", "warning", name, then, "", "unmapped")
    last = _last_move(dealpost, deliveries)
    then = _("Everything arrived.")
    if last is not None:
        stage, status, at = last
        since = words.since_when(at, now)
        then = (
            _("The deal is closed: “%(stage)s” %(since)s.", stage=stage, since=since)
            if status in CLOSED
            else then + " " + _("The deal is on the stage “%(stage)s” %(since)s.", stage=stage, since=since)
        )
        if status in CLOSED:
            return Headline("quiet", "minus", name, then, "", "closed")
    return Headline("ok", "tick", name, then, "", "well")


def _waiting(dealpost: Dealpost, waiting: Sequence[Delivery], now: float) -> tuple[str, bool]:
    """(how they wait, whether somebody has to do something)."""
    standing = of_rows(dealpost, waiting)
    needy = next((one for one in waiting if standing[one.id].need is Need.PERSON), None)
    if needy is None:
        count = len(waiting)
        return ngettext("%(num)s delivery is on its way.", "%(num)s deliveries are on their way.", count), False
    said = ngettext("%(num)s delivery waits.", "%(num)s deliveries wait.", len(waiting))
    found = situations(dealpost)
    one = standing[needy.id]
    about = next((it for it in found if it.code in ("store", "worker")), None) or next(
        (it for it in found if it.destination == needy.destination and it.code in ("stopped", "paused", "bare")), None
    )
    first = one.behind or needy
    if one.code in ("behind", "retry", "next") or about is None:
        return f"{said} {words.as_sentence(words.cause_title(first.cause, first.facts))}", True
    title = destinations.title(needy.destination, dealpost)
    return f"{said} {words.as_sentence(words.situation_title(about, now, title))}", True


def _last_move(dealpost: Dealpost, deliveries: Sequence[Delivery]) -> tuple[str, int, float] | None:
    moves = reached(deliveries)
    if not moves:
        return None
    at, status = max(moves)
    name = stages.name_of(dealpost, status)
    return (name, status, at) if name else None


def reached(deliveries: Sequence[Delivery]) -> list[tuple[float, int]]:
    """When the deal was known to be on which stage: by our moves, by hooks, and by what was found when nothing had to
    be done."""
    found = []
    for delivery in deliveries:
        ours = delivery.destination == AMOCRM
        to, there = delivery.facts.get("to_status"), delivery.facts.get("from_status")
        if ours and delivery.state == State.DELIVERED and isinstance(to, int):
            found.append((delivery.changed_at, to))
        elif ours and delivery.state == State.SKIPPED and isinstance(there, int):
            found.append((delivery.changed_at, there))
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
    funnel = [stage for stage in (pipeline.stages if pipeline else ()) if stage.type != 1 and stage.id != LOST]
    if not been or not funnel:
        return []
    funnel.sort(key=lambda stage: (stage.id in CLOSED, stage.sort))
    latest = max(been, key=been.__getitem__)
    if latest == LOST:
        gone = [stage for stage in funnel if stage.id in been]
        name = stages.name_of(dealpost, LOST, pipeline.id if pipeline else None) or _("Closed")
        stops = [Stop(stage.name, words.when(been[stage.id], now), True, False) for stage in gone]
        return [*stops, Stop(name, words.when(been[LOST], now), True, True)]
    here = next((index for index, stage in enumerate(funnel) if stage.id == latest), -1)
    stops = []
    for index, stage in enumerate(funnel):
        came = been.get(stage.id) if index <= here else None
        note = words.when(came, now) if came else "" if index <= here else _("still ahead")
        stops.append(Stop(stage.name, note, index <= here, index == here))
    return stops


def days(dealpost: Dealpost, events: Sequence[Event], now: float) -> list[Day]:
    """The events by day, newest first. A hook that only tells of a move of ours is shown with that move, and one that
    tells of the same change as another not at all."""
    events = [event for event in events if not repeats(event, events)]
    told = echoes(events)
    standing = of_rows(dealpost, [delivery for event in events for delivery in event.deliveries])
    found: list[Day] = []
    for event in events:
        if event.id in told.values():
            continue
        title = words.heading(event.received_at, now)
        if not found or found[-1].title != title:
            found.append(Day(title))
        echo = next((one for one in events if one.id == told.get(event.id)), None)
        found[-1].ways.append(_way(dealpost, event, echo, standing, now))
    return found


def repeats(event: Event, events: Sequence[Event]) -> bool:
    """Whether it came to nothing since another of these events tells of the same change."""
    ids = {one.id for one in events} - {event.id}
    return bool(event.deliveries) and all(
        one.state == State.SKIPPED and one.reason.code == "superseded" and one.reason.words.rpartition(" ")[2] in ids
        for one in event.deliveries
    )


def echoes(events: Sequence[Event]) -> dict[str, str]:
    """By the id of the event whose move it was: the id of the hook that told us of it."""
    hooks = sorted((one for one in events if one.name == WEBHOOK), key=lambda one: one.received_at)
    found: dict[str, str] = {}
    for event in sorted(events, key=lambda one: one.received_at):
        for delivery in event.deliveries:
            if delivery.destination != AMOCRM or delivery.state != State.DELIVERED:
                continue
            for hook in hooks:
                after = hook.received_at - delivery.changed_at
                same = (
                    hook.data.get("status_id") == delivery.facts.get("to_status") and hook.lead_id == delivery.lead_id
                )
                if same and -10 <= after <= ECHO and hook.id not in found.values():
                    found[event.id] = hook.id
                    break
    return found


def _way(dealpost: Dealpost, event: Event, echo: Event | None, standing: Mapping[int, Standing], now: float) -> Way:
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
    deliveries = list(event.deliveries)
    if echo is not None:
        deliveries += [one for one in echo.deliveries if one.state != State.SKIPPED]
    pieces += [_effect(dealpost, delivery, standing[delivery.id], now) for delivery in deliveries]
    return Way(words.clock(event.received_at), words.exact(event.received_at), tuple(pieces))


def _effect(dealpost: Dealpost, delivery: Delivery, standing: Standing, now: float) -> Piece:
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
        lane,
        head,
        note,
        words.row_chip(delivery, standing, now, destinations.title(delivery.destination, dealpost)),
        url_for("pages.delivery", delivery_id=delivery.id),
        arrow or "…",
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
