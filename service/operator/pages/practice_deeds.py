"""What each button of the practice panel does on the sandbox, and the sentence that says it was done."""

from __future__ import annotations

from collections.abc import Callable

from flask_babel import gettext as _

from outbox.message import NewEvent, State, new_id
from outbox.outcome import DeliveryError
from outbox.queries import Filter
from service.causes import N_
from service.checks import DEADLINE
from service.current import Dealpost
from service.job_results import JobResults
from service.operator.pages import stages
from service.routing import LESSON, route
from service.sandbox_control import Person, SandboxControl

PLAYED = "lessons"
"""The source of lessons that are finished here: the platform's own."""


def _funnel(dealpost: Dealpost) -> int:
    chosen = stages.funnel_id(dealpost)
    if chosen is None:
        raise DeliveryError("no funnel", cause="funnel_unset")
    return chosen


def _finish(dealpost: Dealpost, email: str, lesson: int) -> None:
    """As the platform's own request does."""
    now = dealpost.store.now()
    routed = route(LESSON, {"email": email, "lesson": lesson}, dealpost.settings.amocrm.lesson_map)
    event = NewEvent(
        new_id(now), LESSON, routed.data, PLAYED, "practice", now, routed.deliveries, routed.dedupe, email=routed.email
    )
    dealpost.store.intake.accept([event])


def _next(dealpost: Dealpost, control: SandboxControl, lesson: int = 0) -> tuple[Person, int]:
    """A student who has nothing on the way, and the lesson that is next for them. lesson: this one, wherever its stage
    is."""
    funnel = _funnel(dealpost)
    places = {one["id"]: place for place, one in enumerate(control.stages(funnel))}
    lessons = {one.lesson: one.status_id for one in stages.lessons(dealpost) if one.status_id is not None}
    known = [(number, places[stage]) for number, stage in sorted(lessons.items()) if stage in places]
    for person in control.people(funnel):
        following = lesson or next((number for number, place in known if place > person.place), 0)
        waits = Filter(email=person.email, states=(State.PENDING, State.SENDING, State.DEAD))
        if following and (not lesson or person.place <= 1) and not dealpost.store.reading.count(waits):
            return person, following
    return control.add_person(funnel), lesson or (known[0][0] if known else 1)


def _lesson(dealpost: Dealpost, control: SandboxControl, lesson: int = 0) -> str:
    person, number = _next(dealpost, control, lesson)
    _finish(dealpost, person.email, number)
    return _("%(who)s has finished lesson %(lesson)s.", who=person.name or person.email, lesson=number)


def _stranger(dealpost: Dealpost, control: SandboxControl) -> str:
    number = dealpost.store.reading.count(Filter(event_name=LESSON)) + 1
    email = f"stranger-{number}@example.com"
    _finish(dealpost, email, 1)
    return _("%(who)s has finished lesson %(lesson)s.", who=email, lesson=1)


def _move(dealpost: Dealpost, control: SandboxControl) -> str:
    funnel = _funnel(dealpost)
    order = control.stages(funnel)
    found = control.people(funnel) or [control.add_person(funnel)]
    person = min(found, key=lambda one: (one.place, one.lead_id))
    stage = order[(person.place + 1) % len(order)]
    control.move(person.lead_id, stage["id"])
    return _("The deal of %(who)s stands on “%(stage)s” now.", who=person.name or person.email, stage=stage["name"])


def _silence(dealpost: Dealpost, control: SandboxControl) -> str:
    control.fall_silent()
    return " ".join([_("amoCRM is silent."), _lesson(dealpost, control), _lesson(dealpost, control)])


def _delete(dealpost: Dealpost, control: SandboxControl) -> str:
    lessons = [one for one in stages.lessons(dealpost) if one.status_id is not None]
    for one in reversed(lessons):  # the last ones first, so that the earlier lessons can still be played
        name = control.delete_stage(_funnel(dealpost), int(one.status_id or 0))
        if name:
            said = _lesson(dealpost, control, one.lesson)
            return _("The stage “%(stage)s” is deleted.", stage=name) + " " + said
    return _("There is no stage of a lesson left that could be deleted.")


def _withdraw(dealpost: Dealpost, control: SandboxControl) -> str:
    control.withdraw()
    return _("The access is withdrawn.") + " " + _lesson(dealpost, control)


def _unpaid(dealpost: Dealpost, control: SandboxControl) -> str:
    control.pay(False)
    return _("The paid time is over.") + " " + _lesson(dealpost, control)


def _refuse(dealpost: Dealpost, control: SandboxControl) -> str:
    control.refuse()
    return _("The ERP refuses our key.") + " " + _move(dealpost, control)


def _hook_off(dealpost: Dealpost, control: SandboxControl) -> str:
    control.switch_hooks_off()
    found = dealpost.wiring.webhook.check()  # the job looks every ten minutes
    JobResults(dealpost.store.key_values).foretell("hook", found, dealpost.store.now())
    return _("The webhook is off.")


def _hook_on(dealpost: Dealpost, control: SandboxControl) -> str:
    dealpost.wiring.webhook.subscribe(DEADLINE)
    JobResults(dealpost.store.key_values).foretell("hook", "hook_on", dealpost.store.now())
    return _("The webhook is on.")


def _and(act: Callable[[SandboxControl], None], said: str) -> Callable[[Dealpost, SandboxControl], str]:
    def does(dealpost: Dealpost, control: SandboxControl) -> str:
        act(control)
        return _(said)

    return does


DOES: dict[str, Callable[[Dealpost, SandboxControl], str]] = {
    "lesson": _lesson,
    "move": _move,
    "stranger": _stranger,
    "silence": _silence,
    "answer": _and(SandboxControl.answer_again, N_("amoCRM answers again.")),
    "delete": _delete,
    "restore": _and(SandboxControl.restore_stage, N_("The stage is back, with all that it was.")),
    "withdraw": _withdraw,
    "unpaid": _unpaid,
    "pay": _and(lambda control: control.pay(True), N_("The account is paid again.")),
    "refuse": _refuse,
    "take": _and(SandboxControl.take_again, N_("The ERP takes records again.")),
    "hook-off": _hook_off,
    "hook-on": _hook_on,
}
