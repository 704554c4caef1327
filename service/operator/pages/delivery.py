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
    found = dealpost.store.reading.delivery(delivery_id) if delivery_id <= LATEST else None
    event = dealpost.store.reading.event(found.event_id) if found else None
    if found is None or event is None:
        abort(404)
    return dealpost, found, event


@bp.get("/<int:delivery_id>")
def delivery(delivery_id: int) -> Response:
    dealpost, one, event = _find(delivery_id)
    now = dealpost.store.now()
    title = destinations.title(one.destination, dealpost)
    rest = dealpost.wiring.pauses().get(one.destination)
    missing = bool(destinations.missing(dealpost, one.destination))
    attempts = dealpost.store.reading.attempts([one.id]).get(one.id, [])
    counted = [a for a in attempts if a.outcome not in ("paused", "interrupted")]
    behind = 0
    if one.key and one.state == State.PENDING and (one.email or one.lead_id):
        same = Filter(
            states=(State.PENDING,),
            destination=one.destination,
            email=one.email or "",
            lead_id=None if one.email else one.lead_id,
        )
        behind = max(0, dealpost.store.reading.count(same) - 1)
    took = (attempts[-1].finished_at or now) - one.received_at if attempts else 0.0
    return show(
        "delivery.html",
        "pages.deliveries",
        live=one.state in (State.PENDING, State.SENDING),
        one=one,
        event=event,
        sentence=_sentence(dealpost, one, title, now, rest, missing),
        state_chip=words.chip(one, now, title if rest else "", missing),
        state_word=words.states_word(one.state),
        number=one.id,
        steps=timeline.steps(dealpost, one, attempts, title, now, rest, missing, event.sender),
        summary=_summary(len(counted), took),
        can_retry=one.state in RESENDABLE,
        can_discard=one.state in DISCARDABLE,
        can_correct=correctable(one) and one.state in RESENDABLE,
        loud=one.state == State.DEAD,
        previews=one.destination in (AMOCRM, ERP) and one.state in RESENDABLE and not missing,
        links=further_links(dealpost, one),
        title=title,
        behind=behind,
        person=delivery_row.person(one),
        when=words.exact(one.received_at),
        said=words.source_words(one.source),
        destination_names={name: destinations.title(name, dealpost) for name in (AMOCRM, ERP)},
    )


def _summary(count: int, took: float) -> str:
    if not count:
        return ""
    return ngettext("%(num)s attempt in %(time)s", "%(num)s attempts in %(time)s", count, time=words.duration(took))


def _sentence(dealpost: Dealpost, one: Delivery, title: str, now: float, rest: Any, missing: bool) -> headline.Headline:
    icon, tone, _words = words.chip(one, now)
    who_, what = delivery_row.person(one), delivery_row.event(one, dealpost)
    cause = words.cause_title(one.cause, one.facts) if one.cause else ""
    if one.state == State.DELIVERED:
        took = words.duration(one.changed_at - one.received_at)
        head = _("%(who)s: %(what)s, %(destination)s knows.", who=who_, what=what, destination=title)
        return headline.Headline(
            tone, icon, head, _("It arrived within %(time)s.", time=took), delivery_row.done(one), "delivered"
        )
    if one.state == State.SKIPPED:
        head = _("%(who)s: %(what)s, nothing had to be done.", who=who_, what=what)
        return headline.Headline(tone, icon, head, _upper(words.reason_words(one.reason)), "", "skipped")
    if one.state == State.DISCARDED:
        head = _("%(who)s: %(what)s, sending was cancelled.", who=who_, what=what)
        return headline.Headline(tone, icon, head, "", "", "discarded")
    head = _("%(who)s: %(what)s, %(destination)s does not know yet.", who=who_, what=what, destination=title)
    if one.state == State.SENDING:
        return headline.Headline("blue", icon, head, _("It is being sent right now."), "", "sending")
    if one.state == State.DEAD:
        then = _upper(cause) if cause else _upper(words.reason_words(one.reason))
        todo = words.cause_todo(one.cause, one.facts) if one.cause else ""
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
    if one.due_at > now:
        at = words.clock(one.due_at, seconds=True)
        then += _("We try by ourselves %(time)s, at %(clock)s.", time=words.in_words(one.due_at - now), clock=at)
    else:
        then += _("It is next in line.")
    support = ""
    if one.failures:
        left = timeline.trying_until(one.failures, one.due_at) - now
        support = _("Nothing has to be done: we go on trying for %(time)s more.", time=words.rough_words(left))
    return headline.Headline("warn" if words.is_late(one, now) else "quiet", icon, head, then, support, "pending")


def _upper(text: str) -> str:
    text = text[:1].upper() + text[1:] if not text.startswith("amo") else text
    return text if not text or text.endswith((".", "!", "?")) else text + "."


def further_links(dealpost: Dealpost, one: Delivery) -> list[Link]:
    """Where to look further: the deal, the record, the whole way of this student or deal."""
    found = []
    lead = delivery_row.lead(one)
    if lead and (url := links.deal_url(dealpost, lead)):
        found.append(
            Link(_("The deal in %(crm)s", crm=destinations.title(AMOCRM, dealpost)), _("deal %(id)s", id=lead), url)
        )
    url = links.record_url(dealpost, one.facts.get("entity_id"), one.reference) if one.destination == ERP else ""
    if url:
        found.append(Link(_("Record %(id)s in the ERP", id=one.reference), "", url))
    if one.email or lead:
        name = delivery_row.person(one)
        events = whole(dealpost, one.email or "", lead)
        note = ngettext("%(num)s event", "%(num)s events", len(events))
        values = {"email": one.email} if one.email else {"deal": lead}
        found.append(
            Link(_("The whole way of %(name)s", name=name), note, url_for("pages.journey", **values), out=False)
        )
    return found


@bp.post("/<int:delivery_id>/retry")
def retry(delivery_id: int) -> Response:
    dealpost, one, _event = _find(delivery_id)
    if dealpost.store.operations.retry(Filter(ids=(one.id,)), who(), at_once=True):
        flash(_("It goes out now."), "ok")
    else:
        flash(_("It cannot be sent again: it is %(state)s.", state=words.state_word(one.state).lower()), "warn")
    return back_to("pages.delivery", delivery_id=one.id)


@bp.get("/<int:delivery_id>/discard")
def ask_discard(delivery_id: int) -> Response:
    dealpost, one, _event = _find(delivery_id)
    return show(
        "ask_discard.html",
        "pages.deliveries",
        one=one,
        person=delivery_row.person(one),
        what=delivery_row.event(one, dealpost),
        title=destinations.title(one.destination, dealpost),
    )


@bp.post("/<int:delivery_id>/discard")
def discard(delivery_id: int) -> Response:
    dealpost, one, _event = _find(delivery_id)
    if dealpost.store.operations.discard(Filter(ids=(one.id,)), who()):
        flash(_("It will not be sent."), "ok")
    else:
        flash(_("It cannot be cancelled: it is %(state)s.", state=words.state_word(one.state).lower()), "warn")
    return back_to("pages.delivery", delivery_id=one.id)


def correctable(one: Delivery) -> bool:
    """Whether the event bears something of a person's that may be mistyped."""
    return one.email is not None or one.event_name in RECORDS


@bp.get("/<int:delivery_id>/correct")
def correct(delivery_id: int) -> Response:
    dealpost, one, event = _find(delivery_id)
    if not correctable(one):
        return back_to("pages.delivery", delivery_id=one.id)
    return _ask_correct(dealpost, one, event.data)


def _ask_correct(
    dealpost: Dealpost, one: Delivery, values: Mapping[str, Any], faults: Mapping[str, str] | None = None
) -> Response:
    shown = {name: "" if values.get(name) is None else str(values[name]) for name in ("email", "dealName", "amount")}
    return show(
        "correct.html",
        "pages.deliveries",
        status=422 if faults else 200,
        one=one,
        person=delivery_row.person(one),
        what=delivery_row.event(one, dealpost),
        values=shown,
        faults=faults or {},
        record=one.event_name in RECORDS,
    )


@bp.post("/<int:delivery_id>/correct")
def correct_and_send(delivery_id: int) -> Response:
    """The old value stays in the action log; the delivery goes out anew with the new one."""
    dealpost, one, event = _find(delivery_id)
    if one.event_name in RECORDS:
        return _correct_record(dealpost, one, event)
    given = request.form.get("email", "").strip()
    email = normal_email(given)
    if email is None:
        fault = _("This is no e-mail address. Expected something like student@example.com.")
        return _ask_correct(dealpost, one, {"email": given}, {"email": fault})
    data = {**event.data, "email": given}
    changed = dealpost.store.operations.correct(one.id, data, email, f"email:{email}" if one.key else None, who())
    return _corrected(one, changed, _("Corrected. It goes out now to %(email)s.", email=email))


def _correct_record(dealpost: Dealpost, one: Delivery, event: Event) -> Response:
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
        return _ask_correct(dealpost, one, {"dealName": name, "amount": request.form.get("amount", "")}, faults)
    changed = dealpost.store.operations.correct(one.id, data, one.email, one.key, who())
    return _corrected(one, changed, _("Corrected. It goes out now as “%(name)s”.", name=name))


def _corrected(one: Delivery, changed: bool, said: str) -> Response:
    if changed:
        flash(said, "ok")
    else:
        flash(_("It was not corrected: meanwhile it is %(state)s.", state=words.state_word(one.state).lower()), "warn")
    return back_to("pages.delivery", delivery_id=one.id)


@bp.get("/<int:delivery_id>/preview")
def preview(delivery_id: int) -> Response:
    """What would change if it went out now, looked up without doing it."""
    dealpost, one, _event = _find(delivery_id)
    found = foresee(dealpost, one)
    return show(
        "preview.html",
        "pages.deliveries",
        one=one,
        found=found,
        at=words.clock(dealpost.store.now()),
        deal=links.deal_url(dealpost, found.lead_id),
        title=destinations.title(one.destination, dealpost),
    )


@dataclass(frozen=True)
class Foreseen:
    """words: a sentence. before, after: stages, where a deal would move. looked_up: in amoCRM, just now."""

    words: str
    before: str = ""
    after: str = ""
    lead_id: int | None = None
    looked_up: bool = False


def foresee(dealpost: Dealpost, one: Delivery) -> Foreseen:
    if one.destination == ERP:
        if one.data.get("dealName"):
            return Foreseen(_("A record “%(name)s” will be made in the ERP.", name=one.data["dealName"]))
        return Foreseen(_("The deal will be read in amoCRM and become a record in the ERP."))
    try:
        found = dealpost.wiring.previewer.preview(one)
    except DeliveryError as error:
        return Foreseen(_upper(words.cause_title(error.cause, error.params)), looked_up=True)
    if found.verdict == "move":
        said = _("It will move the deal in the funnel “%(funnel)s”:", funnel=found.pipeline_name)
        return Foreseen(said, found.from_name, found.to_name, found.lead_id, True)
    if found.verdict == "not_found":
        return Foreseen(_("Nothing will change: amoCRM has no student or deal for this e-mail."), looked_up=True)
    said = _("Nothing will change: %(reason)s.", reason=words.reason_words(found.verdict))
    return Foreseen(said, lead_id=found.lead_id, looked_up=True)
