"""Many at once: each request has its own answer, and what was acknowledged is there exactly once."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from outbox.message import Conflict, Dedupe, NewEvent, Receipt, StoreUnavailable
from outbox.queries import Filter
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


def test_a_request_that_breaks_a_rule_of_the_tables_fails_alone(store: Store) -> None:
    from dataclasses import replace

    first = event("first@x")
    store.intake.accept([first])
    again = replace(event("second@x"), id=first.id)

    def submit(one: NewEvent) -> str:
        try:
            store.intake.accept([one], timeout=60.0)
        except StoreUnavailable:
            raise
        except Exception:
            return "refused"
        return "stored"

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(submit, [again, *(event(f"s{n}@x") for n in range(50)), again]))
    assert answers == ["refused", *["stored"] * 50, "refused"]
    assert store.reading.count(Filter()) == 51 and store.maintenance.verify() == []
