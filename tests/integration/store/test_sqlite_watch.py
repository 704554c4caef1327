"""Whoever waits hears of each commit of another process, and nobody looks while nobody waits."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from outbox.sqlite import SqliteStore, watch
from tests.integration.store.make import event
from tests.support.waiting import eventually


def watching() -> bool:
    return any(thread.name == "watch" for thread in threading.enumerate())


def test_all_that_wait_hear_of_a_commit_elsewhere_by_one_look(tmp_path: Path) -> None:
    ours, other = (SqliteStore(str(tmp_path / "outbox.db")) for _ in range(2))
    ours.maintenance.migrate()
    over = threading.Event()

    def wait() -> list[bool]:
        first = [ours.lanes.wait(0.0, lambda: False) for _ in range(2)]  # what was committed before is known then
        return [first[-1], ours.lanes.wait(60.0, over.is_set)]

    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(wait) for _ in range(3)]
        eventually(watching)
        assert sum(thread.name == "watch" for thread in threading.enumerate()) == 1
        other.intake.accept([event("one@x")])
        assert [each.result(20) for each in waiting] == [[False, True]] * 3
    ours.close()
    assert not watching()
    other.close()


def test_the_look_rests_while_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "RESTS_AFTER", 0.05)
    store = SqliteStore(str(tmp_path / "outbox.db"))
    store.maintenance.migrate()
    while not watching():
        store.lanes.wait(0.01, lambda: False)
    eventually(lambda: not watching())
    while not watching():
        store.lanes.wait(0.01, lambda: False)
    store.close()
    assert not watching()
