"""Counters: shared by processes, kept over a restart, never less than before."""

from __future__ import annotations

import pytest

from service.counters import BOUNDS, DELIVERY_SECONDS, MOST, Counters
from tests.support.key_values import WatchedKeyValues


@pytest.fixture
def key_values() -> WatchedKeyValues:
    return WatchedKeyValues(lambda: 1000.0)


def test_two_processes_count_into_one_sum_that_a_third_reads(key_values):
    one, other = Counters(lambda: key_values), Counters(lambda: key_values)
    one.add("refused", "lessons", "401")
    other.add("refused", "lessons", "401", by=2)
    other.add("refused", "events", "422")
    one.flush()
    other.flush()
    assert Counters(lambda: key_values).stored() == {("refused", "lessons", "401"): 3, ("refused", "events", "422"): 1}


def test_a_process_that_was_quicker_loses_nothing_and_is_not_lost(key_values):
    one, other = Counters(lambda: key_values), Counters(lambda: key_values)
    other.add("alerts", "x")
    one.add("alerts", "x")
    quicker = iter([other.flush])
    key_values.before_put = lambda: next(quicker, lambda: None)()
    one.flush()
    assert one.stored() == {("alerts", "x"): 2}


def test_what_could_not_be_written_is_written_once_with_what_came_meanwhile(key_values):
    counters = Counters(lambda: key_values)
    counters.add("alerts", "x")
    key_values.broken = [OSError("the disk is full")]
    with pytest.raises(OSError, match="full"):
        counters.flush()
    counters.add("alerts", "x")
    counters.flush()
    counters.flush()
    assert counters.stored() == {("alerts", "x"): 2}


def test_there_are_never_more_series_than_fit(key_values):
    counters = Counters(lambda: key_values)
    for number in range(MOST + 5):
        counters.add("x", f"{number:05}")
    counters.flush()
    counters.add("x", "00000")
    counters.flush()
    stored = counters.stored()
    assert len(stored) == MOST and stored["x", "00000"] == 2


def test_a_value_is_counted_in_the_bucket_that_it_falls_into(key_values):
    counters = Counters(lambda: key_values)
    for seconds in (BOUNDS[0], BOUNDS[1] + 0.01, BOUNDS[-1] + 1):
        counters.observe(seconds, DELIVERY_SECONDS, "erp")
    counters.flush()
    stored = counters.stored()
    name = f"{DELIVERY_SECONDS}_bucket"
    assert (
        stored[name, "erp", str(BOUNDS[0])] == stored[name, "erp", str(BOUNDS[2])] == stored[name, "erp", "+Inf"] == 1
    )
    assert stored[f"{DELIVERY_SECONDS}_sum", "erp"] == pytest.approx(BOUNDS[0] + BOUNDS[1] + 0.01 + BOUNDS[-1] + 1)
