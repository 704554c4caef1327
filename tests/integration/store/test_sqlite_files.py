"""The database file: verified, copied, moved into from the log, full, locked or broken."""

import contextlib
import os
import pathlib
import sqlite3
import threading

import pytest

from outbox.engines import open_store
from outbox.message import StoreUnavailable
from outbox.queries import Filter
from outbox.sqlite import SqliteStore, database
from outbox.store import Store
from tests.integration.store.make import Clock, event


def test_verify_names_what_is_wrong(store: Store, address: str) -> None:
    store.intake.accept([event()])
    with sqlite3.connect(address.removeprefix("sqlite:///")) as broken:
        broken.execute("PRAGMA foreign_keys = OFF")
        broken.execute("DELETE FROM events")
        broken.execute("UPDATE movements SET n = 7")
    broken.close()
    assert store.maintenance.verify() == [
        "1 deliveries without their event",
        "1 figures that differ from what is there",
        "1 figures of an hour that differ from what is there",
    ]


def test_a_backup_is_a_whole_store_of_its_own(store: Store, tmp_path: pathlib.Path, clock: Clock) -> None:
    store.intake.accept([event("ann@x"), event("bob@x")])
    path = tmp_path / "copies" / "one.db"
    store.maintenance.backup(str(path))
    store.intake.accept([event("cid@x")])
    store.maintenance.backup(str(path))
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["one.db"]
    copy = open_store(f"sqlite:///{path}", now=clock)
    try:
        copy.maintenance.migrate()
        assert copy.reading.count(Filter()) == 3 and copy.maintenance.verify() == []
    finally:
        copy.close()


def test_a_checkpoint_moves_the_log_into_the_database(store: Store, address: str) -> None:
    store.intake.accept([event(f"s{n}@x") for n in range(500)])
    path = address.removeprefix("sqlite:///")
    before = os.path.getsize(path)
    store.maintenance.checkpoint()
    assert os.path.getsize(path) > before
    size = os.path.getsize(path + "-wal")
    store.intake.accept([event(f"t{n}@x") for n in range(100)])
    assert os.path.getsize(path + "-wal") == size
    assert store.reading.count(Filter()) == 600 and store.maintenance.verify() == []


def test_the_log_has_a_ceiling_although_no_worker_runs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOG_CEILING", 400_000)
    monkeypatch.setattr(database, "LOG_EVERY", 0.0)
    store = open_store(f"sqlite:///{tmp_path}/dealpost.db")
    store.maintenance.migrate()
    sizes = []
    for part in range(40):
        store.intake.accept([event(f"s{part}-{n}@x", data={"text": "x" * 2000}) for n in range(40)])
        sizes.append(os.path.getsize(tmp_path / "dealpost.db-wal"))
    assert os.path.getsize(tmp_path / "dealpost.db") > 3_000_000 and max(sizes) < 1_200_000
    assert store.maintenance.verify() == []
    store.close()


def test_a_long_read_keeps_no_event_out_while_the_log_grows(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOG_CEILING", 100_000)
    monkeypatch.setattr(database, "LOG_EVERY", 0.0)
    store = open_store(f"sqlite:///{tmp_path}/dealpost.db")
    store.maintenance.migrate()
    store.intake.accept([event("first@x")])
    reader = sqlite3.connect(tmp_path / "dealpost.db", isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM events").fetchone() == (1,)
    for part in range(20):
        store.intake.accept([event(f"s{part}-{n}@x", data={"text": "x" * 2000}) for n in range(10)])
    assert reader.execute("SELECT count(*) FROM events").fetchone() == (1,)
    reader.close()
    assert store.reading.count(Filter()) == 201 and store.maintenance.verify() == []
    store.close()


def test_a_closed_store_is_one_file_and_takes_nothing_more(store: Store, address: str) -> None:
    store.intake.accept([event()])
    store.close()
    folder = pathlib.Path(address.removeprefix("sqlite:///")).parent
    assert sorted(os.listdir(folder)) == ["dealpost.db", "dealpost.db.lock"]
    with pytest.raises(StoreUnavailable, match="closed"):
        store.intake.accept([event()])


class Reading:
    """A thread that counts the events in a read that has begun, once it may go on."""

    def __init__(self, database: database.SqliteDatabase) -> None:
        self.database = database
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.counted: list[int | Exception] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self.begun.wait(30)

    def _run(self) -> None:
        try:
            with self.database.read() as db:
                self.begun.set()
                self.go_on.wait(30)
                self.counted.append(db.value("SELECT count(*) FROM events"))
        except Exception as error:
            self.counted.append(error)

    def ended(self) -> list[int | Exception]:
        self.go_on.set()
        self._thread.join()
        return self.counted


def test_closing_waits_for_what_other_threads_have_begun(store: Store, address: str) -> None:
    assert isinstance(store, SqliteStore)
    store.intake.accept([event()])
    reading = Reading(store.database)
    closing = threading.Thread(target=store.close)
    closing.start()
    assert reading.ended() == [1]
    closing.join()
    folder = pathlib.Path(address.removeprefix("sqlite:///")).parent
    assert sorted(os.listdir(folder)) == ["dealpost.db", "dealpost.db.lock"]


def test_a_connection_that_is_in_use_for_long_is_not_closed(
    store: Store, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python itself would crash, or the one who reads would get nonsense."""
    monkeypatch.setattr(database, "CLOSING", 0.01)
    assert isinstance(store, SqliteStore)
    store.intake.accept([event()])
    reading = Reading(store.database)
    store.close()
    assert reading.ended() == [1]
    with contextlib.closing(open_store(address)) as again:
        assert again.reading.count(Filter()) == 1 and again.maintenance.verify() == []


def test_nobody_but_the_owner_can_read_the_files(store: Store, address: str) -> None:
    store.intake.accept([event()])
    folder = pathlib.Path(address.removeprefix("sqlite:///")).parent
    assert {name: os.stat(folder / name).st_mode & 0o077 for name in os.listdir(folder)} == dict.fromkeys(
        ("dealpost.db", "dealpost.db-wal", "dealpost.db-shm", "dealpost.db.lock"), 0
    )


def test_a_locked_store_is_unavailable_and_stores_nothing(store: Store, address: str) -> None:
    other = sqlite3.connect(address.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StoreUnavailable, match="locked"):
            store.intake.accept([event()], timeout=0.0)
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert store.reading.count(Filter()) == 0
    store.intake.accept([event()], timeout=5.0)


def test_a_full_store_is_unavailable_and_stores_nothing(store: Store) -> None:
    assert isinstance(store, SqliteStore)
    pages = store.database.db().execute("PRAGMA page_count").fetchone()[0]
    store.database.db().execute(f"PRAGMA max_page_count = {pages}").fetchall()
    with pytest.raises(StoreUnavailable, match="full"):
        store.intake.accept([event(f"s{n}@x", data={"text": "x" * 5000}) for n in range(100)])
    assert store.reading.count(Filter()) == 0
    store.database.db().execute("PRAGMA max_page_count = 1000000").fetchall()
    assert len(store.intake.accept([event()])) == 1


def test_a_file_that_is_no_database_is_unavailable(tmp_path: pathlib.Path) -> None:
    (tmp_path / "x.db").write_bytes(b"this is a text, not a database, and long enough to be seen as such" * 100)
    store = open_store(f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(StoreUnavailable, match="not a database"):
        store.maintenance.migrate()
    store.close()


def test_a_store_without_tables_says_so(tmp_path: pathlib.Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(StoreUnavailable, match="no such table"):
        store.intake.accept([event()])
    store.close()
