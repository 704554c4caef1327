"""When a row is tried again, and how long a destination rests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.outcome import PauseKind
from outbox.retry import JITTER, SCHEDULE, next_attempt, pause_seconds

KINDS = ("rate", "outage", "unpaid", "forbidden", "settings", "reconnect", "cause", "operator")


def test_the_schedule_takes_ninety_four_hours() -> None:
    assert len(SCHEDULE) == 12
    assert round(sum(SCHEDULE) / 3600) == 95 and sum(SCHEDULE) / 3600 < 95
    assert list(SCHEDULE) == sorted(SCHEDULE)


@pytest.mark.parametrize(("failures", "seconds"), list(enumerate(SCHEDULE, 1)))
def test_each_failure_waits_longer(failures: int, seconds: float) -> None:
    assert next_attempt(failures, 1000.0, 0.0) == 1000.0 + seconds


def test_after_the_last_step_it_is_given_up() -> None:
    assert next_attempt(13, 1000.0, 0.0) is None
    assert next_attempt(13, 1000.0, 0.0, retry_after=5.0) is None


@given(st.integers(1, 12), st.floats(0, 0.999), st.one_of(st.none(), st.floats(0, 1e6)))
def test_no_wait_is_shortened_and_none_lengthened_by_more_than_the_jitter(
    failures: int, jitter: float, retry_after: float | None
) -> None:
    due = next_attempt(failures, 0.0, jitter, retry_after)
    wait = max(SCHEDULE[failures - 1], retry_after or 0.0)
    assert due is not None and wait <= due <= wait * (1 + JITTER)


@given(st.sampled_from(KINDS), st.integers(1, 1000), st.floats(0, 0.999), st.floats(0, 1e6))
def test_no_pause_undercuts_what_the_server_asked_for(kind: str, step: int, jitter: float, retry_after: float) -> None:
    seconds = pause_seconds(PauseKind(kind), step, jitter, retry_after)
    assert (seconds is None) == (kind in ("cause", "operator"))
    assert seconds is None or seconds >= retry_after


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("rate", [5, 10, 20, 40, 80, 160, 300, 300]),
        ("outage", [5, 30, 120, 600, 600, 600, 600, 600]),
        ("unpaid", [3600] * 8),
        ("forbidden", [3600, 7200, 14400, 28800, 57600, 86400, 86400, 86400]),
        ("settings", [3600] * 8),
        ("reconnect", [15, 30, 60, 120, 240, 480, 960, 1920]),
    ],
)
def test_each_kind_of_pause_has_its_steps(kind: str, expected: list[float]) -> None:
    assert [pause_seconds(PauseKind(kind), step, 0.0) for step in range(1, 9)] == expected


def test_an_outage_is_probed_at_least_every_ten_minutes() -> None:
    assert pause_seconds(PauseKind.OUTAGE, 500, 0.0) == PauseKind.OUTAGE.rules.longest == 600.0


def test_a_rate_pause_lasts_as_long_as_the_server_says_even_if_that_is_short() -> None:
    assert pause_seconds(PauseKind.RATE, 7, 0.0, retry_after=1.0) == 1.0
