"""The set-up, step by step: on the overview until all is done, and on a page of its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from flask import abort, flash, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from outbox.message import Delivery, State, StoreUnavailable
from outbox.outcome import DeliveryError
from outbox.whole_numbers import whole_number
from service.amocrm.payloads import Pipeline, Stage
from service.checks import DEADLINE, FAULT, erp
from service.current import Dealpost, current
from service.operator import words
from service.operator.pages import delivery_row, stages
from service.operator.pages.blueprint import back_here, bp, show, who
from service.operator.pages.headline import Headline
from service.operator.pages.standing import signals, situations
from service.operator.turns import waits_for_others
from service.setup.gather import gather
from service.setup.notes import SetupNotes
from service.setup.steps import OPTIONAL, Step, StepState, is_finished, steps


@dataclass(frozen=True)
class StepRow:
    """One step, ready for a template. css: done, now (the first that can be done), open
    (another one) or later. trial: how the lesson goes that was sent to try; arrived: where its deal stands now."""

    number: int
    name: str
    title: str
    said: str
    words: str
    state: tuple[str, str, str]
    css: str
    control: str
    main: bool
    may_skip: bool
    skipped: bool
    trial: delivery_row.Row | None = None
    arrived: str = ""


@dataclass(frozen=True)
class SetUp:
    """The whole list. done: how many steps need nobody any more."""

    rows: Sequence[StepRow]
    done: int
    finished: bool
    funnels: Sequence[Pipeline]
    funnel_id: int | None
    lessons: Sequence[stages.Lesson]
    choices: Sequence[Stage]


def look(dealpost: Dealpost) -> SetUp:
    """How it stands, from the store."""
    now = dealpost.store.now()
    found = steps(gather(dealpost, signals(dealpost), situations(dealpost)))
    first = next((one.name for one in found if one.state is StepState.NOW), "")
    finished = is_finished(found)
    notes = SetupNotes(dealpost.store.key_values)
    if finished and not notes.is_finished():
        with suppress(StoreUnavailable):
            notes.finish(now)
    return SetUp(
        rows=[_row(dealpost, place, one, now, first) for place, one in enumerate(found, 1)],
        done=sum(one.state in (StepState.DONE, StepState.UNNEEDED) for one in found),
        finished=finished,
        funnels=[one for one in stages.known(dealpost) if not one.is_archive],
        funnel_id=stages.funnel_id(dealpost),
        lessons=stages.lessons(dealpost),
        choices=stages.settable(stages.ours(dealpost)),
    )


def unfinished(dealpost: Dealpost) -> SetUp | None:
    """The list for the overview; None once all was done."""
    return None if SetupNotes(dealpost.store.key_values).is_finished() else look(dealpost)


def _row(dealpost: Dealpost, number: int, one: Step, now: float, first: str) -> StepRow:
    sent = one.params.get("delivery")
    delivery = dealpost.store.reading.delivery(int(sent)) if isinstance(sent, int) else None
    css = {StepState.DONE: "done", StepState.NOW: "now" if one.name == first else "open"}.get(one.state, "later")
    return StepRow(
        number=number,
        name=one.name,
        title=words.step_title(one),
        said=one.said,
        words=words.step_words(one, now),
        state=words.step_state(one),
        css=css,
        control=one.control,
        main=one.name == first and one.said != "hook_unheard",  # that one waits for a deal to move
        may_skip=one.state is StepState.NOW and one.name in OPTIONAL,
        skipped=one.said == "without",
        trial=delivery_row.present(dealpost, [delivery], now)[0] if delivery else None,
        arrived=_arrived(delivery) if delivery else "",
    )


def _arrived(delivery: Delivery) -> str:
    stage, lead = delivery.facts.get("to_name"), delivery_row.lead(delivery)
    if delivery.state != State.DELIVERED or not stage or not lead:
        return ""
    return _("Deal %(id)s stands on the stage “%(stage)s”.", id=lead, stage=stage)


@bp.get("/setup")
def setup() -> Response:
    found = look(current())
    if found.finished:
        head, then = _("Everything is set up."), _("Each step can be done again here.")
        said = Headline("ok", "tick", head, then, "", "finished")
    else:
        head = _("Set-up: %(done)s of %(all)s steps are done.", done=found.done, all=len(found.rows))
        said = Headline("blue", "plug", head, _("The next one is marked."), "", f"setup-{found.done}")
    return show("setup.html", "pages.connections", live=True, headline=said, setup=found, listed_on="setup")


@bp.post("/setup/look")
@waits_for_others
def look_at_funnels() -> Response:
    """Ask amoCRM which funnels and stages it has."""
    dealpost = current()
    try:
        dealpost.wiring.amocrm.pipelines.within(DEADLINE).all(max_age=0.0)
    except DeliveryError as error:
        why = words.cause_title(error.cause, error.params)
        flash(_("amoCRM could not be asked: %(cause)s.", cause=why), "warn")
    return back_here("pages.setup")


@bp.post("/setup/funnel")
def choose_funnel() -> Response:
    """Store whose deals lessons move; the stages of another funnel are to be chosen anew."""
    dealpost = current()
    if dealpost.settings.amocrm.pipeline_id is not None:
        flash(_("The funnel is set by AMOCRM_PIPELINE_ID, which goes before a choice made here."), "warn")
        return back_here("pages.setup")
    number = whole_number(request.form.get("funnel", ""))
    found = stages.choose_funnel(dealpost, number, who()) if number is not None else None
    if found is None:
        flash(_("amoCRM has no such funnel. Ask it again and choose another one."), "warn")
        return back_here("pages.setup")
    funnel, lost = found
    said = _("Saved. Lessons move deals of “%(funnel)s”.", funnel=funnel.name)
    if lost:
        said += " " + _(
            "Choose the stage of lesson %(lessons)s anew: it was one of another funnel.",
            lessons=", ".join(map(str, sorted(lost))),
        )
    flash(said, "ok")
    return back_here("pages.setup")


@bp.post("/setup/erp")
@waits_for_others
def check_erp() -> Response:
    """Try the ERP: its login, the table, the fields and the key."""
    found = list(erp.checks(current()))
    faults = [one for one in found if one.state == FAULT]
    if faults:
        flash(f"{faults[0].name}: {words.as_sentence(faults[0].words)} {faults[0].mend}", "warn")
    else:
        flash(_("The ERP was tried: nothing hinders."), "ok")
    return back_here("pages.setup")


@bp.post("/setup/without/<step>")
def do_without(step: str) -> Response:
    """A step that this school does not want, or wants after all."""
    if step not in OPTIONAL:
        abort(404)
    dealpost = current()
    notes = SetupNotes(dealpost.store.key_values)
    if request.form.get("wanted") == "1":
        notes.remove_without(step)
    else:
        notes.put_without(step, who())
    return back_here("pages.setup")
