"""Which deal is meant, and whether it may be moved."""

from decimal import Decimal
from typing import Any

import pytest

from service.amocrm.payloads import Lead, Pipeline, Stage
from service.amocrm.pipelines import Target
from service.amocrm.stage_changes.match import Observation
from service.amocrm.stage_changes.own import Known, OwnChange
from service.destinations.deals.rules import choose, judge

NEW, ONE, TWO, THREE, WON, LOST = 100, 101, 102, 103, 142, 143
FUNNEL = Pipeline(
    10,
    "Продажи",
    stages=(
        Stage(NEW, "Новая", 10),
        Stage(ONE, "Урок 1", 20),
        Stage(TWO, "Урок 2", 30),
        Stage(THREE, "Урок 3", 40),
        Stage(WON, "Успешно", 10000),
        Stage(LOST, "Закрыто", 11000),
    ),
)
AT = 1_790_000_000.0
NOTHING = Known()


def lead(status_id: int = NEW, **changes: Any) -> Lead:
    return Lead(**{"id": 5, "name": "x", "price": Decimal(0), "status_id": status_id, "pipeline_id": 10, **changes})


def theirs(new: int, old: int, pipeline_id: int, at: float) -> Observation:
    return Observation("e", pipeline_id, old, new, at, at)


def target(status_id: int, known: bool = True) -> Target:
    return Target(1, 10, "Продажи", status_id, "Урок", known)


def kind(current: Lead | None, to: int, known: Known = NOTHING, received: float = AT, number: int = 1) -> str:
    return judge(current, target(to), FUNNEL, known, received, number).kind


def test_the_open_deal_that_was_changed_last_then_the_highest_id() -> None:
    deals = [
        lead(id=1, updated_at=5.0),
        lead(id=3, updated_at=9.0),
        lead(id=2, updated_at=9.0),
        lead(WON, id=4, updated_at=99.0),
        lead(id=6, updated_at=99.0, pipeline_id=11),
        lead(id=7, updated_at=99.0, is_deleted=True),
    ]
    choice = choose(deals, 10)
    assert choice.found == "open" and choice.lead is not None and choice.lead.id == 3 and choice.open_ids == (1, 2, 3)


def test_only_closed_ones_and_none() -> None:
    closed = choose([lead(WON, id=1, updated_at=1.0), lead(LOST, id=2, updated_at=2.0)], 10)
    assert closed.found == "closed" and closed.lead is not None and closed.lead.id == 2
    assert choose([lead(pipeline_id=11), lead(WON, pipeline_id=11)], 10).found == "none"
    assert choose([], 10).found == "none"


@pytest.mark.parametrize(
    ("current", "to", "expected"),
    [
        (NEW, ONE, "move"),
        (NEW, THREE, "move"),
        (ONE, TWO, "move"),
        (ONE, ONE, "already_further"),
        (TWO, ONE, "already_further"),
        (THREE, WON, "move"),
        (WON, ONE, "deal_closed"),
        (LOST, ONE, "deal_closed"),
        (WON, WON, "deal_closed"),
    ],
)
def test_never_backwards_and_never_out_of_a_closed_stage(current: int, to: int, expected: str) -> None:
    assert kind(lead(current), to) == expected


def test_gone_and_elsewhere() -> None:
    assert kind(None, ONE) == "deal_gone"
    assert kind(lead(is_deleted=True), ONE) == "deal_gone"
    assert kind(lead(pipeline_id=11), ONE) == "elsewhere"


def test_an_own_write_that_had_arrived_is_recognised_by_its_delivery() -> None:
    asked = OwnChange(ONE, NEW, 10, AT, delivery=1, sure=False)
    assert kind(lead(ONE), ONE, Known(asked=asked), number=1) == "here"
    assert kind(lead(ONE), ONE, Known(asked=asked), number=2) == "already_further"


def test_a_stage_that_amocrm_lacks_is_tried_so_that_its_answer_says_so() -> None:
    assert judge(lead(THREE), target(999, known=False), FUNNEL, Known(), AT, 1).kind == "move"


class TestMovedBack:
    """We had put the deal on lesson 2; somebody moved it back to New."""

    ours = OwnChange(TWO, ONE, 10, AT, delivery=7)

    def test_by_an_event_older_than_our_own_write_never(self) -> None:
        assert kind(lead(NEW, updated_at=AT + 50), THREE, Known(ours=self.ours), received=AT - 1) == "moved_back"

    def test_by_an_event_newer_than_any_change_of_the_deal_it_goes_on(self) -> None:
        assert kind(lead(NEW, updated_at=AT + 50), THREE, Known(ours=self.ours), received=AT + 51) == "move"

    def test_in_between_only_the_log_of_events_can_tell(self) -> None:
        assert kind(lead(NEW, updated_at=AT + 50), THREE, Known(ours=self.ours), received=AT + 20) == "ask"

    def test_a_hook_has_told_when(self) -> None:
        told = Known(ours=self.ours, theirs=theirs(NEW, TWO, 10, AT + 40))
        assert kind(lead(NEW, updated_at=AT + 50), THREE, told, received=AT + 39) == "moved_back"
        assert kind(lead(NEW, updated_at=AT + 50), THREE, told, received=AT + 41) == "move"

    def test_a_hook_tells_also_of_deals_that_we_never_moved(self) -> None:
        told = Known(theirs=theirs(NEW, ONE, 10, AT))
        assert kind(lead(NEW), TWO, told, received=AT - 1) == "moved_back"
        assert kind(lead(NEW), TWO, told, received=AT + 1) == "move"

    def test_a_reopened_deal_counts_as_moved_back(self) -> None:
        told = Known(theirs=theirs(NEW, LOST, 10, AT))
        assert kind(lead(NEW), TWO, told, received=AT - 1) == "moved_back"

    def test_a_move_forward_by_a_manager_holds_nothing_up(self) -> None:
        told = Known(theirs=theirs(ONE, NEW, 10, AT))
        assert kind(lead(ONE), TWO, told, received=AT - 1) == "move"

    def test_a_hook_about_another_stage_says_nothing(self) -> None:
        told = Known(theirs=theirs(NEW, ONE, 10, AT))
        assert kind(lead(ONE), TWO, told, received=AT - 1) == "move"
