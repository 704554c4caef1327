"""One delivery: what happened, what comes next, what would change, and the buttons that mend it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import flash, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.wrappers import Response

from outbox.message import DISCARDABLE, RESENDABLE, Delivery, State
from outbox.queries import Filter
from service.current import Dealpost
from service.operator import words
from service.operator.pages import delivery_row, destinations, headline, links, timeline
from service.operator.pages.blueprint import back_to, bp, find_or_404, show, who
from service.operator.pages.correct import correctable
from service.operator.pages.journey import whole
from service.routing import AMOCRM, ERP


@dataclass(frozen=True)
class Link:
    title: str
    note: str
    url: str
    out: bool = True


@bp.get("/<int:delivery_id>")
def delivery(delivery_id: int) -> Response:
    dealpost, delivery, event = find_or_404(delivery_id)
    now = dealpost.store.now()
    title = destinations.title(delivery.destination, dealpost)
    rest = dealpost.wiring.pauses().get(delivery.destination)
    missing = bool(destinations.missing(dealpost, delivery.destination))
    attempts = dealpost.store.reading.attempts([delivery.id]).get(delivery.id, [])
    counted = [a for a in attempts if a.outcome not in ("paused", "interrupted")]
    behind = 0
    if delivery.key and delivery.state == State.PENDING and (delivery.email or delivery.lead_id):
        same = Filter(
            states=(State.PENDING,),
            destination=delivery.destination,
            email=delivery.email or "",
            lead_id=None if delivery.email else delivery.lead_id,
        )
        behind = max(0, dealpost.store.reading.count(same) - 1)
    took = (attempts[-1].finished_at or now) - delivery.received_at if attempts else 0.0
    return show(
        "delivery.html",
        "pages.deliveries",
        live=delivery.state in (State.PENDING, State.SENDING),
        delivery=delivery,
        event=event,
        headline=_headline(dealpost, delivery, title, now, rest, missing),
        state_chip=words.chip(delivery, now, title if rest else "", missing),
        state_word=words.states_word(delivery.state),
        number=delivery.id,
        steps=timeline.steps(dealpost, delivery, attempts, title, now, rest, missing, event.sender),
        summary=_summary(len(counted), took),
        can_retry=delivery.state in RESENDABLE,
        can_discard=delivery.state in DISCARDABLE,
        can_correct=correctable(delivery) and delivery.state in RESENDABLE,
        loud=delivery.state == State.DEAD,
        previews=delivery.destination in (AMOCRM, ERP) and delivery.state in RESENDABLE and not missing,
        links=further_links(dealpost, delivery),
        title=title,
        behind=behind,
        person=delivery_row.person(delivery),
        when=words.exact(delivery.received_at),
        said=words.source_words(delivery.source),
    )


def _summary(count: int, took: float) -> str:
    if not count:
        return ""
    return ngettext("%(num)s attempt in %(time)s", "%(num)s attempts in %(time)s", count, time=words.duration(took))


def _headline(
    dealpost: Dealpost, delivery: Delivery, title: str, now: float, rest: Any, missing: bool
) -> headline.Headline:
    icon, tone, _words = words.chip(delivery, now)
    who_, what = delivery_row.person(delivery), delivery_row.event(delivery, dealpost)
    cause = words.cause_title(delivery.cause, delivery.facts) if delivery.cause else ""
    if delivery.state == State.DELIVERED:
        took = words.duration(delivery.changed_at - delivery.received_at)
        head = _("%(who)s: %(what)s, %(destination)s knows.", who=who_, what=what, destination=title)
        return headline.Headline(
            tone, icon, head, _("It arrived within %(time)s.", time=took), delivery_row.done(delivery), "delivered"
        )
    if delivery.state == State.SKIPPED:
        head = _("%(who)s: %(what)s, nothing had to be done.", who=who_, what=what)
        return headline.Headline(tone, icon, head, words.sentence(words.reason_words(delivery.reason)), "", "skipped")
    if delivery.state == State.DISCARDED:
        head = _("%(who)s: %(what)s, sending was cancelled.", who=who_, what=what)
        return headline.Headline(tone, icon, head, "", "", "discarded")
    head = _("%(who)s: %(what)s, %(destination)s does not know yet.", who=who_, what=what, destination=title)
    if delivery.state == State.SENDING:
        return headline.Headline("blue", icon, head, _("It is being sent right now."), "", "sending")
    if delivery.state == State.DEAD:
        then = words.sentence(cause) if cause else words.sentence(words.reason_words(delivery.reason))
        todo = words.cause_todo(delivery.cause, delivery.facts) if delivery.cause else ""
        return headline.Headline(tone, icon, head, then, todo, "dead")
    if missing:
        then = _("%(destination)s is not set up yet. It goes out by itself after that.", destination=title)
        return headline.Headline("quiet", "plug", head, then, "", "bare")
    if rest is not None:
        then = words.sentence(words.cause_title(rest.cause, rest.params))
        if rest.until and rest.until > now:
            then += " " + _("We go on %(time)s.", time=words.in_words(rest.until - now))
        return headline.Headline(
            "warn", "pause", head, then, _("Nothing has to be done: the pause uses up no attempts."), "rest"
        )
    then = f"{words.sentence(cause)} " if cause else ""
    if delivery.due_at > now:
        at = words.clock(delivery.due_at, seconds=True)
        then += _("We try by ourselves %(time)s, at %(clock)s.", time=words.in_words(delivery.due_at - now), clock=at)
    else:
        then += _("It is next in line.")
    support = ""
    if delivery.failures:
        left = timeline.trying_until(delivery.failures, delivery.due_at) - now
        support = _("Nothing has to be done: we go on trying for %(time)s more.", time=words.rough_words(left))
    return headline.Headline("warn" if words.is_late(delivery, now) else "quiet", icon, head, then, support, "pending")


def further_links(dealpost: Dealpost, delivery: Delivery) -> list[Link]:
    """Where to look further: the deal, the record, the whole way of this student or deal."""
    further = []
    lead = delivery_row.lead(delivery)
    if lead and (url := links.deal_url(dealpost, lead)):
        further.append(
            Link(_("The deal in %(crm)s", crm=destinations.title(AMOCRM, dealpost)), _("deal %(id)s", id=lead), url)
        )
    url = (
        links.record_url(dealpost, delivery.facts.get("entity_id"), delivery.reference)
        if delivery.destination == ERP
        else ""
    )
    if url:
        further.append(Link(_("Record %(id)s in the ERP", id=delivery.reference), "", url))
    if delivery.email or lead:
        name = delivery_row.person(delivery)
        events = whole(dealpost, delivery.email or "", lead)
        note = ngettext("%(num)s event", "%(num)s events", len(events))
        values = {"email": delivery.email} if delivery.email else {"deal": lead}
        further.append(
            Link(_("The whole way of %(name)s", name=name), note, url_for("pages.journey", **values), out=False)
        )
    return further


@bp.post("/<int:delivery_id>/retry")
def retry(delivery_id: int) -> Response:
    dealpost, delivery, _event = find_or_404(delivery_id)
    if dealpost.store.operations.retry(Filter(ids=(delivery.id,)), who(), at_once=True):
        flash(_("It goes out now."), "ok")
    else:
        flash(_("It cannot be sent again: it is %(state)s.", state=words.state_word(delivery.state).lower()), "warn")
    return back_to("pages.delivery", delivery_id=delivery.id)


@bp.get("/<int:delivery_id>/discard")
def ask_discard(delivery_id: int) -> Response:
    dealpost, delivery, _event = find_or_404(delivery_id)
    return show(
        "ask_discard.html",
        "pages.deliveries",
        delivery=delivery,
        person=delivery_row.person(delivery),
        what=delivery_row.event(delivery, dealpost),
        title=destinations.title(delivery.destination, dealpost),
    )


@bp.post("/<int:delivery_id>/discard")
def discard(delivery_id: int) -> Response:
    dealpost, delivery, _event = find_or_404(delivery_id)
    if dealpost.store.operations.discard(Filter(ids=(delivery.id,)), who()):
        flash(_("It will not be sent."), "ok")
    else:
        flash(_("It cannot be cancelled: it is %(state)s.", state=words.state_word(delivery.state).lower()), "warn")
    return back_to("pages.delivery", delivery_id=delivery.id)
