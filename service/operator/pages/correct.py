"""Correcting what was mistyped in an event, and sending it anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import flash, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from outbox.message import Delivery, Event
from service.current import Dealpost
from service.email_address import normal_email
from service.fields import TEXT_MAX
from service.operator import words
from service.operator.pages import delivery_row
from service.operator.pages.blueprint import back_to, bp, find_or_404, show, who
from service.routing import RECORDS, Refused, route


def correctable(delivery: Delivery) -> bool:
    """Whether the event bears something of a person's that may be mistyped."""
    return delivery.email is not None or delivery.event_name in RECORDS


@bp.get("/<int:delivery_id>/correct")
def correct(delivery_id: int) -> Response:
    dealpost, delivery, event = find_or_404(delivery_id)
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
    dealpost, delivery, event = find_or_404(delivery_id)
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
