"""One delivery: what happened, what comes next, what would change, and the buttons that mend it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import abort, flash, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.wrappers import Response

from outbox.message import DISCARDABLE, RESENDABLE, Delivery, Event, State
from outbox.outcome import DeliveryError
from outbox.queries import Filter
from service.current import Dealpost, current
from service.email_address import normal_email
from service.fields import TEXT_MAX
from service.operator import words
from service.operator.pages import delivery_row, destinations, headline, links, timeline
from service.operator.pages.blueprint import back_to, bp, show, who
from service.operator.pages.students import whole
from service.routing import AMOCRM, ERP, RECORDS, Refused, route

LATEST = 2**63 - 1


@dataclass(frozen=True)
class Link:
    title: str
    note: str
    url: str
    out: bool = True


def _find(delivery_id: int) -> tuple[Dealpost, Delivery, Event]:
    dealpost = current()
    delivery = dealpost.store.reading.delivery(delivery_id) if delivery_id <= LATEST else None
    event = dealpost.store.reading.event(delivery.event_id) if delivery else None
    if delivery is None or event is None:
        abort(404)
    return dealpost, delivery, event


@bp.get("/<int:delivery_id>")
def delivery(delivery_id: int) -> Response:
    dealpost, delivery, event = _find(delivery_id)
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
        destination_names={name: destinations.title(name, dealpost) for name in (AMOCRM, ERP)},
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
        return headline.Headline(tone, icon, head, _upper(words.reason_words(delivery.reason)), "", "skipped")
    if delivery.state == State.DISCARDED:
        head = _("%(who)s: %(what)s, sending was cancelled.", who=who_, what=what)
        return headline.Headline(tone, icon, head, "", "", "discarded")
    head = _("%(who)s: %(what)s, %(destination)s does not know yet.", who=who_, what=what, destination=title)
    if delivery.state == State.SENDING:
        return headline.Headline("blue", icon, head, _("It is being sent right now."), "", "sending")
    if delivery.state == State.DEAD:
        then = _upper(cause) if cause else _upper(words.reason_words(delivery.reason))
        todo = words.cause_todo(delivery.cause, delivery.facts) if delivery.cause else ""
        return headline.Headline(tone, icon, head, then, todo, "dead")
    if missing:
        then = _("%(destination)s is not set up yet. It goes out by itself after that.", destination=title)
        return headline.Headline("quiet", "plug", head, then, "", "bare")
    if rest is not None:
        then = _upper(words.cause_title(rest.cause, rest.params))
        if rest.until and rest.until > now:
            then += " " + _("We go on %(time)s.", time=words.in_words(rest.until - now))
        return headline.Headline(
            "warn", "pause", head, then, _("Nothing has to be done: the pause uses up no attempts."), "rest"
        )
    then = f"{_upper(cause)} " if cause else ""
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


def _upper(text: str) -> str:
    text = text[:1].upper() + text[1:] if not text.startswith("amo") else text
    return text if not text or text.endswith((".", "!", "?")) else text + "."


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
    dealpost, delivery, _event = _find(delivery_id)
    if dealpost.store.operations.retry(Filter(ids=(delivery.id,)), who(), at_once=True):
        flash(_("It goes out now."), "ok")
    else:
        flash(_("It cannot be sent again: it is %(state)s.", state=words.state_word(delivery.state).lower()), "warn")
    return back_to("pages.delivery", delivery_id=delivery.id)


@bp.get("/<int:delivery_id>/discard")
def ask_discard(delivery_id: int) -> Response:
    dealpost, delivery, _event = _find(delivery_id)
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
    dealpost, delivery, _event = _find(delivery_id)
    if dealpost.store.operations.discard(Filter(ids=(delivery.id,)), who()):
        flash(_("It will not be sent."), "ok")
    else:
        flash(_("It cannot be cancelled: it is %(state)s.", state=words.state_word(delivery.state).lower()), "warn")
    return back_to("pages.delivery", delivery_id=delivery.id)


def correctable(delivery: Delivery) -> bool:
    """Whether the event bears something of a person's that may be mistyped."""
    return delivery.email is not None or delivery.event_name in RECORDS


@bp.get("/<int:delivery_id>/correct")
def correct(delivery_id: int) -> Response:
    dealpost, delivery, event = _find(delivery_id)
    if not correctable(delivery):
        return back_to("pages.delivery", delivery_id=delivery.id)
    return _ask_correct(dealpost, delivery, event.data)


def _ask_correct(
    dealpost: Dealpost, delivery: Delivery, values: Mapping[str, Any], faults: Mapping[str, str] | None = None
) -> Response:
    shown = {name: "" if values.get(name) is None else str(values[name]) for name in ("email", "dealName", "amount")}
    return show(
        "correct.html",
        "pages.deliveries",
        status=422 if faults else 200,
        delivery=delivery,
        person=delivery_row.person(delivery),
        what=delivery_row.event(delivery, dealpost),
        values=shown,
        faults=faults or {},
        record=delivery.event_name in RECORDS,
    )


@bp.post("/<int:delivery_id>/correct")
def correct_and_send(delivery_id: int) -> Response:
    """The old value stays in the action log; the delivery goes out anew with the new one."""
    dealpost, delivery, event = _find(delivery_id)
    if delivery.event_name in RECORDS:
        return _correct_record(dealpost, delivery, event)
    given = request.form.get("email", "").strip()
    email = normal_email(given)
    if email is None:
        fault = _("This is no e-mail address. Expected something like student@example.com.")
        return _ask_correct(dealpost, delivery, {"email": given}, {"email": fault})
    data = {**event.data, "email": given}
    changed = dealpost.store.operations.correct(
        delivery.id, data, email, f"email:{email}" if delivery.key else None, who()
    )
    return _corrected(delivery, changed, _("Corrected. It goes out now to %(email)s.", email=email))


def _correct_record(dealpost: Dealpost, delivery: Delivery, event: Event) -> Response:
    """Name and amount are held to the same rules as when they come in."""
    name = request.form.get("dealName", "").strip()
    amount = request.form.get("amount", "").strip().replace(" ", "").replace(words.NBSP, "").replace(",", ".")
    data = {**event.data, "dealName": name}
    if amount:
        data["amount"] = amount
    else:
        data.pop("amount", None)
    try:
        route(event.name, data, {})
    except Refused as refused:
        texts = {
            "dealName": _("The name must not be empty, nor longer than %(num)s characters.", num=TEXT_MAX),
            "amount": _("This is no amount. Expected a number from zero, at most two decimals, like 1500.50."),
        }
        faults = {fault.path: texts.get(fault.path, fault.message) for fault in refused.faults}
        return _ask_correct(dealpost, delivery, {"dealName": name, "amount": request.form.get("amount", "")}, faults)
    changed = dealpost.store.operations.correct(delivery.id, data, delivery.email, delivery.key, who())
    return _corrected(delivery, changed, _("Corrected. It goes out now as “%(name)s”.", name=name))


def _corrected(delivery: Delivery, changed: bool, said: str) -> Response:
    if changed:
        flash(said, "ok")
    else:
        flash(
            _("It was not corrected: meanwhile it is %(state)s.", state=words.state_word(delivery.state).lower()),
            "warn",
        )
    return back_to("pages.delivery", delivery_id=delivery.id)


@bp.get("/<int:delivery_id>/preview")
def preview(delivery_id: int) -> Response:
    """What would change if it went out now, looked up without doing it."""
    dealpost, delivery, _event = _find(delivery_id)
    foreseen = foresee(dealpost, delivery)
    return show(
        "preview.html",
        "pages.deliveries",
        delivery=delivery,
        foreseen=foreseen,
        at=words.clock(dealpost.store.now()),
        deal=links.deal_url(dealpost, foreseen.lead_id),
        title=destinations.title(delivery.destination, dealpost),
    )


@dataclass(frozen=True)
class Foreseen:
    """words: a sentence. before, after: stages, where a deal would move. looked_up: in amoCRM, just now."""

    words: str
    before: str = ""
    after: str = ""
    lead_id: int | None = None
    looked_up: bool = False


def foresee(dealpost: Dealpost, delivery: Delivery) -> Foreseen:
    if delivery.destination == ERP:
        if delivery.data.get("dealName"):
            return Foreseen(_("A record “%(name)s” will be made in the ERP.", name=delivery.data["dealName"]))
        return Foreseen(_("The deal will be read in amoCRM and become a record in the ERP."))
    try:
        seen = dealpost.wiring.previewer.preview(delivery)
    except DeliveryError as error:
        return Foreseen(_upper(words.cause_title(error.cause, error.params)), looked_up=True)
    if seen.verdict == "move":
        said = _("It will move the deal in the funnel “%(funnel)s”:", funnel=seen.pipeline_name)
        return Foreseen(said, seen.from_name, seen.to_name, seen.lead_id, True)
    if seen.verdict == "not_found":
        return Foreseen(_("Nothing will change: amoCRM has no student or deal for this e-mail."), looked_up=True)
    said = _("Nothing will change: %(reason)s.", reason=words.reason_words(seen.verdict))
    return Foreseen(said, lead_id=seen.lead_id, looked_up=True)
