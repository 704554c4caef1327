"""What becomes of outcomes, without a store: the policy in its corners."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.decision import Decision, Run, Tried, decide
from outbox.message import Delivery, State
from outbox.outcome import Delivered, DeliveryError, Later, Outcome, PauseKind, Skipped
from outbox.pauses import Paused, next_pause

DOWN = DeliveryError("503", cause="crm_down", outage=True)
STAGE = DeliveryError("no such stage", cause="stage_deleted", code="refused", permanent=True)
LATE = DeliveryError("late", cause="timeout")


def row(number: int, **fields: Any) -> Delivery:
    plain: dict[str, Any] = {
        "event_id": f"e{number}",
        "event_name": "lesson.completed",
        "destination": "amocrm",
        "key": f"email:{number}",
        "state": State.SENDING,
        "reason": "",
        "cause": "",
        "reference": "",
        "due_at": 50.0,
        "failures": 0,
        "created_at": 0.0,
        "changed_at": 0.0,
        "data": {},
        "source": "lessons",
        "received_at": 0.0,
    }
    return Delivery(id=number, **{**plain, **fields})


def judged(*outcomes: Outcome, run: Run = Run(), tried: Tried = Tried(), **fields: Any) -> Decision:  # noqa: B008
    batch = [row(number, **fields) for number in range(1, len(outcomes) + 1)]
    return decide(batch, dict(enumerate(outcomes, 1)), run, 100.0, lambda: 0.0, tried)


def states(decision: Decision) -> list[State]:
    return [result.state for result in decision.results]


def test_every_kind_of_outcome_has_its_result() -> None:
    found = judged(Delivered("7"), Skipped("deal_closed: won"), LATE, STAGE, Later(9, "down: no answer", "crm_down"))
    assert [result.outcome for result in found.results] == ["delivered", "skipped", "failed", "dead", "paused"]
    assert [result.counts for result in found.results] == [False, False, True, True, False]
    assert [result.due_at for result in found.results] == [None, None, 105.0, None, 109.0]
    assert found.succeeded and found.answered and not found.kind


def test_what_was_seen_is_kept_with_the_row_it_concerns() -> None:
    tried = Tried({1: ({"a": 1},), 2: ({"b": 2},)}, frozenset({1}))
    found = judged(LATE, Delivered(), tried=tried)
    assert [result.exchanges for result in found.results] == [({"a": 1},), ({"b": 2},)]


def test_an_outage_in_one_batch_is_one_retry_and_then_a_pause() -> None:
    found = judged(DOWN, DOWN, DOWN)
    assert [result.outcome for result in found.results] == ["failed", "paused", "paused"]
    assert [result.due_at for result in found.results] == [105.0, 50.0, 50.0]
    assert found.kind == "outage" and found.run == Run(outage=1, outages=True)


def test_a_delivery_after_them_shows_that_there_is_no_outage() -> None:
    found = judged(DOWN, DOWN, Delivered())
    assert found.kind is None and found.run == Run()


def test_the_same_row_again_is_no_second_row() -> None:
    found = judged(DOWN, run=Run(outage=1))
    assert found.kind is None and found.results[0].counts
    assert judged(DOWN, run=Run(outage=9)).kind == "outage"
    assert judged(DOWN, run=Run(outage=1, outages=True)).kind == "outage"


def test_a_row_that_was_begun_when_the_outage_came_may_have_arrived() -> None:
    found = judged(DOWN, DOWN, run=Run(outage=9), tried=Tried(begun=frozenset({1})))
    assert [result.interrupted for result in found.results] == [True, False]


def test_a_series_of_dead_ones_goes_on_from_pass_to_pass() -> None:
    found = judged(STAGE, STAGE, run=Run(cause="stage_deleted", dead=(11, 12, 13)))
    assert states(found) == [State.PENDING, State.PENDING]
    assert found.revive == (11, 12, 13) and found.kind == "cause" and found.run == Run()
    assert found.error is not None and found.error.params["cause"] == "stage_deleted"


def test_another_cause_begins_another_series() -> None:
    other = DeliveryError("no", cause="deal_refused", code="refused", permanent=True)
    found = judged(STAGE, other, STAGE, run=Run(cause="stage_deleted", dead=(11, 12, 13)))
    assert states(found) == [State.DEAD] * 3 and found.run == Run(cause="stage_deleted", dead=(3,))


def test_a_skip_ends_a_series_as_a_delivery_does() -> None:
    found = judged(Skipped("deal_closed"), STAGE, run=Run(cause="stage_deleted", dead=(11, 12, 13, 14)))
    assert states(found) == [State.SKIPPED, State.DEAD] and found.run.dead == (2,)


def test_rows_that_died_at_the_end_of_their_schedule_count_as_well() -> None:
    found = judged(LATE, run=Run(cause="timeout", dead=(11, 12, 13, 14)), failures=12)
    assert states(found) == [State.PENDING] and found.kind == "cause"


def test_a_pause_among_the_outcomes_gives_way_to_the_five() -> None:
    slow = DeliveryError("slow", cause="rate_limited", pause=PauseKind.RATE)
    for outcomes in ((slow, STAGE), (STAGE, slow)):
        found = judged(*outcomes, run=Run(cause="stage_deleted", dead=(11, 12, 13, 14)))
        assert found.kind == "cause"


OUTCOMES = st.sampled_from(
    [
        Delivered(),
        Skipped("deal_closed"),
        DOWN,
        STAGE,
        LATE,
        Later(5, "x: y", "x"),
        DeliveryError("slow", cause="rate_limited", pause=PauseKind.RATE),
        DeliveryError("no", cause="contact_not_found", code="not_found", permanent=True),
        DeliveryError("oops", cause="internal"),
    ]
)


@given(st.lists(OUTCOMES, min_size=1, max_size=30), st.integers(0, 13))
def test_every_row_ends_somewhere_and_only_failures_of_its_own_count(outcomes: list[Outcome], failures: int) -> None:
    found = judged(*outcomes, failures=failures)
    assert [result.delivery_id for result in found.results] == list(range(1, len(outcomes) + 1))
    for outcome, result in zip(outcomes, found.results, strict=True):
        if result.state in (State.DELIVERED, State.SKIPPED):
            assert isinstance(outcome, Delivered | Skipped)
        if result.counts:
            assert isinstance(outcome, DeliveryError) and outcome.pause is None
            assert (result.state == State.DEAD) == (outcome.permanent or failures >= 12)
        if result.state == State.PENDING:
            assert result.due_at is not None and result.due_at >= 50.0
    dead = [result for result in found.results if result.state == State.DEAD]
    assert all(result.counts for result in dead)
    assert len(found.run.dead) < 5 and (found.kind is None) == (found.error is None)


@pytest.mark.parametrize("kind", ["rate", "outage", "forbidden"])
def test_a_pause_of_the_same_kind_goes_one_step_further(kind: str) -> None:
    first = next_pause(None, LATE, PauseKind(kind), 100.0, 0.0)
    second = next_pause(first, LATE, PauseKind(kind), 200.0, 0.0)
    other = next_pause(second, LATE, PauseKind.UNPAID, 300.0, 0.0)
    assert (first.step, second.step, other.step) == (1, 2, 1)
    assert (second.since, other.since) == (100.0, 300.0)
    assert second.until is not None and not second.over(second.until - 1) and second.over(second.until)
    assert not Paused(PauseKind.OPERATOR, None, "", "", 0.0).over(1e12)
