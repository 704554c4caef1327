"""The worker process: a thread per lane that drains it, and scheduled jobs round them; it ends cleanly when asked."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.schedulers.background import BackgroundScheduler
from flask import Flask

from outbox.clock import SKEW
from outbox.drain import Lane
from outbox.message import StoreUnavailable
from service.alerts import Alerts
from service.current import Dealpost
from service.heartbeat import WORKER_EVERY, Heartbeat, show_in_background
from service.job_threads import ThreadPerJob
from service.jobs import JOBS, Jobs
from service.lane_figures import CountedLaneStore
from service.stop_flag import StopFlag

logger = logging.getLogger(__name__)

TICK = 5.0
"""Seconds after which a lane looks for due rows even if nobody woke it."""

PATIENCE = 24.0
"""Seconds that a stop may take: hosts kill after 30."""

DEFAULTS = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}


class Bell:
    """Rung by a timer, heard once by its lane."""

    def __init__(self) -> None:
        self._rung = threading.Event()

    def ring(self) -> None:
        self._rung.set()

    def heard(self) -> bool:
        rung = self._rung.is_set()
        self._rung.clear()
        return rung


class Worker:
    """Runs until `stop` is called, from a signal's handler for example."""

    def __init__(self, app: Flask) -> None:
        self._dealpost: Dealpost = app.extensions["dealpost"]
        self._stopping = StopFlag()
        self._dealpost.wiring.wait.stopping = self._stopping.is_set
        self._heartbeat = Heartbeat.of(self._dealpost.store, "worker")
        self._alerts = Alerts(app)
        self._jobs = Jobs(self._dealpost, self._alerts, self._heartbeat, self._stopping.is_set)
        self._bells: list[Bell] = []
        self._lanes: list[threading.Thread] = []
        self._ahead = time.time() - time.monotonic()
        self._scheduler = BackgroundScheduler(  # type: ignore[no-untyped-call]
            executors={"default": ThreadPerJob()}, job_defaults=DEFAULTS, timezone="UTC"
        )
        self._scheduler.add_listener(self._missed, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)  # type: ignore[no-untyped-call]

    def stop(self, *_: Any) -> None:
        """Claim nothing more, finish what was begun. May be called more than once."""
        self._stopping.set()
        # The lanes look at the flag by themselves; taking a lock in a signal's handler could hang.

    def run(self) -> None:
        """Returns when everything has ended, or after PATIENCE seconds of waiting for it."""
        logger.info("The worker %s starts", self._heartbeat.name)
        fall_silent = show_in_background(self._heartbeat, WORKER_EVERY)
        self._dealpost.wiring.figures.start()
        self._alerts.start()
        for name, destination in self._dealpost.wiring.destinations.items():
            bell = Bell()
            lane = Lane(
                CountedLaneStore(self._dealpost.store, name, self._dealpost.wiring.counters),
                destination,
                self._heartbeat.owner,
                random=random.random,
                stopping=self._stopping.is_set,
                alert=self._alert,
            )
            self._bells.append(bell)
            self._lanes.append(self._start(f"lane-{name}", lane.loop, bell.heard))
        self._schedule()
        while not self._stopping.wait(1.0):
            self._heed_clock()
        logger.info("The worker stops: what was begun is finished first")
        end = time.monotonic() + PATIENCE
        ended = self._start("scheduler-stop", self._scheduler.shutdown)
        for thread in (*self._lanes, ended):
            thread.join(max(0.0, end - time.monotonic()))
        self._alerts.stop(max(0.1, min(3.0, end - time.monotonic())))
        fall_silent()
        self._dealpost.wiring.figures.flush()
        late = [thread.name for thread in (*self._lanes, ended) if thread.is_alive()]
        if late:
            logger.warning("Not finished in time: %s; what was in hand is taken up again later", ", ".join(late))
        self._leave(late)
        if late:
            # Not by sys.exit: the interpreter would tear down what those threads still use.
            logging.shutdown()
            os._exit(0)

    def _leave(self, late: Sequence[str]) -> None:
        store = self._dealpost.store
        try:
            self._heartbeat.leave()
            if late:  # and their connections in use: the database then has everything, though the log stays
                store.maintenance.checkpoint()
        except StoreUnavailable as error:
            logger.warning("The last word could not be written: %s", error)
        if not late:
            store.close()
        logger.info("The worker has stopped")

    def _alert(self, cause: str, params: Mapping[str, Any]) -> None:
        self._alerts(cause, params)

    def _schedule(self) -> None:
        self._scheduler.add_job(self._tick, "interval", seconds=TICK, id="drain")  # type: ignore[no-untyped-call]
        for job in JOBS:
            # No one-shot jobs for the start: a scheduler that is stopped meanwhile stumbles over their removal.
            first = {"next_run_time": datetime.now(UTC)} if job.at_start else {}
            self._scheduler.add_job(  # type: ignore[no-untyped-call]
                self._jobs.run, "interval", seconds=job.every, args=[job.name], id=job.name, **first
            )
        self._jobs.plan()
        self._scheduler.start()  # type: ignore[no-untyped-call]

    def _heed_clock(self) -> None:
        """The scheduler goes by the wall clock: after that was set back, its jobs would wait for it to catch up."""
        ahead = time.time() - time.monotonic()
        if self._ahead - ahead > SKEW:
            logger.warning("The clock was set back by %.0f s", self._ahead - ahead)
            for name, every in (("drain", TICK), *((job.name, job.every) for job in JOBS)):
                self._scheduler.reschedule_job(name, trigger="interval", seconds=every)  # type: ignore[no-untyped-call]
        self._ahead = ahead

    def _tick(self) -> None:
        # Only a bell: waking a job that runs would be lost.
        for bell in self._bells:
            bell.ring()

    def _missed(self, event: JobEvent) -> None:
        logger.warning("The job %s could not start in time", event.job_id)

    def _start(self, name: str, target: Callable[..., Any], *args: Any) -> threading.Thread:
        # Daemons: a request that hangs must not keep the process from ending.
        thread = threading.Thread(target=target, args=args, name=name, daemon=True)
        thread.start()
        return thread
