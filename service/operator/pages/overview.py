"""The overview: is everything arriving, who waits, what is there to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from outbox.message import State
from outbox.queries import Filter
from service.current import Dealpost, current
from service.operator import words
from service.operator.pages import delivery_row, destinations, errors, filters, headline, panels, setup, stages, trouble
from service.operator.pages.blueprint import bp, show
from service.operator.pages.chart import chart
from service.operator.pages.deliveries import deliveries
from service.operator.pages.standing import signals, situations

SHOWN = 6


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
    found = situations(dealpost)
    titles = {destination.name: destination.title for destination in statuses}
    said = sentence(dealpost, statuses)
    errors.remember(now, statuses)
    recent = dealpost.store.reading.find(Filter(), SHOWN).rows
    return show(
        "overview.html",
        "pages.overview",
        live=True,
        headline=said,
        trouble=trouble.look(dealpost, found, titles, now),
        cards=[panels.card(dealpost, destination, now) for destination in statuses],
        chart=chart(dealpost, now, request.args.get("chart", "day")),
        recent=delivery_row.present(dealpost, recent, now),
        sources=panels.sources(dealpost, now),
        jobs=panels.jobs(dealpost, now),
        processes=panels.processes(dealpost, now),
        others=trouble.others,
        choices=stages.settable(stages.ours(dealpost)),
        setup=setup.unfinished(dealpost),
        listed_on="overview",
    )


def sentence(dealpost: Dealpost, statuses: Sequence[destinations.DestinationStatus] | None = None) -> headline.Headline:
    """What the overview says on top."""
    statuses = destinations.look(dealpost) if statuses is None else statuses
    last = dealpost.store.reading.find(Filter(states=(State.DELIVERED,)), 1).rows
    today = headline.Today(
        dealpost.store.reading.count(Filter(states=(State.DELIVERED,), since=words.day_start(dealpost.store.now()))),
        sum(destination.waiting for destination in statuses),
        last[0] if last else None,
        destinations.title(last[0].destination, dealpost) if last else "",
    )
    titles = {destination.name: destination.title for destination in statuses}
    return headline.overview(signals(dealpost), situations(dealpost), today, titles)


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
    return {
        "headline": said,
        "bare": bare,
        "address": address,
        "setup": setup.look(dealpost),
        "listed_on": "overview",
        "docs": url_for("api.docs"),
    }
