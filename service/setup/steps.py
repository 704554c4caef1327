"""From what is known to the steps of the set-up: a pure function. What is wrong later is told by situations."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from outbox.message import Delivery, Json, State
from service.amocrm.lesson_stages import LessonStage
from service.amocrm.payloads import Pipeline
from service.check_results import KeptChecks

OPTIONAL = ("stages", "webhook", "erp", "trial", "alert")
"""What a school may do without, and say so."""


class StepState(StrEnum):
    DONE = "done"
    NOW = "now"  # somebody can do it
    WAITS = "waits"  # for an earlier step
    UNNEEDED = "unneeded"


@dataclass(frozen=True)
class Step:
    """One step. said: a code of service/operator/words/setup.py, which has the sentence, with its params. control: what
    does it in place, "" where nothing on the page can. fault: whether something is wrong, and not only undone."""

    name: str
    state: StepState
    said: str
    params: Mapping[str, Json] = field(default_factory=dict)
    control: str = ""
    fault: bool = False


@dataclass(frozen=True)
class AlertTry:
    """The last test alert. heard: whether a messenger took it."""

    at: float
    heard: bool


@dataclass(frozen=True)
class SetupFacts:
    """All as last known, without asking anybody.

    worker: why nothing is sent, as a cause; "": the sending process lives. lacks: the settings of amoCRM that only the
    developer can give. token: as TokenStatus. funnels None: never read. funnel_by: "setting", or who chose it. hook:
    what the last look at the webhook found, at hook_at; registered_at: when we last registered it; heard_at: when a
    hook last came. erp_given: whether any of its settings is there. erp_fault: the cause for which it rests and needs
    somebody. trial: the lesson that was sent to try. arrived: a lesson that moved a deal. without: the steps that
    somebody said are not wanted, and who.
    """

    worker: str = ""
    lacks: Sequence[str] = ()
    token: str = "connected"
    account: str = ""
    connected_by: str = ""
    funnels: Sequence[Pipeline] | None = None
    funnel_id: int | None = None
    funnel_by: str = "setting"
    funnel_name: str = ""
    lessons: Sequence[LessonStage] = ()
    secret: bool = False
    address: bool = False
    hook: str = ""
    hook_at: float | None = None
    registered_at: float | None = None
    heard_at: float | None = None
    erp_lacks: Sequence[str] = ()
    erp_given: bool = False
    erp_waits: int = 0
    erp_fault: str = ""
    erp_params: Mapping[str, Json] = field(default_factory=dict)
    erp_checks: KeptChecks | None = None
    trial: Delivery | None = None
    arrived: Delivery | None = None
    alerts: int = 0
    alert: AlertTry | None = None
    practice: bool = False
    without: Mapping[str, str] = field(default_factory=dict)


def steps(facts: SetupFacts) -> list[Step]:
    """All steps in the order in which they are done."""
    found: dict[str, Step] = {}
    for name, look in LOOKS.items():
        step = look(facts, {key for key, one in found.items() if one.state in (StepState.DONE, StepState.UNNEEDED)})
        if name in facts.without and step.state is StepState.NOW:
            step = Step(name, StepState.UNNEEDED, "without", {"who": facts.without[name]})
        found[name] = step
    return list(found.values())


def is_finished(found: Sequence[Step]) -> bool:
    return all(one.state in (StepState.DONE, StepState.UNNEEDED) for one in found)


def _done(name: str, said: str, control: str = "", **params: Json) -> Step:
    return Step(name, StepState.DONE, said, params, control)


def _now(name: str, said: str, control: str = "", *, fault: bool = False, **params: Json) -> Step:
    return Step(name, StepState.NOW, said, params, control, fault)


def _waits(name: str, earlier: str) -> Step:
    return Step(name, StepState.WAITS, f"after_{earlier}")


def _service(facts: SetupFacts, done: Collection[str]) -> Step:
    return _now("service", facts.worker, fault=True) if facts.worker else _done("service", "runs")


def _account(facts: SetupFacts, done: Collection[str]) -> Step:
    if facts.lacks:
        return _now("account", "account_lacks", missing=", ".join(facts.lacks))
    if facts.token in ("reconnect", "expired"):
        return _now("account", "account_lost", "connect", fault=True)
    if facts.token not in ("connected", "long_lived"):
        return _now("account", "account_open", "connect")
    return _done("account", "account_connected", account=facts.account, who=facts.connected_by)


def _funnel(facts: SetupFacts, done: Collection[str]) -> Step:
    if "account" not in done:
        return _waits("funnel", "account")
    if not facts.funnels:
        return _now("funnel", "funnels_unread", "look")
    if facts.funnel_id is None:
        return _now("funnel", "funnel_open", "funnel")
    by_setting = facts.funnel_by == "setting"
    control = "" if by_setting else "funnel"
    found = next((one for one in facts.funnels if one.id == facts.funnel_id), None)
    if found is None:
        said = "funnel_gone_setting" if by_setting else "funnel_gone"
        return _now("funnel", said, control, fault=True, id=facts.funnel_id, funnel=facts.funnel_name)
    if found.is_archive:
        return _now("funnel", "funnel_archived", control, fault=True, funnel=found.name)
    said = "funnel_set" if by_setting else "funnel_chosen"
    return _done("funnel", said, control, funnel=found.name, who=facts.funnel_by)


def _stages(facts: SetupFacts, done: Collection[str]) -> Step:
    if "funnel" not in done:
        return _waits("stages", "account" if "account" not in done else "funnel")
    if not facts.lessons:
        return _now("stages", "no_lessons")
    for state, said in (("gone", "stages_gone"), ("ambiguous", "stages_ambiguous"), ("unset", "stages_open")):
        lessons = [str(one.lesson) for one in facts.lessons if one.state == state]
        if lessons:
            return _now("stages", said, "stages", fault=state != "unset", lessons=", ".join(lessons))
    if any(one.state == "unknown" for one in facts.lessons):
        return _now("stages", "funnels_unread", "look")
    return _done("stages", "stages_set", "stages")


def _webhook(facts: SetupFacts, done: Collection[str]) -> Step:
    if not facts.secret:
        unused = not facts.erp_given
        return Step("webhook", StepState.UNNEEDED, "hook_no_erp") if unused else _now("webhook", "hook_no_secret")
    if "account" not in done:
        return _waits("webhook", "account")
    if not is_registered(facts):
        if not facts.address:
            return _now("webhook", "hook_no_address")
        said = facts.hook if facts.hook in ("hook_off", "hook_unknown") else "hook_open"
        return _now("webhook", said, "subscribe", fault=said != "hook_open")
    if facts.heard_at is None or (facts.registered_at is not None and facts.heard_at < facts.registered_at):
        return _now("webhook", "hook_unheard", "subscribe")
    return _done("webhook", "hook_heard", heard=facts.heard_at)


def is_registered(facts: SetupFacts) -> bool:
    """By the last look, or by our registering it since then."""
    if facts.registered_at is not None and facts.registered_at >= (facts.hook_at or 0.0):
        return True
    return facts.hook in ("hook_on", "hook_renewed")


def _erp(facts: SetupFacts, done: Collection[str]) -> Step:
    if facts.erp_lacks:
        missing = ", ".join(facts.erp_lacks)
        if facts.erp_given:
            return _now("erp", "erp_half", missing=missing)
        if facts.erp_waits:
            return _now("erp", "erp_wanted", missing=missing, count=facts.erp_waits)
        return Step("erp", StepState.UNNEEDED, "erp_unused", {"missing": missing})
    if facts.erp_fault:
        return Step("erp", StepState.NOW, facts.erp_fault, facts.erp_params, "erp", fault=True)
    kept = facts.erp_checks
    if kept is None:
        return _now("erp", "erp_unchecked", "erp")
    if kept.fault is not None:
        return Step("erp", StepState.NOW, kept.fault.code, kept.fault.params, "erp", fault=True)
    lacking = kept.of("erp_key_unset")
    if lacking is not None:
        return Step("erp", StepState.NOW, lacking.code, lacking.params, "erp")
    return _done("erp", "erp_well", "erp", checked=kept.at)


def _trial(facts: SetupFacts, done: Collection[str]) -> Step:
    if "stages" not in done and facts.trial is None:
        return _waits("trial", next(one for one in ("account", "funnel", "stages") if one not in done))
    row = facts.trial
    if row is None or row.state == State.DISCARDED:
        if facts.arrived is not None:
            return _of_row("trial", StepState.DONE, "trial_real", facts.arrived)
        return _now("trial", "trial_open", "trial")
    if row.state == State.DELIVERED:
        return _of_row("trial", StepState.DONE, "trial_arrived", row)
    if row.state in (State.PENDING, State.SENDING):
        return _of_row("trial", StepState.NOW, "trial_goes", row)
    said = "trial_skipped" if row.state == State.SKIPPED else "trial_lost"
    return replace(_of_row("trial", StepState.NOW, said, row), fault=row.state == State.DEAD)


def _of_row(name: str, state: StepState, said: str, row: Delivery) -> Step:
    return Step(name, state, said, {"delivery": row.id}, "trial")


def _alert(facts: SetupFacts, done: Collection[str]) -> Step:
    if not facts.alerts:
        return Step("alert", StepState.UNNEEDED, "alert_practice") if facts.practice else _now("alert", "alert_nobody")
    if facts.alert is None:
        return _now("alert", "alert_open", "alert")
    if not facts.alert.heard:
        return _now("alert", "alert_unheard", "alert", fault=True, at=facts.alert.at)
    return _done("alert", "alert_heard", "alert", at=facts.alert.at)


LOOKS = {
    "service": _service,
    "account": _account,
    "funnel": _funnel,
    "stages": _stages,
    "webhook": _webhook,
    "erp": _erp,
    "trial": _trial,
    "alert": _alert,
}
