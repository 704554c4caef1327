"""The lock between processes: taken in turns, given up in time, never kept by nobody."""

import fcntl
import os
import pathlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from outbox.message import StoreUnavailable
from outbox.sqlite.filelock import FileLock


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "x.lock")


def test_it_is_held_by_one_at_a_time(path: str) -> None:
    locks = [FileLock(path) for _ in range(3)]  # as of three processes
    inside, most = 0, 0

    def work(number: int) -> None:
        nonlocal inside, most
        with locks[number % 3].held(60.0):
            inside += 1
            most = max(most, inside)
            inside -= 1

    with ThreadPoolExecutor(9) as pool:
        list(pool.map(work, range(300)))
    assert most == 1
    for lock in locks:
        lock.close()


def test_who_waits_in_vain_gives_up_and_leaves_nothing_locked(path: str) -> None:
    mine, other = FileLock(path), FileLock(path)
    with other.held(1.0):
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="in time"), mine.held(0.0):
                raise AssertionError
    with other.held(60.0):
        pass
    with mine.held(60.0):
        pass
    mine.close()
    other.close()


def test_threads_of_one_process_give_up_as_well(path: str) -> None:
    lock = FileLock(path)
    with lock.held(1.0), pytest.raises(StoreUnavailable), lock.held(0.0):
        raise AssertionError
    lock.close()


def test_who_waits_gets_it_when_it_is_released(path: str) -> None:
    mine, other = FileLock(path), FileLock(path)
    got = threading.Event()

    def wait() -> None:
        with mine.held(60.0):
            got.set()

    with other.held(1.0):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not got.is_set()
    assert got.wait(60)
    thread.join()
    mine.close()
    other.close()


def test_closing_lets_go_of_the_file_even_after_a_wait(path: str) -> None:
    mine, other = FileLock(path), FileLock(path)
    with other.held(1.0), pytest.raises(StoreUnavailable), mine.held(0.0):
        raise AssertionError
    mine.close()
    other.close()
    with mine.held(60.0):  # opens it again
        pass
    mine.close()


def test_a_folder_that_is_not_there_is_unavailable(tmp_path: pathlib.Path) -> None:
    with pytest.raises(StoreUnavailable), FileLock(str(tmp_path / "no" / "x.lock")).held(1.0):
        raise AssertionError


def test_a_forked_child_does_not_share_its_parents_lock(path: str) -> None:
    lock = FileLock(path)
    with lock.held(1.0):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with lock.held(0.0):
                    code = 2
            except StoreUnavailable:
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    lock.close()


def test_the_lock_is_a_plain_flock(path: str) -> None:
    lock = FileLock(path)
    with lock.held(1.0), open(path) as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lock.close()
