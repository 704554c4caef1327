"""KeyValues, leases and rates, as destinations use them."""

from collections.abc import Callable

import pytest

from outbox.sql import snapshot
from outbox.store import Store
from tests.integration.store.make import Clock


def test_memory_keeps_values_with_version_and_age(store: Store, clock: Clock) -> None:
    assert store.key_values.get("directory", "ann") is None
    assert store.key_values.put("directory", "ann", {"contacts": [1, 2]}) == 1
    clock.forward(5)
    assert store.key_values.put("directory", "ann", {"contacts": []}) == 2
    entry = store.key_values.get("directory", "ann")
    assert entry is not None and (entry.value, entry.version, entry.updated_at) == ({"contacts": []}, 2, clock.now)
    assert store.key_values.get("tokens", "ann") is None


def test_memory_writes_only_over_the_version_that_was_read(store: Store) -> None:
    assert store.key_values.put("tokens", "pair", "first", 0) == 1
    assert store.key_values.put("tokens", "pair", "second", 0) is None
    assert store.key_values.put("tokens", "pair", "third", 1) == 2
    assert store.key_values.put("tokens", "pair", "fourth", 1) is None
    entry = store.key_values.get("tokens", "pair")
    assert entry is not None and entry.value == "third"


def test_memory_handles_many_entries_at_once(store: Store) -> None:
    store.key_values.put_many("directory", {f"s{n}": n for n in range(1200)})
    store.key_values.put_many("directory", {"s1": "again"})
    store.key_values.put_many("directory", {})
    found = store.key_values.get_many("directory", [f"s{n}" for n in range(1300)])
    assert len(found) == 1200 and (found["s1"].value, found["s1"].version) == ("again", 2)
    store.key_values.delete("directory", [f"s{n}" for n in range(2, 1200)])
    store.key_values.delete("directory", [])
    assert {key: entry.value for key, entry in store.key_values.items("directory").items()} == {"s0": 0, "s1": "again"}


def test_memory_drops_an_entry_only_in_the_version_that_was_read(store: Store) -> None:
    store.key_values.put("pause", "erp", {"kind": "outage"})
    store.key_values.put("pause", "erp", {"kind": "operator"})
    assert not store.key_values.drop("pause", "erp", 1)
    assert store.key_values.drop("pause", "erp", 2)
    assert store.key_values.get("pause", "erp") is None


def test_memory_forgets_what_was_written_long_ago(store: Store, clock: Clock) -> None:
    store.key_values.put_many("directory", {"ann": 1, "bob": 1})
    store.key_values.put("tokens", "pair", 1)
    clock.forward(10)
    store.key_values.put("directory", "bob", 2)
    assert store.key_values.delete_old("directory", clock.now) == 1
    assert list(store.key_values.items("directory")) == ["bob"]
    assert list(store.key_values.items("tokens")) == ["pair"]


def test_memory_refuses_what_is_no_json(store: Store) -> None:
    with pytest.raises(ValueError):
        store.key_values.put("x", "y", {"name": "\ud800"})


def test_a_snapshot_reads_each_entry_once_and_ends_with_a_write(
    opened: Callable[[], Store], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "LASTS", 600.0)
    ours, theirs = store.key_values, opened().key_values
    ours.put_many("choices", {"a": 1, "b": 2})
    ours.put("pause", "erp", "rests")

    def read() -> tuple[object, ...]:
        entries = [ours.get("choices", "a"), ours.get("pause", "erp"), ours.get("pause", "amocrm")]
        known = {key: entry.value for key, entry in ours.items("choices").items()}
        return (*(entry and entry.value for entry in entries), known, set(ours.get_many("choices", ["a", "x"])))

    before = (1, "rests", None, {"a": 1, "b": 2}, {"a"})
    for _ in range(2):  # the second one has all of it from its first question
        with ours.snapshot("page"):
            assert read() == before
    with ours.snapshot("page"):
        ours.get("choices", "a")
        theirs.put("pause", "erp", "goes on")
        assert read() == before
        ours.put("choices", "a", 3)
        assert read() == (3, "goes on", None, {"a": 3, "b": 2}, {"a"})
    with ours.snapshot("page"):
        ours.get("choices", "a")
        theirs.put("pause", "erp", "rests")
        assert store.leases.acquire("lane", "me", 30) is not None
        assert read() == (3, "rests", None, {"a": 3, "b": 2}, {"a"})
    theirs.put("pause", "amocrm", "rests too")
    assert read() == (3, "rests", "rests too", {"a": 3, "b": 2}, {"a"})


def test_a_lease_is_held_by_one_owner_at_a_time(store: Store, clock: Clock) -> None:
    lease = store.leases.acquire("lane:erp", "one", 30)
    assert lease is not None and (lease.fence, lease.until) == (1, clock.now + 30)
    assert store.leases.acquire("lane:erp", "two", 30) is None
    assert store.leases.acquire("lane:amocrm", "two", 30) is not None
    clock.forward(29)
    renewed = store.leases.renew(lease, 30)
    assert renewed is not None and (renewed.fence, renewed.until) == (1, clock.now + 30)
    clock.forward(29)
    assert store.leases.acquire("lane:erp", "two", 30) is None
    clock.forward(1)
    taken = store.leases.acquire("lane:erp", "two", 30)
    assert taken is not None and taken.fence == 2
    assert store.leases.renew(renewed, 30) is None


def test_the_fence_grows_even_after_a_release(store: Store) -> None:
    lease = store.leases.acquire("lane:erp", "one", 30)
    assert lease is not None
    store.leases.release(lease)
    again = store.leases.acquire("lane:erp", "two", 30)
    assert again is not None and again.fence == 2
    store.leases.release(lease)
    assert store.leases.renew(again, 30) is not None


def test_an_owner_that_asks_again_loses_what_it_held(store: Store) -> None:
    first = store.leases.acquire("lane:erp", "one", 30)
    second = store.leases.acquire("lane:erp", "one", 30)
    assert first is not None and second is not None and second.fence == 2
    assert store.leases.renew(first, 30) is None


def test_a_lease_of_a_clock_that_was_set_back_does_not_block_for_hours(store: Store, clock: Clock) -> None:
    assert store.leases.acquire("lane:erp", "one", 30) is not None
    clock.forward(-3600)
    taken = store.leases.acquire("lane:erp", "two", 30)
    assert taken is not None and taken.fence == 2


def test_three_may_go_at_once_then_one_every_sixth_of_a_second(store: Store, clock: Clock) -> None:
    for _ in range(3):
        ticket, seconds = store.rate_limiter.reserve("amocrm", 6)
        assert ticket and seconds == 0
        store.rate_limiter.done("amocrm", ticket)
    ticket, seconds = store.rate_limiter.reserve("amocrm", 6)
    assert ticket == 0 and seconds == pytest.approx(1 / 6)
    clock.forward(seconds + 1e-6)
    assert store.rate_limiter.reserve("amocrm", 6)[1] == 0
    assert store.rate_limiter.used("amocrm", 60) == 4 and store.rate_limiter.used("erp", 60) == 0
    assert store.rate_limiter.reserve("erp", 6)[1] == 0


def test_the_pace_is_shared_with_other_processes(opened, store: Store, clock: Clock) -> None:  # type: ignore[no-untyped-def]
    other = opened()
    for each in (store, other, store):
        assert each.rate_limiter.reserve("amocrm", 3)[1] == 0
    ticket, seconds = other.rate_limiter.reserve("amocrm", 3)
    assert ticket == 0 and seconds > 1


def test_used_forgets_what_is_long_ago(store: Store, clock: Clock) -> None:
    store.rate_limiter.reserve("amocrm", 6)
    clock.forward(59)
    assert store.rate_limiter.used("amocrm", 3600) == 1 and store.rate_limiter.used("amocrm", 1) == 0
    clock.forward(2)
    assert store.rate_limiter.used("amocrm", 3600) == 0
