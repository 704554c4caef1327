"""From a destination's outcomes to what is recorded, as a pure function: retries, dead letters and pauses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from outbox.message import Delivery, Json, Reason, Result, State
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


def decide(
    batch: Sequence[Delivery],
    outcomes: Mapping[int, Outcome],
    run: Run,
    now: float,
    random: Callable[[], float],
    tried: Tried,
) -> Decision:
    """What becomes of these rows, which all have an outcome, in their order. random: numbers in [0, 1)."""
    results: list[Result] = []
    decision = Decision((), run)
    for row in batch:
        result, decision = _decide_row(row, outcomes[row.id], decision, now, random, tried)
        results.append(result)
    if decision.kind is PauseKind.CAUSE and decision.error is not None:
        here = {row.id for row in batch}
        cause = decision.error.params["cause"]
        results = list(spare(replace(decision, results=tuple(results)), str(cause), now).results)
        revive = tuple(dead for dead in decision.run.dead if dead not in here)
        decision = replace(decision, revive=revive, run=replace(decision.run, cause="", dead=()))
    return replace(decision, results=tuple(results))


def _decide_row(
    row: Delivery, outcome: Outcome, decision: Decision, now: float, random: Callable[[], float], tried: Tried
) -> tuple[Result, Decision]:
    run = decision.run
    shown = tuple(tried.exchanges.get(row.id, ()))
    if isinstance(outcome, Later):
        return later(row, outcome, now, shown), decision
    if not isinstance(outcome, DeliveryError):
        run = replace(run, outage=None, outages=False, cause="", dead=(), alone=_without(run.alone, row.id))
        decision = replace(decision, run=run, answered=True, succeeded=True)
        return success(row, outcome, shown), _end_outage(decision)
    if outcome.pause is not None:
        if decision.kind is not PauseKind.CAUSE:
            decision = replace(decision, kind=outcome.pause, error=outcome)
        return paused(row, outcome, shown), decision
    if outcome.outage and (run.outages or run.outage not in (None, row.id)):
        decision = replace(decision, run=replace(run, outages=True))
        if decision.kind in (None, PauseKind.OUTAGE):
            decision = replace(decision, kind=PauseKind.OUTAGE, error=outcome)
        return paused(row, outcome, shown, interrupted=row.id in tried.begun), decision
    if outcome.outage:
        decision = replace(decision, run=replace(run, outage=row.id))
    elif outcome.cause != "internal":
        decision = _end_outage(replace(decision, run=replace(run, outage=None, outages=False), answered=True))
    result = failure(
        row, outcome, now, random(), shown, interrupted=outcome.cause == "internal" and row.id in tried.begun
    )
    if result.state == State.DEAD:
        decision = _count(decision, row, outcome)
    return result, decision


def _end_outage(decision: Decision) -> Decision:
    return replace(decision, kind=None, error=None) if decision.kind is PauseKind.OUTAGE else decision


def _count(decision: Decision, row: Delivery, error: DeliveryError) -> Decision:
    """One more that died of this cause. A student who is not found is no sign of a fault that all share."""
    run = replace(decision.run, alone=_without(decision.run.alone, row.id))
    if error.code == "not_found":
        return replace(decision, run=run)
    dead = (*run.dead, row.id) if run.cause == error.cause else (row.id,)
    decision = replace(decision, run=replace(run, cause=error.cause, dead=dead))
    if len(dead) < SERIES:
        return decision
    whole = DeliveryError(
        f"{SERIES} deliveries running failed for the same cause: {error.message}",
        cause="same_cause",
        params={**error.params, "cause": error.cause, "params": error.params, "rows": list(dead)},
        status=error.status,
    )
    return replace(decision, kind=PauseKind.CAUSE, error=whole)


def spare(decision: Decision, cause: str, now: float) -> Decision:
    """The same, but what would have died of this cause waits, as the destination pauses because of it."""
    results = tuple(
        replace(result, state=State.PENDING, outcome="failed", due_at=now, counts=False)
        if result.state == State.DEAD and result.cause == cause
        else result
        for result in decision.results
    )
    if decision.run.cause == cause:
        decision = replace(decision, run=replace(decision.run, cause="", dead=()))
    return replace(decision, results=results)


def _without(ids: tuple[int, ...], delivery_id: int) -> tuple[int, ...]:
    return tuple(other for other in ids if other != delivery_id)


def give_back(row: Delivery, *, unsent: bool) -> Result:
    """Back to pending as it was. unsent: it was begun ahead of its turn, which did not come."""
    return Result(row.id, State.PENDING, None, due_at=row.due_at, unsent=unsent)


def success(row: Delivery, outcome: Delivered | Skipped, exchanges: tuple[Mapping[str, Json], ...]) -> Result:
    skipped = isinstance(outcome, Skipped)
    return Result(
        row.id,
        State.SKIPPED if skipped else State.DELIVERED,
        "skipped" if skipped else "delivered",
        reason=outcome.reason if isinstance(outcome, Skipped) else "",
        detail=outcome.reason if isinstance(outcome, Skipped) else str(outcome.facts.get("note") or ""),
        cause=outcome.cause if isinstance(outcome, Skipped) else "",
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
        reason=Reason.of(code, error.message),
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
