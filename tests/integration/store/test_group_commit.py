"""Leader and followers: what becomes of those who wait when the one that commits for them is slow, fails or stops."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from outbox.message import Receipt, StoreUnavailable
from outbox.postgres import PostgresStore
from outbox.queries import Filter
from outbox.sqlite import SqliteStore
from outbox.store import Store
from tests.integration.store.make import event
from tests.support.waiting import eventually

ENGINES = ("sqlite", "postgres")


class Gate:
    """Holds the leader's commit until the test lets it go."""

    def __init__(self, store: SqliteStore | PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        commit = store.group_commit._commit

        def slow(group: list) -> None:  # type: ignore[type-arg]
            self.reached.set()
            assert self.open.wait(60)
            commit(group)

        monkeypatch.setattr(store.group_commit, "_commit", slow)


def test_a_request_that_gives_up_is_not_stored_later(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(store, SqliteStore | PostgresStore)
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


def test_each_of_those_that_came_together_is_told_when_the_time_is_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(store, SqliteStore | PostgresStore)
    gate = Gate(store, monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(store.intake.accept_each, [[event("leader@x")], [event("beside@x")]], 60.0)
        assert gate.reached.wait(60)
        late = store.intake.accept_each([[event(f"late-{n}@x")] for n in range(3)], 0.0)
        assert all(isinstance(answer, StoreUnavailable) for answer in late)
        gate.open.set()
        assert all(isinstance(answer, list) for answer in leader.result())
    store.intake.accept([event("next@x")])
    assert {row.email for row in store.reading.find(Filter(), 10).rows} == {"next@x", "leader@x", "beside@x"}


def test_more_requests_than_a_group_takes_are_all_answered(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        asked = [
            pool.submit(store.intake.accept_each, [[event(f"{one}-{n}@x")] for n in range(300)], 60.0)
            for one in range(4)
        ]
        assert all(isinstance(answer, list) for one in asked for answer in one.result())
    assert store.reading.count(Filter()) == 1200


def test_a_request_whose_time_runs_out_is_either_stored_and_told_so_or_neither(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(store, SqliteStore | PostgresStore)
    gate = Gate(store, monkeypatch)
    with ThreadPoolExecutor(3) as pool:
        leader = pool.submit(store.intake.accept, [event("leader@x")], 60.0)
        assert gate.reached.wait(60)
        queued = [pool.submit(store.intake.accept, [event(f"f{n}@x")], 0.3) for n in range(2)]
        # On a busy machine the time of one is over before the other has come.
        eventually(lambda: len(store.group_commit.queue.waiting) == 2 or any(one.done() for one in queued))
        gate.open.set()
        assert len(leader.result()) == 1
        answers = [one.exception() or one.result()[0] for one in queued]
    assert all(isinstance(one, Receipt | StoreUnavailable) for one in answers)
    stored = sum(isinstance(one, Receipt) for one in answers)
    assert store.reading.count(Filter()) == 1 + stored


def test_a_failed_commit_fails_for_all_of_its_group(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(store, SqliteStore | PostgresStore)
    gate = Gate(store, monkeypatch)
    pause = threading.Event()
    with ThreadPoolExecutor(5) as pool:
        leader = pool.submit(store.intake.accept, [event("leader@x")], 60.0)
        assert gate.reached.wait(60)
        others = [pool.submit(store.intake.accept, [event(f"f{n}@x")], 60.0) for n in range(4)]
        while len(store.group_commit.queue.waiting) < 4:
            pause.wait(0.001)

        def broken(group: list) -> None:  # type: ignore[type-arg]
            raise StoreUnavailable("the disk is full")

        monkeypatch.setattr(store.group_commit, "_commit", broken)
        gate.open.set()
        assert len(leader.result()) == 1
        for other in others:
            with pytest.raises(StoreUnavailable, match="full"):
                other.result()
    assert store.reading.count(Filter()) == 1
    monkeypatch.undo()
    assert len(store.intake.accept([event("after@x")])) == 1


def test_an_interrupted_leader_leaves_nobody_waiting(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(store, SqliteStore | PostgresStore)
    gate = Gate(store, monkeypatch)
    pause = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        leader = pool.submit(store.intake.accept, [event("leader@x")], 60.0)
        assert gate.reached.wait(60)
        others = [pool.submit(store.intake.accept, [event(f"f{n}@x")], 60.0) for n in range(2)]
        while len(store.group_commit.queue.waiting) < 2:
            pause.wait(0.001)

        def interrupted(group: list) -> None:  # type: ignore[type-arg]
            raise KeyboardInterrupt

        monkeypatch.setattr(store.group_commit, "_commit", interrupted)
        gate.open.set()
        assert len(leader.result()) == 1
        ends = {type(other.exception()) for other in others}
    assert ends == {KeyboardInterrupt, StoreUnavailable}
    monkeypatch.undo()
    assert len(store.intake.accept([event("after@x")])) == 1
