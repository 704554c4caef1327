"""One delivery let out of a pause, and which earlier one holds up which: on the real engines."""

from typing import Any

import pytest

from outbox import pauses
from outbox.message import State
from outbox.outcome import Delivered, DeliveryError, PauseKind
from outbox.queries import Filter
from outbox.store import Store
from tests.integration.store.make import Clock, claim, event, lane, only
from tests.integration.store.test_drain import GONE_STAGE, House


@pytest.fixture
def house(store: Store, clock: Clock) -> House:
    return House(store, clock)


@pytest.fixture
def stopped(house: House) -> tuple[House, list[int]]:
    """Five have failed alike, nine more wait, and one of another kind is the newest."""
    house.destination.batch = 1
    house.add(*"abcdefgh")
    house.destination.answer = lambda row: GONE_STAGE
    house.drain()
    paused = house.paused()
    assert paused.kind is PauseKind.CAUSE
    return house, list(paused.params["rows"])


def try_one(house: House, chosen: int | None) -> Any:
    assert pauses.try_one(house.store, "amocrm", "olga", chosen)
    house.run()
    return pauses.read(house.store.key_values, "amocrm")


def test_the_one_that_is_tried_is_one_of_the_five_and_the_others_rest_until_somebody_says_so(stopped: Any) -> None:
    house, five = stopped
    house.destination.answer = lambda row: Delivered("7")
    newest = house.add("z")
    paused = try_one(house, five[0])
    assert house.row(five[0]).state == State.DELIVERED
    assert house.row(newest[0]).state == State.PENDING
    assert (paused.kind, paused.until, paused.params["proved"]) == (PauseKind.CAUSE, None, five[0])
    assert house.drain() == 0
    assert pauses.resume(house.store, "amocrm", "olga") >= 0
    assert house.drain() == 8
    assert [action.what for action in house.store.reading.actions(5)] == ["resume", "try"]


def test_one_that_fails_again_kills_nobody_and_the_pause_goes_on(stopped: Any) -> None:
    house, five = stopped
    paused = try_one(house, five[0])
    assert (paused.until, paused.params["failed"]["cause"]) == (None, "stage_deleted")
    assert house.store.reading.count(Filter(states=(State.DEAD,))) == 0
    assert house.drain() == 0


def test_a_trial_that_meets_an_outage_lets_nothing_out_either(stopped: Any) -> None:
    house, five = stopped

    def down(_row: Any) -> Any:
        raise DeliveryError("503", cause="amocrm_down", status=503)

    house.destination.answer = down
    paused = try_one(house, five[0])
    assert (paused.kind, paused.until, paused.params["failed"]["cause"]) == (PauseKind.CAUSE, None, "amocrm_down")


def test_new_settings_do_not_let_all_out_while_one_is_to_be_tried_first(stopped: Any) -> None:
    house, five = stopped
    pauses.hold(house.store, "amocrm")
    house.destination.fingerprint = "another stage"
    house.destination.answer = lambda row: Delivered("7")
    assert house.drain() == 0
    paused = try_one(house, five[0])
    assert paused.params["proved"] == five[0] and house.drain() == 0


def test_new_settings_let_all_out_where_nobody_holds_them(stopped: Any) -> None:
    house, _five = stopped
    house.destination.fingerprint = "another stage"
    house.destination.answer = lambda row: Delivered("7")
    assert house.drain() == 8


def test_what_was_tried_and_is_gone_meanwhile_leaves_the_turn_to_another(stopped: Any) -> None:
    house, five = stopped
    house.store.operations.discard(Filter(ids=(five[0],)), "olga")
    house.destination.answer = lambda row: Delivered("7")
    paused = try_one(house, five[0])
    assert paused.params["proved"] != five[0]


def test_any_other_pause_ends_when_the_one_went_through(house: House) -> None:
    rows = house.add("a", "b", "c")
    house.destination.answer = lambda row: DeliveryError("no", cause="erp_settings", pause=PauseKind.SETTINGS)
    house.run()
    assert house.paused().kind is PauseKind.SETTINGS
    house.destination.answer = lambda row: Delivered("7")
    assert house.drain() == 0
    assert try_one(house, None) is None
    house.drain()
    assert {house.row(one).state for one in rows} == {State.DELIVERED}


def test_an_operators_pause_is_not_tried(house: House) -> None:
    pauses.pause(house.store, "amocrm", "olga")
    assert not pauses.try_one(house.store, "amocrm", "olga")
    assert not pauses.try_one(house.store, "erp", "olga")


def test_who_waits_behind_whom(store: Store, clock: Clock) -> None:
    first, second, other = (only(store, one.id).id for one in store.intake.accept(
        [event("a@x"), event("a@x"), event("b@x")]
    ))  # fmt: skip
    ahead = store.reading.ahead([first, second, other])
    assert {one: row.id for one, row in ahead.items()} == {second: first}


def test_a_group_tells_when_its_first_free_row_is_due(house: House) -> None:
    house.destination.answer = lambda row: DeliveryError("no contact", cause="contact_not_found", code="not_found")
    house.add("a", "b")
    house.run()
    (found,) = house.store.reading.causes(Filter(states=(State.PENDING,)))
    assert found.due_at == min(row.due_at for row in found.sample)


# --- a pause, or its end, taken back ----------------------------------------------------------------------------------


def undo(house: House, who: str = "olga") -> int:
    action = house.store.operations.undoable(who, 15.0)
    return house.store.operations.undo(action.id, who, 15.0) if action else 0


def test_a_pause_is_taken_back_and_sending_goes_on_as_before(house: House) -> None:
    one = house.add("a")[0]
    pauses.pause(house.store, "amocrm", "olga")
    assert house.drain() == 0
    assert undo(house, "ivan") == 0 and undo(house) == 1
    assert pauses.read(house.store.key_values, "amocrm") is None
    assert house.drain() == 1 and house.row(one).state == State.DELIVERED
    assert [action.what for action in house.store.reading.actions(5)] == ["undo", "pause"]
    assert undo(house) == 0


def test_the_pause_that_a_person_s_took_the_place_of_comes_back(stopped: Any) -> None:
    house, _five = stopped
    before = house.paused()
    pauses.pause(house.store, "amocrm", "olga")
    assert house.paused().kind is PauseKind.OPERATOR
    assert undo(house) == 1
    assert pauses.stored(house.paused()) == pauses.stored(before)


def test_an_ended_pause_comes_back_with_its_cause_and_what_waits_keeps_its_time(stopped: Any, clock: Clock) -> None:
    house, five = stopped
    before, due_at = house.paused(), {one: house.row(one).due_at for one in five}
    clock.forward(5)
    pauses.resume(house.store, "amocrm", "olga")
    assert undo(house) == 1
    assert pauses.stored(house.paused()) == pauses.stored(before)
    assert {one: house.row(one).due_at for one in five} == due_at
    assert house.drain() == 0
    assert house.store.maintenance.verify() == []


def test_an_ended_pause_does_not_come_back_once_something_has_begun_to_leave(stopped: Any, clock: Clock) -> None:
    house, _five = stopped
    pauses.resume(house.store, "amocrm", "olga")
    clock.forward(1)
    house.destination.answer = lambda row: Delivered("7")
    assert house.drain() > 0
    assert undo(house) == 0
    assert pauses.read(house.store.key_values, "amocrm") is None


def test_an_ended_pause_does_not_come_back_while_something_is_in_a_worker_s_hands(house: House, clock: Clock) -> None:
    house.add("a")
    clock.forward(60)  # the house's own worker has lost its lane
    pauses.pause(house.store, "amocrm", "ivan")
    pauses.resume(house.store, "amocrm", "olga")
    claim(house.store, lane(house.store, "another"))
    assert undo(house) == 0
    assert pauses.read(house.store.key_values, "amocrm") is None


def test_what_another_person_did_with_the_pause_meanwhile_counts(house: House, clock: Clock) -> None:
    pauses.pause(house.store, "amocrm", "olga")
    clock.forward(1)
    pauses.resume(house.store, "amocrm", "ivan")
    pauses.pause(house.store, "amocrm", "ivan")
    assert undo(house) == 0
    assert house.paused().who == "ivan"
