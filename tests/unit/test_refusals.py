"""What was refused at the door: how often, since when, why, and nothing of anybody's data."""

from __future__ import annotations

import pytest

from service.refusals import MOST, QUIET, REASONS, Refusals, masked
from tests.support.key_values import WatchedKeyValues


class Clock:
    at = 1_000_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def key_values(clock) -> WatchedKeyValues:
    return WatchedKeyValues(clock)


@pytest.fixture
def refusals(key_values, clock) -> Refusals:
    return Refusals(lambda: key_values, clock)


def test_a_run_tells_how_often_since_when_and_the_newest_reasons_first(refusals, key_values, clock):
    first = clock.at
    for number in range(5):
        refusals.note("lessons", 422, "platform", f"reason {number}")
        clock.at += 60
        refusals.flush()
    found = Refusals(lambda: key_values, clock).all()
    assert [(run.way, run.status, run.key, run.count) for run in found] == [("lessons", 422, "platform", 5)]
    assert (found[0].first_at, found[0].last_at) == (first, first + 240)
    assert [reason.words for reason in found[0].reasons] == ["reason 4", "reason 3", "reason 2"]


def test_processes_add_to_one_run_and_keys_and_statuses_have_runs_of_their_own(refusals, key_values, clock):
    other = Refusals(lambda: key_values, clock)
    for noting in (refusals, other):
        noting.note("events", 401, "", "no key")
    other.note("events", 409, "platform", "again")
    refusals.flush()
    other.flush()
    assert {(run.status, run.key): run.count for run in refusals.all()} == {(401, ""): 2, (409, "platform"): 1}


def test_after_a_quiet_day_the_count_begins_anew_and_old_runs_are_told_no_more(refusals, clock):
    refusals.note("events", 401, "", "no key")
    refusals.flush()
    clock.at += QUIET + 1
    assert refusals.all() == []
    refusals.note("events", 401, "", "no key")
    refusals.flush()
    assert [(run.count, run.first_at) for run in refusals.all()] == [(1, clock.at)]


def test_a_store_that_takes_no_writes_loses_no_refusal(refusals, key_values):
    refusals.note("lessons", 503, "platform", "in vain")
    key_values.broken = [OSError("the disk is full")]
    with pytest.raises(OSError, match="full"):
        refusals.flush()
    refusals.note("lessons", 503, "platform", "in vain")
    refusals.flush()
    assert [run.count for run in refusals.all()] == [2]


def test_the_memory_and_the_store_are_bounded(refusals, key_values, clock):
    for lot in range(3):
        for number in range(MOST):
            refusals.note("events", 422, f"key {lot} {number}", "x")
        clock.at += 1
        refusals.flush()
    runs = refusals.all()
    assert len(runs) == MOST and {run.key.split()[1] for run in runs} == {"2"}
    for _ in range(10):
        refusals.note("events", 422, "key 2 1", "y")
    refusals.flush()
    assert max(len(run.reasons) for run in refusals.all()) == REASONS


@pytest.mark.parametrize(
    ("words", "hidden"),
    [
        ('email: got "Anna Smith" (a text), expected an address', "Anna"),
        ('data.dealName: got "Petrov, +7 903 ... (a text)', "Petrov"),
        ('x: got "a \\" Sidorov" (a text)', "Sidorov"),
        ("Event of anna.smith@example.com is known", "anna.smith"),
        ("lesson_id: got 79031234567 (a number)", "79031234567"),
        ("got 'Ivanov', expected another", "Ivanov"),
    ],
)
def test_no_reason_bears_what_a_sender_put_in(words, hidden):
    assert hidden not in masked(words)


def test_our_own_words_stay():
    words = "Nothing was stored: the lesson's data are not right.; lesson: it's missing; expected a number"
    assert masked(words) == words
