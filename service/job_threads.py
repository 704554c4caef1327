"""Where scheduled jobs run: each in a thread of its own, which ends with it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from apscheduler.executors.base import BaseExecutor, run_job


class ThreadPerJob(BaseExecutor):
    """In a pool every thread does every job in the course of time, and keeps a connection to the store with the
    compiled statements of all of them: megabytes each. A job's thread leaves nothing.

    Reference: https://apscheduler.readthedocs.io/en/3.x/extending.html
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._threads: list[threading.Thread] = []

    def shutdown(self, wait: bool = True) -> None:
        for thread in self._threads if wait else ():
            thread.join()

    def _do_submit_job(self, job: Any, run_times: Sequence[datetime]) -> None:
        # Daemons, as the lanes are.
        thread = threading.Thread(target=self._run, args=(job, run_times), name=f"job-{job.id}", daemon=True)
        self._threads = [*(one for one in self._threads if one.is_alive()), thread]
        thread.start()

    def _run(self, job: Any, run_times: Sequence[datetime]) -> None:
        try:
            events = run_job(job, job._jobstore_alias, run_times, self._logger.name)  # type: ignore[no-untyped-call]
        except BaseException as error:
            self._run_job_error(job.id, error, sys.exc_info()[2])  # type: ignore[no-untyped-call]
        else:
            self._run_job_success(job.id, events)  # type: ignore[no-untyped-call]
