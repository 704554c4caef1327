"""The wish to stop, as a signal's handler tells it."""

import signal
import threading

from service.stop_flag import StopFlag


def test_a_handler_wakes_the_thread_that_it_interrupted_in_its_waiting() -> None:
    flag, main = StopFlag(), threading.main_thread().ident
    assert main is not None and not flag.wait(0.0)
    before = signal.signal(signal.SIGUSR1, lambda *_: flag.set())
    other = threading.Thread(target=signal.pthread_kill, args=(main, signal.SIGUSR1))
    try:
        other.start()
        assert flag.wait(60.0)
    finally:
        other.join()
        signal.signal(signal.SIGUSR1, before)
    assert flag.is_set() and flag.wait(60.0)


def test_it_may_be_set_more_often_than_anybody_looks() -> None:
    flag = StopFlag()
    for _ in range(70_000):  # more than a pipe holds
        flag.set()
    assert flag.wait(60.0)
