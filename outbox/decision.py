"""From a destination's outcomes to what is recorded, as a pure function: retries, dead letters and pauses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from outbox.message import Delivery, Json, Result, State
from outbox.outcome import Delivered, DeliveryError, Later, Outcome, PauseKind, Skipped
from outbox.retry import next_attempt

SERIES = 5
"""How many rows running one cause may kill before the destination pauses instead."""


@dataclass(frozen=True)
class Run:
    """What must be remembered from pass to pass of a lane.

    outage: the row whose failure may be the beginning of an outage. outages: a second row failed so as well.
    dead: the rows that died running of `cause`. alone: rows whose batch raised, to be tried one by one.
    """

    outage: int | None = None
    outages: bool = False
    cause: str = ""
    dead: tuple[int, ...] = ()
    alone: tuple[int, ...] = ()


@dataclass(frozen=True)
class Tried:
    """What is known of the rows of a batch beside their outcomes."""

    exchanges: Mapping[int, Sequence[Mapping[str, Json]]] = field(default_factory=dict)
    begun: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Decision:
    """results and revive: for Store.record. run: to be remembered. kind, error: the pause that begins, if any.

    answered: the other side said something sensible, which ends an outage. succeeded: which ends any pause of ours.
    """

    results: tuple[Result, ...]
    run: Run
    revive: tuple[int, ...] = ()
    kind: PauseKind | None = None
    error: DeliveryError | None = None
    answered: bool = False
    succeeded: bool = False


def judge(
    batch: Sequence[Delivery],
    outcomes: Mapping[int, Outcome],
    run: Run,
    now: float,
    random: Callable[[], float],
    tried: Tried,
) -> Decision:
    """What becomes of these rows, which all have an outcome, in their order. random: numbers in [0, 1)."""
    results: list[Result] = []
    verdict = Decision((), run)
    for row in batch:
        result, verdict = _one(row, outcomes[row.id], verdict, now, random, tried)
        results.append(result)
    if verdict.kind is PauseKind.CAUSE and verdict.error is not None:
        here = {row.id for row in batch}
        cause = verdict.error.params["cause"]
        results = list(spare(replace(verdict, results=tuple(results)), str(cause), now).results)
        revive = tuple(one for one in verdict.run.dead if one not in here)
        verdict = replace(verdict, revive=revive, run=replace(verdict.run, cause="", dead=()))
    return replace(verdict, results=tuple(results))


def _one(
    row: Delivery, outcome: Outcome, verdict: Decision, now: float, random: Callable[[], float], tried: Tried
) -> tuple[Result, Decision]:
    run = verdict.run
    shown = tuple(tried.exchanges.get(row.id, ()))
    if isinstance(outcome, Later):
        return later(row, outcome, now, shown), verdict
    if not isinstance(outcome, DeliveryError):
        run = replace(run, outage=None, outages=False, cause="", dead=(), alone=_without(run.alone, row.id))
        verdict = replace(verdict, run=run, answered=True, succeeded=True)
        return success(row, outcome, shown), _end_outage(verdict)
    if outcome.pause is not None:
        if verdict.kind is not PauseKind.CAUSE:
            verdict = replace(verdict, kind=outcome.pause, error=outcome)
        return paused(row, outcome, shown), verdict
    if outcome.outage and (run.outages or run.outage not in (None, row.id)):
        verdict = replace(verdict, run=replace(run, outages=True))
        if verdict.kind in (None, PauseKind.OUTAGE):
            verdict = replace(verdict, kind=PauseKind.OUTAGE, error=outcome)
        return paused(row, outcome, shown, interrupted=row.id in tried.begun), verdict
    if outcome.outage:
        verdict = replace(verdict, run=replace(run, outage=row.id))
    elif outcome.cause != "internal":
        verdict = _end_outage(replace(verdict, run=replace(run, outage=None, outages=False), answered=True))
    result = failure(
        row, outcome, now, random(), shown, interrupted=outcome.cause == "internal" and row.id in tried.begun
    )
    if result.state == State.DEAD:
        verdict = _count(verdict, row, outcome)
    return result, verdict


def _end_outage(verdict: Decision) -> Decision:
    return replace(verdict, kind=None, error=None) if verdict.kind is PauseKind.OUTAGE else verdict


def _count(verdict: Decision, row: Delivery, error: DeliveryError) -> Decision:
    """One more that died of this cause. A student who is not found is no sign of a fault that all share."""
    run = replace(verdict.run, alone=_without(verdict.run.alone, row.id))
    if error.code == "not_found":
        return replace(verdict, run=run)
    dead = (*run.dead, row.id) if run.cause == error.cause else (row.id,)
    verdict = replace(verdict, run=replace(run, cause=error.cause, dead=dead))
    if len(dead) < SERIES:
        return verdict
    whole = DeliveryError(
        f"{SERIES} deliveries running failed for the same cause: {error.message}",
        cause="same_cause",
        params={**error.params, "cause": error.cause, "params": error.params},
        status=error.status,
    )
    return replace(verdict, kind=PauseKind.CAUSE, error=whole)


def spare(verdict: Decision, cause: str, now: float) -> Decision:
    """The same verdict, but what would have died of this cause waits, as the destination pauses because of it."""
    results = tuple(
        replace(result, state=State.PENDING, outcome="failed", due_at=now, counts=False)
        if result.state == State.DEAD and result.cause == cause
        else result
        for result in verdict.results
    )
    if verdict.run.cause == cause:
        verdict = replace(verdict, run=replace(verdict.run, cause="", dead=()))
    return replace(verdict, results=results)


def _without(ids: tuple[int, ...], one: int) -> tuple[int, ...]:
    return tuple(other for other in ids if other != one)


def give_back(row: Delivery) -> Result:
    """Back to pending as it was: nothing was tried."""
    return Result(row.id, State.PENDING, None, due_at=row.due_at)


def success(row: Delivery, outcome: Delivered | Skipped, exchanges: tuple[Mapping[str, Json], ...]) -> Result:
    skipped = isinstance(outcome, Skipped)
    return Result(
        row.id,
        State.SKIPPED if skipped else State.DELIVERED,
        "skipped" if skipped else "delivered",
        reason=outcome.reason if isinstance(outcome, Skipped) else "",
        detail=outcome.reason if isinstance(outcome, Skipped) else str(outcome.facts.get("note") or ""),
        reference=outcome.reference,
        facts=outcome.facts,
        person=outcome.person,
        lead_id=outcome.lead_id,
        exchanges=exchanges,
    )


def later(row: Delivery, outcome: Later, now: float, exchanges: tuple[Mapping[str, Json], ...]) -> Result:
    return Result(
        row.id,
        State.PENDING,
        "paused",
        due_at=now + outcome.seconds,
        status=outcome.status,
        detail=outcome.reason,
        cause=outcome.cause,
        params=outcome.params,
        lead_id=outcome.lead_id,
        exchanges=exchanges,
    )


def paused(
    row: Delivery,
    error: DeliveryError,
    exchanges: tuple[Mapping[str, Json], ...],
    *,
    due_at: float | None = None,
    interrupted: bool = False,
) -> Result:
    """The destination's fault: the attempt is kept, the row keeps its time and its schedule."""
    told = _told(row, error, exchanges, interrupted)
    return replace(told, due_at=row.due_at if due_at is None else due_at)


def failure(
    row: Delivery,
    error: DeliveryError,
    now: float,
    jitter: float,
    exchanges: tuple[Mapping[str, Json], ...],
    *,
    interrupted: bool = False,
) -> Result:
    """The row's own fault: tried again on the schedule, or dead at its end or by an answer that says so."""
    due = None if error.permanent else next_attempt(row.failures + 1, now, jitter, error.retry_after)
    code = error.code if error.permanent or due is not None or error.code == "not_found" else "exhausted"
    return replace(
        _told(row, error, exchanges, interrupted),
        state=State.DEAD if due is None else State.PENDING,
        outcome="dead" if due is None else "failed",
        reason=f"{code}: {error.message}",
        due_at=due,
        counts=True,
    )


def _told(row: Delivery, error: DeliveryError, exchanges: tuple[Mapping[str, Json], ...], interrupted: bool) -> Result:
    """What an error tells of a row, whosever fault it is."""
    return Result(
        row.id,
        State.PENDING,
        "paused",
        status=error.status,
        detail=error.message,
        cause=error.cause,
        params=error.params,
        facts=error.facts,
        person=error.person,
        lead_id=error.lead_id,
        exchanges=exchanges,
        interrupted=interrupted,
    )
