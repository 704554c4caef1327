"""Three workers have a schedule each, and what is done for all of them is done once, whoever comes first."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pytest

from outbox.store import Store
from service.heartbeat import Heartbeat
from service.jobs import JOBS, Jobs, Said
from tests.integration.store.make import Clock

ENGINES = ("sqlite", "postgres")
SHARED = [job for job in JOBS if job.alone]
SCHEDULES = 4


class Workers:
    """Three of them on one store. done: what they did since they started."""

    def __init__(self, stores: list[Store]) -> None:
        self.done: Counter[str] = Counter()
        self.all = [self._worker(store) for store in stores]
        for jobs in self.all:
            for job in SHARED:
                jobs.run(job.name)
        self.done.clear()

    def _worker(self, store: Store) -> Jobs:
        heartbeat = Heartbeat.of(store, "worker")
        jobs = Jobs(cast(Any, SimpleNamespace(store=store)), lambda cause, params: None, heartbeat, lambda: False)
        for job in SHARED:
            jobs._does[job.name] = lambda name=job.name: self._do(name)  # type: ignore[misc]
        return jobs

    def _do(self, name: str) -> Said:
        self.done[name] += 1
        return "done", {}


@pytest.fixture
def workers(store: Store, opened: Callable[[], Store]) -> Workers:
    return Workers([store, opened(), opened()])


def test_a_job_is_done_once_in_each_of_its_schedules(workers: Workers, clock: Clock) -> None:
    for job in SHARED:
        for _ in range(SCHEDULES):
            for jobs, part in zip(workers.all, (0.3, 0.3, 0.4), strict=True):
                clock.forward(job.every * part)
                jobs.run(job.name)
    assert workers.done == {job.name: SCHEDULES for job in SHARED}


def test_those_who_come_at_the_same_moment_do_it_once(workers: Workers, clock: Clock) -> None:
    with ThreadPoolExecutor(3) as pool:
        for job in SHARED:
            clock.forward(job.every)
            list(pool.map(lambda jobs, name=job.name: jobs.run(name), workers.all))  # type: ignore[misc]
    assert workers.done == {job.name: 1 for job in SHARED}


def test_another_takes_over_the_jobs_of_a_worker_that_is_gone(workers: Workers, clock: Clock) -> None:
    one, *others = workers.all
    for job in SHARED:
        for jobs in (one, *others):
            clock.forward(job.every)
            jobs.run(job.name)
    assert workers.done == {job.name: 3 for job in SHARED}
