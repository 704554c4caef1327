"""A database of an earlier version goes on with all that is in it."""

import pathlib
import sqlite3
from collections.abc import Callable

from outbox.message import State
from outbox.queries import Filter
from outbox.sqlite.migrations import migrations
from outbox.sqlite.upkeep import MIGRATIONS
from outbox.store import Store
from tests.integration.store.make import claim, event, lane, only

VERSION_0_1_0 = pathlib.Path(__file__).with_name("version_0_1_0.sql")
"""As version 0.1.0 wrote it: three lessons (delivered, waiting, discarded), key values, a lease, an action."""

HELD = (State.DELIVERED, State.PENDING, State.DISCARDED)


def test_a_database_of_0_1_0_keeps_its_rows_and_values(address: str, opened: Callable[[], Store]) -> None:
    path = pathlib.Path(address.removeprefix("sqlite:///"))
    path.parent.mkdir()
    old = sqlite3.connect(path)
    old.executescript(VERSION_0_1_0.read_text())
    old.close()

    store = opened()
    store.maintenance.migrate()
    assert store.maintenance.verify() == []
    assert store.reading.count_states(Filter(since=1.0)) == {state: int(state in HELD) for state in State}
    (bar,) = store.reading.bars(900.0, 900.0 * 2**22, 1)
    assert bar.delivered == {"amocrm": 1}
    states = {row.email: row.state for row in store.reading.find(Filter(), 10).rows}
    assert states == {
        "ann@example.com": State.DELIVERED,
        "bob@example.com": State.PENDING,
        "cid@example.com": State.DISCARDED,
    }
    assert [row.email for row in store.reading.find(Filter(search="bob@ex"), 10).rows] == ["bob@example.com"]
    choice = store.key_values.get("choices", "stage:1")
    assert choice is not None and (choice.value, choice.version) == ({"id": 6}, 2)
    assert store.key_values.put("choices", "stage:1", {"id": 7}, 2) == 3
    (action,) = store.reading.actions(10)
    assert (action.who, action.what) == ("olga", "discard")
    (attempt,) = store.reading.attempts([1])[1]
    assert attempt.outcome == "delivered"

    assert store.maintenance.forget("ann@example.com", "olga") == 1
    assert store.key_values.items("directory") == {}
    (receipt,) = store.intake.accept([event("dan@example.com")])
    lease = lane(store, "worker")
    assert lease.fence == 2, "the fence goes on from where it was"
    assert [row.id for row in claim(store, lease)] == [2, only(store, receipt.id).id]


def test_migrating_twice_changes_nothing(address: str, opened: Callable[[], Store]) -> None:
    first = opened()
    first.maintenance.migrate()
    first.key_values.put("choices", "a", 1)
    second = opened()
    second.maintenance.migrate()
    entry = second.key_values.get("choices", "a")
    assert entry is not None and entry.value == 1


def test_the_names_by_which_a_start_sees_that_all_is_done_are_those_of_the_migrations() -> None:
    assert list(MIGRATIONS) == [one.name for one in migrations._migrations]
