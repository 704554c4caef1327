"""The store is looked after: pruned, and a person can be erased."""

import pathlib

import pytest

from outbox.engines import open_store
from outbox.message import Dedupe, State, StoreUnavailable
from outbox.queries import Filter
from outbox.store import Store
from tests.integration.store.make import Clock, claim, event, finish, lane, only


def test_a_new_store_is_well(store: Store) -> None:
    store.maintenance.migrate()
    assert store.maintenance.verify() == []


def test_it_tells_how_much_room_it_takes(store: Store) -> None:
    before = store.maintenance.size()
    store.intake.accept([event(f"{number}@x", data={"pad": "x" * 4000}) for number in range(300)])
    assert 10_000 < before < store.maintenance.size()


def test_a_backup_that_cannot_be_written_says_so(store: Store, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable):
        store.maintenance.backup(str(tmp_path / "file" / "below.db"))


def test_prune_lets_go_of_old_successes_and_never_of_dead_letters(store: Store, clock: Clock) -> None:
    (done, skipped, dead, waiting) = (
        only(store, receipt.id).id for name in "abcd" for receipt in store.intake.accept([event(f"{name}@x")])
    )
    finish(store, State.DELIVERED, done)
    finish(store, State.SKIPPED, skipped, reason="deal_closed")
    finish(store, State.DEAD, dead, reason="refused: no", cause="deal_refused")
    (discarded,) = (only(store, receipt.id).id for receipt in store.intake.accept([event("e@x")]))
    store.operations.discard(Filter(ids=(discarded,)), "olga")
    event_id = store.reading.delivery(done).event_id  # type: ignore[union-attr]
    clock.forward(1000)
    assert store.maintenance.prune(clock.now - 1001) == 0
    assert store.maintenance.prune(clock.now - 999, limit=2) == 2
    assert store.maintenance.prune(clock.now - 999, limit=2) == 1
    assert store.maintenance.prune(clock.now, limit=2) == 0
    assert [row.id for row in store.reading.find(Filter(), 10).rows] == [waiting, dead]
    assert store.reading.event(event_id) is None and store.reading.attempts([done]) == {done: []}
    assert store.reading.count(Filter()) == 2 and store.maintenance.verify() == []


def test_a_pruned_event_is_no_longer_known(store: Store, clock: Clock) -> None:
    (first,) = store.intake.accept([event(dedupe=Dedupe("k:1", "f"))])
    finish(store, State.DELIVERED, only(store, first.id).id)
    clock.forward(10)
    assert store.maintenance.prune(clock.now) == 1
    assert not store.intake.accept([event(dedupe=Dedupe("k:1", "other"))])[0].duplicate


def test_an_event_stays_as_long_as_one_of_its_deliveries(store: Store, clock: Clock) -> None:
    from dataclasses import replace

    from outbox.message import NewDelivery

    (receipt,) = store.intake.accept(
        [replace(event(), deliveries=(NewDelivery("amocrm", "a"), NewDelivery("erp", state=State.SKIPPED)))]
    )
    clock.forward(10)
    assert store.maintenance.prune(clock.now) == 1
    assert store.reading.event(receipt.id) is not None and len(store.reading.event(receipt.id).deliveries) == 1  # type: ignore[union-attr]


def test_forget_erases_a_person_everywhere(store: Store, address: str) -> None:
    (first,) = store.intake.accept([event("ann@secret.example", key="k1")])
    delivery = only(store, first.id)
    lease = lane(store)
    claim(store, lease)
    store.lanes.begin(lease, [delivery.id])
    store.leases.release(lease)
    finish(store, State.DELIVERED, delivery.id, lead_id=5, person="Ann", exchanges=({"body": "ann@secret.example"},))
    (hook,) = store.intake.accept([event(None, key=None, lead_id=5, state=State.SKIPPED, reason="echo")])
    (raw,) = store.intake.accept(
        [event(None, key=None, state=State.DEAD, reason="unreadable", raw="x=ANN@secret.example")]
    )
    (wrong,) = store.intake.accept([event("anm@x", key="k2")])
    store.operations.correct(
        only(store, wrong.id).id, {"email": "ann@secret.example"}, "ann@secret.example", "k2", "olga"
    )
    (other,) = store.intake.accept([event("bob@x", key="k3")])
    store.key_values.put("directory", "ann@secret.example", {"contacts": [1]})
    store.key_values.put("directory", "email:ann@secret.example", {"contacts": [1]})
    store.key_values.put("directory", "joann@secret.example", {"contacts": [2]})
    assert store.maintenance.forget("ann@secret.example", "olga") == 4
    assert [store.reading.event(one.id) is None for one in (first, hook, raw, wrong, other)] == [
        True,
        True,
        True,
        True,
        False,
    ]
    assert list(store.key_values.items("directory")) == ["joann@secret.example"]
    newest = store.reading.actions(10)[0]
    assert (newest.what, newest.count, newest.detail) == ("forget", 4, {"email": "a***n@secret.example"})
    store.maintenance.checkpoint()
    store.close()
    file = pathlib.Path(address.removeprefix("sqlite:///"))
    if file.is_file():
        assert b"ann@secret.example" not in file.read_bytes().lower().replace(b"joann@secret.example", b"")


def test_what_waits_of_a_forgotten_persons_deal_still_goes_out(store: Store) -> None:
    (first,) = store.intake.accept([event("ann@x", lead_id=5)])
    (sale,) = store.intake.accept([event(None, destination="erp", key="lead:5", lead_id=5)])
    store.maintenance.forget("ann@x", "olga")
    assert store.reading.event(first.id) is None
    assert only(store, sale.id).state == State.PENDING


def test_an_address_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="mysql"):
        open_store("mysql://x")
