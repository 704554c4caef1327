"""What an operator does: exactly the rows that were shown, in one transaction with the action log."""

import pytest

from outbox.message import Dedupe, State
from outbox.queries import Changed, Filter
from outbox.store import Store
from tests.integration.store.make import Clock, claim, event, finish, lane, only


def row(store: Store, email: str = "ann@x", **fields: object) -> int:
    (receipt,) = store.intake.accept([event(email, **fields)])  # type: ignore[arg-type]
    return only(store, receipt.id).id


def dead(store: Store, email: str = "ann@x") -> int:
    one = row(store, email)
    finish(store, State.DEAD, one, reason="refused: no", cause="deal_refused", counts=True)
    return one


def test_a_dead_row_goes_out_again_with_a_fresh_schedule_and_its_history(store: Store, clock: Clock) -> None:
    one = dead(store)
    clock.forward(100)
    assert store.operations.retry(Filter(ids=(one,)), "olga", at_once=True)
    found = store.reading.delivery(one)
    assert found is not None
    assert (found.state, found.failures, found.reason, found.cause) == (State.PENDING, 0, "", "")
    assert found.due_at == clock.now and len(store.reading.attempts([one])[one]) == 1
    (action,) = store.reading.actions(10)
    assert (action.who, action.what, action.count, action.detail) == ("olga", "retry", 1, {"delivery": one})


def test_what_is_delivered_or_being_sent_is_not_sent_again(store: Store) -> None:
    done = row(store)
    finish(store, State.DELIVERED, done)
    busy = row(store, "bob@x")
    claim(store, lane(store))
    for one in (done, busy, 999):
        assert not store.operations.retry(Filter(ids=(one,)), "olga", at_once=True)
        assert not store.operations.discard(Filter(ids=(one,)), "olga")
    assert store.reading.actions(10) == []


def test_all_that_match_go_out_again(store: Store) -> None:
    for email in ("ann@x", "bob@x", "cid@x"):
        dead(store, email)
    row(store, "dan@x")
    where = Filter(states=(State.DEAD,), cause="deal_refused")
    assert store.operations.retry(where, "olga", expected=store.reading.count(where)) == 3
    assert store.reading.count(Filter(states=(State.PENDING,))) == 4
    (action,) = store.reading.actions(10)
    assert (action.what, action.count) == ("retry", 3)
    assert action.detail == {"filter": {"states": ["dead"], "cause": "deal_refused"}}


def test_another_count_than_was_shown_changes_nothing(store: Store) -> None:
    dead(store, "ann@x")
    dead(store, "bob@x")
    for act in (store.operations.retry, store.operations.discard):
        with pytest.raises(Changed) as caught:
            act(Filter(states=(State.DEAD,)), "olga", 1)
        assert (caught.value.expected, caught.value.found) == (1, 2)
    assert store.reading.count(Filter(states=(State.DEAD,))) == 2 and store.reading.actions(10) == []


def test_what_came_after_the_page_was_shown_is_left_alone(store: Store) -> None:
    first = dead(store, "ann@x")
    second = dead(store, "bob@x")
    assert store.operations.discard(Filter(states=(State.DEAD,), max_id=first), "olga", 1) == 1
    assert store.reading.delivery(first).state == State.DISCARDED  # type: ignore[union-attr]
    assert store.reading.delivery(second).state == State.DEAD  # type: ignore[union-attr]


def test_a_filter_for_what_cannot_be_sent_again_sends_nothing(store: Store) -> None:
    one = row(store)
    finish(store, State.DELIVERED, one)
    assert store.operations.retry(Filter(states=(State.DELIVERED,)), "olga") == 0
    assert store.operations.retry(Filter(), "olga") == 0
    assert store.operations.discard(Filter(destination="erp"), "olga") == 0


def test_a_discarded_row_frees_its_key_and_can_come_back(store: Store) -> None:
    first, second = row(store), row(store)
    assert store.operations.discard(Filter(ids=(first,)), "olga")
    assert [one.id for one in claim(store, lane(store))] == [second]
    assert store.operations.retry(Filter(ids=(first,)), "olga", at_once=True)
    assert store.reading.delivery(first).state == State.PENDING  # type: ignore[union-attr]


def test_what_has_no_destination_cannot_be_sent(store: Store) -> None:
    one = row(store, destination="-", key=None, state=State.SKIPPED, reason="not_routed")
    assert not store.operations.retry(Filter(ids=(one,)), "olga", at_once=True)
    assert store.operations.retry(Filter(states=(State.SKIPPED,)), "olga", expected=1) == 0
    assert store.reading.delivery(one).state == State.SKIPPED  # type: ignore[union-attr]


def test_send_all_keeps_the_time_that_an_event_asked_for_and_send_now_does_not(store: Store, clock: Clock) -> None:
    one = row(store, not_before=clock.now + 600)
    assert store.operations.retry(Filter(), "olga", 1) == 1
    assert store.reading.delivery(one).due_at == clock.now + 600  # type: ignore[union-attr]
    assert store.operations.retry(Filter(ids=(one,)), "olga", at_once=True)
    assert [found.id for found in claim(store, lane(store))] == [one]


def test_a_corrected_row_goes_out_and_the_old_value_stays_in_the_log(store: Store) -> None:
    one = dead(store, "anm@x")
    assert store.operations.correct(one, {"email": "ann@x", "lesson": 1}, "ann@x", "email:ann@x", "olga")
    found = store.reading.delivery(one)
    assert found is not None
    assert (found.state, found.data["email"], found.email, found.key) == (
        State.PENDING,
        "ann@x",
        "ann@x",
        "email:ann@x",
    )
    (action,) = store.reading.actions(10)
    assert action.what == "correct"
    assert action.detail["before"] == {
        "data": {"email": "anm@x", "lesson": 1},
        "email": "anm@x",
        "key": "email:anm@x",
    }
    finish(store, State.DELIVERED, one)
    assert not store.operations.correct(one, {}, None, None, "olga")
    assert not store.operations.correct(999, {}, None, None, "olga")


def test_the_action_log_is_newest_first_and_paged(store: Store, clock: Clock) -> None:
    for number in range(5):
        store.operations.log_action("olga", "pause", number, {"destination": "erp"})
    newest = store.reading.actions(2)
    assert [action.count for action in newest] == [4, 3]
    assert [action.count for action in store.reading.actions(10, newest[-1].id)] == [2, 1, 0]
    store.operations.log_action("olga", "connect")
    assert store.reading.actions(1)[0].at == clock.now


def test_ten_thousand_rows_go_out_in_one_go(store: Store) -> None:
    for start in range(0, 10_000, 1000):
        store.intake.accept(
            [event(f"s{n}@x", state=State.DEAD, reason="refused: no") for n in range(start, start + 1000)]
        )
    assert store.operations.retry(Filter(cause="refused"), "olga", 10_000) == 10_000
    assert store.reading.count_states(Filter())[State.PENDING] == 10_000


def test_events_take_the_place_of_a_row_that_went_nowhere(store: Store) -> None:
    old = row(store, destination="-", key=None, state=State.DEAD, reason="unreadable: x", cause="unreadable_hook")
    assert store.operations.retry(Filter(ids=(old,)), "olga") == 0, "by itself it goes nowhere"
    first, second = event("ann@x", dedupe=Dedupe("one")), event("bob@x", dedupe=Dedupe("two"))
    assert store.operations.replace_nowhere(old, [first, second], "olga") == [first.id, second.id]
    found = store.reading.delivery(old)
    assert found is not None and (found.state, found.cause) == (State.SKIPPED, "")
    assert found.reason == f"superseded: routed anew as events {first.id}, {second.id}"
    assert [only(store, one.id).state for one in (first, second)] == [State.PENDING] * 2
    (action,) = store.reading.actions(10)
    assert (action.who, action.what, action.detail["delivery"]) == ("olga", "retry", old)


def test_what_was_known_before_takes_the_place_of_such_a_row_and_is_not_stored_twice(store: Store) -> None:
    (receipt,) = store.intake.accept([event("ann@x", dedupe=Dedupe("one"))])
    old = row(store, destination="-", key=None, state=State.SKIPPED, reason="foreign_account: x")
    assert store.operations.replace_nowhere(old, [event("ann@x", dedupe=Dedupe("one"))], "olga") == [receipt.id]
    assert store.reading.count(Filter(destination="amocrm")) == 1


def test_no_other_row_is_replaced(store: Store) -> None:
    one = dead(store)
    for other in (one, 999):
        assert store.operations.replace_nowhere(other, [event("bob@x")], "olga") == []
    assert store.reading.count(Filter()) == 1 and store.reading.actions(10) == []
