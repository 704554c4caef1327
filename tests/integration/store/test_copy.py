"""A store moves from one engine to another, and back, with everything in it."""

import pathlib
from collections.abc import Iterator

import pytest

from outbox.engines import open_store
from outbox.message import Dedupe, Known, State
from outbox.queries import Filter
from outbox.sql import copying
from outbox.sql.copying import CopyRefused, copy_store
from outbox.store import Store
from tests.integration.store.make import Clock, claim, event, finish, lane, only

ENGINES = ("sqlite", "postgres")


def quiet(table: str, done: int, total: int) -> None:
    """Progress that nobody wants to see."""


@pytest.fixture
def full(store: Store, clock: Clock) -> Store:
    """With rows in every table and every state, texts of all kinds, and a gap at the end of the numbers."""
    for number in range(30):
        store.intake.accept(
            [event(f"s{number}@x", dedupe=Dedupe(f"k:{number}", "f"), data={"ключ": "значение \U0001f600"})]
        )
    store.intake.accept([event(None, key=None, raw="a\x00b", lead_id=2**62, state=State.DEAD, reason="unreadable")])
    lease = lane(store)
    rows = claim(store, lease, 5)
    store.lanes.begin(lease, [rows[0].id])
    store.leases.release(lease)
    first = only(store, store.intake.accept([event("done@x", not_before=clock.now + 0.1234567890123)])[0].id)
    clock.forward(1)
    finish(store, State.DELIVERED, first.id, reference="77", person="Анна", exchanges=({"status": 200},))
    store.operations.learn([Known("Анна Ли", ("+7 912 345-67-89",), ("done@x",)), Known("Курс", (), (), (2**62,))])
    store.key_values.put("tokens", "pair", {"sealed": "gAAAA"})
    store.key_values.put("tokens", "pair", {"sealed": "gAAAB"})
    store.rate_limiter.reserve("amocrm", 7.0)
    store.operations.log_action("olga", "pause", 1, {"destination": "amocrm"})
    (last,) = store.intake.accept([event("last@x")])
    store.operations.discard(Filter(ids=(only(store, last.id).id,)), "olga")
    clock.forward(10)
    assert store.maintenance.prune(clock.now - 5, 1) == 1
    return store


@pytest.fixture
def target(engine: str, tmp_path: pathlib.Path, clock: Clock, request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty store of the other engine."""
    address = f"sqlite:///{tmp_path}/other.db" if engine == "postgres" else request.getfixturevalue("postgres_url")
    store = open_store(str(address), now=clock)
    store.maintenance.migrate()
    yield store
    store.close()


def sums(store: Store) -> dict[str, str]:
    database = store.maintenance.database  # type: ignore[attr-defined]
    return {table.name: copying.digest(database, table) for table in copying.TABLES}


def test_everything_arrives_on_the_other_engine_and_comes_back(
    full: Store, target: Store, tmp_path: pathlib.Path, clock: Clock
) -> None:
    told: list[tuple[str, int, int]] = []
    totals = copy_store(full, target, "old", lambda *one: told.append(one))
    assert totals["events"] == 32 and all(totals.values())
    assert sums(target) == sums(full)
    assert target.reading.tallies() == full.reading.tallies() and target.maintenance.verify() == []
    assert ("events", 0, 32) in told and ("events", 32, 32) in told
    back = open_store(f"sqlite:///{tmp_path}/back.db", now=clock)
    back.maintenance.migrate()
    copy_store(target, back, "new", quiet)
    assert sums(back) == sums(full)
    back.close()


def test_the_copy_goes_on_as_the_store_would_have(full: Store, target: Store) -> None:
    copy_store(full, target, "old", quiet)
    assert target.intake.accept([event("s0@x", dedupe=Dedupe("k:0", "f"))])[0].duplicate
    ids = [only(store, store.intake.accept([event("next@x")])[0].id).id for store in (full, target)]
    assert ids[0] == ids[1]
    lease = lane(target)
    assert lease.fence == lane(full).fence
    assert sum(row.interrupted for row in claim(target, lease, 100)) == 1


def test_a_copy_that_was_broken_off_goes_on(full: Store, target: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "PART", 7)

    def stops(table: str, done: int, total: int) -> None:
        if (table, done) == ("deliveries", 14):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_store(full, target, "old", stops)
    assert target.reading.count(Filter()) == 14
    copy_store(full, target, "old", quiet)
    assert sums(target) == sums(full)
    assert copy_store(full, target, "old", quiet)["deliveries"] == full.reading.count(Filter())


def test_a_target_in_use_is_left_alone(full: Store, target: Store) -> None:
    target.intake.accept([event("its-own@x")])
    with pytest.raises(CopyRefused, match="in use"):
        copy_store(full, target, "old", quiet)
    assert target.reading.count(Filter()) == 1


def test_a_target_that_was_filled_and_then_used_is_left_alone(full: Store, target: Store) -> None:
    copy_store(full, target, "old", quiet)
    full.intake.accept([event("later@x")])
    with pytest.raises(CopyRefused, match="not the same"):
        copy_store(full, target, "old", quiet)
    with pytest.raises(CopyRefused, match="filled from old"):
        copy_store(full, target, "another", quiet)
    assert target.reading.count(Filter(search="later@x")) == 0


def test_a_source_that_is_used_meanwhile_and_a_second_copy_are_told(full: Store, target: Store) -> None:
    def uses(table: str, done: int, total: int) -> None:
        if (table, done) == ("deliveries", 0):
            full.intake.accept([event("meanwhile@x")])

    with pytest.raises(CopyRefused, match="the source is in use"):
        copy_store(full, target, "old", uses)
    copy_store(full, target, "old", quiet)
    assert sums(target) == sums(full)


def test_a_value_that_differs_is_found(full: Store, target: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def changes(table: str, done: int, total: int) -> None:
        if table == "actions" and done == total:
            database = target.maintenance.database  # type: ignore[attr-defined]
            with database.write() as db:
                db.execute("UPDATE deliveries SET due_at = due_at + 0.000001 WHERE id = 3")

    with pytest.raises(CopyRefused, match="deliveries"):
        copy_store(full, target, "old", changes)
