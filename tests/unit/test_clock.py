"""Nothing waits for a clock that was set back."""

import pytest

from outbox import clock, pauses, rate_limit
from outbox.outcome import DeliveryError, PauseKind

NOW = 1_800_000_000.0
BACK = (400 * 86400.0, 2 * 3600.0)


def test_a_little_ahead_is_another_process_and_more_is_a_clock_that_was_set_back() -> None:
    assert not clock.from_future(NOW + 1, NOW) and clock.from_future(NOW + 60, NOW)


@pytest.mark.parametrize("back", BACK)
def test_what_happened_in_the_future_did_not_happen_just_now(back: float) -> None:
    assert clock.was_before(NOW - 10, NOW, 60) and not clock.was_before(NOW - 61, NOW, 60)
    assert not clock.was_before(NOW, NOW - back, 60) and not clock.was_before(None, NOW, 60)


def test_a_wait_ends_at_its_time_and_one_that_is_longer_than_any_has_ended() -> None:
    assert clock.waits(NOW + 10, NOW, 60) and not clock.waits(NOW, NOW, 60)
    assert not clock.waits(NOW + 61, NOW, 60) and not clock.waits(None, NOW, 60)


@pytest.mark.parametrize("back", BACK)
@pytest.mark.parametrize("kind", [kind for kind in PauseKind if kind.rules.seconds is not None])
def test_a_pause_does_not_wait_for_the_clock_to_catch_up(kind: PauseKind, back: float) -> None:
    from dataclasses import replace

    error = DeliveryError("x", cause="c")
    paused = replace(pauses.next_pause(None, error, kind, NOW, 0.5), written_at=NOW)
    assert not paused.over(NOW) and not paused.over(NOW - 1)
    assert paused.over(NOW - back)
    assert paused.over(NOW + 2 * 86400)


@pytest.mark.parametrize("kind", [PauseKind.CAUSE, PauseKind.OPERATOR])
def test_a_pause_that_somebody_has_to_end_is_not_ended_by_a_clock(kind: PauseKind) -> None:
    paused = pauses.Paused(kind, None, "r", "c", NOW, written_at=NOW)
    assert not paused.over(NOW - BACK[0]) and not paused.over(NOW + BACK[0])


@pytest.mark.parametrize("back", BACK)
def test_requests_from_before_hold_up_nothing(back: float) -> None:
    assert rate_limit.wait([(NOW, NOW + 0.1)] * 6, NOW - back, 6.0) == 0.0
