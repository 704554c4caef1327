"""The steps of the set-up: which is done, which can be done now, which waits, and that each has its sentence."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask_babel import Babel
from hypothesis import given
from hypothesis import strategies as st

from outbox.message import Delivery, Reason, State
from service.amocrm.lesson_stages import LessonStage
from service.amocrm.payloads import Pipeline, Stage
from service.check_results import KeptCheck, KeptChecks
from service.operator import words
from service.operator.words.setup import known_codes
from service.setup.steps import OPTIONAL, AlertTry, SetupFacts, Step, StepState, is_finished, steps

FUNNEL = Pipeline(10, "Sales", stages=(Stage(101, "Paid", 1), Stage(102, "Lesson", 2)))
THERE = LessonStage(1, (67,), 102, "Lesson", "there", "", "102")


def delivery(state: State) -> Delivery:
    return Delivery(
        7, "event", "lesson.completed", "amocrm", None, state, Reason(""), "", "", 0.0, 0, 0.0, 0.0, {}, "operator", 0.0
    )


WELL = SetupFacts(
    account="School",
    connected_by="Olga",
    funnels=(FUNNEL,),
    funnel_id=10,
    lessons=(THERE,),
    secret=True,
    address=True,
    hook="hook_on",
    hook_at=50.0,
    heard_at=60.0,
    erp_given=True,
    erp_checks=KeptChecks(40.0, (KeptCheck("ok", ""),)),
    trial=delivery(State.DELIVERED),
    alerts=1,
    alert=AlertTry(30.0, True),
)


def step(name: str, **changes: Any) -> Step:
    return next(one for one in steps(replace(WELL, **changes)) if one.name == name)


def test_with_all_done_nothing_is_left() -> None:
    assert is_finished(steps(WELL))
    assert {one.state for one in steps(WELL)} == {StepState.DONE}


@pytest.mark.parametrize(
    ("name", "changes", "state", "said", "control"),
    [
        ("service", {"worker": "worker_silent"}, StepState.NOW, "worker_silent", ""),
        ("account", {"lacks": ("AMOCRM_CLIENT_ID",)}, StepState.NOW, "account_lacks", ""),
        ("account", {"token": "not_connected"}, StepState.NOW, "account_open", "connect"),
        ("account", {"token": "reconnect"}, StepState.NOW, "account_lost", "connect"),
        ("funnel", {"token": "not_connected"}, StepState.WAITS, "after_account", ""),
        ("funnel", {"funnels": None}, StepState.NOW, "funnels_unread", "look"),
        ("funnel", {"funnel_id": None, "funnel_by": ""}, StepState.NOW, "funnel_open", "funnel"),
        ("funnel", {}, StepState.DONE, "funnel_set", ""),
        ("funnel", {"funnel_by": "Olga"}, StepState.DONE, "funnel_chosen", "funnel"),
        ("funnel", {"funnel_id": 11}, StepState.NOW, "funnel_gone_setting", ""),
        ("funnel", {"funnel_id": 11, "funnel_by": "Olga"}, StepState.NOW, "funnel_gone", "funnel"),
        ("funnel", {"funnels": (replace(FUNNEL, is_archive=True),)}, StepState.NOW, "funnel_archived", ""),
        ("stages", {"funnel_id": None}, StepState.WAITS, "after_funnel", ""),
        ("stages", {"lessons": (THERE, replace(THERE, state="unset"))}, StepState.NOW, "stages_open", "stages"),
        ("stages", {"lessons": (THERE, replace(THERE, state="gone"))}, StepState.NOW, "stages_gone", "stages"),
        ("webhook", {"secret": False}, StepState.NOW, "hook_no_secret", ""),
        ("webhook", {"secret": False, "erp_given": False}, StepState.UNNEEDED, "hook_no_erp", ""),
        ("webhook", {"hook": "", "address": False}, StepState.NOW, "hook_no_address", ""),
        ("webhook", {"hook": ""}, StepState.NOW, "hook_open", "subscribe"),
        ("webhook", {"hook": "hook_off"}, StepState.NOW, "hook_off", "subscribe"),
        ("webhook", {"heard_at": None}, StepState.NOW, "hook_unheard", "subscribe"),
        ("webhook", {"registered_at": 70.0}, StepState.NOW, "hook_unheard", "subscribe"),
        ("webhook", {"hook": "hook_off", "registered_at": 70.0, "heard_at": 71.0}, StepState.DONE, "hook_heard", ""),
        ("webhook", {"hook": "hook_off", "registered_at": 40.0}, StepState.NOW, "hook_off", "subscribe"),
        ("erp", {"erp_lacks": ("CRM_API_KEY",)}, StepState.NOW, "erp_half", ""),
        ("erp", {"erp_lacks": ("CRM_API_KEY",), "erp_given": False}, StepState.UNNEEDED, "erp_unused", ""),
        (
            "erp",
            {"erp_lacks": ("CRM_API_KEY",), "erp_given": False, "erp_waits": 2},
            StepState.NOW,
            "erp_wanted",
            "",
        ),
        ("erp", {"erp_fault": "erp_settings"}, StepState.NOW, "erp_settings", "erp"),
        ("erp", {"erp_checks": None}, StepState.NOW, "erp_unchecked", "erp"),
        (
            "erp",
            {"erp_checks": KeptChecks(1.0, (KeptCheck("ok", ""), KeptCheck("fault", "erp_key_repeats")))},
            StepState.NOW,
            "erp_key_repeats",
            "erp",
        ),
        (
            "erp",
            {"erp_checks": KeptChecks(1.0, (KeptCheck("note", "erp_key_unset"),))},
            StepState.NOW,
            "erp_key_unset",
            "erp",
        ),
        ("erp", {"erp_checks": KeptChecks(1.0, (KeptCheck("note", "erp_noisy"),))}, StepState.DONE, "erp_well", "erp"),
        ("trial", {"trial": None}, StepState.NOW, "trial_open", "trial"),
        ("trial", {"trial": None, "lessons": ()}, StepState.WAITS, "after_stages", ""),
        ("trial", {"trial": None, "arrived": delivery(State.DELIVERED)}, StepState.DONE, "trial_real", "trial"),
        ("trial", {"trial": delivery(State.PENDING)}, StepState.NOW, "trial_goes", "trial"),
        ("trial", {"trial": delivery(State.SKIPPED)}, StepState.NOW, "trial_skipped", "trial"),
        ("trial", {"trial": delivery(State.DEAD)}, StepState.NOW, "trial_lost", "trial"),
        ("alert", {"alerts": 0}, StepState.NOW, "alert_nobody", ""),
        ("alert", {"alerts": 0, "practice": True}, StepState.UNNEEDED, "alert_practice", ""),
        ("alert", {"alert": None}, StepState.NOW, "alert_open", "alert"),
        ("alert", {"alert": AlertTry(1.0, False)}, StepState.NOW, "alert_unheard", "alert"),
    ],
)
def test_a_step_is_told_by_what_is_so(
    name: str, changes: dict[str, Any], state: StepState, said: str, control: str
) -> None:
    found = step(name, **changes)
    controls = {"hook_heard": "", "stages_set": "stages"}
    assert (found.state, found.said) == (state, said)
    assert found.control == controls.get(said, control)


def test_what_a_school_does_without_is_not_asked_for_but_a_fault_waits_for_its_turn() -> None:
    assert step("alert", alert=None, without={"alert": "Olga"}).said == "without"
    assert step("alert", without={"alert": "Olga"}).state is StepState.DONE  # it was done all the same
    assert step("webhook", hook="", without={"webhook": "Olga"}).state is StepState.UNNEEDED


worlds = st.builds(
    SetupFacts,
    worker=st.sampled_from(["", "worker_never", "worker_silent"]),
    lacks=st.sampled_from([(), ("AMOCRM_CLIENT_ID",)]),
    token=st.sampled_from(["connected", "long_lived", "not_connected", "reconnect", "expired"]),
    funnels=st.sampled_from([None, (), (FUNNEL,), (replace(FUNNEL, is_archive=True),)]),
    funnel_id=st.sampled_from([None, 10, 11]),
    funnel_by=st.sampled_from(["setting", "Olga"]),
    lessons=st.sampled_from(
        [(), *((replace(THERE, state=state),) for state in ("there", "gone", "ambiguous", "unset", "unknown"))]
    ),
    secret=st.booleans(),
    address=st.booleans(),
    hook=st.sampled_from(["", "hook_on", "hook_off", "hook_unknown", "hook_renewed", "hook_unset"]),
    hook_at=st.sampled_from([None, 5.0]),
    registered_at=st.sampled_from([None, 4.0, 6.0]),
    heard_at=st.sampled_from([None, 3.0, 7.0]),
    erp_lacks=st.sampled_from([(), ("CRM_API_URL",)]),
    erp_given=st.booleans(),
    erp_waits=st.integers(0, 5),
    erp_fault=st.sampled_from(["", "erp_settings", "erp_unreadable"]),
    erp_checks=st.sampled_from(
        [None, *(KeptChecks(1.0, (KeptCheck("fault", code, {}),)) for code in ("erp_down", "erp_no_right"))]
    ),
    trial=st.sampled_from([None, *(delivery(state) for state in State)]),
    arrived=st.sampled_from([None, delivery(State.DELIVERED)]),
    alerts=st.integers(0, 1),
    alert=st.sampled_from([None, AlertTry(1.0, True), AlertTry(1.0, False)]),
    practice=st.booleans(),
    without=st.dictionaries(st.sampled_from(OPTIONAL), st.just("Olga")),
)


@pytest.fixture(scope="module")
def context() -> Iterator[Flask]:
    app = Flask("words")
    Babel(app, locale_selector=lambda: "en", timezone_selector=lambda: "UTC")
    with app.test_request_context():
        yield app


@given(facts=worlds)
def test_whatever_is_so_each_step_has_its_sentence_and_no_step_is_done_before_what_it_needs(
    context: Flask, facts: SetupFacts
) -> None:
    found = {one.name: one for one in steps(facts)}
    for one in found.values():
        assert one.said in known_codes()
        said = words.step_words(one, 100.0)
        assert said.endswith((".", "?", "!")) and "%(" not in said
        if one.state is StepState.NOW and not one.control:
            # What the page cannot do, it says who does, or what happens.
            assert one.name == "service" or "developer" in said or one.said in ("trial_goes", "funnel_archived")
    order = ("account", "funnel", "stages")
    for earlier, later in itertools.pairwise(order):
        if found[earlier].state is StepState.NOW:
            assert found[later].state is StepState.WAITS
    assert is_finished(list(found.values())) == all(
        one.state in (StepState.DONE, StepState.UNNEEDED) for one in found.values()
    )
