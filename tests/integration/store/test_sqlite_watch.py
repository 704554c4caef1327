"""Whoever waits hears of each commit of another process, and nobody looks while nobody waits."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from outbox.sqlite import SqliteStore, database, log_changes, watch
from outbox.sqlite.log_changes import LogChanges, Looked, Notified
from outbox.sqlite.watch import AGAIN, BUSY, DEAF_AFTER, SELDOM, SOON, Watch
from tests.integration.store.make import event
from tests.support.waiting import eventually

LONG = 60.0


def has_inotify() -> bool:
    try:
        Notified(__file__).close()
    except OSError:
        return False
    return True


def watching() -> bool:
    return any(thread.name == "watch" for thread in threading.enumerate())


def open_store(tmp_path: Path, follow: Callable[[str], LogChanges]) -> SqliteStore:
    store = SqliteStore(str(tmp_path / "outbox.db"))
    store.maintenance.migrate()
    store.database.watch._follow = follow
    return store


@pytest.fixture(params=[Notified, Looked])
def follow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], LogChanges]:
    """Each way to notice, and nothing beside it."""
    if request.param is Notified and not has_inotify():
        pytest.skip("this system has no inotify")
    monkeypatch.setattr(database, "WAIT_AT_ONCE", LONG)
    chosen: Callable[[str], LogChanges] = request.param
    return chosen


def hear(store: SqliteStore, up_to_date: threading.Barrier) -> bool:
    """Says that it knows all so far, and waits for the next commit."""
    while store.lanes.wait(0.0, lambda: False):
        pass
    up_to_date.wait(20)
    return store.lanes.wait(LONG, lambda: False)


def test_all_that_wait_hear_of_each_commit_elsewhere(tmp_path: Path, follow: Callable[[str], LogChanges]) -> None:
    ours, other = open_store(tmp_path, follow), SqliteStore(str(tmp_path / "outbox.db"))
    up_to_date = threading.Barrier(4)  # each of three threads, and this one

    with ThreadPoolExecutor(3) as pool:
        for number in range(3):
            waiting = [pool.submit(hear, ours, up_to_date) for _ in range(3)]
            up_to_date.wait(20)
            eventually(watching)
            assert sum(thread.name == "watch" for thread in threading.enumerate()) == 1
            other.intake.accept([event(f"{number}@x")])
            assert [one.result(20) for one in waiting] == [True] * 3
    ours.close()
    assert not watching()
    other.close()


def test_a_commit_of_the_own_process_is_heard_of_like_any_other_and_wakes_nobody_by_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, follow: Callable[[str], LogChanges]
) -> None:
    store = open_store(tmp_path, follow)
    rung: list[str] = []
    monkeypatch.setattr(store.database, "ring", lambda: rung.append(""))  # the watch has its own
    up_to_date = threading.Barrier(2)

    with ThreadPoolExecutor(1) as pool:
        heard = pool.submit(hear, store, up_to_date)
        up_to_date.wait(20)
        store.key_values.put("test", "key", 1)
        assert heard.result(20)
    assert not rung  # a busy lane's many commits would each wake all the idle ones
    store.close()


def test_a_write_into_the_log_is_heard_of_once_and_an_end_at_once(
    tmp_path: Path, follow: Callable[[str], LogChanges]
) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one")
    changes = follow(str(log))
    changes.forget()
    assert not changes.wait(0)
    for _ in range(3):
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(changes.wait, LONG)
            with log.open("ab") as file:
                file.write(b"two")
            waiting.result(20)
        assert changes.wait(0)
        changes.forget()
        assert not changes.wait(0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(changes.wait, LONG)
        changes.end()
        waiting.result(20)
    changes.close()


def test_the_watch_rests_while_nobody_waits(
    tmp_path: Path, follow: Callable[[str], LogChanges], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SELDOM", 0.02)
    monkeypatch.setattr(watch, "RESTS_AFTER", 0.05)
    store = open_store(tmp_path, follow)
    for _ in range(2):
        while not watching():
            store.lanes.wait(0.01, lambda: False)
        eventually(lambda: not watching())
    while not watching():
        store.lanes.wait(0.01, lambda: False)
    store.close()
    assert not watching()


def open_files() -> set[tuple[str, str]]:
    """Numbers and what they stand for, where this system tells."""
    found = set()
    for number in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []:
        with suppress(OSError):  # the listing's own
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
    return found


def test_a_watch_that_ends_leaves_no_file_open(tmp_path: Path, follow: Callable[[str], LogChanges]) -> None:
    log = tmp_path / "log"
    log.touch()
    before = open_files()
    for _ in range(3):
        begun = threading.Event()
        one = Watch(str(log), lambda: 1, begun.set, follow=follow)
        one.go_on()
        assert begun.wait(20)
        one.close()
    assert not watching()
    assert not open_files() - before  # what others left open may be closed meanwhile, by the garbage collector


def test_without_notifications_it_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none(path: str) -> Notified:
        raise OSError(24, "too many inotify instances")

    monkeypatch.setattr(log_changes, "Notified", none)
    assert isinstance(log_changes.follow(str(tmp_path / "log")), Looked)


class Scripted:
    """Log changes as told: what each wait says, until there is no more."""

    def __init__(self, says: Iterator[bool], last: Callable[[], None]) -> None:
        self.says, self.last = says, last
        self.waits: list[float] = []
        self.closed = 0

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        if (said := next(self.says, None)) is None:
            self.last()
        return bool(said)

    def forget(self) -> None: ...
    def end(self) -> None: ...

    def close(self) -> None:
        self.closed += 1


def run(
    says: list[bool], versions: Iterator[int], *, clock: Callable[[], float] = lambda: 0.0
) -> tuple[Scripted, int, list[float]]:
    """-> what was waited for, how often it rang, and the rests before a look."""
    rings: list[int] = []
    rests: list[float] = []
    over = threading.Event()
    scripted = Scripted(iter(says), over.set)
    one = Watch(
        "/no-such-log", lambda: next(versions), lambda: rings.append(1), follow=lambda path: scripted, now=clock,
        rest=rests.append,
    )  # fmt: skip
    one._over = over
    one._thread = threading.current_thread()
    one._run()
    return scripted, len(rings), rests


def test_a_write_is_looked_for_again_until_a_slow_disk_has_it() -> None:
    # The commit of the write that was heard of can be read at the third look after it.
    scripted, rings, rests = run([False] * len(AGAIN) + [True, False, False, False], iter([1] * 7 + [2] * 9))
    assert scripted.waits == [*AGAIN, SELDOM, *AGAIN[:4]]
    assert (rings, rests) == (2, [max(SOON, BUSY)])  # once at the start


def test_many_writes_are_looked_for_at_intervals() -> None:
    time = iter(range(1000))
    _, rings, rests = run([True] * 20, iter(range(1, 100)), clock=lambda: next(time) * 0.001)
    assert rings == 22
    assert all(rest >= BUSY - 0.01 for rest in rests[1:])


def test_a_commit_right_after_a_quiet_time_is_looked_for_at_once() -> None:
    time = iter(range(1000))
    _, _, rests = run([True] * 3, iter([1] * 99), clock=lambda: next(time) * 0.1)
    assert rests == [SOON] * 3


def test_who_never_hears_of_commits_looks_at_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    class Looks(Looked):
        def __init__(self, path: str) -> None:
            super().__init__(path)
            looked.append(path)
            self._ended = True

        def wait(self, seconds: float) -> bool:
            over.set()
            return False

    over = threading.Event()
    monkeypatch.setattr(watch, "Looked", Looks)
    scripted = Scripted(iter([]), lambda: None)
    versions = iter([1] * (1 + len(AGAIN)) + list(range(2, 2 + DEAF_AFTER)) + [99] * 9)
    one = Watch("/a-log", lambda: next(versions), lambda: None, follow=lambda path: scripted, now=lambda: 0.0)
    one._over = over
    one._run()
    # A change that is seen and not told of is asked about once more, without a wait.
    assert scripted.waits == [*AGAIN, *[SELDOM, 0] * DEAF_AFTER]
    assert (looked, scripted.closed) == (["/a-log"], 1)
