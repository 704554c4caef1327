"""Students and deals: who there is, and the way of one across platform, amoCRM and ERP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.wrappers import Response

from outbox.message import Delivery, Event, State
from service.current import Dealpost, current
from service.operator import words
from service.operator.pages import delivery_row, destinations, links, stages
from service.operator.pages.blueprint import bp, show
from service.operator.pages.headline import Headline
from service.routing import AMOCRM, ERP, WEBHOOK

PAGE = 50
EVENTS = 200


@bp.get("/students")
def students() -> Response:
    dealpost = current()
    now = dealpost.store.now()
    search = request.args.get("q", "").strip()[:200]
    found = dealpost.store.reading.people(search, PAGE + 1, request.args.get("after") or None)
    people = []
    for one in found[:PAGE]:
        values = {"email": one["email"]} if one.get("email") else {"deal": one.get("lead_id")}
        people.append(
            {
                **one,
                "name": one.get("person") or one.get("email") or _("Deal %(id)s", id=one.get("lead_id")),
                "link": url_for("pages.journey", **values),
                "ago": words.ago(one["last_at"], now),
                "exact": words.exact(one["last_at"]),
                "deal_url": links.deal_url(dealpost, one.get("lead_id")),
            }
        )
    after = str(found[PAGE - 1].get("after") or found[PAGE - 1].get("cursor") or "") if len(found) > PAGE else ""
    older = url_for("pages.students", q=search or None, after=after) if after else ""
    return show(
        "students.html",
        "pages.students",
        people=people,
        search=search,
        older=older,
        later=bool(request.args.get("after")),
    )


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
    email = request.args.get("email", "").strip().casefold()[:254]
    deal = request.args.get("deal", "")
    lead_id = int(deal) if deal.isascii() and deal.isdigit() and len(deal) < 19 else None
    events = whole(dealpost, email, lead_id)
    every = [one for event in events for one in event.deliveries]
    name = next((delivery_row.person(one) for one in every if one.person or one.facts.get("contact_name")), "")
    name = name or email or (_("Deal %(id)s", id=lead_id) if lead_id else _("Nobody"))
    lead = lead_id or next((delivery_row.lead(one) for one in every if delivery_row.lead(one)), None)
    return show(
        "journey.html",
        "pages.students",
        live=True,
        name=name,
        email=email,
        lead=lead,
        deal_url=links.deal_url(dealpost, lead),
        crm=destinations.title(AMOCRM, dealpost),
        records=_records(dealpost, every),
        sentence=_sentence(dealpost, name, every, now),
        track=track(dealpost, every, now),
        days=days(dealpost, events, now),
        found=len(events),
        most=EVENTS,
    )


def whole(dealpost: Dealpost, email: str, lead_id: int | None) -> list[Event]:
    """All events of a student, with those that only name the student's deals, or of a deal; newest first."""
    if not email:
        return dealpost.store.reading.events_of(None, lead_id, EVENTS) if lead_id else []
    return dealpost.store.reading.events_of(email, None, EVENTS)


def _records(dealpost: Dealpost, every: Sequence[Delivery]) -> list[tuple[str, str]]:
    found = []
    for one in every:
        if one.destination == ERP and one.reference and one.state == State.DELIVERED:
            url = links.record_url(dealpost, one.facts.get("entity_id"), one.reference)
            found.append((one.reference, url))
    return list(dict.fromkeys(found))[:3]


def _sentence(dealpost: Dealpost, name: str, every: Sequence[Delivery], now: float) -> Headline:
    if not every:
        return Headline("quiet", "user", name, _("Nothing has come in about them."), "", "nobody")
    dead = sum(one.state == State.DEAD for one in every)
    waits = sum(one.state in (State.PENDING, State.SENDING) for one in every)
    if dead:
        then = ngettext("%(num)s delivery did not arrive.", "%(num)s deliveries did not arrive.", dead)
        return Headline("bad", "alert", name, then, "", f"dead:{dead}")
    if waits:
        then = ngettext("%(num)s delivery is on its way.", "%(num)s deliveries are on their way.", waits)
        return Headline("warn", "clock", name, then, "", f"waits:{waits}")
    last = _last_move(dealpost, every)
    then = _("Everything arrived.")
    if last is not None:
        stage, at = last
        then += " " + _("The deal is on the stage “%(stage)s” %(since)s.", stage=stage, since=words.since_when(at, now))
    return Headline("ok", "tick", name, then, "", "well")


def _last_move(dealpost: Dealpost, every: Sequence[Delivery]) -> tuple[str, float] | None:
    moves = [(at, status) for at, status in reached(every)]
    if not moves:
        return None
    at, status = max(moves)
    name = stages.name_of(dealpost, status)
    return (name, at) if name else None


def reached(every: Sequence[Delivery]) -> list[tuple[float, int]]:
    """When the deal came to which stage, as far as we know."""
    found = []
    for one in every:
        status = one.facts.get("to_status")
        if one.destination == AMOCRM and one.state == State.DELIVERED and isinstance(status, int):
            found.append((one.changed_at, status))
        elif one.event_name == WEBHOOK and isinstance(one.data.get("status_id"), int):
            found.append((one.received_at, int(one.data["status_id"])))
    return found


@dataclass(frozen=True)
class Stop:
    name: str
    note: str
    done: bool
    now: bool


def track(dealpost: Dealpost, every: Sequence[Delivery], now: float) -> list[Stop]:
    """The funnel's stages, with those that the deal has passed; empty while the funnel is not known."""
    pipeline = stages.ours(dealpost)
    been: dict[int, float] = {}
    for at, status in reached(every):
        been[status] = max(at, been.get(status, 0.0))
    line = [one for one in (pipeline.stages if pipeline else ()) if one.type != 1 and one.id != 143]
    if not been or not line:
        return []
    line.sort(key=lambda one: (one.id in stages.CLOSED, one.sort))
    latest = max(been, key=been.__getitem__)
    place = next((index for index, one in enumerate(line) if one.id == latest), -1)
    found = []
    for index, one in enumerate(line):
        came = been.get(one.id) if index <= place else None
        note = words.when(came, now) if came else "" if index <= place else _("still ahead")
        found.append(Stop(one.name, note, index <= place, index == place))
    return found


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
    facts = next((one.facts for one in event.deliveries if one.facts), {})
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
    pieces += [_effect(dealpost, one, now) for one in event.deliveries]
    return Way(words.clock(event.received_at), words.exact(event.received_at), tuple(pieces))


def _effect(dealpost: Dealpost, one: Delivery, now: float) -> Piece:
    lane = {AMOCRM: 2, ERP: 3}.get(one.destination, 2 if one.event_name != WEBHOOK else 3)
    head, note = delivery_row.done(one), ""
    if one.destination == AMOCRM and one.state == State.DELIVERED:
        head, note = _("The deal moved"), _moved(one.facts)
    elif one.destination == AMOCRM and one.state == State.SKIPPED:
        head, note = _("The deal was left alone"), delivery_row.done(one)
    elif one.destination == ERP and one.state == State.DELIVERED:
        head = _("Record %(id)s was made", id=one.reference) if one.reference else _("The record was made")
        note = words.money(one.facts["amount"]) if one.facts.get("amount") else ""
    elif one.destination == ERP and one.state == State.SKIPPED:
        head, note = _("No record is needed"), words.reason_words(one.reason)
    elif one.destination == "-":
        head, note = _("Goes nowhere"), words.reason_words(one.reason)
    head = head or words.state_word(one.state)
    took = words.duration(one.changed_at - one.received_at) if one.state in delivery_row.ENDED else ""
    tries = one.failures + 1
    arrow = took
    if tries > 1:
        arrow = ", ".join(filter(None, (ngettext("%(num)s attempt", "%(num)s attempts", tries), took)))
    return Piece(lane, head, note, words.chip(one, now), url_for("pages.delivery", delivery_id=one.id), arrow or "…")


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
