"""One lane: claim what is due for one destination, hand it over, record what became of it."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from outbox import decision, pauses
from outbox.context import LaneContext
from outbox.failpoints import failpoint
from outbox.message import Delivery, Json, Result, State, StoreUnavailable
from outbox.outcome import Delivered, DeliveryError, Destination, LeaseLost, Outcome, PauseKind, Skipped, Stopping
from outbox.shared import Lease
from outbox.store import LaneStore

log = logging.getLogger(__name__)

LEASE = 30.0
HEARTBEAT = 10.0
IDLE = 30.0
"""Seconds after which a lane looks again, even if nobody woke it."""

AFTER_FAULT = 5.0
ASIDE = 1.0
"""Seconds by which a probe that failed comes after the end of the pause, so that the next probe takes another row."""

HEED = 10.0
"""Seconds between two looks whether the clock was set back."""

ALONE = 1000
"""How many rows are remembered, at most, to be tried one by one."""

Alert = Callable[[str, Mapping[str, Json]], None]


@dataclass(frozen=True)
class PassResult:
    """claimed: how many rows the pass took. next_due: when the next is due. paused: nothing goes out now;
    paused_until: until then, None until somebody acts. stuck: rows were taken, and nothing became of any."""

    claimed: int = 0
    next_due: float | None = None
    paused: bool = False
    paused_until: float | None = None
    stuck: bool = False


class Lane:
    """Drains one destination, alone among all processes, as long as it holds the lease `lane:<name>`.

    random: numbers in [0, 1). stopping: asked before each request; True ends the pass: what was begun is finished,
    the rest goes back. alert: told the cause and params of a pause that begins, where a person should know.
    rest: sleeps.
    """

    def __init__(
        self,
        store: LaneStore,
        destination: Destination,
        owner: str,
        *,
        random: Callable[[], float],
        stopping: Callable[[], bool],
        alert: Alert,
        now: Callable[[], float] | None = None,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        self.store = store
        self.destination = destination
        self.name = destination.name
        self.owner = owner
        self.random = random
        self.stopping = stopping
        self.alert = alert
        self.now = now or store.now
        self.rest = rest
        self.lease: Lease | None = None
        self._heeded = -HEED

    # -- one pass

    def run_pass(self) -> PassResult:
        """Claim once and deliver what was claimed. Raises LeaseLost, StoreUnavailable; needs `acquire` before."""
        assert self.lease is not None
        pauses.heed_settings(self.store.key_values, self.store.lanes, self.name, self.destination.fingerprint)
        if self.destination.missing():
            return PassResult()
        paused = pauses.read(self.store.key_values, self.name)
        if paused is not None and not paused.over(self.now()):
            return PassResult(paused=True, paused_until=paused.until)
        probe = paused is not None
        batch = self._claim(probe, paused.params.get("try") if paused is not None else None)
        if not batch:
            if self._heed_clock():
                return PassResult(next_due=self.now())
            return PassResult(next_due=self.store.lanes.next_due(self.name))
        failpoint(f"{self.name}-after-claim")
        run = BatchRun(self, self.lease, batch, paused, probe)
        run.run()
        return PassResult(claimed=len(batch), stuck=run.given_back == run.taken and not self.stopping())

    def _claim(self, probe: bool, chosen: int | None) -> list[Delivery]:
        """chosen: the one that somebody wants to try, if it still waits."""
        assert self.lease is not None
        limit = 1 if probe else self.destination.batch
        whole_keys = self.destination.whole_keys and not probe
        newest_first = self.destination.newest_first
        take = self.store.lanes.claim
        if chosen is not None and (
            batch := take(self.lease, self.name, limit, whole_keys=whole_keys, newest_first=newest_first, only=chosen)
        ):
            return batch
        return take(self.lease, self.name, limit, whole_keys=whole_keys, newest_first=newest_first)

    def _heed_clock(self) -> int:
        if time.monotonic() - self._heeded < HEED:
            return 0
        self._heeded = time.monotonic()
        return self.store.lanes.heed_clock(self.name)

    # -- the loop of a worker

    def acquire(self) -> bool:
        self.lease = self.store.leases.acquire(f"lane:{self.name}", self.owner, LEASE)
        return self.lease is not None

    def loop(self, woken: Callable[[], bool] = lambda: False) -> None:
        """Drain until `stopping()`. Whatever goes wrong, it goes on. woken: somebody wants a pass now."""
        while not self.stopping():
            try:
                if not self.acquire():
                    self._pause(1.0)
                    continue
                with self._heartbeat():
                    self._drain(woken)
            except LeaseLost:
                log.warning("lane %s: another worker has taken over", self.name)
            except StoreUnavailable as error:
                log.error("lane %s: %s", self.name, error)
                self._pause(AFTER_FAULT)
            except Exception as error:
                log.error("lane %s: %s", self.name, describe(error))
                self._pause(AFTER_FAULT)

    def _drain(self, woken: Callable[[], bool]) -> None:
        while not self.stopping():
            done = self.run_pass()
            if done.stuck:
                self._pause(AFTER_FAULT)
            elif not done.claimed:
                times = [at for at in (done.next_due, done.paused_until) if at is not None]
                seconds = min([IDLE, *(max(0.0, at - self.now()) for at in times)])
                self.store.lanes.wait(seconds, lambda: self.stopping() or woken())

    @contextmanager
    def _heartbeat(self) -> Iterator[None]:
        """Renew the lease from another thread. One that is lost is noticed by whoever uses it next."""
        assert self.lease is not None
        lease, over = self.lease, threading.Event()

        def beat() -> None:
            while not over.wait(HEARTBEAT):
                try:
                    if self.store.leases.renew(lease, LEASE) is None:
                        return
                except StoreUnavailable as error:
                    log.error("lane %s: the lease was not renewed: %s", self.name, error)

        thread = threading.Thread(target=beat, name=f"heartbeat-{self.name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            try:
                self.store.leases.release(lease)
            except StoreUnavailable as error:
                log.error("lane %s: the lease was not released: %s", self.name, error)

    def _pause(self, seconds: float) -> None:
        """Rest after a fault, but never longer than a stop may wait."""
        end = time.monotonic() + seconds
        while not self.stopping() and time.monotonic() < end:
            self.rest(0.1)


class BatchRun:
    """What is in hand during one pass: rows are handed over, settled one after the other, and the rest given back."""

    def __init__(
        self, lane: Lane, lease: Lease, batch: Sequence[Delivery], paused: pauses.Paused | None, probe: bool
    ) -> None:
        self.lane = lane
        self.store = lane.store
        self.lease = lease
        self.left = {row.id: row for row in batch}
        self.paused = paused
        self.probe = probe
        # A pause without an end has one only while somebody tries one delivery.
        self.trial = paused if paused is not None and paused.kind is PauseKind.CAUSE else None
        entry = self.store.key_values.get(pauses.RUN, lane.name)
        self.stored = self.run_state = load(entry.value) if entry else decision.Run()
        self.waiting: set[str] = set()  # the keys of rows that were tried and have to wait
        self.rested = False  # a pause began in this pass
        self.spared = ""  # the cause of which so many died that the destination pauses: no more die of it
        self.unsent: frozenset[int] = frozenset()  # begun ahead of their turn, which did not come
        self.taken, self.given_back = len(batch), 0

    def run(self) -> None:
        for part in self._parts():
            if self.rested or self.lane.stopping() or self._blocked(part):
                continue
            self._deliver(part)
        self._give_back()

    def _parts(self) -> list[list[Delivery]]:
        """The batch as one, but the keys of rows whose batch once raised: those go row by row."""
        rows = list(self.left.values())
        alone = set(self.run_state.alone)
        keys = {row.key for row in rows if row.id in alone and row.key is not None}
        single = {row.id for row in rows if row.id in alone or row.key in keys}
        together = [row for row in rows if row.id not in single]
        return ([together] if together else []) + [[row] for row in rows if row.id in single]

    def _blocked(self, part: Sequence[Delivery]) -> bool:
        """Whether an earlier row of its key waits on: the later one must not overtake it."""
        first = part[0]
        if len(part) > 1 or first.key is None:
            return False
        return first.key in self.waiting or any(
            row.key == first.key and row.id < first.id for row in self.left.values()
        )

    def _deliver(self, part: list[Delivery]) -> None:
        # Once a pause has begun nothing more leaves, even where the destination is still at work on its batch.
        context = LaneContext(
            self.store.lanes,
            self.lease,
            part,
            lambda: self.rested or self.lane.stopping(),
            lambda outcomes: self._settle(part, outcomes, context),
            lambda keys: self._join(part, keys),
        )
        try:
            outcomes = self.lane.destination.deliver(part, context)
        except LeaseLost:
            raise
        except Stopping:
            return
        except DeliveryError as error:
            self._rest(part, error, context)
        except StoreUnavailable:
            raise
        except Exception as error:
            self._stumble(part, error, context)
        else:
            self._settle(part, outcomes, context)
        finally:
            self.unsent |= context.unsent()

    def _join(self, part: list[Delivery], keys: Sequence[str]) -> Sequence[Delivery]:
        """More of the batch. Those whose batch once raised are not for it: they go row by row in a later pass."""
        if self.probe:
            return []
        destination = self.lane.destination
        rows = self.store.lanes.claim(
            self.lease,
            self.lane.name,
            len(keys),
            whole_keys=destination.whole_keys,
            newest_first=destination.newest_first,
            keys=keys,
        )
        self.left.update({row.id: row for row in rows})
        self.taken += len(rows)
        alone = set(self.run_state.alone)
        strange = {row.key for row in rows if row.id in alone}
        good = [row for row in rows if row.key not in strange]
        part += good
        return good

    def _settle(self, part: Sequence[Delivery], outcomes: Mapping[int, Outcome], context: LaneContext) -> None:
        """Record these outcomes in one transaction, and what follows from them for the destination."""
        rows = [row for row in part if row.id in self.left and self._known(outcomes.get(row.id), outcomes)]
        if not rows:
            return
        now = self.lane.now()
        decided = decision.decide(rows, outcomes, self.run_state, now, self.lane.random, context.tried())
        if self.spared:
            decided = decision.spare(decided, self.spared, now)
        if self.trial is not None:
            decided = decision.spare(decided, str(self.trial.params.get("cause")), now)
        begins = None
        if decided.kind and decided.error is not None:
            before = None if decided.succeeded else self.paused
            begins = pauses.next_pause(before, decided.error, decided.kind, now, self.lane.random())
            if self.probe and begins.until is not None:
                # The next probe takes another row, if there is one: this one may be what is wrong.
                decided = replace(decided, results=tuple(put_off(result, begins.until) for result in decided.results))
        failpoint(f"{self.lane.name}-after-send")
        self.store.lanes.record(self.lease, decided.results, decided.revive)
        failpoint(f"{self.lane.name}-after-record")
        self._done(decided.results)
        self._remember(decided.run)
        if self.trial is not None:
            outcome = outcomes[rows[0].id]
            self._end_trial(rows[0].id, outcome if isinstance(outcome, DeliveryError) else None, decided.succeeded)
            return
        self._end_pause(decided)
        if begins is not None:
            self._begin_pause(begins)
        if decided.kind is PauseKind.CAUSE:
            self.spared = str(begins.params["cause"]) if begins else ""

    def _known(self, outcome: Outcome | None, outcomes: Mapping[int, Outcome]) -> bool:
        """A row that another made needless is known only once that other is."""
        if isinstance(outcome, Skipped) and outcome.by in self.left:
            return isinstance(outcomes.get(outcome.by), Delivered | Skipped)
        return outcome is not None

    def _done(self, results: Sequence[Result]) -> None:
        for result in results:
            row = self.left.pop(result.delivery_id)
            if result.state == State.PENDING and row.key is not None:
                self.waiting.add(row.key)

    def _rest(self, part: Sequence[Delivery], error: DeliveryError, context: LaneContext) -> None:
        """The destination said that it is not one row's fault: it pauses, and nothing counts."""
        tried = context.tried()
        kind = error.pause or PauseKind.OUTAGE
        begins = pauses.next_pause(self.paused, error, kind, self.lane.now(), self.lane.random())
        left = [row for row in part if row.id in self.left]
        worked_on = [row for row in left if row.id in tried.begun] or left
        results = [
            decision.paused(
                row,
                error,
                tuple(tried.exchanges.get(row.id, ())),
                due_at=begins.until + ASIDE if self.probe and begins.until is not None else None,
                interrupted=kind is PauseKind.OUTAGE and row.id in tried.begun,
            )
            for row in worked_on
        ]
        self.store.lanes.record(self.lease, results)
        self._done(results)
        if self.trial is not None:
            self._end_trial(part[0].id, error, False)
            return
        if kind is PauseKind.OUTAGE:
            self._remember(replace(self.run_state, outages=True))
        self._begin_pause(begins)

    def _stumble(self, part: Sequence[Delivery], error: Exception, context: LaneContext) -> None:
        """An error of our own: it counts for all rows that may have caused it, which go one by one from now on."""
        words = describe(error)
        log.error("lane %s: %s", self.lane.name, words)
        rows = [row for row in part if row.id in self.left]
        if len(rows) > 1:
            alone = (*self.run_state.alone, *(row.id for row in rows))[-ALONE:]
            self._remember(replace(self.run_state, alone=alone))
        fault = DeliveryError(words, cause="internal", params={"detail": words})
        self._settle(rows, {row.id: fault for row in rows}, context)

    def _end_trial(self, delivery_id: int, error: DeliveryError | None, succeeded: bool) -> None:
        """One was let out of a pause that five alike began: all others rest on until somebody has seen how it went."""
        assert self.trial is not None
        if error is None and not succeeded:
            error = DeliveryError("it has to wait for something else", cause="same_cause")
        rests = pauses.tried(self.trial, delivery_id, error)
        self.paused = pauses.begin(self.store.key_values, self.lane.name, rests)
        self.rested = True

    def _end_pause(self, decided: decision.Decision) -> None:
        paused = self.paused
        if paused is None or paused.kind is PauseKind.OPERATOR:
            return
        if decided.succeeded or (decided.answered and paused.kind is PauseKind.OUTAGE):
            pauses.lift(self.store.key_values, self.lane.name, paused)
            self.paused = None

    def _begin_pause(self, begins: pauses.Paused) -> None:
        self.rested = True
        if self.paused is None:
            begins = replace(begins, version=0)
        self.paused = pauses.begin(self.store.key_values, self.lane.name, begins) or self.paused
        log.warning("lane %s: pauses: %s", self.lane.name, begins.cause)
        if begins.step == begins.kind.rules.told_at:
            try:
                self.lane.alert(begins.cause, {**begins.params, "destination": self.lane.name})
            except Exception as error:
                log.error("lane %s: the alert failed: %s", self.lane.name, describe(error))

    def _remember(self, run: decision.Run) -> None:
        self.run_state = run
        if run != self.stored:
            self.store.key_values.put(pauses.RUN, self.lane.name, asdict(run))
            self.stored = run

    def _give_back(self) -> None:
        self.given_back = len(self.left)
        if self.left:
            results = [decision.give_back(row, unsent=row.id in self.unsent) for row in self.left.values()]
            self.store.lanes.record(self.lease, results)


def put_off(result: Result, until: float) -> Result:
    return replace(result, due_at=until + ASIDE) if result.outcome == "paused" else result


def load(value: Mapping[str, Any]) -> decision.Run:
    return decision.Run(**{**value, "dead": tuple(value["dead"]), "alone": tuple(value["alone"])})


def describe(error: BaseException) -> str:
    """What kind of error and where, without its message, which may hold what a person wrote."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    where = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{type(error).__name__} at {where}" if where else type(error).__name__
