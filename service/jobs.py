"""The scheduled jobs of the worker: what each does, how often, and what became of it, as the page shows it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from outbox.clock import was_before
from outbox.drain import describe
from outbox.message import StoreUnavailable
from outbox.outcome import DeliveryError, PauseKind, Stopping
from service.current import Dealpost
from service.heartbeat import Heartbeat, ping
from service.job_results import JobResult, JobResults
from service.operator.consent_links import ConsentLinks
from service.operator.resends import Resends
from service.operator.sessions import SignedOut
from service.routing import AMOCRM
from service.situations.gather import free_bytes, gather
from service.situations.rules import find

logger = logging.getLogger(__name__)

MINUTE, DAY = 60.0, 24 * 3600.0
LEASE = 300.0
LATELY = 0.9
"""The part of its interval in which a job that another worker has done is not done again. Not the whole: the turn after
one that came a little late is no interval away."""

LEAP = 3 * DAY
"""Seconds since the last clearing after which the clock may have been set forward by mistake: what seems old then stays
for another day, in which somebody may notice."""

ALERTS_TOLD = "alerts_told"
TOLD = ("failing", "unmapped", "refused", "token", "stage", "source", "disk")
"""Situations that nobody else tells of: what stops a destination is told by its lane, a failed job by itself."""

LASTS = 10 * MINUTE
"""Seconds that one of them lasts before somebody is told."""

Alert = Callable[[str, Mapping[str, Any]], Any]
Said = tuple[str, Mapping[str, Any]]
"""What a job tells of itself: a code that the page has words for, and the params of those words."""


@dataclass(frozen=True)
class Job:
    """One job. every: seconds. at_start: also when the worker starts. alone: one worker at a time does it, for all."""

    name: str
    every: float
    at_start: bool = False
    alone: bool = True
    shown: bool = True  # on the page


JOBS = (
    Job("tokens", MINUTE, at_start=True, alone=False),  # the token owner has a lease of its own
    Job("hook", 10 * MINUTE, at_start=True),
    Job("reconcile", MINUTE, at_start=True),  # one request, and none while the webhooks are not in use
    Job("ping", MINUTE, at_start=True, alone=False),  # it tells that this worker lives
    Job("checkpoint", 20.0, shown=False),
    Job("situations", MINUTE, shown=False),
    Job("prune", DAY, at_start=True),
)


class NotDone(Exception):
    """The job was not done, and a person was told; there is nothing to keep."""


class Jobs:
    """Runs a job by its name, whatever goes wrong, and keeps what became of it."""

    def __init__(self, dealpost: Dealpost, alert: Alert, heartbeat: Heartbeat, stopping: Callable[[], bool]) -> None:
        self._dealpost, self._alert, self._heartbeat, self._stopping = dealpost, alert, heartbeat, stopping
        self._results = JobResults(dealpost.store.key_values)
        self._jobs = {job.name: job for job in JOBS}
        self._begun: set[str] = set()
        self._does: dict[str, Callable[[], Said]] = {
            "tokens": self._tokens,
            "hook": self._hook,
            "reconcile": self._reconcile,
            "ping": self._ping,
            "checkpoint": self._checkpoint,
            "prune": self._prune,
            "situations": self._situations,
        }

    def plan(self) -> None:
        """Show each job before it has run for the first time, if that can be written."""
        now = self._dealpost.store.now()
        try:
            known = {result.name for result in self._results.all()}
            planned = [
                JobResult(job.name, job.every, next_at=now + job.every)
                for job in JOBS
                if job.shown and job.name not in known
            ]
            self._results.put(*planned)
        except StoreUnavailable as error:
            logger.error("The jobs are not shown yet: %s", error)

    def run(self, name: str) -> None:
        """Do it now, unless another worker is doing it or has just done it; the first time whoever did it before."""
        job = self._jobs[name]
        if self._stopping():
            return
        first = job.at_start and name not in self._begun
        self._begun.add(name)
        try:
            if not job.alone:
                self._do(job)
                return
            lease = self._dealpost.store.leases.acquire(f"job:{name}", self._heartbeat.owner, LEASE)
            if lease is None:
                return
            try:
                if first or not self._done_lately(job):
                    self._do(job)
            finally:
                self._dealpost.store.leases.release(lease)
        except Exception as error:
            logger.error("The job %s: %s", name, describe(error))

    def _done_lately(self, job: Job) -> bool:
        result = self._results.get(job.name)
        last = result.last_at if result else None
        return was_before(last, self._dealpost.store.now(), job.every * LATELY)

    def _do(self, job: Job) -> None:
        began = self._dealpost.store.now()
        try:
            outcome = "done"
            detail, params = self._does[job.name]()
        except (Stopping, NotDone):
            return
        except DeliveryError as error:
            # Known trouble of the other side: the job tries again, and a person hears only of what needs one.
            outcome, detail, params = "waits", error.reason, dict(error.params)
            lost = error.pause is PauseKind.RECONNECT and self._dealpost.wiring.amocrm.tokens.is_lost()
            if lost or (error.pause is not None and error.pause.rules.told_at == 1):
                self._alert(error.cause, error.params)
        except Exception as error:
            outcome, detail, params = "failed", describe(error), {}
            logger.error("The job %s failed: %s", job.name, detail)
            if isinstance(error, StoreUnavailable) and self._store_refuses():
                return  # a person was told the cause, and nothing can be kept
            self._alert("job_failed", {"job": job.name})
        kept = self._results.get(job.name)
        if kept and kept.last_at is not None and began < kept.last_at <= self._dealpost.store.now():
            return  # somebody changed what was being looked at, and told so: they know better
        self._results.put(JobResult(job.name, job.every, began, began + job.every, outcome, detail, params, job.shown))

    # -- the jobs

    def _tokens(self) -> Said:
        tokens = self._dealpost.wiring.amocrm.tokens
        return ("renewed" if tokens.connected() and tokens.refresh() else "not_due"), {}

    def _hook(self) -> Said:
        found = self._dealpost.wiring.webhook.check()
        if found in ("hook_off", "hook_unknown"):
            self._alert(found, {"destination": AMOCRM})
        return found, {}

    def _reconcile(self) -> Said:
        return "missed", {"count": self._dealpost.wiring.missed_changes.fetch()}

    def _ping(self) -> Said:
        """Only a service that accepts lives; whoever waits for the ping hears of a store that takes nothing, too."""
        if self._store_refuses():
            raise NotDone
        return ("sent" if ping(self._dealpost.settings.heartbeat_url) else "no_address"), {}

    def _store_refuses(self) -> bool:
        """Whether the store takes no events now; then a person was told so, and why."""
        try:
            self._dealpost.store.maintenance.probe()
        except Exception as error:
            logger.error("The store takes no events: %s", error)
            free = free_bytes(self._dealpost)
            megabytes = "—" if free is None else free // (1024 * 1024)
            full = "full" in str(error).lower()
            self._alert("store_full" if full else "store_refuses", {"free": megabytes, "fault": type(error).__name__})
            return True
        return False

    def _checkpoint(self) -> Said:
        self._dealpost.store.maintenance.checkpoint()
        return "", {}

    def _situations(self) -> Said:
        """Tell of deliveries that did not arrive, once for each new lot, and of what else needs somebody, once while it
        lasts."""
        signals = gather(self._dealpost)
        told = {key: entry.value for key, entry in self._dealpost.store.key_values.items(ALERTS_TOLD).items()}
        before = told.pop("dead", 0)
        if signals.dead < before or (signals.dead > before and self._alert("not_delivered", {"count": signals.dead})):
            self._dealpost.store.key_values.put(ALERTS_TOLD, "dead", signals.dead)
        lasting = {}
        for one in find(signals):
            if one.code in TOLD and (one.since is None or signals.now - one.since > LASTS):
                lasting[f"{one.code}:{one.cause}:{one.destination}"] = one
        for key, one in lasting.items():
            params = {**one.params, "destination": one.destination, "count": one.count}
            if key not in told and self._alert(one.cause, params):
                self._dealpost.store.key_values.put(ALERTS_TOLD, key, signals.now)
        if over := [key for key in told if key not in lasting]:
            self._dealpost.store.key_values.delete(ALERTS_TOLD, over)
        return "", {}

    def _prune(self) -> Said:
        store = self._dealpost.store
        before = store.now() - self._dealpost.settings.retention_days * DAY
        last = self._results.get("prune")
        if last is not None and last.last_at is not None and store.now() - last.last_at > LEAP:
            return "cleared", {"count": 0}
        count = 0
        while not self._stopping() and (part := store.maintenance.prune(before)):
            count += part
        self._heartbeat.tidy()
        self._dealpost.wiring.deals.tidy()
        self._dealpost.wiring.records.tidy()
        self._dealpost.wiring.stage_changes.changes.sweep()
        self._dealpost.wiring.amocrm.absences.sweep()
        ConsentLinks(store.key_values, store.now).tidy()
        Resends(store.key_values, store.now).tidy()
        SignedOut(store.key_values, store.now).tidy()
        return "cleared", {"count": count}
