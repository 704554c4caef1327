"""Correcting what was mistyped in an event, and sending it anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from flask import flash, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.wrappers import Response

from outbox.message import Delivery, Event, State
from outbox.queries import Filter
from service.current import Dealpost
from service.email_address import normal_email
from service.fields import TEXT_MAX
from service.operator import words
from service.operator.pages import delivery_row
from service.operator.pages.blueprint import back_to, bp, find_or_404, show, who
from service.operator.pages.people_search import Found, look_for
from service.routing import RECORDS, Refused, route
from service.student_key import student_key

MOST = 1000
"""Deliveries of one student that are corrected together at most."""


def correctable(delivery: Delivery) -> bool:
    """Whether the event bears something of a person's that may be mistyped."""
    return delivery.email is not None or delivery.event_name in RECORDS


@bp.get("/<int:delivery_id>/correct")
def correct(delivery_id: int) -> Response:
    dealpost, delivery, event = find_or_404(delivery_id)
    if not correctable(delivery):
        return back_to("pages.delivery", delivery_id=delivery.id)
    email = request.args.get("email", "").strip()[:254]
    return _ask_correct(dealpost, delivery, {**event.data, "email": email} if email else event.data)


def _ask_correct(
    dealpost: Dealpost,
    delivery: Delivery,
    values: Mapping[str, Any],
    faults: Mapping[str, str] | None = None,
    found: Found | None = None,
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
        others=len(_all_of(dealpost, delivery)) - 1,
        found=found,
        pick=_pick(delivery),
        searches=dealpost.wiring.amocrm.is_set_up(),
    )


def _all_of(dealpost: Dealpost, delivery: Delivery) -> list[int]:
    """This delivery and the others of the same student that did not arrive yet: one slip of the pen is in all."""
    if not delivery.email or delivery.event_name in RECORDS:
        return [delivery.id]
    where = Filter(email=delivery.email, event_name=delivery.event_name, states=(State.PENDING, State.DEAD))
    rows = dealpost.store.reading.find(where, MOST - 1).rows
    return [delivery.id, *(row.id for row in rows if row.id != delivery.id)]


@bp.post("/<int:delivery_id>/correct")
def correct_and_send(delivery_id: int) -> Response:
    """The old value stays in the action log; what waits or did not arrive of this student goes out with the new one."""
    dealpost, delivery, event = find_or_404(delivery_id)
    if delivery.event_name in RECORDS:
        return _correct_record(dealpost, delivery, event)
    given = request.form.get("email", "").strip()
    if "look" in request.form:
        return _ask_correct(dealpost, delivery, {"email": given}, found=_look(dealpost, delivery, given))
    email = normal_email(given)
    if email is None:
        fault = _("This is no e-mail address. Expected something like student@example.com.")
        return _ask_correct(dealpost, delivery, {"email": given}, {"email": fault})
    count = dealpost.store.operations.correct_all(
        _all_of(dealpost, delivery), {"email": given}, email, student_key(email), who()
    )
    said = _("Corrected. It goes out now to %(email)s.", email=email)
    if count > 1:
        said = ngettext(
            "Corrected: %(count)s delivery goes out now to %(email)s.",
            "Corrected: %(count)s deliveries go out now to %(email)s.",
            count,
            count=words.number(count),
            email=email,
        )
    return _corrected(delivery, bool(count), said)


# --- whom it may mean -------------------------------------------------------------------------------------------------


@bp.get("/<int:delivery_id>/correct/people")
def people_like(delivery_id: int) -> Response:
    """Whom amoCRM finds by what was typed so far."""
    dealpost, delivery, _event = find_or_404(delivery_id)
    text = request.args.get("q", "").strip()[:200]
    return show("correct_found.html", "pages.deliveries", found=_look(dealpost, delivery, text), pick=_pick(delivery))


def _look(dealpost: Dealpost, delivery: Delivery, text: str) -> Found:
    def to(email: str) -> Delivery | None:
        return replace(delivery, email=email, lead_id=None, person=None) if email != delivery.email else None

    return look_for(dealpost, text, to)


def _pick(delivery: Delivery) -> Callable[[str], str]:
    """Where a person's name leads without scripts: to the form with their address in it."""
    return lambda email: url_for("pages.correct", delivery_id=delivery.id, email=email)


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
