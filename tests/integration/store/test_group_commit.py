"""Many at once: each request has its own answer, and what was acknowledged is there exactly once."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from outbox.message import Conflict, Dedupe, NewEvent, Receipt, StoreUnavailable
from outbox.queries import Filter
from outbox.sqlite import SqliteStore
from outbox.store import Store
from tests.integration.store.make import event

THREADS = 24


def test_duplicates_conflicts_and_poisoned_ones_in_and_across_groups(store: Store) -> None:
    """Each key comes from three threads with the same data, from one with other data; some cannot be stored."""
    work: list[NewEvent] = []
    for number in range(200):
        for copy in range(3):
            work.append(event(f"s{number}@x", dedupe=Dedupe(f"k:{number}", "same"), data={"copy": copy}))
        work.append(event(f"s{number}@x", dedupe=Dedupe(f"k:{number}", "other")))
        if number % 20 == 0:
            work.append(event("bad@x", data={"name": "\ud800"}))

    def submit(one: NewEvent) -> Receipt | str:
        try:
            return store.intake.accept([one], timeout=60.0)[0]
        except Conflict:
            return "conflict"
        except ValueError:
            return "refused"

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(submit, work))
    ids: dict[str, set[str]] = {}
    fresh: Counter[str] = Counter()
    for one, answer in zip(work, answers, strict=True):
        if isinstance(answer, Receipt):
            assert one.dedupe is not None
            ids.setdefault(one.dedupe.key, set()).add(answer.id)
            fresh[one.dedupe.key] += not answer.duplicate
    assert len(ids) == 200 and all(len(found) == 1 for found in ids.values())
    assert set(fresh.values()) == {1}
    assert answers.count("refused") == 10
    assert store.reading.count(Filter()) == 200 and store.maintenance.verify() == []


def test_arrays_are_all_or_none_beside_each_other(store: Store) -> None:
    store.intake.accept([event("first@x", dedupe=Dedupe("taken", "one"))])

    def submit(number: int) -> str:
        bad = number % 3 == 0
        events = [event(f"s{number}-{n}@x", dedupe=Dedupe(f"k:{number}:{n}", "f")) for n in range(5)]
        if bad:
            events[3] = event("x@x", dedupe=Dedupe("taken", "two"))
        try:
            store.intake.accept(events, timeout=60.0)
        except Conflict as conflict:
            return f"conflict {conflict.indices}"
        return "stored"

    with ThreadPoolExecutor(THREADS) as pool:
        answers = Counter(pool.map(submit, range(60)))
    assert answers == {"stored": 40, "conflict (3,)": 20}
    assert store.reading.count(Filter()) == 1 + 40 * 5


class Gate:
    """Holds the leader's commit until the test lets it go."""

    def __init__(self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        commit = store.intake._commit

        def slow(group: list) -> None:  # type: ignore[type-arg]
            self.reached.set()
            assert self.open.wait(60)
            commit(group)

        monkeypatch.setattr(store.intake, "_commit", slow)


def test_a_request_that_gives_up_is_not_stored_later(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(store, SqliteStore)
    gate = Gate(store, monkeypatch)
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(store.intake.accept, [event("leader@x")], 60.0)
        assert gate.reached.wait(60)
        with pytest.raises(StoreUnavailable, match="in time"):
            store.intake.accept([event("late@x")], timeout=0.0)
        gate.open.set()
        assert len(leader.result()) == 1
    store.intake.accept([event("next@x")])
    assert [row.email for row in store.reading.find(Filter(), 10).rows] == ["next@x", "leader@x"]


def test_a_request_whose_time_runs_out_is_either_stored_and_told_so_or_neither(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(store, SqliteStore)
    gate = Gate(store, monkeypatch)
    gone = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        leader = pool.submit(store.intake.accept, [event("leader@x")], 60.0)
        assert gate.reached.wait(60)
        queued = [pool.submit(store.intake.accept, [event(f"f{n}@x")], 0.3) for n in range(2)]
        while len(store.intake.queue.waiting) < 2:
            gone.wait(0.001)
        gate.reached.clear()
        gate.open.set()
        assert len(leader.result()) == 1
        answers = [one.exception() or one.result()[0] for one in queued]
    assert all(isinstance(one, Receipt | StoreUnavailable) for one in answers)
    stored = sum(isinstance(one, Receipt) for one in answers)
    assert store.reading.count(Filter()) == 1 + stored


def test_a_failed_commit_fails_for_all_of_its_group(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(store, SqliteStore)
    gate = Gate(store, monkeypatch)
    pause = threading.Event()
    with ThreadPoolExecutor(5) as pool:
        leader = pool.submit(store.intake.accept, [event("leader@x")], 60.0)
        assert gate.reached.wait(60)
        others = [pool.submit(store.intake.accept, [event(f"f{n}@x")], 60.0) for n in range(4)]
        while len(store.intake.queue.waiting) < 4:
            pause.wait(0.001)

        def broken(group: list) -> None:  # type: ignore[type-arg]
            raise StoreUnavailable("the disk is full")

        monkeypatch.setattr(store.intake, "_commit", broken)
        gate.open.set()
        assert len(leader.result()) == 1
        for other in others:
            with pytest.raises(StoreUnavailable, match="full"):
                other.result()
    assert store.reading.count(Filter()) == 1
    monkeypatch.undo()
    assert len(store.intake.accept([event("after@x")])) == 1


def test_an_interrupted_leader_leaves_nobody_waiting(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(store, SqliteStore)
    gate = Gate(store, monkeypatch)
    pause = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        leader = pool.submit(store.intake.accept, [event("leader@x")], 60.0)
        assert gate.reached.wait(60)
        others = [pool.submit(store.intake.accept, [event(f"f{n}@x")], 60.0) for n in range(2)]
        while len(store.intake.queue.waiting) < 2:
            pause.wait(0.001)

        def interrupted(group: list) -> None:  # type: ignore[type-arg]
            raise KeyboardInterrupt

        monkeypatch.setattr(store.intake, "_commit", interrupted)
        gate.open.set()
        assert len(leader.result()) == 1
        ends = {type(other.exception()) for other in others}
    assert ends == {KeyboardInterrupt, StoreUnavailable}
    monkeypatch.undo()
    assert len(store.intake.accept([event("after@x")])) == 1


def test_a_request_that_breaks_a_rule_of_the_tables_fails_alone(store: Store) -> None:
    from dataclasses import replace

    first = event("first@x")
    store.intake.accept([first])
    again = replace(event("second@x"), id=first.id)

    def submit(one: NewEvent) -> str:
        try:
            store.intake.accept([one], timeout=60.0)
        except Exception as error:
            return type(error).__name__
        return "stored"

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(submit, [again, *(event(f"s{n}@x") for n in range(50)), again]))
    assert answers == ["IntegrityError", *["stored"] * 50, "IntegrityError"]
    assert store.reading.count(Filter()) == 51 and store.maintenance.verify() == []
