"""Connections: are we connected, for how long, does each lesson have its stage, and what is wrong with the settings."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from flask import flash, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from outbox import pauses
from outbox.message import State
from outbox.outcome import DeliveryError, PauseKind
from outbox.queries import Filter
from outbox.whole_numbers import whole_number
from service import checks
from service.amocrm.oauth.tokens import TokenStatus
from service.current import Dealpost, current
from service.job_results import JobResults
from service.operator import words
from service.operator.pages import destinations, panels, stages
from service.operator.pages.blueprint import back_here, back_to, bp, link_here, show, who
from service.operator.pages.headline import Headline, dress
from service.operator.pages.pause import try_one
from service.operator.pages.standing import situations
from service.operator.turns import Busy, turn, waits_for_others
from service.routing import AMOCRM, ERP
from service.situations.gather import UNMAPPED

logger = logging.getLogger(__name__)
DEADLINE = 10.0
LESSON_MOST = 9999


@bp.get("/connections")
def connections() -> Response:
    dealpost = current()
    now = dealpost.store.now()
    statuses = {destination.name: destination for destination in destinations.look(dealpost)}
    token = dealpost.wiring.token_status()
    lessons = stages.lessons(dealpost)
    gone = [one for one in lessons if one.state == "gone"]
    dead = (
        dealpost.store.reading.count(Filter(states=(State.DEAD,), destination=AMOCRM, cause="stage_deleted"))
        if gone
        else 0
    )
    pipeline = stages.ours(dealpost)
    return show(
        "connections.html",
        "pages.connections",
        headline=_headline(dealpost, statuses, now),
        amocrm=statuses[AMOCRM],
        erp=statuses[ERP],
        states={name: _connected(destination, token, now) for name, destination in statuses.items()},
        token=token,
        access=_access(token, now),
        permission=_permission(token, now),
        token_note=_token_note(token),
        connected_by=_connected_by(token),
        lacking=dealpost.wiring.amocrm.connect.missing(),
        lessons=lessons,
        pipeline=pipeline,
        choices=stages.settable(pipeline),
        hook=_hook_figures(dealpost, now),
        hook_state=_hook_state(dealpost, now),
        has_hook=bool(dealpost.settings.webhook_secrets),
        dead=dead,
        checked=request.args.get("look") == "1",
        found=look(dealpost) if request.args.get("look") == "1" else None,
        look_again=link_here(look=1),
        checked_at=words.clock(now),
        paused_by_person=lambda destination: (
            destination.rest is not None and destination.rest.kind is PauseKind.OPERATOR
        ),
    )


CONCERNS = ("store", "worker", "stopped", "paused", "pause", "bare", "stage", "hook", "token", "job", "unmapped")
"""Situations that are about connections, and not about single deliveries."""


def _headline(dealpost: Dealpost, statuses: Mapping[str, destinations.DestinationStatus], now: float) -> Headline:
    amocrm, erp = statuses[AMOCRM], statuses[ERP]
    if amocrm.missing:
        head = _("%(destination)s is not set up yet.", destination=amocrm.title)
        return Headline("quiet", "plug", head, _("Events are accepted and wait for it."), "", "bare")
    found = [one for one in situations(dealpost) if one.code in CONCERNS or one.cause == "stage_deleted"]
    if found:
        first = found[0]
        title = statuses[first.destination].title if first.destination in statuses else ""
        tone, icon = dress(first)
        said = words.as_sentence(words.situation_title(first, now, title))
        support = words.situation_todo(first, now)
        return Headline(tone, icon, said, words.what_next(first, now), support, f"{first.code}:{first.cause}")
    if erp.missing:
        head = _("%(destination)s is connected, the ERP is not set up.", destination=amocrm.title)
        return Headline("quiet", "plug", head, _("Records for it are accepted and wait."), "", "erp")
    if situations(dealpost):
        then = _("What else needs somebody stands on the overview.")
        return Headline("ok", "tick", _("Everything is connected."), then, "", "others")
    return Headline("ok", "tick", _("Everything is connected."), _("Nothing has to be done here."), "", "well")


def _connected(destination: destinations.DestinationStatus, token: TokenStatus, now: float) -> tuple[str, str, str]:
    if destination.missing or destination.rest or destination.silent:
        return destination.state(now)
    if destination.name == AMOCRM and not token.usable:
        return "alert", "bad", _("Not connected")
    return "tick", "ok", _("Connected")


def _access(token: TokenStatus, now: float) -> tuple[str, float, str]:
    """(what is left, as a part of a day's access, note) of the access token."""
    if not token.usable:
        return _("none"), 0.0, ""
    if token.expires_at is None:
        return _("does not expire"), 1.0, _("A long-lived access")
    left = token.expires_at - now
    note = ""
    if token.state == "long_lived":
        note = _("Lasts until %(day)s, then a new one is needed", day=words.day(token.expires_at, now))
    elif token.next_refresh:
        note = _("Renews itself, next time %(time)s", time=words.at_when(token.next_refresh, now))
    whole = 365 * 86400.0 if token.state == "long_lived" else 86400.0
    return _("%(time)s left", time=words.rough_words(left)), left / whole, note


def _permission(token: TokenStatus, now: float) -> tuple[str, float, str] | None:
    until = token.refresh_expires_at
    if until is None or token.state != "connected":
        return None
    left = until - now
    note = _("Renewed with each access. It can only lapse if nothing runs for 3 months")
    return _("%(time)s left", time=words.rough_words(left)), left / (90 * 86400.0), note


def _token_note(token: TokenStatus) -> str:
    """Why there is no permission to show, and what to do about it."""
    if token.unreadable:
        return _("Bring the old TOKEN_KEYS back, or press Connect.")
    return {
        "not_connected": _("amoCRM was never connected"),
        "expired": _("The access has run out: connect again"),
        "reconnect": _("amoCRM accepts this access no longer: connect again"),
    }.get(token.state, "")


def _connected_by(token: TokenStatus) -> str:
    if token.who == "settings":
        return _("connected by the settings")
    return _("connected by %(who)s", who=token.who) if token.who else ""


def _hook_figures(dealpost: Dealpost, now: float) -> panels.Source | None:
    title = words.source_title("webhook", "amocrm/webhook")
    return next((one for one in panels.sources(dealpost, now) if one.title == title), None)


def _hook_state(dealpost: Dealpost, now: float) -> tuple[str, str, str, str] | None:
    """(icon, tone, words, when) as the last check of the webhook left it; None: it was not checked yet, or it could
    not be. Asks nobody."""
    result = JobResults(dealpost.store.key_values).get("hook")
    code, at = (result.detail, result.last_at) if result else ("", None)
    if not dealpost.settings.webhook_secrets or at is None or code not in words.hook_words():
        return None
    well = code in ("hook_on", "hook_renewed")
    icon, tone = ("tick", "ok") if well else ("plug", "quiet") if code == "hook_unset" else ("alert", "bad")
    said = words.hook_words()["hook_on" if well else code]
    return icon, tone, said[:1].upper() + said[1:], words.ago(at, now)


@bp.get("/connections/checks")
def settings_checks() -> Response:
    """What `flask check` says, looked up when the page asks."""
    dealpost = current()
    return show("checks.html", "pages.connections", found=look(dealpost), checked_at=words.clock(dealpost.store.now()))


def look(dealpost: Dealpost) -> list[checks.Check]:
    try:
        with turn():
            return list(checks.run(dealpost))
    except Busy:
        raise
    except Exception as error:  # a fault in one check must not hide the page
        logger.error("The checks stumbled", exc_info=error)
        return [checks.Check(_("Checks"), checks.FAULT, _("could not be finished"), _("The log has the details."))]


@bp.get("/connections/stages")
@waits_for_others
def stage_list() -> Response:
    """The stages to choose from, read anew from amoCRM."""
    dealpost = current()
    fault = ""
    try:
        dealpost.wiring.amocrm.pipelines.within(DEADLINE).all(max_age=5.0)
    except DeliveryError as error:
        fault = words.cause_title(error.cause, error.params)
    lesson = whole_number(request.args.get("lesson"), most=LESSON_MOST) or 0
    return show("stage_list.html", "pages.connections", choices=stages.settable(stages.ours(dealpost)), fault=fault,
                lesson=lesson)  # fmt: skip


@bp.post("/connections/stages")
@waits_for_others
def choose_stages() -> Response:
    """Store what was chosen; a lesson that is left alone keeps what it has."""
    dealpost = current()
    before = {one.lesson: one for one in stages.lessons(dealpost)}
    changed = 0
    wanted = request.form.get("then_retry", "")
    if wanted == "try":  # what rests must not all go out by the choice
        pauses.hold(dealpost.store, AMOCRM)
    for name, value in request.form.items():
        kind, _colon, number = name.partition(":")
        lesson = whole_number(number, most=LESSON_MOST)
        if kind != "stage" or lesson is None:
            continue
        known = before.get(lesson)
        if value == "setting" and known and known.by:
            stages.unchoose(dealpost, lesson, who())
            changed += 1
        elif (stage := whole_number(value)) is not None and (known is None or known.status_id != stage):
            if stages.choose(dealpost, lesson, stage, who()) is None:
                flash(_("amoCRM has no such stage in this funnel. Look again and choose another one."), "warn")
                return back_here()
            changed += 1
    if changed:
        flash(_("Saved. New lessons go to the chosen stages."), "ok")
    if wanted == "try":
        return try_one(AMOCRM)
    states = {"stage_deleted": "dead", UNMAPPED: "skipped"}
    if wanted in states:
        return back_to("pages.confirm", act="retry", state=states[wanted], destination=AMOCRM, cause=wanted)
    return back_here()


@bp.post("/connections/webhook")
@waits_for_others
def subscribe() -> Response:
    """Subscribe the account's webhook to changes of stage."""
    dealpost = current()
    if not dealpost.wiring.webhook.address():
        flash(
            _("The webhook's address is not known: the school's developer sets PUBLIC_URL and WEBHOOK_SECRET."), "warn"
        )
        return back_here()
    try:
        dealpost.wiring.webhook.subscribe(DEADLINE)
    except DeliveryError as error:
        flash(
            _("The webhook was not subscribed: %(cause)s", cause=words.cause_title(error.cause, error.params)), "warn"
        )
        return back_here()
    dealpost.store.operations.log_action(who(), "subscribe", 1, {"destination": AMOCRM})
    JobResults(dealpost.store.key_values).foretell("hook", "hook_on", dealpost.store.now())
    flash(_("The webhook is subscribed to changes of stage."), "ok")
    return back_here()
