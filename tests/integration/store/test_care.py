"""The store is looked after: pruned, and a person can be erased."""

import json
import pathlib

import pytest

from outbox.engines import open_store
from outbox.message import Dedupe, Result, State, StoreUnavailable
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
    nowhere(address, b"ann@secret.example", but=b"joann@secret.example")


def nowhere(address: str, words: bytes, but: bytes = b"\0") -> None:
    """The words are in none of the store's files, while it is open."""
    file = pathlib.Path(address.removeprefix("sqlite:///"))
    for path in file.parent.glob(f"{file.name}*") if address.startswith("sqlite:///") else ():
        assert words not in path.read_bytes().lower().replace(but, b""), path


FORMS = (
    "ann+1@secret.example", "ANN+1@Secret.Example", "ann%2B1%40secret.example", "ann%2b1%40SECRET.example",
    "email=ann+1%40secret.example&x=1", "x=1&email=ann 1@secret.example", "ann%252B1%2540secret.example",
    '{"email": "ann+1\\u0040secret.example"}',
)  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_forget_finds_an_address_however_it_is_coded(form: str, store: Store, address: str) -> None:
    (hook,) = store.intake.accept([event(None, key=None, state=State.DEAD, reason="unreadable", raw=f"a={form}")])
    (deal,) = store.intake.accept([event(None, key=None, destination="erp", data={"dealName": f"Course {form}"})])
    (bob,) = store.intake.accept([event("bob@x", key="k3", data={"email": "bob@x", "friend": form, "lesson": 1})])
    delivery = only(store, bob.id).id
    exchange = {"url": f"https://crm/api?query={form}", "response_body": f"{form} +7 900 000-00-00", "status": 200}
    finish(store, State.DELIVERED, delivery, detail=f"read {form}", exchanges=(exchange, {"url": "https://crm/x"}))
    store.key_values.put("pause", "amocrm", {"reason": f"no contact {form}", "until": 5})
    store.operations.log_action("olga", "search", 1, {"what": form})
    assert store.maintenance.forget("ann+1@secret.example", "olga") == 2
    assert store.reading.event(hook.id) is None and store.reading.event(deal.id) is None
    kept = store.reading.event(bob.id)
    assert kept is not None and kept.data == {"email": "bob@x", "friend": "[forgotten]", "lesson": 1}
    ((attempt,),) = store.reading.attempts([delivery]).values()
    assert attempt.detail == "[forgotten]"
    assert [dict(one) for one in attempt.exchanges] == [
        {"url": "https://crm/api", "response_body": "[forgotten]", "status": 200},
        {"url": "https://crm/x"},
    ]
    assert store.key_values.get("pause", "amocrm").value == {"reason": "[forgotten]", "until": 5}  # type: ignore[union-attr]
    nowhere(address, b"secret.example", but=b'"email":"a***1@secret.example"')
    assert store.maintenance.verify() == []


def test_forget_blanks_what_a_batch_tells_of_the_persons_name_and_deal(store: Store) -> None:
    (ann,) = store.intake.accept([event("ann@x.example", key="k1")])
    (bob,) = store.intake.accept([event("bob@x.example", key="k2")])
    ids = [only(store, one.id).id for one in (ann, bob)]
    lease = lane(store)
    claim(store, lease)
    escaped = json.dumps({"name": "Анна Седова"})
    bodies = ('{"name": "Анна Седова"}', escaped, '{"id": 9876543}', '{"name": "Анна", "id": 98765432}')
    exchanges = tuple({"request_body": "x", "response_body": body} for body in bodies)
    facts = {"contact_name": "Анна Седова"}
    results = [
        Result(ids[0], State.DELIVERED, "delivered", person="Анна Седова", lead_id=9876543, facts=facts),
        Result(ids[1], State.DELIVERED, "delivered", exchanges=exchanges),
    ]
    store.lanes.record(lease, results)
    store.maintenance.forget("ann@x.example", "olga")
    ((attempt,),) = store.reading.attempts([ids[1]]).values()
    assert [one["response_body"] == "[forgotten]" for one in attempt.exchanges] == [True, True, True, False]


def test_forget_tears_no_hole_into_those_whose_address_only_looks_alike(store: Store) -> None:
    others = ("joann@x.example", "ann@x.example.org", "d.ann@x.example", "ann@xx.example")
    for address in others:
        store.intake.accept([event(address, key=address)])
    store.intake.accept([event(None, key=None, raw=f"to={others[0]}", state=State.DEAD, reason="unreadable")])
    assert store.maintenance.forget("ann@x.example", "olga") == 0
    assert store.reading.count(Filter()) == 5


def test_a_probe_fails_where_an_event_cannot_be_stored_and_leaves_nothing(store: Store) -> None:
    store.maintenance.probe()
    store.maintenance.probe()
    assert store.reading.count(Filter()) == 0 and store.maintenance.verify() == []
    (receipt,) = store.intake.accept([event()])
    assert only(store, receipt.id).state == State.PENDING


def test_what_waits_of_a_forgotten_persons_deal_still_goes_out(store: Store) -> None:
    (first,) = store.intake.accept([event("ann@x", lead_id=5)])
    (sale,) = store.intake.accept([event(None, destination="erp", key="lead:5", lead_id=5)])
    store.maintenance.forget("ann@x", "olga")
    assert store.reading.event(first.id) is None
    assert only(store, sale.id).state == State.PENDING


def test_an_address_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="mysql"):
        open_store("mysql://x")
