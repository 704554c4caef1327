"""Claims keep order and fences; results are recorded only by whom holds the lane."""

from typing import Any

import pytest

from outbox.message import Result, State
from outbox.outcome import LeaseLost
from outbox.shared import Lease
from outbox.store import Store
from tests.integration.store.make import Clock, claim, event, finish, lane, only


def ids(store: Store, *events: object) -> list[int]:
    return [only(store, receipt.id).id for one in events for receipt in store.intake.accept([one])]  # type: ignore[list-item]


def test_only_the_first_of_each_key_is_claimed(store: Store) -> None:
    ann1, bob1, _ann2 = ids(store, event("ann@x"), event("bob@x"), event("ann@x"))
    assert [row.id for row in claim(store, lane(store))] == [ann1, bob1]
    assert claim(store, lane(store, "worker")) != []  # a new fence takes back what the old one held


def test_with_whole_keys_all_that_waits_behind_the_first_comes_too_in_order(store: Store, clock: Clock) -> None:
    ann1, bob1, ann2 = ids(store, event("ann@x"), event("bob@x"), event("ann@x"))
    finish(store, State.PENDING, ann2, due_at=clock.now + 50)
    assert [row.id for row in claim(store, lane(store), whole_keys=True)] == [ann1, ann2, bob1]


def test_rows_without_a_key_do_not_wait_for_each_other(store: Store) -> None:
    wanted = ids(store, event(key=None), event(key=None), event(key=None))
    assert [row.id for row in claim(store, lane(store))] == wanted


def test_newest_first_goes_by_the_newest_row_of_each_key(store: Store) -> None:
    ann1, bob1, cid1, ann2 = ids(store, event("ann@x"), event("bob@x"), event("cid@x"), event("ann@x"))
    lease = lane(store)
    assert [row.id for row in claim(store, lease, 2, newest_first=True)] == [ann1, cid1]
    assert [row.id for row in claim(store, lease, 2, newest_first=True)] == [bob1]
    assert only(store, store.reading.delivery(ann2).event_id).state == State.PENDING  # type: ignore[union-attr]


def test_a_first_row_that_waits_for_its_time_holds_its_key(store: Store, clock: Clock) -> None:
    ann1, ann2 = ids(store, event("ann@x"), event("ann@x"))
    finish(store, State.PENDING, ann1, due_at=clock.now + 30, counts=True)
    assert claim(store, lane(store)) == []
    assert store.lanes.next_due("amocrm") == clock.now + 30
    clock.forward(30)
    assert [row.id for row in claim(store, lane(store, "other"), whole_keys=True)] == [ann1, ann2]


def test_a_dead_row_does_not_hold_its_key(store: Store) -> None:
    ann1, ann2 = ids(store, event("ann@x"), event("ann@x"))
    finish(store, State.DEAD, ann1, reason="refused: no", cause="deal_refused")
    assert [row.id for row in claim(store, lane(store))] == [ann2]


def test_a_claim_takes_no_more_keys_than_asked_for(store: Store) -> None:
    ids(store, *(event(f"s{n}@x") for n in range(10)))
    lease = lane(store)
    assert len(claim(store, lease, 4)) == 4
    assert len(claim(store, lease, 100)) == 6


def test_a_delivery_carries_what_its_destination_needs(store: Store, clock: Clock) -> None:
    ids(store, event("ann@x", at=clock.now - 3, data={"email": "ann@x", "lesson": 2}))
    (row,) = claim(store, lane(store))
    assert row.data == {"email": "ann@x", "lesson": 2}
    assert (row.event_name, row.source, row.received_at, row.email) == (
        "lesson.completed",
        "lessons",
        clock.now - 3,
        "ann@x",
    )
    assert row.state == State.SENDING


def test_begin_opens_an_attempt_that_its_result_closes(store: Store, clock: Clock) -> None:
    (one,) = ids(store, event())
    lease = lane(store)
    claim(store, lease)
    store.lanes.begin(lease, [one])
    store.lanes.begin(lease, [one])
    assert [attempt.outcome for attempt in store.reading.attempts([one])[one]] == ["open"]
    clock.forward(2)
    exchange = {"request": {"url": "/leads"}, "response": {"status": 200}}
    store.lanes.record(
        lease,
        [
            Result(
                one,
                State.DELIVERED,
                "delivered",
                reference="77",
                status=200,
                detail="moved",
                params={"to": "Won"},
                exchanges=(exchange,),
                facts={"lead_id": 77},
                person="Ann",
                lead_id=77,
            )
        ],
    )
    (attempt,) = store.reading.attempts([one])[one]
    assert (attempt.at, attempt.finished_at, attempt.outcome) == (clock.now - 2, clock.now, "delivered")
    assert (attempt.status, attempt.detail, attempt.params) == (200, "moved", {"to": "Won"})
    assert attempt.exchanges == (exchange,)
    row = store.reading.delivery(one)
    assert row is not None
    assert (row.state, row.reference, row.facts) == (State.DELIVERED, "77", {"lead_id": 77})
    assert (row.person, row.lead_id, row.failures) == ("Ann", 77, 0)


def test_facts_are_merged_and_failures_counted(store: Store, clock: Clock) -> None:
    (one,) = ids(store, event())
    finish(store, State.PENDING, one, due_at=clock.now, counts=True, facts={"a": 1, "b": 1}, cause="timeout")
    finish(store, State.PENDING, one, due_at=clock.now, counts=False, facts={"b": 2}, cause="timeout")
    row = store.reading.delivery(one)
    assert row is not None and (row.failures, row.facts, row.cause) == (1, {"a": 1, "b": 2}, "timeout")


def test_without_an_outcome_the_row_only_goes_back(store: Store, clock: Clock) -> None:
    (one,) = ids(store, event())
    finish(store, State.PENDING, one, due_at=clock.now, counts=True, reason="timeout: late", cause="timeout")
    lease = lane(store)
    claim(store, lease)
    store.lanes.record(lease, [Result(one, State.PENDING, None, due_at=clock.now)])
    row = store.reading.delivery(one)
    assert row is not None and (row.state, row.failures, row.reason) == (State.PENDING, 1, "timeout: late")
    assert len(store.reading.attempts([one])[one]) == 1


def test_a_result_without_a_begin_is_an_attempt_too(store: Store, clock: Clock) -> None:
    (one,) = ids(store, event())
    finish(store, State.DEAD, one, reason="refused: no", cause="deal_refused")
    (attempt,) = store.reading.attempts([one])[one]
    assert (attempt.outcome, attempt.cause, attempt.finished_at) == ("dead", "deal_refused", clock.now)


def test_the_rows_of_a_killed_worker_go_out_again_and_say_so(store: Store, clock: Clock) -> None:
    begun, idle = ids(store, event("ann@x"), event("bob@x"))
    dead = lane(store, "killed")
    claim(store, dead)
    store.lanes.begin(dead, [begun])
    assert store.leases.acquire("lane:amocrm", "next", 30) is None
    clock.forward(30.5)
    rows = claim(store, lane(store, "next"))
    assert {row.id: row.interrupted for row in rows} == {begun: True, idle: False}
    assert [row.failures for row in rows] == [0, 0]
    assert [attempt.outcome for attempt in store.reading.attempts([begun])[begun]] == ["interrupted"]
    assert store.reading.attempts([idle])[idle] == []


def test_interrupted_is_kept_until_the_next_result(store: Store, clock: Clock) -> None:
    (one,) = ids(store, event())
    lease = lane(store, "killed")
    claim(store, lease)
    store.lanes.begin(lease, [one])
    clock.forward(31)
    finish(store, State.PENDING, 0)  # takes it back, and gives it back untried
    lease = lane(store)
    (row,) = claim(store, lease)
    assert row.interrupted
    store.lanes.record(lease, [Result(one, State.PENDING, "paused", due_at=clock.now)])
    (row,) = claim(store, lease)
    assert row.interrupted
    store.lanes.record(lease, [Result(one, State.PENDING, "failed", due_at=clock.now, counts=True)])
    (row,) = claim(store, lease)
    assert not row.interrupted


def test_a_row_that_goes_back_with_an_open_attempt_is_interrupted(store: Store, clock: Clock) -> None:
    (one,) = ids(store, event())
    lease = lane(store)
    claim(store, lease)
    store.lanes.begin(lease, [one])
    store.lanes.record(lease, [Result(one, State.PENDING, None, due_at=clock.now)])
    assert [attempt.outcome for attempt in store.reading.attempts([one])[one]] == ["interrupted"]
    assert claim(store, lease)[0].interrupted


def lost(store: Store, clock: Clock) -> Lease:
    lease = lane(store, "slow")
    claim(store, lease)
    clock.forward(31)
    return lease


def test_whoever_lost_the_lease_can_neither_claim_nor_begin_nor_record(store: Store, clock: Clock) -> None:
    (one,) = ids(store, event())
    lease = lost(store, clock)
    for _ in range(2):
        with pytest.raises(LeaseLost):
            claim(store, lease)
        with pytest.raises(LeaseLost):
            store.lanes.begin(lease, [one])
        with pytest.raises(LeaseLost):
            store.lanes.record(lease, [Result(one, State.DELIVERED, "delivered")])
        lane(store, "next")
    assert store.reading.attempts([one])[one] == []
    assert store.reading.delivery(one).state == State.SENDING  # type: ignore[union-attr]


def test_a_row_that_is_gone_meanwhile_is_no_fault_of_the_result(store: Store, clock: Clock) -> None:
    one, two = ids(store, event("ann@x"), event("bob@x"))
    lease = lane(store)
    claim(store, lease)
    store.lanes.begin(lease, [one, two])
    store.maintenance.forget("ann@x", "olga")
    store.lanes.record(lease, [Result(one, State.DELIVERED, "delivered"), Result(two, State.DELIVERED, "delivered")])
    assert store.reading.delivery(one) is None and store.reading.delivery(two).state == State.DELIVERED  # type: ignore[union-attr]


def test_results_of_all_kinds_are_recorded_together_each_as_its_own(store: Store, clock: Clock) -> None:
    ann, bob, cid, dan, eve = ids(store, *(event(f"{name}@x") for name in ("ann", "bob", "cid", "dan", "eve")))
    finish(store, State.PENDING, bob, due_at=clock.now, cause="timeout", facts={"a": 1}, counts=True)
    lease = lane(store)
    claim(store, lease)
    store.lanes.begin(lease, [ann, bob, dan])
    store.lanes.record(
        lease,
        [
            Result(dan, State.PENDING, "paused", due_at=clock.now + 5, interrupted=True),
            Result(ann, State.DELIVERED, "delivered", reference="7", status=200, person="Ann", lead_id=3_000_000_000),
            Result(eve, State.DEAD, "dead", reason="refused: no", cause="deal_refused", counts=True),
            Result(bob, State.PENDING, "failed", due_at=clock.now + 5.5, facts={"b": 2}, cause="outage", counts=True),
            Result(cid, State.PENDING, None, due_at=clock.now),
            Result(ann, State.DEAD, "dead", reason="refused: a second result of the same delivery"),
        ],
    )
    rows = {row.email: row for one in (ann, bob, cid, dan, eve) if (row := store.reading.delivery(one))}
    assert [(row.state, row.cause, row.failures, row.interrupted) for row in rows.values()] == [
        (State.DELIVERED, "", 0, False),
        (State.PENDING, "outage", 2, False),
        (State.PENDING, "", 0, False),
        (State.PENDING, "", 0, True),
        (State.DEAD, "deal_refused", 1, False),
    ]
    assert (rows["ann@x"].lead_id, rows["ann@x"].person, rows["ann@x"].reference) == (3_000_000_000, "Ann", "7")
    assert (rows["bob@x"].facts, rows["bob@x"].due_at) == ({"a": 1, "b": 2}, clock.now + 5.5)
    attempts = store.reading.attempts([ann, bob, cid, dan, eve])
    assert {one: [(each.outcome, each.status) for each in told] for one, told in attempts.items()} == {
        ann: [("delivered", 200)],
        bob: [("failed", None), ("failed", None)],
        cid: [],
        dan: [("paused", None)],
        eve: [("dead", None)],
    }


def test_a_batch_takes_no_more_statements_than_one_delivery(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """To a server each of them is a journey."""
    asked: list[str] = []
    with store.lanes.database.write() as db:  # type: ignore[attr-defined]
        kind = type(db)
    for name in ("rows", "execute"):
        inner = getattr(kind, name)

        def noting(self: Any, sql: str, params: Any = (), inner: Any = inner) -> Any:
            asked.append(sql)
            return inner(self, sql, params)

        monkeypatch.setattr(kind, name, noting)
    lease, counts = lane(store), []
    for size in (1, 50):
        ids(store, *(event(f"{size}-{number}@x") for number in range(size)))
        rows = claim(store, lease)
        assert len(rows) == size
        asked.clear()
        store.lanes.begin(lease, [row.id for row in rows])
        store.lanes.record(lease, [Result(row.id, State.DELIVERED, "delivered") for row in rows])
        counts.append(len(asked))
    assert counts[0] == counts[1] > 4, asked


def test_dead_rows_can_be_revived_together_with_a_result(store: Store, clock: Clock) -> None:
    one, two = ids(store, event("ann@x"), event("bob@x"))
    finish(store, State.DEAD, one, reason="refused: no", cause="stage_deleted", counts=True)
    lease = lane(store)
    claim(store, lease)
    store.lanes.record(lease, [Result(two, State.PENDING, "failed", due_at=clock.now)], revive=[one])
    row = store.reading.delivery(one)
    assert row is not None and (row.state, row.failures, row.due_at) == (State.PENDING, 0, clock.now)
    assert sorted(row.id for row in claim(store, lease)) == [one, two]


def test_next_due_is_none_when_nothing_waits(store: Store, clock: Clock) -> None:
    assert store.lanes.next_due("amocrm") is None
    (one,) = ids(store, event())
    assert store.lanes.next_due("amocrm") == clock.now and store.lanes.next_due("erp") is None
    finish(store, State.DELIVERED, one)
    assert store.lanes.next_due("amocrm") is None


def test_make_due_brings_forward_all_that_waits(store: Store, clock: Clock) -> None:
    (one,) = ids(store, event())
    finish(store, State.PENDING, one, due_at=clock.now + 3600)
    assert store.lanes.make_due("amocrm") == 1
    assert store.lanes.next_due("amocrm") == clock.now


def test_wait_ends_at_once_when_another_connection_has_committed(opened, store: Store) -> None:  # type: ignore[no-untyped-def]
    other = opened()
    while store.lanes.wait(0.0, lambda: False):
        pass
    assert not store.lanes.wait(0.0, lambda: False)
    other.intake.accept([event()])
    assert store.lanes.wait(60.0, lambda: False)
    assert not store.lanes.wait(0.0, lambda: False)
    assert store.lanes.wait(60.0, lambda: True)


def test_an_idle_claim_commits_nothing_and_wakes_nobody(opened, store: Store) -> None:  # type: ignore[no-untyped-def]
    lease = lane(store)
    other = opened()
    while other.lanes.wait(0.0, lambda: False):
        pass
    assert claim(store, lease) == [] and store.lanes.next_due("amocrm") is None
    assert not other.lanes.wait(0.0, lambda: False)


def test_of_named_keys_only_those_are_claimed_and_none_that_is_held_up(store: Store, clock: Clock) -> None:
    ann1, bob1, ann2, cid1, dan1, _dan2 = ids(
        store, *(event(f"{name}@x") for name in ("ann", "bob", "ann", "cid", "dan", "dan"))
    )
    finish(store, State.PENDING, dan1, due_at=clock.now + 30, counts=True)
    lease = lane(store)
    keys = [only(store, store.reading.delivery(one).event_id).key for one in (ann1, bob1, cid1, dan1)]  # type: ignore[union-attr]
    assert [row.id for row in claim(store, lease, 1, newest_first=True)] == [cid1]

    def named(*places: int, whole_keys: bool) -> list[int]:
        wanted = [str(keys[place]) for place in places]
        found = store.lanes.claim(lease, "amocrm", 9, whole_keys=whole_keys, newest_first=True, keys=wanted)
        return [row.id for row in found]

    assert named(2, 3, whole_keys=True) == []  # one is being sent, the other waits for its time
    assert named(0, whole_keys=True) == [ann1, ann2]
    assert named(0, 1, 1, whole_keys=False) == [bob1]
