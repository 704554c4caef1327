"""The overview: is everything arriving, who waits, what is there to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from outbox.message import Delivery, State
from outbox.queries import Filter
from service.current import Dealpost, current
from service.heartbeat import Processes
from service.operator import words
from service.operator.pages import delivery_row, destinations, errors, filters, headline, panels, trouble
from service.operator.pages.blueprint import bp, show
from service.operator.pages.chart import chart
from service.operator.pages.deliveries import deliveries

SHOWN = 6
DISTINCT = 200
"""Up to so many late deliveries are counted by student."""


@bp.get("")
def overview() -> Response:
    """The page that opens first; with a filter in the address, the list that it asks for."""
    if filters.narrows(request.args):
        listed: Response = deliveries()
        return listed
    dealpost = current()
    now = dealpost.store.now()
    statuses = destinations.look(dealpost)
    if first_visit(statuses, dealpost):
        return show("first_visit.html", "pages.overview", live=True, **welcome(dealpost, statuses))
    last = dealpost.store.reading.find(Filter(states=(State.DELIVERED,)), 1).rows
    today = dealpost.store.reading.count(Filter(states=(State.DELIVERED,), since=words.day_start(now)))
    late, students = late_ones(dealpost, now)
    said = headline.overview(
        headline.Situation(
            now=now,
            destinations=statuses,
            late=late,
            students=students,
            delivered_today=today,
            last=last[0] if last else None,
            last_title=destinations.title(last[0].destination, dealpost) if last else "",
            worker_age=Processes(dealpost.store.key_values).worker_age(now),
        )
    )
    errors.remember(now, statuses)
    recent = dealpost.store.reading.find(Filter(), SHOWN).rows
    return show(
        "overview.html",
        "pages.overview",
        live=True,
        headline=said,
        trouble=trouble.look(dealpost, statuses, now),
        cards=[panels.card(dealpost, destination, now) for destination in statuses],
        chart=chart(dealpost, now, request.args.get("chart", "day")),
        recent=delivery_row.present(dealpost, recent, now),
        sources=panels.sources(dealpost, now),
        jobs=panels.jobs(dealpost, now),
        processes=panels.processes(dealpost, now),
        others=trouble.others,
    )


def first_visit(statuses: Sequence[destinations.DestinationStatus], dealpost: Dealpost) -> bool:
    """Nothing ever came, and something has to be connected before anything can arrive."""
    nothing = not any(destination.tally.states.get(state) for destination in statuses for state in State)
    return (
        nothing
        and any(destination.missing for destination in statuses)
        and not dealpost.store.reading.find(Filter(), 1).rows
    )


def welcome(dealpost: Dealpost, statuses: Sequence[destinations.DestinationStatus]) -> dict[str, Any]:
    bare = {destination.name: destination for destination in statuses if destination.missing}
    settings = dealpost.settings
    address = (settings.public_url or request.host_url).rstrip("/") + "/api/tripwire/complete"
    amocrm = bare.get("amocrm")
    said = headline.Headline(
        "blue",
        "plug",
        _("Dealpost is ready to take lessons."),
        _("What is left is to connect amoCRM, it takes a minute.") if amocrm else _("What is left is the ERP."),
        _("Events can be sent already: they wait for the connection and go out by themselves."),
        "first",
    )
    can_connect = bool(settings.amocrm.client_id and settings.amocrm.client_secret)
    return {
        "headline": said,
        "bare": bare,
        "address": address,
        "can_connect": can_connect,
        "docs": url_for("api.docs"),
    }


def late_ones(dealpost: Dealpost, now: float) -> tuple[int, bool]:
    """(how many wait longer than five minutes, whether that counts students)."""
    where = Filter(states=(State.PENDING, State.SENDING), until=now - words.LATE)
    count = dealpost.store.reading.count(where)
    if not count or count > DISTINCT:
        return count, False
    found: Sequence[Delivery] = dealpost.store.reading.find(where, DISTINCT).rows
    people = {delivery.email or delivery.lead_id for delivery in found}
    return (len(people), True) if None not in people else (count, False)
