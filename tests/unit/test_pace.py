"""Whatever the network does, the receiver never counts more requests in a window than were agreed."""

import heapq
import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.rate_limit import BURST, GONE, MARGIN, wait

History = list[tuple[float, float | None]]


def simulate(per_second: float, latencies: list[float], arrivals: list[float], idle: list[float]) -> History:
    """Workers that ask, go when they may and answer after their latency. -> start and end of each request.

    idle: how long nobody wants anything before each request.
    """
    now = 1000.0
    sent: list[tuple[float, float]] = []
    for latency, pause in zip(latencies, idle, strict=True):
        now += pause
        while True:
            history: History = [(start, end if end <= now else None) for start, end in sent if start > now - 60]
            seconds = wait(history, now, per_second)
            if seconds == 0:
                break
            now += seconds + 1e-6
        sent.append((now, now + latency))
    return [(start, start + (end - start) * part) for (start, end), part in zip(sent, arrivals, strict=True)]


def most_in_a_window(arrived: list[float], window: float) -> int:
    arrived.sort()
    most, first = 0, 0
    for last, at in enumerate(arrived):
        while arrived[first] <= at - window:
            first += 1
        most = max(most, last - first + 1)
    return most


REQUESTS = st.lists(
    st.tuples(
        st.one_of(st.floats(0, 0.3), st.floats(0, GONE - 1)),  # latency
        st.floats(0, 1),  # when in between it arrives
        st.one_of(st.just(0.0), st.floats(0, 3)),  # nobody wants anything before it
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([0.3, 0.5, 1.0, 1.7, 2.5, 3.0, 3.5, 6.0, 7.0]), REQUESTS)
def test_no_window_holds_more_than_agreed(per_second: float, requests: list[tuple[float, float, float]]) -> None:
    latencies, parts, idle = ([one[n] for one in requests] for n in range(3))
    done = simulate(per_second, latencies, parts, idle)
    arrived = [float(at or 0) for _, at in done]
    window = max(1.0, 1.0 / per_second)
    assert most_in_a_window(arrived, window) <= max(1, math.floor(per_second))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([1.0, 3.5, 6.0]), REQUESTS)
def test_requests_are_spaced_but_for_three_after_a_second_of_rest(
    per_second: float, requests: list[tuple[float, float, float]]
) -> None:
    latencies, parts, idle = ([one[n] for one in requests] for n in range(3))
    starts = [start for start, _ in simulate(per_second, latencies, parts, idle)]
    run = 1
    for before, after in itertools.pairwise(starts):
        if after - before >= 1.0:
            run = 1
            continue
        run += 1
        assert run <= BURST or after - before >= 1 / per_second - 1e-9


def test_the_first_three_go_at_once_and_the_fourth_is_spaced() -> None:
    history: History = []
    for _ in range(3):
        assert wait(history, 100.0, 6) == 0
        history.append((100.0, 100.0))
    assert wait(history, 100.0, 6) == pytest.approx(1 / 6)
    assert wait(history, 101.0, 6) == 0  # a second of rest


def test_a_request_counts_until_a_second_after_its_answer() -> None:
    history: History = [(100.0, 100.4)]
    assert wait(history, 100.5, 1) == pytest.approx(0.9 + MARGIN)
    assert wait(history, 101.4 + MARGIN, 1) == 0


def test_a_request_without_an_answer_counts_until_it_is_taken_as_gone() -> None:
    history: History = [(100.0, None)]
    assert wait(history, 110.0, 1) == pytest.approx(1 + MARGIN)
    assert wait(history, 100.0 + GONE - 0.1, 1) == pytest.approx(0.1)
    assert wait(history, 100.0 + GONE, 1) == 0


def test_fewer_than_one_a_second_is_one_in_a_longer_window() -> None:
    assert wait([(100.0, 100.0)], 100.0, 0.25) == pytest.approx(4 + MARGIN)
    assert wait([(100.0, 100.0)], 104.0 + MARGIN + 1e-9, 0.25) == 0


def test_requests_of_a_clock_that_was_set_back_say_nothing() -> None:
    assert wait([(4000.0, None), (4000.1, None)], 400.0, 1) == 0


def test_a_full_second_is_used_when_answers_come_at_once() -> None:
    """Sequential requests that are answered within 10 ms come near the agreed pace."""
    queue: list[tuple[float, float | None]] = []
    now, count = 100.0, 0
    while now < 160.0:
        seconds = wait(queue, now, 6)
        if seconds:
            now += seconds + 1e-6
            continue
        heapq.heappush(queue, (now, now + 0.01))
        now += 0.01
        count += 1
        queue = queue[-50:]
    assert count >= 0.95 * 60 * 6 / (1 + MARGIN + 0.01)


def test_a_pace_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError):
        wait([], 0.0, 0)
