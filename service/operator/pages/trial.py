"""Trying the set-up out: a trial lesson that really goes, and an alert that really reaches somebody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import flash, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from outbox.message import BIGGEST, Delivery, NewEvent, Reason, State, new_id
from outbox.whole_numbers import whole_number
from service.current import Dealpost, current
from service.operator.pages import stages
from service.operator.pages.blueprint import PAGES, back_here, back_to, bp, show, who
from service.operator.pages.people_search import Found, look_for
from service.operator.turns import waits_for_others
from service.routing import AMOCRM, LESSON, Refused, route
from service.setup.alert_test import send_test_alert
from service.setup.notes import SetupNotes

LESSON_MOST = 9999


@bp.get("/setup/trial")
def ask_trial() -> Response:
    """Who, and which lesson."""
    return _ask(current(), request.args.get("email", "").strip()[:254], _lesson(request.args.get("lesson", "")))


@bp.get("/setup/people")
def trial_people() -> Response:
    """Whom amoCRM finds by what was typed so far, and what this lesson would do to a whole address."""
    dealpost = current()
    text, lesson = request.args.get("q", "").strip()[:200], _lesson(request.args.get("lesson", ""))
    return show("correct_found.html", "pages.connections", found=_look(dealpost, text, lesson), pick=_pick(lesson))


def _ask(dealpost: Dealpost, email: str, lesson: int, found: Found | None = None) -> Response:
    return show(
        "trial_ask.html",
        "pages.connections",
        email=email,
        lesson=lesson,
        lessons=[one for one in stages.lessons(dealpost) if one.state != "unset"] or stages.lessons(dealpost),
        found=found,
        pick=_pick(lesson),
        searches=dealpost.wiring.amocrm.is_set_up(),
        stands=request.values.get("from", ""),
        back=PAGES.get(request.values.get("from", ""), "pages.setup"),
    )


def _lesson(text: str) -> int:
    return whole_number(text.strip(), LESSON_MOST) or 0


def _pick(lesson: int) -> Callable[[str], str]:
    """Where a person's name leads without scripts: to the form with their address in it."""
    values: dict[str, Any] = {"from": request.values["from"]} if request.values.get("from") in PAGES else {}
    return lambda email: url_for("pages.ask_trial", email=email, lesson=lesson or None, **values)


def _look(dealpost: Dealpost, text: str, lesson: int) -> Found:
    def to(email: str) -> Delivery | None:
        now = dealpost.store.now()
        return Delivery(
            id=BIGGEST, event_id="", event_name=LESSON, destination=AMOCRM, key=None, state=State.PENDING,
            reason=Reason(""), cause="", reference="", due_at=now, failures=0, created_at=now, changed_at=now,
            data={"email": email, "lesson": lesson}, source="operator", received_at=now, email=email,
        ) if lesson else None  # fmt: skip

    return look_for(dealpost, text, to)


@bp.post("/connections/trial")
def trial_lesson() -> Response:
    """Take the event that this student has finished this lesson, as the API does: their deal really moves."""
    dealpost = current()
    email, lesson = request.form.get("email", "").strip(), _lesson(request.form.get("lesson", ""))
    if "look" in request.form:
        return _search(email, lesson)
    now = dealpost.store.now()
    try:
        routed = route(LESSON, {"email": email, "lesson": lesson}, dealpost.settings.amocrm.lesson_map)
    except Refused:
        flash(_("Nothing was sent: expected an address like student@example.com and a lesson that is set up."), "warn")
        return back_here()
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
    delivery = stored.deliveries[0].id
    SetupNotes(dealpost.store.key_values).put_trial(delivery)
    stands = request.form.get("from", "")
    return back_here() if stands in ("overview", "setup") else back_to("pages.delivery", delivery_id=delivery)


@waits_for_others
def _search(email: str, lesson: int) -> Response:
    dealpost = current()
    return _ask(dealpost, email, lesson, _look(dealpost, email, lesson))


@bp.post("/connections/alert")
def test_alert() -> Response:
    """Send an alert to ALERT_URLS that says it is a test."""
    dealpost = current()
    if not dealpost.settings.alert_urls:
        flash(_("There is nobody to tell: the school's developer sets ALERT_URLS."), "warn")
        return back_here()
    words = _("This is a test alert, pressed on the page. Nothing has to be done.")
    deaf = send_test_alert(dealpost, who(), words)
    if not deaf:
        flash(_("The test alert was sent. Look whether it has arrived."), "ok")
    elif len(deaf) == len(dealpost.settings.alert_urls):
        flash(_("The test alert reached nobody: the school's developer corrects ALERT_URLS."), "warn")
    else:
        places = ", ".join(map(str, deaf))
        flash(_("Of ALERT_URLS these took nothing: %(places)s (counted from 1). Correct them.", places=places), "warn")
    return back_here()
