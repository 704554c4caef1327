"""One change, one record: which observations tell of the same change of stage."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.amocrm.stage_changes.match import CREATED, PATIENCE, New, Observation, Same, Verdict, Wait, classify, pairs
from service.amocrm.stage_changes.seen import Changes
from tests.support.key_values import WatchedKeyValues
from tests.unit.erp.fakes import Clock

T = 1_800_000_000.0
PIPELINE, A, B, C = 7, 10, 20, 30
numbers = itertools.count(1)


def hook(old: int | None, new: int, at: float | None, seen: float | None = None, event: str = "") -> Observation:
    seen_at = seen if seen is not None else (at if at is not None else T)
    return Observation(event or f"e{next(numbers)}", PIPELINE, old, new, at, seen_at)


def logged(old: int, new: int, at: float, seen: float | None = None, number: str = "") -> Observation:
    event = f"e{next(numbers)}"
    return Observation(event, PIPELINE, old, new, at, at if seen is None else seen, api_id=number or f"log-{event}")


def told(*observations: Observation, late: float = PATIENCE + 1) -> list[Verdict]:
    """The verdicts when they come one after the other, each looked at `late` seconds after it came."""
    kept: list[Observation] = []
    verdicts = []
    for one in observations:
        kept, verdict = classify(kept, one, one.seen_at + late)
        verdicts.append(verdict)
    return verdicts


def records(*observations: Observation) -> int:
    return sum(isinstance(one, New) for one in told(*observations))


def test_there_and_back_and_there_again_is_three() -> None:
    assert records(hook(A, B, T), hook(B, A, T + 5), hook(A, B, T + 10)) == 3


def test_there_and_back_and_there_again_is_three_whatever_the_order_within_one_pass() -> None:
    clock = Clock(T + 10)
    changes = Changes(WatchedKeyValues(clock), clock)
    verdicts = changes.settle(1, [hook(A, B, T), hook(A, B, T + 10, T), hook(B, A, T + 5)])
    assert verdicts == [New(), New(), New()]


def test_a_repeated_hook_is_the_same() -> None:
    first, again = hook(A, B, T, event="one"), hook(A, B, T, T + 900)
    assert told(first, again) == [New(), Same("one")]


def test_the_same_event_gets_the_same_verdict_again() -> None:
    own, other = hook(A, B, T, event="one"), hook(A, B, T, event="two")
    assert told(own, other, own, other) == [New(), Same("one"), New(), Same("one")]


@pytest.mark.parametrize("skew", [-60, -1, 0, 1, 59, 60])
def test_a_hook_and_a_row_of_the_log_within_a_minute_are_one(skew: int) -> None:
    assert records(hook(A, B, T), logged(A, B, T + skew)) == 1
    assert records(logged(A, B, T + skew), hook(A, B, T)) == 1


@pytest.mark.parametrize("skew", [-180, -90, 61, 75, 90, 150, 180])
def test_a_lone_hook_and_a_lone_row_further_apart_are_one(skew: int) -> None:
    assert records(hook(A, B, T), logged(A, B, T + skew)) == 1
    assert records(logged(A, B, T + skew), hook(A, B, T)) == 1
    assert records(hook(B, A, T - 400), logged(B, A, T - 400), logged(A, B, T + skew), hook(A, B, T)) == 2


def test_beyond_three_minutes_they_are_two() -> None:
    assert records(hook(A, B, T), logged(A, B, T + 181)) == 2


def test_they_are_two_where_the_deal_did_something_else_in_between() -> None:
    assert records(logged(A, B, T), logged(B, A, T + 40), hook(A, B, T + 90)) == 3
    assert records(logged(A, B, T), hook(B, A, T + 40), hook(A, B, T + 90)) == 3
    assert records(logged(A, B, T), logged(B, A, T), hook(A, B, T + 90)) == 3


def test_they_are_two_where_either_has_a_nearer_partner() -> None:
    assert records(logged(A, B, T), hook(A, B, T), hook(A, B, T + 90)) == 2
    assert records(hook(A, B, T), logged(A, B, T), logged(A, B, T + 90)) == 2
    assert records(logged(A, B, T), hook(A, B, T + 90), hook(A, B, T + 170)) == 2


def test_what_the_deal_did_in_between_may_come_later_and_be_told_by_the_log() -> None:
    # The hook of T + 90 is taken for the row of T, until the log tells that the deal had been back.
    assert records(logged(A, B, T), hook(A, B, T + 90), logged(B, A, T + 70), logged(A, B, T + 88)) == 3
    later = [logged(A, B, T + 88), logged(A, B, T + 1000), hook(A, B, T + 1000), logged(B, A, T + 900)]
    assert records(logged(A, B, T), hook(A, B, T + 90), logged(B, A, T + 70), *later) == 5


def test_what_the_deal_did_in_between_counts_also_where_all_comes_in_one_pass() -> None:
    clock = Clock(T + 300)
    changes = Changes(WatchedKeyValues(clock), clock)
    rows = [logged(A, B, T), logged(B, A, T + 40), logged(A, B, T + 89)]
    made = [*changes.settle(1, [hook(A, B, T + 90)]), *changes.settle(1, rows)]
    assert sum(isinstance(one, New) for one in made) == 3


@pytest.mark.parametrize("at", [T, T + 5000, None])
def test_a_deal_is_created_once_and_what_follows_is_no_creation(at: float | None) -> None:
    first = hook(CREATED, B, T, event="one")
    assert told(first, hook(CREATED, B, at, T + 5), logged(CREATED, B, T + 1)) == [New(), Same("one"), Same("one")]
    assert records(hook(CREATED, B, None, T), hook(B, A, T + 5), hook(A, B, T + 10), logged(CREATED, B, T)) == 3
    assert records(hook(CREATED, B, T), hook(A, B, T)) == 2


@st.composite
def lone_changes(draw: st.DrawFn) -> tuple[int, list[Observation]]:
    """Changes far from each other, each told by a row, a hook, or both, up to three minutes apart."""
    stage, at = A, T
    told_of: list[tuple[float, Observation]] = []
    count = draw(st.integers(0, 6))
    for _ in range(count):
        at += draw(st.integers(400, 3000))
        new = draw(st.sampled_from([one for one in (A, B, C) if one != stage]))
        skew = draw(st.integers(-180, 180))
        kinds = draw(st.sampled_from(["row", "hook", "both", "both"]))
        if kinds != "hook":
            told_of.append((draw(st.floats(0, 600)), logged(stage, new, at, T + 20_000)))
        if kinds != "row":
            told_of += [(draw(st.floats(0, 600)), hook(stage, new, at + skew, T + 20_000))] * draw(st.integers(1, 2))
        stage = new
    return count, [one for _, one in sorted(told_of, key=lambda pair: pair[0])]


@settings(max_examples=300, deadline=None)
@given(lone_changes(), st.booleans())
def test_a_hooks_time_may_be_minutes_off_where_changes_are_further_apart(
    life: tuple[int, list[Observation]], together: bool
) -> None:
    count, observations = life
    clock = Clock(T + 20_000 + PATIENCE + 1)
    changes = Changes(WatchedKeyValues(clock), clock)
    groups = [observations] if together else [[one] for one in observations]
    found: dict[str, Verdict] = {}
    for group in groups:
        found.update(zip([one.event_id for one in group], changes.settle(1, group), strict=True))
    assert sum(isinstance(one, New) for one in found.values()) == count


def test_a_row_of_the_log_that_was_seen_before_is_no_news() -> None:
    assert records(logged(A, B, T, number="x"), logged(A, B, T, number="x")) == 1


def test_two_rows_of_the_log_in_one_second_are_two_changes() -> None:
    assert records(logged(A, B, T), logged(B, A, T), logged(A, B, T)) == 3


def test_another_deal_stage_or_pipeline_is_another_change() -> None:
    other_pipeline = Observation("other", 8, A, B, T, T)
    assert records(hook(A, B, T), logged(A, C, T), logged(C, B, T), other_pipeline) == 4


def test_what_a_hook_does_not_tell_is_not_held_against_it() -> None:
    assert records(hook(None, B, T), logged(A, B, T + 1)) == 1
    assert records(logged(A, B, T), hook(None, B, T + 1)) == 1


def test_a_known_old_stage_goes_before_an_unknown_one() -> None:
    # The hook from C must not take the row that only the hook without an old stage can pair with.
    assert records(logged(A, B, T), logged(C, B, T + 2), hook(None, B, T + 1), hook(C, B, T + 1)) == 2


def test_a_hook_that_only_differs_by_its_time_waits_and_is_then_the_same() -> None:
    first, second = hook(A, B, T, event="one"), hook(A, B, T + 3)
    assert told(first, second, late=0) == [New(), Wait(PATIENCE)]
    assert told(first, second) == [New(), Same("one")]


def test_a_minute_later_it_is_another_change_without_any_waiting() -> None:
    assert told(hook(A, B, T), hook(A, B, T + 61), late=0) == [New(), New()]


def test_pairs_are_moved_when_that_leaves_fewer_changes() -> None:
    # Each hook could be taken by a neighbour's row; only one way of pairing leaves three changes.
    assert (
        records(
            logged(A, B, T + 55),
            hook(A, B, T + 110),
            logged(A, B, T),
            hook(A, B, T + 55),
            hook(A, B, T),
            logged(A, B, T + 110),
        )
        == 3
    )


# -- hooks without a time


def test_a_hook_without_a_time_repeated_within_two_hours_is_the_same() -> None:
    assert records(hook(A, B, None, T), hook(A, B, None, T + 300), hook(A, B, None, T + 4500)) == 1
    assert records(hook(A, B, None, T), hook(A, B, None, T + 7201)) == 2


def test_another_stage_in_between_makes_it_another_change() -> None:
    assert records(hook(A, B, None, T), hook(B, A, None, T + 1), hook(A, B, None, T + 2)) == 3
    assert records(hook(A, B, None, T + 0.5), hook(B, A, T, T + 0.7), hook(A, B, None, T + 1)) == 3


def test_it_is_the_other_hook_of_a_change_with_a_time() -> None:
    assert records(hook(A, B, T), hook(A, B, None, T + 2)) == 1
    assert records(hook(A, B, T), hook(B, C, T + 1), hook(A, B, None, T + 2)) == 2
    assert records(logged(A, B, T, T + 4000), hook(A, B, None, T + 5000)) == 1


def test_a_change_with_a_time_is_the_one_told_without() -> None:
    assert records(hook(A, B, None, T), hook(A, B, T - 1), logged(A, B, T)) == 1
    assert records(hook(A, B, None, T + 900), logged(A, B, T)) == 1


def test_each_of_three_told_without_a_time_is_found_in_the_log_later() -> None:
    late = T + 4000
    seen = [hook(A, B, None, T), hook(B, A, None, T + 100), hook(A, B, None, T + 200)]
    assert records(*seen, logged(A, B, T - 1, late), logged(B, A, T + 99, late), logged(A, B, T + 198, late)) == 3


def test_a_time_long_past_is_no_time_to_place_a_hook_by() -> None:
    long_ago = T - 400 * 86400
    assert records(hook(A, B, long_ago, T), hook(A, B, None, T + 5)) == 1
    assert records(hook(A, B, None, T), hook(B, A, long_ago, T + 1), hook(A, B, None, T + 2)) == 3


# -- any order, any loss


@st.composite
def lives(draw: st.DrawFn) -> tuple[int, list[Observation]]:
    """A deal's true changes, and what reaches us of them: (how many, observations in the order they come)."""
    moves = draw(st.lists(st.tuples(st.sampled_from([0, 1, 1, 3, 20, 55, 70]), st.sampled_from([A, B, C])), max_size=9))
    stage, at, count = A, T, 0
    observations: list[tuple[float, Observation]] = []
    seen_times: set[tuple[int, int, float]] = set()
    for wait, new in moves:
        at += wait
        if new == stage:
            continue
        count += 1
        times = st.floats(0, 600)
        observations.append((draw(times), logged(stage, new, at, T + 1000)))
        time = at + draw(st.sampled_from([-1, 0, 0, 1]))
        seen_times.add((stage, new, time))
        for _ in range(draw(st.sampled_from([0, 1, 1, 2, 3]))):
            observations.append((draw(times), hook(stage, new, time, T + 1000)))
        stage = new
    return count, [one for _, one in sorted(observations, key=lambda pair: pair[0])]


@settings(max_examples=400, deadline=None)
@given(lives(), st.booleans())
def test_records_are_the_true_changes_where_the_log_is_complete(
    life: tuple[int, list[Observation]], patient: bool
) -> None:
    count, observations = life
    kept: list[Observation] = []
    made = 0
    for place, one in enumerate(observations):
        kept, verdict = classify(kept, one, T + 1000 + (PATIENCE + 1 if patient else 0))
        if isinstance(verdict, Wait):
            kept, verdict = classify(kept, one, T + 1000 + PATIENCE + 1)
        made += isinstance(verdict, New)
        assert made <= count, f"too many after {place + 1}"
    assert made == count


@settings(max_examples=100, deadline=None)
@given(lives(), st.data())
def test_observations_that_come_twice_change_nothing(life: tuple[int, list[Observation]], data: st.DataObject) -> None:
    count, observations = life
    clock = Clock(T + 1000 + PATIENCE + 1)
    changes = Changes(WatchedKeyValues(clock), clock)
    verdicts: dict[str, Verdict] = {}
    for one in observations:
        for again in (one, data.draw(st.sampled_from([one, *observations]))):
            if again is one or again.event_id in verdicts:
                [verdict] = changes.settle(1, [again])
                assert verdicts.setdefault(again.event_id, verdict) == verdict
    assert sum(isinstance(one, New) for one in verdicts.values()) == count


@settings(max_examples=100, deadline=None)
@given(lives())
def test_noting_first_and_settling_the_rest_makes_no_difference(life: tuple[int, list[Observation]]) -> None:
    count, observations = life
    clock = Clock(T + 1000 + PATIENCE + 1)
    changes = Changes(WatchedKeyValues(clock), clock)
    made = 0
    for one in observations:
        if one.api_id and isinstance(changes.note(1, [one])[0], Same):
            continue
        made += isinstance(changes.settle(1, [one])[0], New)
    assert made == count


def test_two_processes_that_write_at_once_both_count() -> None:
    clock = Clock(T + 100)
    key_values = WatchedKeyValues(clock)
    changes = Changes(key_values, clock)
    other = iter([hook(B, A, T + 5)])

    def meanwhile() -> None:
        key_values.before_put = lambda: None
        for one in other:
            changes.settle(1, [one])

    key_values.before_put = meanwhile
    assert changes.settle(1, [hook(A, B, T)]) == [New()]
    assert changes.settle(1, [hook(A, B, T + 10)]) == [New()]


def test_pairs_of_nothing() -> None:
    assert pairs([]) == 0


def test_deals_of_long_ago_are_forgotten() -> None:
    clock = Clock()
    changes = Changes(WatchedKeyValues(clock), clock)
    changes.settle(1, [hook(A, B, T)])
    clock.now += 13 * 86400
    changes.settle(2, [hook(A, B, T)])
    clock.now += 2 * 86400
    assert changes.sweep() == 1


def test_a_deal_keeps_a_bounded_number_of_observations() -> None:
    clock = Clock()
    key_values = WatchedKeyValues(clock)
    changes = Changes(key_values, clock)
    for _ in range(450):
        clock.now += 100
        changes.settle(1, [hook(A, B, clock.now)])
    assert len(key_values.kept["changes", "1"].value) == 200


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 90), st.sampled_from([A, B, C])), max_size=9),
    st.randoms(use_true_random=False),
)
def test_hooks_alone_are_enough_where_none_is_lost(moves: list[tuple[int, int]], random: Any) -> None:
    stage, at, hooks = A, T, []
    for wait, new in moves:
        at += wait
        if new != stage:
            hooks.append(hook(stage, new, at, T + 1000))
            stage = new
    count = len(hooks)
    hooks += random.sample(hooks, count // 2)
    random.shuffle(hooks)
    clock = Clock(T + 1000 + PATIENCE + 1)
    changes = Changes(WatchedKeyValues(clock), clock)
    own = {one.event_id for one, verdict in zip(hooks, changes.settle(1, hooks), strict=True) if verdict == New()}
    assert len(own) == count


def test_what_0_1_0_kept_is_read_and_written_in_the_same_form() -> None:
    clock = Clock(T + 100)
    key_values = WatchedKeyValues(clock)
    row = {"e": "one", "p": 7, "o": A, "n": B, "t": T, "s": T, "a": "", "v": "own", "of": "one", "x": False}
    key_values.put("changes", "1", [row])
    changes = Changes(key_values, clock)
    assert changes.settle(1, [hook(A, B, T, event="two")]) == [Same("one")]
    assert key_values.kept["changes", "1"].value[0] == row
    last = changes.last([1, 2])
    assert list(last) == [1] and (last[1].old, last[1].new, last[1].at) == (A, B, T)
