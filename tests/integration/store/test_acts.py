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
    assert action.detail["filter"] == {"states": ["dead"], "cause": "deal_refused"}


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


# --- a deed taken back ------------------------------------------------------------------------------------------------


def undo(store: Store, who: str = "olga", within: float = 15.0) -> int:
    action = store.operations.undoable(who, within)
    return store.operations.undo(action.id, who, within) if action else 0


def test_a_deed_is_taken_back_and_the_rows_are_as_they_were(store: Store, clock: Clock) -> None:
    ids = [dead(store, email) for email in ("ann@x", "bob@x")]
    before = store.reading.find(Filter(ids=tuple(ids)), 5).rows
    for act in (store.operations.retry, store.operations.discard):
        clock.forward(100)
        assert act(Filter(ids=tuple(ids)), "olga") == 2
        clock.forward(5)
        assert undo(store) == 2
        assert store.reading.find(Filter(ids=tuple(ids)), 5).rows == before
    assert [action.what for action in store.reading.actions(10)] == ["undo", "discard", "undo", "retry"]
    assert store.operations.undoable("olga", 15.0) is None
    assert store.maintenance.verify() == []


def test_a_correction_is_taken_back_with_data_and_e_mail(store: Store) -> None:
    ids = [dead(store, "ann@x"), row(store, "ann@x")]
    before = [store.reading.event(one.event_id) for one in store.reading.find(Filter(ids=tuple(ids)), 5).rows]
    assert store.operations.correct_all(ids, {"email": "anna@x"}, "anna@x", "email:anna@x", "olga") == 2
    for one in store.reading.find(Filter(ids=tuple(ids)), 5).rows:
        assert (one.state, one.email, one.key, one.data["email"]) == (State.PENDING, "anna@x", "email:anna@x", "anna@x")
        assert one.data["lesson"] == 1
    assert undo(store) == 2
    assert [store.reading.event(event.id) for event in before if event] == before


def test_what_has_begun_to_leave_or_was_changed_by_another_deed_stays(store: Store, clock: Clock) -> None:
    gone, changed, waits = (dead(store, email) for email in ("ann@x", "bob@x", "cid@x"))
    clock.forward(1)
    assert store.operations.retry(Filter(ids=(gone,)), "olga")
    finish(store, State.DEAD, gone, reason="refused: again", cause="deal_refused")
    assert undo(store) == 0 and store.reading.delivery(gone).reason == "refused: again"  # type: ignore[union-attr]
    assert store.operations.retry(Filter(ids=(changed, waits)), "olga") == 2
    clock.forward(1)
    assert store.operations.discard(Filter(ids=(changed,)), "ivan")
    assert undo(store) == 1
    states = {one.id: one.state for one in store.reading.find(Filter(), 5).rows}
    assert states == {gone: State.DEAD, changed: State.DISCARDED, waits: State.DEAD}


def test_nobody_takes_back_another_s_deed_or_one_that_is_too_old(store: Store, clock: Clock) -> None:
    one = dead(store)
    assert store.operations.discard(Filter(ids=(one,)), "olga")
    action = store.reading.actions(1)[0]
    assert store.operations.undoable("ivan", 15.0) is None
    assert store.operations.undo(action.id, "ivan", 15.0) == 0
    clock.forward(16)
    assert store.operations.undoable("olga", 15.0) is None
    assert store.operations.undo(action.id, "olga", 15.0) == 0
    assert store.reading.delivery(one).state == State.DISCARDED  # type: ignore[union-attr]


def test_what_is_kept_for_it_is_cleared_with_the_next_deed_with_pruning_and_with_the_person(
    store: Store, clock: Clock
) -> None:
    for clear in (lambda: dead(store, "bob@x") and store.operations.discard(Filter(email="bob@x"), "ivan"),
                  lambda: store.maintenance.prune(0.0), lambda: store.maintenance.forget("ann@x", "olga")):  # fmt: skip
        one = dead(store)
        assert store.operations.discard(Filter(ids=(one,)), "olga")
        kept = set(store.key_values.items("undo"))
        clock.forward(61)
        clear()
        assert not kept & set(store.key_values.items("undo"))


def test_a_delivery_tells_what_people_did_to_it(store: Store) -> None:
    one, other = dead(store, "ann@x"), dead(store, "bob@x")
    store.operations.retry(Filter(states=(State.DEAD,)), "olga")
    store.operations.discard(Filter(ids=(one,)), "ivan")
    store.operations.log_action("olga", "pause", 1, {"destination": "amocrm"})
    for delivery_id, deeds in ((one, [("ivan", "discard"), ("olga", "retry")]), (other, [("olga", "retry")])):
        assert [(deed.who, deed.what) for deed in store.reading.actions_on(delivery_id)] == deeds


def test_only_what_can_be_sent_is_corrected(store: Store) -> None:
    waits, done = row(store, "ann@x"), row(store, "bob@x")
    finish(store, State.DELIVERED, done)
    assert store.operations.correct_all([waits, done, 999], {"email": "c@x"}, "c@x", "email:c@x", "olga") == 1
    assert store.operations.correct_all([done], {"email": "c@x"}, "c@x", "email:c@x", "olga") == 0
    assert store.reading.delivery(done).email == "bob@x"  # type: ignore[union-attr]
