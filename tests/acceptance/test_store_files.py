"""The store as files, under real processes: stopped, copied, moved, deleted, replaced, restored."""

import itertools
import os
import pathlib
import shutil
import signal
import sqlite3
import threading
from contextlib import closing
from typing import Any

import pytest

from tests.support.processes import API_KEY, PYTHON, Process, children, run
from tests.support.waiting import eventually

KEY = {"Authorization": f"Bearer {API_KEY}"}


@pytest.fixture
def store(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "dealpost-sandbox.db"


def send(web: Process, number: int) -> tuple[int, Any]:
    """A lesson of the student with this number."""
    body = {"email": f"student-{number}@example.com", "lesson": 1}
    return web.call("POST", "/api/tripwire/complete", body=body, headers=KEY)


def processes_of(web: Process, count: int) -> list[int]:
    """The pids of the web's processes, once there are so many."""
    return eventually(lambda: found if len(found := children(web.popen.pid)) == count else None, within=30)


def has_open(pid: int, file: pathlib.Path) -> bool:
    return str(file) in [os.readlink(one) for one in pathlib.Path(f"/proc/{pid}/fd").iterdir()]


def students(file: pathlib.Path) -> set[str]:
    """Whose events the file alone holds."""
    alone = file.with_name("alone.db")
    shutil.copy(file, alone)
    with closing(sqlite3.connect(alone)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {row[0] for row in db.execute("SELECT email FROM events")}


def expected(count: int) -> set[str]:
    return {f"student-{number}@example.com" for number in range(count)}


@pytest.mark.parametrize("order", [("web", "worker"), ("worker", "web")])
def test_an_orderly_stop_leaves_one_file_with_every_accepted_event(
    order: tuple[str, str], run_web: Any, run_worker: Any, run_flask: Any, store: pathlib.Path
) -> None:
    processes = {"web": run_web(WEB_CONCURRENCY="2"), "worker": run_worker()}
    processes["worker"].says("starts")
    for number in range(20):
        assert send(processes["web"], number)[0] == 202
    assert run_flask("outbox", "backup", str(store.with_name("copy.db"))).code == 0
    assert send(processes["web"], 20)[0] == 202
    for name in order:
        assert processes[name].stop() == 0
    assert not os.path.exists(f"{store}-wal") and not os.path.exists(f"{store}-shm")
    assert students(store) == expected(21)
    # The product's own backup, copied over it by hand, is a store that works.
    shutil.copy(store.with_name("copy.db"), store)
    assert "sound" in run_flask("outbox", "verify").out
    assert not os.path.exists(f"{store}-wal")
    web = run_web()
    assert send(web, 20)[0] == 202
    assert web.stop() == 0
    assert students(store) == expected(21)


def more_are_taken(taken: set[int]) -> None:
    wanted = len(taken) + 20
    eventually(lambda: len(taken) > wanted, within=30)


def test_the_one_web_process_killed_at_work_loses_nothing_and_no_client_is_turned_away(
    run_web: Any, store: pathlib.Path
) -> None:
    web, numbers, ended = run_web(), itertools.count(), threading.Event()
    taken: set[int] = set()
    refused: list[object] = []

    def client() -> None:
        while not ended.is_set():
            number = next(numbers)
            try:
                status, answer = send(web, number)
            except OSError as error:  # cut off in the middle of its request
                if isinstance(getattr(error, "reason", error), ConnectionRefusedError):
                    refused.append(error)
            else:
                taken.add(number) if status == 202 else refused.append((status, answer))

    clients = [threading.Thread(target=client) for _ in range(4)]
    for one in clients:
        one.start()
    try:
        for _ in range(3):
            more_are_taken(taken)
            (pid,) = processes_of(web, 1)
            os.kill(pid, signal.SIGKILL)
        more_are_taken(taken)
    finally:
        ended.set()
        for one in clients:
            one.join(30)
    assert web.stop() == 0
    assert refused == []
    assert {f"student-{number}@example.com" for number in taken} <= students(store)


def test_a_restore_waits_for_the_service_to_be_stopped_and_keeps_the_old_store(
    run_web: Any, run_flask: Any, store: pathlib.Path
) -> None:
    web, copy = run_web(), store.with_name("copy.db")
    send(web, 0)
    assert run_flask("outbox", "backup", str(copy)).code == 0
    send(web, 1)
    refused = run_flask("outbox", "restore", str(copy))
    assert refused.code == 1 and "in use: stop the service" in refused.err
    assert send(web, 2)[0] == 202
    assert web.stop() == 0
    done = run_flask("outbox", "restore", str(copy))
    assert done.code == 0, done.text
    (aside,) = store.parent.glob("dealpost-sandbox.db.2*Z")
    assert str(aside) in done.out and "1 event" in done.out
    assert students(store) == expected(1) and students(aside) == expected(3)
    web = run_web()
    assert send(web, 3)[0] == 202


def test_a_restore_takes_the_place_of_a_store_that_is_broken_or_lost(
    run_web: Any, run_flask: Any, store: pathlib.Path
) -> None:
    web, copy = run_web(), store.with_name("copy.db")
    send(web, 0)
    assert run_flask("outbox", "backup", str(copy)).code == 0
    web.kill()
    log = store.with_name(f"{store.name}-wal").read_bytes()
    for suffix in ("-wal", "-shm"):
        os.unlink(f"{store}{suffix}")
    store.write_bytes(b"no database " * 1000)
    assert run_flask("outbox", "list").code == 1
    assert run_flask("outbox", "restore", str(copy)).code == 0
    assert students(store) == expected(1)
    store.unlink()
    store.with_name(f"{store.name}-wal").write_bytes(log)  # left behind: it would spoil the next store
    assert run_flask("outbox", "restore", str(copy)).code == 0
    assert students(store) == expected(1) and not os.path.exists(f"{store}-wal")


def test_what_is_no_backup_of_ours_is_refused_and_nothing_changes(
    run_flask: Any, store: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    assert run_flask("complete-lesson", "student-0@example.com", "1").code == 0
    before = store.read_bytes()
    text, other, later, damaged = (tmp_path / name for name in ("text.db", "other.db", "later.db", "damaged.db"))
    text.write_bytes(b"no database " * 1000)
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE events (id)")
    for file in (later, damaged):
        assert run_flask("outbox", "backup", str(file)).code == 0
    with closing(sqlite3.connect(later)) as db, db:
        db.execute("INSERT INTO _sqlite_migrations (migration_set, name) VALUES ('outbox', 'of_next_year')")
    with damaged.open("r+b") as broken:
        broken.seek(3 * 4096)
        broken.write(os.urandom(8 * 4096))
    said = {
        "text.db": "no backup that can be used",
        "other.db": "none of the tables",
        "later.db": "update this one first",
        "damaged.db": "damaged.db is",
        "missing.db": "got none",
        "dealpost-sandbox.db": "is the store that is in use",
    }
    for name, words in said.items():
        done = run_flask("outbox", "restore", str(tmp_path / name))
        assert (done.code, words in done.err) == (1, True), done.text
    assert store.read_bytes() == before
    assert not [name for name in os.listdir(tmp_path) if "restoring" in name or name.endswith("Z")]


def test_a_backup_onto_the_store_or_a_folder_is_refused(
    run_flask: Any, store: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    assert run_flask("complete-lesson", "student-0@example.com", "1").code == 0
    (tmp_path / "link.db").symlink_to(store)
    (tmp_path / "hard.db").hardlink_to(store)
    for name in ("dealpost-sandbox.db", "dealpost-sandbox.db-wal", "link.db", "hard.db"):
        done = run_flask("outbox", "backup", str(tmp_path / name))
        assert done.code == 1 and f"{name} is the store" in done.err, done.text
    (tmp_path / "folder").mkdir()
    done = run_flask("outbox", "backup", str(tmp_path / "folder"))
    assert done.code != 0 and "folder" in done.err and "dealpost-sandbox.db" not in done.err
    assert students(store) == expected(1)


def test_a_backup_that_finds_no_room_leaves_no_part_and_names_the_copy(
    run_flask: Any, service_env: dict[str, str], store: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    assert run_flask("complete-lesson", "student-0@example.com", "1").code == 0
    copies = tmp_path / "copies"
    # No file may grow beyond 60 KiB: the store itself is longer already, and nothing is written to it.
    command = f"ulimit -f 60; exec {PYTHON} -m flask outbox backup {copies / 'copy.db'}"
    done = run(["bash", "-c", command], service_env)
    assert done.code == 1 and f"{copies / 'copy.db'}: " in done.err and "dealpost-sandbox" not in done.err, done.text
    assert os.listdir(copies) == []


@pytest.mark.parametrize("how", ["deleted", "replaced", "log", "folder"])
def test_no_event_is_accepted_into_a_store_that_is_no_longer_there(
    how: str, run_web: Any, store: pathlib.Path, service_env: dict[str, str]
) -> None:
    folder = store.parent / "var"
    file = folder / "dealpost-sandbox.db"
    web = run_web(DATABASE_URL=f"sqlite:///{folder}/dealpost.db")
    assert send(web, 0)[0] == 202
    moved = {"log": file.with_name(f"{file.name}-wal"), "folder": folder}.get(how, file)
    away = moved.with_name(f"{moved.name}-away")
    os.rename(moved, away)
    if how == "replaced":
        shutil.copy(away, file)
    for number in range(1, 5):
        assert send(web, number)[0] == 503
    eventually(lambda: web.call("GET", "/readyz")[0] == 503)
    # Nothing was made in its place.
    assert how == "replaced" or not os.path.exists(moved)
    if os.path.exists(moved):
        os.unlink(moved)
    os.rename(away, moved)
    eventually(lambda: web.call("GET", "/readyz")[0] == 200)
    assert send(web, 5)[0] == 202
    assert web.stop() == 0
    assert students(file) == {"student-0@example.com", "student-5@example.com"}


def test_a_process_that_ends_leaves_the_log_of_the_store_that_replaced_its_own(
    run_web: Any, store: pathlib.Path
) -> None:
    first = run_web()
    send(first, 0)
    for suffix in ("", "-wal", "-shm"):
        os.rename(f"{store}{suffix}", f"{store}{suffix}-away")
    second = run_web()
    send(second, 1)
    assert first.stop() == 0
    assert send(second, 2)[0] == 202
    assert second.stop() == 0
    assert students(store) == {"student-1@example.com", "student-2@example.com"}


def test_a_web_worker_that_starts_while_the_store_is_away_takes_nothing_for_a_new_one(
    run_web: Any, store: pathlib.Path
) -> None:
    web = run_web(WEB_CONCURRENCY="2")
    assert send(web, 0)[0] == 202
    child, other = processes_of(web, 2)
    eventually(lambda: has_open(child, store) and has_open(other, store))
    os.rename(store, f"{store}-away")
    os.kill(child, signal.SIGKILL)
    # It ends, so that whoever keeps it running starts it again, and says why.
    assert web.popen.wait(20) == 3
    web.says("is not there, though its log is")
    assert not store.exists()
    os.rename(f"{store}-away", store)
    web = run_web()
    assert send(web, 1)[0] == 202
    assert web.stop() == 0
    assert students(store) == expected(2)
