"""Jobs leave nothing behind in the process that runs them."""

import pathlib
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from apscheduler.schedulers.background import BackgroundScheduler

from outbox.queries import Filter
from outbox.sqlite import SqliteStore
from service.job_threads import ThreadPerJob
from tests.support.waiting import eventually


@pytest.fixture
def scheduler() -> Iterator[BackgroundScheduler]:
    made = BackgroundScheduler(executors={"default": ThreadPerJob()}, timezone="UTC")
    made.start()
    yield made
    if made.running:
        at_rest(made)
        made.shutdown()


def at_rest(scheduler: BackgroundScheduler) -> None:
    """It has put away the jobs that it began. Until then it is at work on them, and would stumble over a shutdown."""
    eventually(lambda: not scheduler.get_jobs())


def test_what_a_job_had_open_in_the_store_is_closed_after_it(
    scheduler: BackgroundScheduler, tmp_path: pathlib.Path
) -> None:
    with closing(SqliteStore(f"{tmp_path}/x.db")) as store:
        store.maintenance.migrate()
        before = len(store.database._opened)
        ran: list[int] = []

        def job() -> None:
            ran.append(store.reading.count(Filter()))

        for _ in range(5):
            ran.clear()
            scheduler.add_job(job)
            eventually(lambda: ran)
            eventually(lambda: not [one for one in threading.enumerate() if one.name.startswith("job-")])
        assert len(store.database._opened) <= before + 1


def test_the_end_waits_for_a_job_that_runs(scheduler: BackgroundScheduler) -> None:
    begun, go_on = threading.Event(), threading.Event()
    ended: list[str] = []

    def job() -> None:
        begun.set()
        assert go_on.wait(10)
        ended.append("job")

    def stop() -> None:
        scheduler.shutdown()
        ended.append("scheduler")

    scheduler.add_job(job)
    assert begun.wait(10)
    at_rest(scheduler)
    stopping = threading.Thread(target=stop)
    stopping.start()
    eventually(lambda: not scheduler.running)
    go_on.set()
    stopping.join(10)
    assert ended == ["job", "scheduler"]


def test_a_job_that_fails_is_told_and_may_run_again(
    scheduler: BackgroundScheduler, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []

    def job() -> None:
        ran.append("")
        raise ValueError("no")

    scheduler.add_job(job, id="one")
    eventually(lambda: len(ran) == 1 and "raised an exception" in caplog.text)
    scheduler.add_job(job, id="one")
    eventually(lambda: len(ran) == 2)
