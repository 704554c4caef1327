"""The server's clock is known within narrow bounds, whatever happens between question and answer."""

import pytest

from outbox.postgres.clock import FRESH, ServerClock

SERVER = 1_800_000_000.0


def test_it_is_asked_first_and_again_after_a_while() -> None:
    clock = ServerClock()
    assert clock.now(5.0) is None
    clock.heard(SERVER, 5.0, 5.0)
    assert clock.now(5.0) == SERVER and clock.now(5.0 + FRESH) == SERVER + FRESH
    assert clock.now(5.1 + FRESH) is None


def test_a_process_that_was_stopped_before_it_heard_the_answer_is_not_misled() -> None:
    clock = ServerClock()
    clock.heard(SERVER, 0.0, 0.001)
    clock.heard(SERVER + 1.0, 1.0, 41.0)
    assert clock.now(41.0) == pytest.approx(SERVER + 41.0, abs=0.1)


def test_answers_narrow_each_other() -> None:
    clock = ServerClock()
    clock.heard(SERVER + 0.9, 0.0, 1.0)  # it is between 0.1 behind and 0.9 ahead
    clock.heard(SERVER + 2.1, 2.0, 3.0)
    assert clock.now(3.0) == pytest.approx(SERVER + 3.0, abs=0.15)


@pytest.mark.parametrize("jump", [31.0, -31.0])
def test_a_clock_that_was_set_is_followed(jump: float) -> None:
    clock = ServerClock()
    clock.heard(SERVER, 0.0, 0.001)
    clock.heard(SERVER + 1.0 + jump, 1.0, 1.001)
    assert clock.now(1.001) == pytest.approx(SERVER + 1.0 + jump, abs=0.01)


def test_clocks_may_drift_apart() -> None:
    clock = ServerClock()
    clock.heard(SERVER, 0.0, 0.0)
    clock.heard(SERVER + 1000.1, 1000.0, 1000.0)
    clock.heard(SERVER + 2000.2, 2000.0, 2000.0)
    assert clock.now(2000.0) == pytest.approx(SERVER + 2000.2, abs=0.01)
