"""One delivery: what happened, what comes next, what would change, and the buttons that mend it."""

from __future__ import annotations

from dataclasses import dataclass

from flask import flash, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from outbox.message import DISCARDABLE, NOWHERE, RESENDABLE, Delivery, State
from outbox.queries import Filter
from service.current import Dealpost
from service.operator import words
from service.operator.pages import delivery_row, destinations, headline, links, timeline
from service.operator.pages.blueprint import back_to, bp, find_or_404, show, who
from service.operator.pages.correct import correctable
from service.operator.pages.journey import whole
from service.operator.pages.standing import of_rows, situations
from service.operator.words.numbers import ngettext
from service.rerouting import anew, reroute, send_again
from service.routing import AMOCRM, ERP
from service.situations.rows import Standing
from service.situations.rules import tried_until


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
    standing = of_rows(dealpost, [delivery])[delivery.id]
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
    resendable = delivery.state in RESENDABLE and (delivery.destination != NOWHERE or bool(anew(dealpost, event)))
    took = (attempts[-1].finished_at or now) - delivery.received_at if attempts else 0.0
    return show(
        "delivery.html",
        "pages.deliveries",
        live=delivery.state in (State.PENDING, State.SENDING),
        delivery=delivery,
        event=event,
        headline=_headline(dealpost, delivery, title, now, standing),
        state_chip=words.row_chip(delivery, standing, now, title),
        state_word=words.states_word(delivery.state),
        number=delivery.id,
        steps=timeline.steps(dealpost, delivery, attempts, title, now, standing, event.sender),
        summary=_summary(len(counted), took),
        can_retry=resendable,
        can_discard=delivery.state in DISCARDABLE,
        can_correct=correctable(delivery) and resendable,
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


def _headline(dealpost: Dealpost, delivery: Delivery, title: str, now: float, standing: Standing) -> headline.Headline:
    icon, tone, _words = words.row_chip(delivery, standing, now, title)
    who_, what = delivery_row.person(delivery), delivery_row.event(delivery, dealpost)
    if delivery.state == State.DELIVERED:
        took = words.duration(delivery.changed_at - delivery.received_at)
        head = _("%(who)s: %(what)s, %(destination)s knows.", who=who_, what=what, destination=title)
        then = _("It arrived within %(time)s.", time=took)
        return headline.Headline(tone, icon, head, then, delivery_row.done(delivery), "delivered")
    if delivery.state == State.SKIPPED:
        return _skipped(delivery, who_, what)
    if delivery.state == State.DISCARDED:
        head = _("%(who)s: %(what)s, sending was cancelled.", who=who_, what=what)
        return headline.Headline(tone, icon, head, "", "", "discarded")
    cause = words.cause_title(delivery.cause, delivery.facts) if delivery.cause else ""
    head = _("%(who)s: %(what)s, %(destination)s does not know yet.", who=who_, what=what, destination=title)
    if delivery.state == State.SENDING and not standing.code:
        return headline.Headline("blue", icon, head, _("It is being sent right now."), "", "sending")
    if delivery.state == State.DEAD:
        if delivery.destination == NOWHERE:
            head = _("An event could not be read.")
        then = words.as_sentence(cause or words.reason_words(delivery.reason))
        todo = words.cause_todo(delivery.cause, delivery.facts) if delivery.cause else ""
        return headline.Headline(tone, icon, head, then, todo, "dead")
    then, support = _waiting(dealpost, delivery, standing, title, now)
    if delivery.state == State.SENDING:
        then = _("Sending broke off in the middle; it is looked into before it is sent again.") + " " + then
    meaning = f"{standing.code}:{standing.behind.id if standing.behind else ''}"
    return headline.Headline("warn" if tone == "warn" else "quiet", icon, head, then, support, meaning)


def _skipped(delivery: Delivery, who_: str, what: str) -> headline.Headline:
    """Nothing had to be done; or nothing could be, which somebody should know of."""
    if delivery.cause:
        head = _("%(who)s: %(what)s, but no deal was moved.", who=who_, what=what)
        then = words.as_sentence(words.reason_words(delivery.reason))
        todo = words.cause_todo(delivery.cause, delivery.facts)
        return headline.Headline("warn", "warning", head, then, todo, "unmapped")
    head = _("%(who)s: %(what)s, nothing had to be done.", who=who_, what=what)
    return headline.Headline("quiet", "minus", head, words.as_sentence(delivery_row.done(delivery)), "", "skipped")


def _waiting(dealpost: Dealpost, delivery: Delivery, standing: Standing, title: str, now: float) -> tuple[str, str]:
    """(what comes next, one line of support) of one that waits."""
    found = situations(dealpost)
    if standing.code == "silent":
        worker = next(one for one in found if one.code == "worker")
        return words.as_sentence(words.situation_title(worker, now)), words.who_mends(worker)
    if standing.code == "bare":
        then = _("%(destination)s is not set up yet. It goes out by itself after that.", destination=title)
        bare = next((one for one in found if one.code == "bare" and one.destination == delivery.destination), None)
        return then, words.situation_todo(bare, now) if bare else ""
    if standing.pause is not None:
        one = next((one for one in found if one.pause and one.destination == delivery.destination), None)
        then, support = words.rest_words(standing, one, now, title)
        return then, " ".join(filter(None, (support, words.behind_words(standing, now))))
    if standing.behind is not None:
        first = standing.behind
        todo = words.cause_todo(first.cause, first.facts) if standing.need and first.cause else ""
        return words.behind_words(standing, now), todo or _("It goes out by itself after that one.")
    then = ""
    if delivery.failures and delivery.cause:
        then = words.as_sentence(words.cause_title(delivery.cause, delivery.facts)) + " "
    if standing.code == "next":
        return then + _("It is next in line."), ""
    at = words.clock(delivery.due_at, seconds=True)
    then += _("We try by ourselves %(time)s, at %(clock)s.", time=words.in_words(delivery.due_at - now), clock=at)
    if not delivery.failures:
        return then, ""
    left = words.rough_words(tried_until(delivery.failures, delivery.due_at) - now)
    if standing.need is not None:
        todo = words.cause_todo(delivery.cause, delivery.facts)
        return then, " ".join(filter(None, (todo, _("We go on trying for %(time)s more.", time=left))))
    return then, _("Nothing has to be done: we go on trying for %(time)s more.", time=left)


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
    if delivery.destination == NOWHERE:
        if (done := reroute(dealpost, delivery, who())) is None:
            flash(_("By today's rules it goes nowhere still, so nothing was sent."), "warn")
            return back_to("pages.delivery", delivery_id=delivery.id)
        flash(_("It was routed anew, by today's rules."), "ok")
        event = dealpost.store.reading.event(done.event_ids[0])
        sent = event.deliveries[0].id if event is not None and event.deliveries else delivery.id
        return back_to("pages.delivery", delivery_id=sent)
    if send_again(dealpost, Filter(ids=(delivery.id,)), who(), at_once=True):
        again = dealpost.store.reading.delivery(delivery.id) or delivery
        standing = of_rows(dealpost, [again])[delivery.id]
        title = destinations.title(delivery.destination, dealpost)
        flash(words.goes_out(standing, dealpost.store.now(), title), "ok")
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
