"""The pace: asked for before each request, halved after a complaint, never sooner than amoCRM asked."""

from __future__ import annotations

import pytest

from outbox.outcome import DeliveryError, Stopping
from service.amocrm.rate_limit import RAMP, SLOWEST
from service.destinations.deals.destination import LINGER
from tests.unit.amocrm.fakes import House


def test_a_turn_waits_as_long_as_it_is_told_and_ends_with_the_request() -> None:
    house = House()
    house.rate_limiter.waits = [0.2, 0.1]
    with house.account.pace.turn():
        assert house.rate_limiter.open
    assert house.clock.waited == [0.2, 0.1] and not house.rate_limiter.open


def test_a_turn_ends_also_when_the_request_fails() -> None:
    house = House()
    with pytest.raises(OSError), house.account.pace.turn():
        raise OSError
    assert not house.rate_limiter.open


def test_a_wait_ends_when_the_process_is_asked_to_stop() -> None:
    house = House()
    house.rate_limiter.waits = [5.0]

    def stop(seconds: float) -> None:
        raise Stopping

    house.account.pace._wait = stop
    with pytest.raises(Stopping), house.account.pace.turn():
        pass


def test_a_person_does_not_wait_longer_than_their_deadline() -> None:
    house = House()
    house.rate_limiter.waits = [2.0, 2.0, 2.0]
    with pytest.raises(DeliveryError) as error, house.account.pace.turn(until=house.clock() + 3):
        pass
    assert error.value.cause == "amocrm_slow_down" and house.clock.waited == [2.0]


def test_after_a_complaint_nothing_goes_out_for_any_process_until_the_wait_is_over() -> None:
    house = House()
    house.account.pace.slow_down(300.0)
    other = House(other=house)
    for one in (house, other):
        with pytest.raises(DeliveryError) as error, one.account.pace.turn():
            pass
        assert error.value.retry_after == pytest.approx(300.0)
        assert error.value.pause is not None and error.value.pause == "rate"
    house.clock.at += 300.1
    with other.account.pace.turn():
        pass


def test_then_half_speed_and_a_ramp() -> None:
    house = House()
    pace = house.account.pace
    assert pace.per_second() == 6.0
    pace.slow_down(10.0)
    house.clock.at += 10
    assert pace.per_second() == 3.0
    house.clock.at += RAMP / 2
    assert pace.per_second() == 4.5
    house.clock.at += RAMP
    assert pace.per_second() == 6.0


def test_complaints_running_make_it_slower_down_to_a_floor() -> None:
    house = House()
    pace = house.account.pace
    for speed in (3.0, 1.5, 0.75, 0.75):
        pace.slow_down(5.0)
        house.clock.at += 5
        assert pace.per_second() == pytest.approx(speed)
    assert 6.0 * SLOWEST == 0.75


def test_two_requests_that_were_on_their_way_together_count_once() -> None:
    house = House()
    house.account.pace.slow_down(5.0)
    house.account.pace.slow_down(9.0)
    house.clock.at += 9
    assert house.account.pace.per_second() == 3.0


def test_a_wait_of_another_answer_than_429_does_not_slow_down() -> None:
    house = House()
    house.account.pace.hold(60.0)
    with pytest.raises(DeliveryError), house.account.pace.turn():
        pass
    house.clock.at += 60
    with house.account.pace.turn():
        pass
    assert house.rate_limiter.asked == [6.0]


def test_a_wait_from_before_the_clock_was_set_back_is_no_wait() -> None:
    house = House()
    house.account.pace.slow_down(10.0)
    house.clock.at -= 30 * 86400
    with house.account.pace.turn():
        pass


@pytest.mark.parametrize(("rps", "seconds"), [(6.0, 1.0), (50.0, 0.12), (1.0, 1.0), (0.5, 1.0)])
def test_a_rest_between_passes_is_the_time_of_a_few_requests_and_a_second_at_most(rps: float, seconds: float) -> None:
    house = House(rps=rps)
    house.account.pace.rest(LINGER)
    assert house.clock.waited == [pytest.approx(seconds)]
