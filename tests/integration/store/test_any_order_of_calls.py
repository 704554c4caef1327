"""Whatever is called in whatever order, by several workers, with time going on: the store does what a plain model does.

STORE_EXAMPLES=2000 tries for longer, and each time something else.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from outbox.message import DISCARDABLE, RESENDABLE, Conflict, Dedupe, Result, State
from outbox.outcome import LeaseLost
from outbox.queries import Filter
from outbox.shared import Lease
from outbox.store import Store
from tests.integration.store.make import Clock, event

EXAMPLES = int(os.environ.get("STORE_EXAMPLES", "0"))
WORKERS = st.sampled_from(("one", "two", "three"))
KEYS = st.sampled_from((None, "a", "b"))
LEASE, LONGEST = 30.0, 600.0
PRUNED = (State.DELIVERED, State.SKIPPED, State.DISCARDED)
OPEN = (State.PENDING, State.SENDING)
NUMBERS = count(1)


@dataclass
class Row:
    """What the model knows of one delivery. begun: an attempt is open. not_before: None without one."""

    event_id: str
    key: str | None
    due_at: float
    not_before: float | None
    state: State = State.PENDING
    fence: int | None = None
    begun: bool = False
    interrupted: bool = False
    failures: int = 0
    created_at: float = 0.0
    ended_at: float | None = None


@dataclass
class Held:
    """The model's lease of the lane."""

    owner: str = ""
    fence: int = 0
    until: float = 0.0


class Machine(RuleBasedStateMachine):
    """One lane, under a name of its own, so that one store serves all examples."""

    def __init__(self, store: Store, another: Store, clock: Clock) -> None:
        super().__init__()
        self.stores = {"one": store, "two": another, "three": another}
        self.store, self.clock = store, clock
        self.name = f"lane-{next(NUMBERS)}"
        self.rows: dict[int, Row] = {}
        self.known: dict[str, tuple[str, str]] = {}  # a dedupe key -> the event's id and fingerprint
        self.held = Held()
        self.leases: dict[str, Lease] = {}

    # -- time

    @rule(seconds=st.sampled_from((0.5, 4.0, 29.0, 31.0, 400.0, 5000.0)))
    def time_passes(self, seconds: float) -> None:
        self.clock.forward(seconds)

    @rule(seconds=st.sampled_from((1.0, 20.0, 3600.0)))
    def clock_is_set_back(self, seconds: float) -> None:
        self.clock.forward(-seconds)

    # -- intake

    @rule(
        worker=WORKERS,
        wanted=st.lists(
            st.tuples(
                KEYS,
                st.sampled_from((None, None, "x", "y", "z")),
                st.sampled_from(("first", "second")),
                st.sampled_from((None, None, 10.0)),
            ),
            min_size=1,
            max_size=4,
        ),
    )
    def accept(self, worker: str, wanted: list[tuple[str | None, str | None, str, float | None]]) -> None:
        now, events, expected, conflicts = self.clock(), [], [], []
        fresh = dict(self.known)
        for number, (key, own_id, fingerprint, delay) in enumerate(wanted):
            dedupe = Dedupe(f"{self.name}:{own_id}", fingerprint) if own_id else None
            made = event(
                at=now,
                key=self.own(key),
                destination=self.name,
                dedupe=dedupe,
                not_before=None if delay is None else now + delay,
            )
            events.append(made)
            first = fresh.get(dedupe.key) if dedupe else None
            if first is not None and first[1] != fingerprint:
                conflicts.append(number)
            expected.append((first[0], True) if first else (made.id, False))
            if dedupe and first is None:
                fresh[dedupe.key] = (made.id, fingerprint)
        try:
            receipts = self.stores[worker].intake.accept(events)
        except Conflict as conflict:
            assert list(conflict.indices) == conflicts
            return
        assert not conflicts
        assert [(one.id, one.duplicate) for one in receipts] == expected
        self.known = fresh
        for made, (_, duplicate) in zip(events, expected, strict=True):
            if not duplicate:
                self._stored(made.id, made.deliveries[0].key, made.not_before, now)

    def _stored(self, event_id: str, key: str | None, not_before: float | None, now: float) -> None:
        found = self.store.reading.event(event_id)
        assert found is not None
        (delivery,) = found.deliveries
        self.rows[delivery.id] = Row(event_id, key, max(now, not_before or now), not_before, created_at=now)
        if key is not None and (not_before is None or not_before <= now):
            for row in self.rows.values():
                if row.key == key and row.state == State.PENDING and row.due_at > now and is_time(row, now):
                    row.due_at = now

    def own(self, key: str | None) -> str | None:
        return key and f"{self.name}:{key}"

    # -- leases

    @rule(worker=WORKERS, keep=st.booleans())
    def acquire(self, worker: str, keep: bool = False) -> None:
        """keep: it goes on with the lease that it had, as another process of the same name would."""
        now = self.clock()
        lease = self.stores[worker].leases.acquire(f"lane:{self.name}", worker, LEASE)
        taken = now < self.held.until <= now + LONGEST and self.held.owner != worker
        assert (lease is None) == taken
        if lease is not None:
            if not keep or worker not in self.leases:
                self.leases[worker] = lease
            assert lease.fence > self.held.fence
            self.held = Held(worker, lease.fence, now + LEASE)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        worker, lease = self._one(data)
        holds = self._holds(lease)
        assert (self.stores[worker].leases.renew(lease, LEASE) is not None) == holds
        if holds:
            self.held.until = self.clock() + LEASE

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        worker, lease = self._one(data)
        self.stores[worker].leases.release(lease)
        if (self.held.owner, self.held.fence) == (lease.owner, lease.fence):
            self.held = Held("", lease.fence, 0.0)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """A worker is killed: it forgets everything, the store nothing."""
        self.leases.pop(self._one(data)[0])

    def _one(self, data: st.DataObject) -> tuple[str, Lease]:
        worker = data.draw(st.sampled_from(sorted(self.leases)))
        return worker, self.leases[worker]

    def _holds(self, lease: Lease) -> bool:
        mine = (self.held.owner, self.held.fence) == (lease.owner, lease.fence)
        return mine and self.held.until > self.clock()

    # -- the lane

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), limit=st.integers(1, 3), whole_keys=st.booleans(), newest_first=st.booleans())
    def claim(self, data: st.DataObject, limit: int, whole_keys: bool, newest_first: bool) -> None:
        self._claim(*self._one(data), limit, whole_keys, newest_first)

    @rule(worker=WORKERS, limit=st.integers(1, 3), whole_keys=st.booleans())
    def work(self, worker: str, limit: int, whole_keys: bool) -> None:
        """What a worker does in one go, up to where its request leaves."""
        self.acquire(worker)
        lease = self.leases.get(worker)
        if lease is not None and self._holds(lease):
            self._claim(worker, lease, limit, whole_keys, True)
            self._begin(worker, lease, [one for one, row in self.rows.items() if row.fence == lease.fence])

    def _claim(self, worker: str, lease: Lease, limit: int, whole_keys: bool, newest_first: bool) -> None:
        lanes = self.stores[worker].lanes

        def ask() -> list[Any]:
            return list(lanes.claim(lease, self.name, limit, whole_keys=whole_keys, newest_first=newest_first))

        if not self._holds(lease):
            with pytest.raises(LeaseLost):
                ask()
            return
        claimed = [row.id for row in ask()]
        now = self.clock()
        for row in self.rows.values():
            if row.state == State.SENDING and row.fence != lease.fence:
                row.state, row.fence, row.due_at = State.PENDING, None, now
                row.interrupted, row.begun = row.interrupted or row.begun, False
        heads = self._heads(now, whole_keys)
        taken = [head for head in heads if head in claimed]
        assert len(taken) == min(limit, len(heads)), (claimed, heads)
        assert sorted(claimed) == sorted(one for head in taken for one in heads[head])
        for one in claimed:
            self.rows[one].state, self.rows[one].fence = State.SENDING, lease.fence

    def _heads(self, now: float, whole_keys: bool) -> dict[int, list[int]]:
        """What may be claimed: the first of each key, with all that go with it, in their order."""
        heads: dict[int, list[int]] = {}
        by_key: dict[str, list[int]] = {}
        for one, row in sorted(self.rows.items()):
            if row.state not in OPEN or not is_time(row, now):
                continue
            if row.key is not None:
                by_key.setdefault(row.key, []).append(one)
            elif row.state == State.PENDING and row.due_at <= now:
                heads[one] = [one]
        for queue in by_key.values():
            first = self.rows[queue[0]]
            # A key is held by what is being sent, and by a first one that is not due.
            if first.state == State.PENDING and first.due_at <= now:
                heads[queue[0]] = queue if whole_keys else queue[:1]
        return heads

    @precondition(lambda self: self.leases and self.rows)
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        worker, lease = self._one(data)
        ids = data.draw(st.lists(st.sampled_from(sorted(self.rows)), min_size=1, max_size=3, unique=True))
        self._begin(worker, lease, ids)

    def _begin(self, worker: str, lease: Lease, ids: list[int]) -> None:
        if not self._holds(lease):
            with pytest.raises(LeaseLost):
                self.stores[worker].lanes.begin(lease, ids)
            return
        self.stores[worker].lanes.begin(lease, ids)
        for one in ids:
            if self.rows[one].state == State.SENDING and self.rows[one].fence == lease.fence:
                self.rows[one].begun = True

    @precondition(lambda self: self.leases and any(row.state == State.SENDING for row in self.rows.values()))
    @rule(data=st.data())
    def record(self, data: st.DataObject) -> None:
        worker, lease = self._one(data)
        sending = sorted(one for one, row in self.rows.items() if row.state == State.SENDING)
        ids = data.draw(st.lists(st.sampled_from(sending), min_size=1, max_size=3, unique=True))
        now = self.clock()
        results: list[Result] = []
        for one in ids:
            outcome = data.draw(st.sampled_from((None, "failed", "delivered", "skipped", "dead")))
            state = State.PENDING if outcome in (None, "failed") else State(str(outcome))
            due_at = now + 60.0 if outcome == "failed" else None
            unsent = outcome is None and data.draw(st.booleans())
            results.append(Result(one, state, outcome, due_at=due_at, counts=outcome == "failed", unsent=unsent))
        self._record(worker, lease, results)

    @precondition(lambda self: any(self._holds(lease) for lease in self.leases.values()))
    @rule(outcome=st.sampled_from(("failed", "delivered", "dead")))
    def finish(self, outcome: str) -> None:
        """Whoever holds the lane writes down what became of all that it has."""
        worker, lease = next(one for one in self.leases.items() if self._holds(one[1]))
        state, due_at = (State.PENDING, self.clock() + 60.0) if outcome == "failed" else (State(outcome), None)
        mine = [one for one, row in self.rows.items() if row.fence == lease.fence]
        results = [Result(one, state, outcome, due_at=due_at, counts=outcome == "failed") for one in mine]
        self._record(worker, lease, results)

    def _record(self, worker: str, lease: Lease, results: list[Result]) -> None:
        now = self.clock()
        if not self._holds(lease):
            with pytest.raises(LeaseLost):
                self.stores[worker].lanes.record(lease, results)
            return
        self.stores[worker].lanes.record(lease, results)
        for result in results:
            row = self.rows[result.delivery_id]
            if row.fence != lease.fence:
                continue
            row.state, row.fence = result.state, None
            row.ended_at = None if result.state == State.PENDING else now
            row.due_at = now if result.due_at is None else result.due_at
            row.failures += result.counts
            row.interrupted = False if result.outcome else row.interrupted or (row.begun and not result.unsent)
            row.begun = False

    @rule()
    def make_due(self) -> None:
        now = self.clock()
        late = [row for row in self.rows.values() if row.state == State.PENDING and row.due_at > now]
        moved = [row for row in late if is_time(row, now)]
        assert self.store.lanes.make_due(self.name) == len(moved)
        for row in moved:
            row.due_at = now

    # -- operators

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), deed=st.sampled_from(("retry", "discard")))
    def operate(self, data: st.DataObject, deed: str) -> None:
        ids = data.draw(st.lists(st.sampled_from(sorted(self.rows)), min_size=1, max_size=3, unique=True))
        now = self.clock()
        allowed = RESENDABLE if deed == "retry" else DISCARDABLE
        hit = [self.rows[one] for one in ids if self.rows[one].state in allowed]
        act = self.store.operations.retry if deed == "retry" else self.store.operations.discard
        assert act(Filter(destination=self.name, ids=tuple(ids)), "operator") == len(hit)
        for row in hit:
            row.state = State.PENDING if deed == "retry" else State.DISCARDED
            row.ended_at = None if deed == "retry" else now
            if deed == "retry":
                row.failures = 0
                row.due_at = now if row.not_before is None else max(now, row.not_before)

    @rule(seconds=st.sampled_from((10.0, 3000.0)))
    def prune(self, seconds: float) -> None:
        """Rows of other examples may go with them."""
        before = self.clock() - seconds
        while self.store.maintenance.prune(before):
            pass
        gone = [one for one, row in self.rows.items() if row.ended_at is not None and row.ended_at < before]
        for one in gone:
            if self.rows[one].state in PRUNED:
                event_id = self.rows.pop(one).event_id
                self.known = {key: first for key, first in self.known.items() if first[0] != event_id}

    # -- figures

    @rule()
    def checkpoint(self) -> None:
        self.store.maintenance.checkpoint()

    @rule(
        seconds=st.sampled_from((0.0, 7.5, 900.0, 1000.0, 3600.0, 9000.0)),
        width=st.sampled_from((60.0, 900.0, 3600.0, 7200.0)),
    )
    def figures_of_a_time_are_those_of_the_rows(self, seconds: float, width: float) -> None:
        since = self.clock() - seconds
        bars = self.store.reading.bars(since, width, 4)
        ended = [row.ended_at for row in self.rows.values() if row.state == State.DELIVERED and row.ended_at]
        assert [bar.delivered.get(self.name, 0) for bar in bars] == [
            sum(bar.start <= at < bar.start + width for at in ended) for bar in bars
        ]
        for until in (None, since + width):
            counted = self.store.reading.count_states(Filter(destination=self.name, since=since, until=until))
            created = Counter(
                row.state
                for row in self.rows.values()
                if row.created_at >= since and (until is None or row.created_at < until)
            )
            assert {state: n for state, n in counted.items() if n} == created
        tally = self.store.reading.tallies().get(self.name)
        lately = sum(at >= self.clock() - 3600.0 for at in ended)
        assert (tally.delivered_hour if tally else 0) == lately

    # -- what must always be so

    @invariant()
    def the_store_knows_what_the_model_knows(self) -> None:
        page = self.store.reading.find(Filter(destination=self.name), 1000)
        shown = {row.id: (row.state, row.due_at, row.failures, row.interrupted, row.key) for row in page.rows}
        assert shown == {
            one: (row.state, row.due_at, row.failures, row.interrupted, row.key) for one, row in self.rows.items()
        }

    @invariant()
    def nothing_is_begun_but_what_is_being_sent(self) -> None:
        attempts = self.store.reading.attempts(sorted(self.rows))
        begun = {one for one, tries in attempts.items() if any(each.outcome == "open" for each in tries)}
        assert begun == {one for one, row in self.rows.items() if row.begun}

    @invariant()
    def figures_are_those_of_the_rows(self) -> None:
        counted = self.store.reading.count_states(Filter(destination=self.name))
        states = [row.state for row in self.rows.values()]
        assert {state: number for state, number in counted.items() if number} == {s: states.count(s) for s in {*states}}


def is_time(row: Row, now: float) -> bool:
    """Whether the time that the event itself asked for has come."""
    return row.not_before is None or row.not_before <= now


def test_any_order_of_calls(store: Store, opened: Callable[[], Store], clock: Clock) -> None:
    another = opened()
    checks = settings(
        max_examples=EXAMPLES or 80,
        stateful_step_count=40,
        deadline=None,
        derandomize=not EXAMPLES,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(lambda: Machine(store, another, clock), settings=checks)  # type: ignore[no-untyped-call]
    assert store.maintenance.verify() == []
