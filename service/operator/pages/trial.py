"""Trying the set-up out: a trial lesson that really goes, and an alert that really reaches somebody."""

from __future__ import annotations

from flask import flash, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from outbox.message import NewEvent, new_id
from outbox.whole_numbers import whole_number
from service.alerts import by_apprise
from service.current import current
from service.operator.pages.blueprint import back_to, bp, who
from service.routing import LESSON, Refused, route


@bp.post("/connections/trial")
def trial_lesson() -> Response:
    """Take the event that this student has finished this lesson, as the API does: their deal really moves."""
    dealpost = current()
    email, number = request.form.get("email", "").strip(), request.form.get("lesson", "").strip()
    lesson = whole_number(number, 9999) or 0
    now = dealpost.store.now()
    try:
        routed = route(LESSON, {"email": email, "lesson": lesson}, dealpost.settings.amocrm.lesson_map)
    except Refused:
        flash(_("Nothing was sent: expected an address like student@example.com and a lesson that is set up."), "warn")
        return back_to("pages.connections")
    event = NewEvent(
        new_id(now), LESSON, routed.data, "operator", who(), now, routed.deliveries, routed.dedupe, email=routed.email
    )
    receipt = dealpost.store.intake.accept([event])[0]
    dealpost.store.operations.log_action(who(), "trial", 1, {"lesson": lesson, "after": routed.email})
    stored = dealpost.store.reading.event(receipt.id)
    if receipt.duplicate:
        flash(_("This lesson of this student is known already; here is how it stands."), "ok")
    else:
        flash(_("The trial lesson is accepted. Here you see how it goes."), "ok")
    if stored is None or not stored.deliveries:
        return back_to("pages.deliveries")
    return back_to("pages.delivery", delivery_id=stored.deliveries[0].id)


@bp.post("/connections/alert")
def test_alert() -> Response:
    """Send an alert to ALERT_URLS that says it is a test."""
    dealpost = current()
    if not dealpost.settings.alert_urls:
        flash(_("There is nobody to tell: the school's developer sets ALERT_URLS."), "warn")
        return back_to("pages.connections")
    title, text = _("Dealpost: a test"), _("This is a test alert, pressed on the page. Nothing has to be done.")
    try:
        told = by_apprise(dealpost.settings)(title, text)
    except Exception:  # whatever a messenger's plugin raises
        told = False
    dealpost.store.operations.log_action(who(), "alert", 1, {})
    if told:
        flash(_("The test alert was sent. Look whether it has arrived."), "ok")
    else:
        flash(_("The test alert reached nobody: the school's developer corrects ALERT_URLS."), "warn")
    return back_to("pages.connections")
