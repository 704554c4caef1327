"""What is accepted is kept once, whole and in order; what is not is not kept at all."""

import pytest

from outbox.message import Conflict, Dedupe, NewDelivery, NewEvent, State
from outbox.queries import Filter
from outbox.store import Store
from tests.integration.store.make import Clock, claim, event, finish, lane, only


def test_an_accepted_event_is_there_with_its_delivery(store: Store, clock: Clock) -> None:
    (receipt,) = store.intake.accept(
        [event(data={"email": "ann@example.com", "lesson": 1, "unknown": ["kept", 10**30]})]
    )
    found = store.reading.event(receipt.id)
    assert found is not None and not receipt.duplicate
    assert found.data == {"email": "ann@example.com", "lesson": 1, "unknown": ["kept", 10**30]}
    (delivery,) = found.deliveries
    assert (delivery.state, delivery.key, delivery.due_at) == (State.PENDING, "email:ann@example.com", clock.now)


def test_nothing_asked_is_nothing_stored(store: Store) -> None:
    assert store.intake.accept([]) == []
    assert store.reading.event("0193-unknown") is None


def test_the_same_id_with_the_same_data_is_a_duplicate_of_the_first(store: Store) -> None:
    (first,) = store.intake.accept([event(dedupe=Dedupe("k:1", "same"))])
    (second,) = store.intake.accept([event(dedupe=Dedupe("k:1", "same"))])
    assert (second.id, second.duplicate) == (first.id, True)
    assert store.reading.count(Filter()) == 1


def test_the_same_id_with_other_data_is_a_conflict_and_stores_nothing_of_the_request(store: Store) -> None:
    store.intake.accept([event(dedupe=Dedupe("k:1", "one"))])
    with pytest.raises(Conflict) as caught:
        store.intake.accept(
            [
                event("bob@example.com", dedupe=Dedupe("k:2", "new")),
                event(dedupe=Dedupe("k:1", "other")),
                event("eve@example.com"),
                event(dedupe=Dedupe("k:1", "another")),
            ]
        )
    assert caught.value.indices == (1, 3)
    assert store.reading.count(Filter()) == 1


def test_an_array_may_hold_the_same_event_twice(store: Store) -> None:
    first, other, again = store.intake.accept(
        [event(dedupe=Dedupe("k:1", "same")), event("bob@example.com"), event(dedupe=Dedupe("k:1", "same"))]
    )
    assert again.id == first.id and again.duplicate and not other.duplicate
    assert store.reading.count(Filter()) == 2


def test_requests_that_share_a_commit_have_their_own_answers(store: Store) -> None:
    store.intake.accept([event(dedupe=Dedupe("k:1", "one"))])
    requests = [
        [event("new@x"), event("beside@x")],
        [event(dedupe=Dedupe("k:1", "one"))],
        [event("of-the-conflict@x"), event(dedupe=Dedupe("k:1", "other"))],
        [event("\ud800@x")],
        [],
        [event("twice@x", dedupe=Dedupe("k:2", "two"))],
        [event("twice@x", dedupe=Dedupe("k:2", "two"))],
        [event("last@x")],
    ]
    new, known, conflict, no_text, nothing, first, again, last = store.intake.accept_each(requests)
    assert isinstance(conflict, Conflict) and conflict.indices == (1,)
    assert isinstance(no_text, ValueError) and nothing == []
    told = [[receipt.duplicate for receipt in each] for each in (new, known, first, again, last)]  # type: ignore[union-attr]
    assert told == [[False, False], [True], [False], [True], [False]]
    emails = {row.email for row in store.reading.find(Filter(), 50).rows}
    assert emails == {"ann@example.com", "new@x", "beside@x", "twice@x", "last@x"}
    assert store.intake.accept_each([]) == []


def test_without_a_fingerprint_the_first_one_wins(store: Store) -> None:
    (first,) = store.intake.accept([event(dedupe=Dedupe("inngest:1"), data={"n": 1})])
    (second,) = store.intake.accept([event(dedupe=Dedupe("inngest:1"), data={"n": 2})])
    assert second.id == first.id and second.duplicate


def lesson(clock: Clock) -> list:  # type: ignore[type-arg]
    return [event(at=clock.now, dedupe=Dedupe("lesson:ann:1", window=86_400.0))]


def test_a_lesson_without_an_id_is_known_for_its_window_only(store: Store, clock: Clock) -> None:
    (first,) = store.intake.accept(lesson(clock))
    clock.forward(86_399)
    assert store.intake.accept(lesson(clock))[0].id == first.id
    clock.forward(2)
    (second,) = store.intake.accept(lesson(clock))
    assert second.id != first.id and not second.duplicate
    assert store.intake.accept(lesson(clock))[0].id == second.id


@pytest.mark.parametrize("state", [State.DEAD, State.SKIPPED])
def test_a_lesson_is_not_swallowed_by_one_that_did_not_arrive(store: Store, clock: Clock, state: State) -> None:
    (first,) = store.intake.accept(lesson(clock))
    finish(store, state, only(store, first.id).id, reason="refused: no", cause="deal_refused")
    (second,) = store.intake.accept(lesson(clock))
    assert second.id != first.id and not second.duplicate


def test_a_lesson_that_was_discarded_may_come_again(store: Store, clock: Clock) -> None:
    (first,) = store.intake.accept(lesson(clock))
    assert store.operations.discard(Filter(ids=(only(store, first.id).id,)), "olga")
    assert not store.intake.accept(lesson(clock))[0].duplicate


def test_a_lesson_that_was_delivered_or_is_being_sent_is_known(store: Store, clock: Clock) -> None:
    (first,) = store.intake.accept(lesson(clock))
    claim(store, lane(store))
    assert store.intake.accept(lesson(clock))[0].duplicate
    clock.forward(31)
    finish(store, State.DELIVERED, only(store, first.id).id)
    assert store.intake.accept(lesson(clock))[0].duplicate


def test_what_is_no_text_or_no_json_is_refused_before_it_is_queued(store: Store) -> None:
    for wrong in ({"name": "\ud800"}, {"amount": float("nan")}):
        with pytest.raises(ValueError):
            store.intake.accept([event("bob@example.com"), event(data=wrong)])
    with pytest.raises(ValueError):
        store.intake.accept([event(key="\udfff")])
    with pytest.raises(ValueError):
        store.intake.accept([event(lead_id=2**70)])
    assert store.reading.count(Filter()) == 0


def test_a_null_character_is_kept_as_it_came(store: Store, engine: str) -> None:
    """In a body that could not be read PostgreSQL, whose texts hold every other one, keeps U+FFFD in its place."""
    (receipt,) = store.intake.accept([event(data={"name": "a\x00b"}, raw="raw\x00body")])
    found = store.reading.event(receipt.id)
    assert found is not None and found.data == {"name": "a\x00b"}
    assert found.raw == ("raw\ufffdbody" if engine == "postgres" else "raw\x00body")


def test_a_row_that_needs_no_work_is_born_in_its_end_state(store: Store, clock: Clock) -> None:
    (receipt,) = store.intake.accept([event(None, destination="-", key=None, state=State.SKIPPED, reason="not_routed")])
    delivery = only(store, receipt.id)
    assert (delivery.state, delivery.reason, delivery.changed_at) == (State.SKIPPED, "not_routed", clock.now)
    (receipt,) = store.intake.accept(
        [event(None, key=None, state=State.DEAD, reason="unreadable: no brackets", raw="a[=")]
    )
    assert only(store, receipt.id).cause == "unreadable"
    assert claim(store, lane(store)) == []


def test_a_new_event_of_a_key_makes_its_waiting_ones_due_at_once(store: Store, clock: Clock) -> None:
    (first,) = store.intake.accept([event()])
    finish(store, State.PENDING, only(store, first.id).id, due_at=clock.now + 3600, counts=True)
    store.intake.accept([event("bob@example.com")])
    assert only(store, first.id).due_at == clock.now + 3600
    store.intake.accept([event()])
    assert only(store, first.id).due_at == clock.now


def test_a_key_wakes_nothing_of_another_destination(store: Store, clock: Clock) -> None:
    (first,) = store.intake.accept([event()])
    finish(store, State.PENDING, only(store, first.id).id, due_at=clock.now + 3600)
    store.intake.accept([event(destination="erp")])
    assert only(store, first.id).due_at == clock.now + 3600


def test_an_event_with_a_time_of_its_own_waits_for_it_and_nothing_undercuts_it(store: Store, clock: Clock) -> None:
    later = clock.now + 600
    (first,) = store.intake.accept([event(not_before=later)])
    (second,) = store.intake.accept([event()])
    assert store.lanes.make_due("amocrm") == 0
    assert only(store, first.id).due_at == later
    assert [row.id for row in claim(store, lane(store))] == [only(store, second.id).id]
    clock.forward(600)
    assert store.lanes.next_due("amocrm") == later


def test_an_event_with_a_time_of_its_own_does_not_hold_its_key(store: Store, clock: Clock) -> None:
    store.intake.accept([event(not_before=clock.now + 600)])
    (second,) = store.intake.accept([event()])
    assert store.lanes.next_due("amocrm") == clock.now
    finish(store, State.DELIVERED, only(store, second.id).id)
    assert store.lanes.next_due("amocrm") == clock.now + 600


def test_an_event_may_mean_several_deliveries(store: Store) -> None:
    from dataclasses import replace

    both = replace(event(), deliveries=(NewDelivery("amocrm", "a"), NewDelivery("erp", None)))
    (receipt,) = store.intake.accept([both])
    found = store.reading.event(receipt.id)
    assert found is not None and [row.destination for row in found.deliveries] == ["amocrm", "erp"]


def test_an_array_of_a_thousand_is_stored_at_once(store: Store) -> None:
    receipts = store.intake.accept([event(f"s{n}@example.com", dedupe=Dedupe(f"k:{n}", "f")) for n in range(1000)])
    assert len({receipt.id for receipt in receipts}) == 1000
    assert store.reading.count(Filter()) == 1000
    again = store.intake.accept([event(f"s{n}@example.com", dedupe=Dedupe(f"k:{n}", "f")) for n in range(1000)])
    assert all(receipt.duplicate for receipt in again)


def test_an_event_about_a_deal_reopens_what_was_skipped_since_it_was_gone(store: Store) -> None:
    def skipped(lead_id: int, reason: str) -> NewEvent:
        return event(f"{reason[:4]}{lead_id}@x.ru", state=State.SKIPPED, reason=reason, lead_id=lead_id)

    gone, closed, other = skipped(5, "deal_gone: x"), skipped(5, "deal_closed: x"), skipped(6, "deal_gone: x")
    store.intake.accept([gone, closed, other])
    store.intake.accept([event(None, name="amocrm/webhook", destination="erp", key="lead:5", lead_id=5)])
    found = {}
    for one in (gone, closed, other):
        kept = store.reading.event(one.id)
        assert kept is not None
        found[one.id] = kept.deliveries[0]
    assert [row.state for row in found.values()] == [State.PENDING, State.SKIPPED, State.SKIPPED]
    assert (found[gone.id].reason, found[gone.id].failures) == ("", 0)
    states = store.reading.tallies()["amocrm"].states
    assert (states[State.PENDING], states[State.SKIPPED]) == (1, 2)
