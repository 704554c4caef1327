"""Changes of stage that no webhook told of are taken in once."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

import pytest

from outbox.message import NewEvent, Receipt, StoreUnavailable
from service.amocrm.stage_changes.match import New, Observation
from service.amocrm.stage_changes.seen import Changes
from service.destinations.records.missed_changes import (
    AHEAD,
    REST_AFTER_KNOWN,
    REST_AFTER_MISSED,
    Found,
    MissedChanges,
)
from service.network.exchange import Exchange
from tests.support.key_values import WatchedKeyValues
from tests.unit.erp.fakes import Clock

T = 1_800_000_000


@dataclass(frozen=True)
class Lead:
    pipeline_id: int
    status_id: int
    is_deleted: bool = False


@dataclass(frozen=True)
class Row:
    event_id: str
    lead_id: int
    at: float
    old_status_id: int | None = 10
    status_id: int | None = 20
    pipeline_id: int | None = 7
    old_pipeline_id: int | None = 7
    is_new: bool = False


def made(event_id: str, lead_id: int, at: float) -> Row:
    """A deal that was made: the log does not tell on which stage."""
    return Row(event_id, lead_id, at, None, None, None, None, is_new=True)


class House:
    def __init__(self, creations: bool = False) -> None:
        self.clock = Clock(T)
        self.key_values = WatchedKeyValues(self.clock)
        self.changes = Changes(self.key_values, self.clock)
        self.log: list[Row] = []
        self.asked: list[tuple[int, int]] = []
        self.events: dict[str, NewEvent] = {}
        self.full = False
        self.heard: list[tuple[int, str]] = []
        self.deals: dict[int, Lead] = {}
        self.their_clock: float | None = None
        self.missed = MissedChanges(
            self,
            self.changes,
            self.accept,
            self.key_values,
            self.clock,
            hear=self.heard.extend,
            is_wanted=(lambda pipeline_id, status_id: (pipeline_id, status_id) == (7, 30)) if creations else None,
        )

    def status_changes(self, since: int, until: int, with_new: bool = False) -> Iterable[Row]:
        self.asked.append((since, until))
        found = [row for row in reversed(self.log) if since <= row.at <= until]
        return [row for row in found if with_new or not row.is_new]

    def status_changes_of(self, lead_id: int, since: int, until: int) -> Iterable[Row]:
        return [row for row in self.status_changes(since, until) if row.lead_id == lead_id]

    def bound(self, record: Callable[[Any], None]) -> "House":
        if self.their_clock is not None:
            date = formatdate(self.their_clock, usegmt=True)
            record(Exchange(at=0.0, method="GET", url="", response_headers={"Date": date}))
        return self

    def account(self) -> None: ...

    def leads(self, ids: Sequence[int]) -> dict[int, Lead]:
        return {one: self.deals[one] for one in ids if one in self.deals}

    def accept(self, events: Sequence[NewEvent]) -> list[Receipt]:
        if self.full:
            raise StoreUnavailable
        receipts = []
        for event in events:
            assert event.dedupe is not None
            first = self.events.setdefault(event.dedupe.key, event)
            receipts.append(Receipt(first.id, first is not event))
        return receipts

    def later(self, seconds: float) -> None:
        self.clock.now += seconds


@pytest.fixture
def house() -> House:
    house = House()
    house.log.append(Row("old", 1, T - 50))
    assert house.missed.run() == Found(began=True)
    return house


def test_an_accounts_past_is_not_imported(house: House) -> None:
    house.later(60)
    assert house.missed.run() == Found()
    assert house.asked == [(T, T + 60 + AHEAD)]


def test_a_change_that_no_hook_told_of(house: House) -> None:
    house.log.append(Row("a", 5, T + 30))
    house.later(60)
    assert house.missed.run() == Found(rows=1, taken=1)
    [event] = house.events.values()
    assert (event.name, event.source, event.lead_id, event.deliveries[0].destination, event.deliveries[0].key) == (
        "amocrm/webhook", "reconcile", 5, "erp", "lead:5",
    )  # fmt: skip
    assert event.data == {
        "lead_id": 5, "pipeline_id": 7, "status_id": 20, "old_status_id": 10, "old_pipeline_id": 7, "at": T + 30,
        "kind": "status", "amocrm_event_id": "a",
    }  # fmt: skip
    assert house.missed.run() == Found(rows=1), "seen again, before the lane looked at it: no second event"
    assert len(house.events) == 1


def test_a_change_that_a_hook_told_of_is_noted_without_an_event(house: House) -> None:
    house.changes.settle(5, [Observation("hook", 7, 10, 20, T + 29, T + 30)])
    house.log.append(Row("a", 5, T + 30))
    house.later(60)
    assert house.missed.run() == Found(rows=1, known=1)
    assert house.events == {}
    assert house.missed.run() == Found(rows=1, known=1)


def test_there_and_back_twice_with_one_hook_lost(house: House) -> None:
    house.log += [Row("a", 5, T + 1), Row("b", 5, T + 2, 20, 10), Row("c", 5, T + 3)]
    told = [Observation("h1", 7, 10, 20, T + 1, T + 5), Observation("h2", 7, 20, 10, T + 2, T + 6)]
    assert house.changes.settle(5, told) == [New(), New()]
    house.later(60)
    assert house.missed.run() == Found(rows=3, known=2, taken=1)


def test_rows_that_are_no_change_of_stage(house: House) -> None:
    house.log += [Row("a", 5, T + 1, 20, 20), Row("b", 5, T + 2, status_id=None)]
    house.later(60)
    assert house.missed.run() == Found()
    house.log.append(Row("c", 5, T + 3, 142, 142, 8, 7))
    assert house.missed.run().taken == 1, "142 of another pipeline is another stage"


def test_it_goes_on_where_it_ended_by_amocrms_clock(house: House) -> None:
    house.log.append(Row("a", 5, T + 300))
    house.later(1000)
    house.missed.run()
    house.log.append(Row("late", 6, T + 250))
    house.later(1000)
    assert house.missed.run().taken == 1
    assert house.asked[-1][0] == T + 240


def test_a_clock_ahead_of_ours(house: House) -> None:
    house.log.append(Row("a", 5, T + 1800))
    house.later(60)
    assert house.missed.run().taken == 1


def test_a_long_gap_is_read_in_parts_and_goes_on_after_a_failure(house: House) -> None:
    house.log += [Row(f"r{hour}", hour + 1, T + hour * 3600) for hour in range(48)]
    house.later(48 * 3600)
    first, house.missed._accept = house.missed._accept, _failing_after(house, 2)  # type: ignore[assignment]
    with pytest.raises(StoreUnavailable):
        house.missed.run()
    taken = len(house.events)
    assert 0 < taken < 48
    house.missed._accept = first
    assert house.missed.run().taken == 48 - taken
    assert len(house.events) == 48
    house.asked.clear()
    house.later(60)
    house.missed.run()
    assert len(house.asked) <= 2


def _failing_after(house: House, times: int):  # type: ignore[no-untyped-def]
    left = [times]

    def accept(events: Sequence[NewEvent]) -> list[Receipt]:
        if not left[0]:
            raise StoreUnavailable
        left[0] -= 1
        return house.accept(events)

    return accept


def test_a_quiet_account_costs_one_request_a_look(house: House) -> None:
    for _ in range(5):
        house.later(7 * 86400)
        house.missed.run()
        house.asked.clear()
        house.later(60)
        house.missed.run()
        assert len(house.asked) == 1


def test_after_much_to_read_it_rests(house: House) -> None:
    assert house.missed.is_due()
    house.log += [Row(f"r{number}", number + 1, T + 10) for number in range(101)]
    for rest in (REST_AFTER_MISSED, REST_AFTER_KNOWN):
        house.later(20)
        house.missed.run()
        house.later(rest - 1)
        assert not house.missed.is_due()
        house.later(1)
        assert house.missed.is_due()
        house.later(-rest)


def test_a_process_that_has_just_started_looks_at_once(house: House) -> None:
    house.log += [Row(f"r{number}", number + 1, T + 10) for number in range(101)]
    house.later(20)
    house.missed.run()
    other = MissedChanges(house, house.changes, house.accept, house.key_values, house.clock)
    assert (house.missed.is_due(), other.is_due()) == (False, True)


def test_a_row_without_an_id(house: House) -> None:
    house.log.append(Row("", 5, T + 10))
    house.later(60)
    assert (house.missed.run().taken, house.missed.run().taken) == (1, 0)


def test_a_deal_made_on_a_wanted_stage_is_found_by_its_first_change_or_by_itself() -> None:
    house = House(creations=True)
    house.missed.run()
    house.log += [
        made("a", 1, T + 1),
        made("b", 2, T + 1),
        Row("c", 2, T + 5, old_status_id=30, status_id=40),
        made("d", 3, T + 1),
        Row("e", 3, T + 5, old_status_id=40, status_id=30),
        made("f", 4, T + 1),
        made("g", 5, T + 1),
    ]
    house.deals = {1: Lead(7, 30), 2: Lead(7, 40), 3: Lead(7, 30), 4: Lead(7, 40), 5: Lead(7, 30, is_deleted=True)}
    house.later(60)
    house.missed.run()
    found = sorted((event.lead_id, event.data["kind"], event.data["status_id"]) for event in house.events.values())
    assert found == [(1, "add", 30), (2, "add", 30), (2, "status", 40), (3, "status", 30)]
    house.later(60)
    house.missed.run()
    assert len(house.events) == 4


def test_after_a_long_gap_a_deals_own_changes_tell_where_it_was_made() -> None:
    house = House(creations=True)
    house.missed.run()
    house.log += [made("a", 1, T + 10), Row("b", 1, T + 8 * 3600, old_status_id=30, status_id=40)]
    house.deals = {1: Lead(7, 40)}
    house.later(9 * 3600)
    house.missed.run()
    assert [event.data["kind"] for event in house.events.values()] == ["add", "status"]


def test_where_creations_do_not_count_none_is_asked_for(house: House) -> None:
    house.log.append(made("a", 1, T + 10))
    house.later(60)
    assert house.missed.run() == Found()


def test_every_row_of_the_log_is_told_to_whoever_may_have_thought_a_deal_gone(house: House) -> None:
    house.changes.settle(5, [Observation("hook", 7, 10, 20, T + 29, T + 30)])
    house.log += [Row("a", 5, T + 30), Row("b", 6, T + 31)]
    house.later(60)
    house.missed.run()
    assert house.heard == [(5, "a"), (6, "b")]


def test_won_to_won_in_another_funnel_is_taken_and_what_stays_is_not(house: House) -> None:
    house.log += [
        Row("a", 5, T + 1, 142, 142, pipeline_id=8, old_pipeline_id=7),
        Row("b", 6, T + 2, 142, 142, pipeline_id=8, old_pipeline_id=None),
        Row("c", 7, T + 3, 142, 142, pipeline_id=8, old_pipeline_id=8),
        Row("d", 8, T + 4, 20, 20, pipeline_id=8, old_pipeline_id=None),
    ]
    house.later(60)
    assert house.missed.run() == Found(rows=2, taken=2)


BACK = [400 * 86400, 2 * 3600]


@pytest.mark.parametrize("back", BACK)
def test_a_clock_that_was_ahead_and_is_set_back_leaves_no_gap(house: House, back: int) -> None:
    house.later(60)
    house.missed.run()  # the position is that of a clock that is ahead
    house.later(-back)
    house.their_clock = house.clock.now
    house.log.append(Row("a", 5, house.clock.now - 20))
    assert house.missed.run().taken == 1
    house.later(60)
    house.log.append(Row("b", 6, house.clock.now - 20))
    house.their_clock = house.clock.now
    assert house.missed.run().taken == 1


@pytest.mark.parametrize("back", BACK)
def test_a_right_clock_that_is_set_back_neither_loses_a_change_nor_imports_the_past(house: House, back: int) -> None:
    house.later(600)
    house.log.append(Row("a", 5, house.clock.now - 20))
    assert house.missed.run().taken == 1
    house.log.insert(0, Row("ancient", 9, T - back))
    house.later(-back)
    house.their_clock = house.clock.now + back + 60
    house.log.append(Row("b", 6, house.their_clock - 20))
    assert house.missed.run().taken == 1
    house.their_clock = None  # amoCRM does not tell its time: nothing is guessed
    assert house.missed.run() == Found()
    house.later(back + 120)
    house.log.append(Row("c", 7, house.clock.now - 20))
    assert house.missed.run().taken == 1
    assert not any("ancient" in key for key in house.events)
