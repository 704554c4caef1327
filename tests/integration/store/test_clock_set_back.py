"""The clock is set back: what waits goes on as if it had not been."""

from collections.abc import Callable

import pytest

from outbox import pauses
from outbox.message import Dedupe, State
from outbox.outcome import Delivered, DeliveryError, Outcome, PauseKind
from outbox.store import Store
from tests.integration.store.make import Clock, event, only
from tests.integration.store.test_drain import House

BACK = (400 * 86400.0, 2 * 3600.0)
DOWN: Callable[[object], Outcome] = lambda row: DeliveryError("x", cause="contact_not_found")  # noqa: E731


@pytest.fixture(params=BACK)
def back(request: pytest.FixtureRequest) -> float:
    return float(request.param)


@pytest.fixture
def house(store: Store, clock: Clock) -> House:
    return House(store, clock)


def after_a_restart(house: House) -> None:
    house.lane = house.make("again")
    assert house.lane.acquire()


def test_a_row_that_waits_for_its_next_attempt_goes_out(house: House, store: Store, clock: Clock, back: float) -> None:
    (one,) = house.add("ann")
    house.destination.answer = DOWN
    house.drain()
    clock.forward(-back)
    house.destination.answer = lambda row: Delivered()
    after_a_restart(house)
    assert house.run().claimed == 0  # it notices
    assert house.run().claimed == 1
    assert store.reading.delivery(one).state == State.DELIVERED  # type: ignore[union-attr]


def test_a_row_that_has_not_been_tried_yet_goes_out(house: House, clock: Clock, back: float) -> None:
    house.add("ann")
    clock.forward(-back)
    house.run()
    assert house.run().claimed == 1


def test_what_an_event_itself_asked_to_wait_for_still_waits(house: House, store: Store, clock: Clock) -> None:
    (receipt,) = store.intake.accept([event(not_before=clock.now + 3600)])
    clock.forward(-7200)
    assert house.run().claimed == 0 and house.run().claimed == 0
    assert only(store, receipt.id).due_at == clock.now + 3 * 3600


def test_a_right_clock_changes_nothing(house: House, store: Store, clock: Clock) -> None:
    (one,) = house.add("ann")
    house.destination.answer = DOWN
    house.drain()
    due = store.reading.delivery(one).due_at  # type: ignore[union-attr]
    assert store.lanes.heed_clock("amocrm") == 0
    clock.forward(3)
    assert store.lanes.heed_clock("amocrm") == 0
    assert store.reading.delivery(one).due_at == due  # type: ignore[union-attr]


def test_a_pause_ends_and_probes(house: House, store: Store, clock: Clock, back: float) -> None:
    house.add("ann", "bob")
    house.destination.raises = DeliveryError("402", cause="amocrm_unpaid", pause=PauseKind.UNPAID)
    house.run()
    assert house.run().paused
    clock.forward(-back)
    house.destination.raises = None
    after_a_restart(house)
    house.run()
    assert house.drain() == 2
    assert pauses.read(store.key_values, "amocrm") is None


def test_a_lease_of_before_is_free(store: Store, clock: Clock, back: float) -> None:
    assert store.leases.acquire("lane:erp", "dead", 30)
    clock.forward(-back)
    assert store.leases.acquire("lane:erp", "alive", 30)


def test_requests_of_before_count_no_more(store: Store, clock: Clock, back: float) -> None:
    for _ in range(3):
        assert store.rate_limiter.reserve("crm", 6.0)[0]
    clock.forward(-back)
    assert store.rate_limiter.used("crm", 10.0) == 0
    assert store.rate_limiter.reserve("crm", 6.0)[0]
    assert store.rate_limiter.used("crm", 10.0) == 1


def test_a_lesson_of_before_does_not_stand_for_one_of_now(store: Store, clock: Clock, back: float) -> None:
    dedupe = Dedupe("lesson:ann", window=86400.0)
    (first,) = store.intake.accept([event(at=clock.now, dedupe=dedupe)])
    clock.forward(-back)
    (second,) = store.intake.accept([event(at=clock.now, dedupe=dedupe)])
    assert not second.duplicate and second.id != first.id
