"""One pass over up to 250 deliveries: find the deals, judge them, and write stage by stage.

Rows of one student go in the order in which they came, one round per stage, so that each stage's robots and mails in
amoCRM have their turn; within a round the deals of all students are written in batches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from outbox.message import Delivery
from outbox.outcome import DeliveryError, Outcome
from service.amocrm.client import AmocrmClient
from service.amocrm.payloads import Lead, Pipeline, place
from service.amocrm.pipelines import Pipelines, Target
from service.amocrm.stage_changes.own import Known, OwnChanges
from service.destinations.deals import outcomes
from service.destinations.deals.attempt_log import ExchangeRecorder
from service.destinations.deals.lookup import Lookup
from service.destinations.deals.rules import Verdict, judge
from service.destinations.deals.write import SERIES, Fault, Move, Writer, Written

if TYPE_CHECKING:
    from outbox.outcome import DeliveryContext

LOG_WAIT = 5.0
"""Seconds for which amoCRM's log of events may be read before it counts as closed."""

TURNS = 3
"""How often a row is judged anew because its deal changes under our hands; then it waits for the next pass."""


class Batch:
    """The state of one pass. What is certain goes to the context at once; other rows are left as they were."""

    def __init__(
        self,
        lookup: Lookup,
        writer: Writer,
        pipelines: Pipelines,
        own_changes: OwnChanges,
        recorder: ExchangeRecorder,
        context: DeliveryContext,
        now: Callable[[], float],
        coalesce: bool,
    ) -> None:
        self._lookup = lookup
        self._writer = writer
        self._pipelines = pipelines
        self._own_changes = own_changes
        self._recorder = recorder
        self._context = context
        self._now = now
        self._coalesce = coalesce
        self._targets: Mapping[int, Target] = {}
        self._queues: dict[str, list[Delivery]] = {}
        self._known: dict[int, Known] = {}
        self._losers: dict[int, list[Delivery]] = {}  # a winner's id -> the rows that it makes needless
        self._turns: dict[int, int] = {}
        self._series: tuple[str, int] = ("", 0)
        self._failed = False  # a write had no good answer
        self._log_trouble: DeliveryError | None = None  # why the log of events is not asked any more

    def run(self, rows: Sequence[Delivery], targets: Mapping[int, Target], pages: bool = True) -> bool:
        """Deliver these. -> whether it makes sense to go on with others. pages: see Lookup.resolve. Raises
        DeliveryError where all of the account is concerned, LeaseLost, Stopping."""
        self._targets = targets
        for row in rows:
            self._queues.setdefault(_key(row), []).append(row)
        lookup = self._lookup.bound(self._recorder.reading(rows))
        tired = {row.email or "" for row in rows if row.failures >= outcomes.PATIENCE}
        lost = lookup.resolve([(row.email or "", targets[row.id]) for row in rows], tired, pages)
        self._context.settle(self._without_deal(lost))
        while moves := self._next_round():
            for chunk in self._writer.chunks(moves):
                self._write(chunk)
                if self._series[1] >= SERIES:
                    return False
        return not self._failed

    def _without_deal(self, lost: Mapping[tuple[str, int], Outcome]) -> dict[int, Outcome]:
        """Rows at the heads of the queues that have no deal. Who waits for one holds the student's others up."""
        found: dict[int, Outcome] = {}
        for queue in self._queues.values():
            while queue and self._deal_of(queue[0]) is None:
                row = queue.pop(0)
                outcome = lost.get((row.email or "", self._targets[row.id].pipeline_id))
                if outcome is not None:
                    found[row.id] = outcomes.with_own_stage(outcome, self._targets[row.id])
                if outcome is None or isinstance(outcome, DeliveryError):
                    queue.clear()
        return found

    # -- judging

    def _next_round(self) -> list[Move]:
        """The first row of each student that has something to move, each deal once. Settles what has not."""
        ids = {self._deal_of(queue[0]) for queue in self._queues.values() if queue}
        self._known = self._own_changes.known([one for one in ids if one is not None])
        moves: dict[int, Move] = {}
        settled: dict[int, Outcome] = {}
        for queue in self._queues.values():
            move = self._head(queue, settled)
            if move is not None and (move.lead.id not in moves or move.row.id < moves[move.lead.id].row.id):
                moves[move.lead.id] = move  # two e-mails may mean one deal: the later row waits a round
        self._context.settle(settled)
        return list(moves.values())

    def _head(self, queue: list[Delivery], settled: dict[int, Outcome]) -> Move | None:
        while queue:
            row = queue[0]
            if self._turns.setdefault(row.id, 0) > TURNS or self._deal_of(row) is None:
                queue.clear()  # the next pass looks at them afresh
                return None
            if self._coalesce and len(queue) > 1:
                furthest = self._furthest(queue)
                if self._verdict(furthest).kind == "move":
                    self._losers[furthest.id] = [one for one in queue if one.id != furthest.id]
                    return self._move(furthest)
            verdict = self._verdict(row)
            if verdict.kind == "move":
                return self._move(row)
            outcome = self._outcome(row, verdict)
            if outcome is None:
                self._turns[row.id] += 1
                continue  # another deal was found
            settled[row.id] = outcome
            queue.pop(0)
            if isinstance(outcome, DeliveryError):
                queue.clear()
        return None

    def _verdict(self, row: Delivery) -> Verdict:
        target = self._targets[row.id]
        lead_id = self._deal_of(row) or 0
        lead = self._lookup.lead(lead_id)
        if lead_id not in self._known:
            self._known.update(self._own_changes.known([lead_id]))
        client = self._recorder.reading([row])
        pipelines = self._pipelines.bound(client)
        pipeline = pipelines.pipeline(target.pipeline_id, self._stage_to_know(lead, target))
        pipeline = pipeline or Pipeline(target.pipeline_id, target.pipeline_name)
        verdict = judge(lead, target, pipeline, self._known[lead_id], row.received_at, row.id)
        return self._ask(client, row, lead, verdict) if verdict.kind == "ask" and lead is not None else verdict

    def _stage_to_know(self, lead: Lead | None, target: Target) -> int | None:
        """A stage that our list lacks makes it be read again; that of a deal elsewhere does not matter."""
        return lead.status_id if lead is not None and lead.pipeline_id == target.pipeline_id else None

    def _ask(self, client: AmocrmClient, row: Delivery, lead: Lead, unsure: Verdict) -> Verdict:
        """When was it moved back? amoCRM's log of events knows; without an answer the manager's move stands."""
        ours = self._known[lead.id].ours
        since = int(ours.at) - 60 if ours else int(row.received_at) - 60
        if self._log_trouble is None:
            try:
                log = client.bound(deadline=LOG_WAIT).status_changes_of(lead.id, since, int(self._now()) + 3600)
                for change in log:
                    if change.status_id == lead.status_id:
                        return Verdict("move") if row.received_at > change.at else Verdict("moved_back", unsure.words)
                return Verdict("moved_back", unsure.words)
            except DeliveryError as error:
                if error.pause is not None and (error.cause != "amocrm_slow_down" or error.retry_after is not None):
                    raise
                self._log_trouble = error  # a side door: no other row of this pass waits for it
        if self._log_trouble.cause != "events_closed" and row.failures < outcomes.PATIENCE:
            words = f"when the deal was moved back is not known yet: {self._log_trouble.message}"
            return Verdict("unknown", words)
        return Verdict("moved_back", unsure.words)

    def _outcome(self, row: Delivery, verdict: Verdict) -> Outcome | None:
        target, person = self._targets[row.id], self._lookup.people.get(row.email or "")
        lead = self._lookup.lead(self._deal_of(row) or 0)
        if verdict.kind in ("deal_gone", "elsewhere"):
            return self._lookup.bound(self._recorder.reading([row])).heal(row, target)
        if verdict.kind == "unknown":
            return DeliveryError(verdict.words, cause="amocrm_down", lead_id=lead.id if lead else None)
        if verdict.kind == "here" and lead is not None:
            asked = self._known[lead.id].asked
            before = asked.old_status_id if asked else None
            return outcomes.delivered(Move(row, lead, target), person, self._pipelines, before)
        return outcomes.skipped(verdict, lead, target, person, self._pipelines)

    def _furthest(self, queue: Sequence[Delivery]) -> Delivery:
        """Of the rows that mean the same deal the one whose stage comes last; of equals the first."""
        deal = self._deal_of(queue[0])
        same = [row for row in queue if self._deal_of(row) == deal]

        def how_far(row: Delivery) -> tuple[int, int]:
            target = self._targets[row.id]
            pipeline = self._pipelines.pipeline(target.pipeline_id)
            stage = pipeline.stage(target.status_id) if pipeline else None
            return place(stage) if stage else (-1, 0)

        return max(same, key=how_far) if len(same) == len(queue) else queue[0]

    # -- writing

    def _lookup_for(self, moves: Sequence[Move]) -> Lookup:
        """Whose readings are kept with the attempts of these."""
        return self._lookup.bound(self._recorder.reading([move.row for move in moves]))

    def _write(self, chunk: Sequence[Move]) -> None:
        fresh = self._still(chunk)
        if not fresh:
            return
        at = self._now()
        written = self._writer.write(fresh)
        settled: dict[int, Outcome] = {}
        for move in written.done:
            self._done(move, at, settled)
        self._failed |= bool(written.failed)
        for move, error in written.failed:
            settled[move.row.id] = _about(error, move)
            self._queue(move.row).clear()
        self._refused(written, settled)
        self._lookup_for(written.again).read((move.lead.id for move in written.again), anew=True)
        for move in written.again:
            self._turns[move.row.id] = self._turns.get(move.row.id, 0) + 1
        self._context.settle(settled)

    def _still(self, chunk: Sequence[Move]) -> list[Move]:
        """Read again what is too old, and leave out what is no longer to be moved: the next round settles it."""
        stale = {move.lead.id for move in chunk if self._lookup.is_stale(move.lead.id)}
        if not stale:
            return list(chunk)
        self._lookup_for([move for move in chunk if move.lead.id in stale]).read(stale)
        return [
            self._move(move.row) if move.lead.id in stale else move
            for move in chunk
            if move.lead.id not in stale or self._verdict(move.row).kind == "move"
        ]

    def _done(self, move: Move, at: float, settled: dict[int, Outcome]) -> None:
        person = self._lookup.people.get(move.row.email or "")
        settled[move.row.id] = outcomes.delivered(move, person, self._pipelines)
        losers = self._losers.pop(move.row.id, [])
        for loser in losers:
            target = self._targets[loser.id]
            settled[loser.id] = outcomes.superseded(target, move, move.row.id, self._pipelines, person)
        gone = {move.row.id, *(loser.id for loser in losers)}
        queue = self._queue(move.row)
        queue[:] = [row for row in queue if row.id not in gone]
        target = move.target
        self._lookup.moved(replace(move.lead, status_id=target.status_id, pipeline_id=target.pipeline_id), at)
        self._series = ("", 0)

    def _refused(self, written: Written, settled: dict[int, Outcome]) -> None:
        """Why amoCRM refused these, one reading for all: the stage or the deal may be gone, or somebody closed it."""
        if not written.refused:
            return
        doubtful = [fault for fault in written.refused if not fault.rights]
        if doubtful:
            client = self._recorder.reading([fault.move.row for fault in doubtful])
            self._pipelines.bound(client).all(max_age=0.0)
            self._lookup.bound(client).read((fault.move.lead.id for fault in doubtful), anew=True)
        for fault in written.refused:
            cause = "amocrm_rights" if fault.rights else self._cause(fault)
            if not cause:  # the deal has changed: it is judged again
                self._turns[fault.move.row.id] = self._turns.get(fault.move.row.id, 0) + 1
                continue
            person = self._lookup.people.get(fault.move.row.email or "")
            error = outcomes.refused(fault, cause, person, self._pipelines)
            settled[fault.move.row.id] = error
            queue = self._queue(fault.move.row)
            queue[:] = [row for row in queue if error.permanent and row.id != fault.move.row.id]
            self._series = (cause, self._series[1] + 1 if self._series[0] == cause else 1)

    def _cause(self, fault: Fault) -> str:
        """The cause of a refusal; "" when the deal is no longer as it was when we wrote."""
        move = fault.move
        lead = self._lookup.lead(move.lead.id)
        as_it_was = lead is not None and not lead.is_deleted and lead.status_id == move.lead.status_id
        pipeline = self._pipelines.pipeline(move.target.pipeline_id)
        if pipeline is not None and pipeline.is_archive:
            raise self._pipelines.archived(pipeline)
        if pipeline is not None and pipeline.stage(move.target.status_id) is None:
            return "stage_deleted"
        return "deal_refused" if as_it_was or self._turns.get(move.row.id, 0) >= TURNS else ""

    def _move(self, row: Delivery) -> Move:
        lead = self._lookup.lead(self._deal_of(row) or 0)
        assert lead is not None  # it was judged just now
        return Move(row, lead, self._targets[row.id])

    def _queue(self, row: Delivery) -> list[Delivery]:
        return self._queues[_key(row)]

    def _deal_of(self, row: Delivery) -> int | None:
        return self._lookup.chosen(row.email or "", self._targets[row.id].pipeline_id)


def _key(row: Delivery) -> str:
    return row.key or f"#{row.id}"


def _about(error: DeliveryError, move: Move) -> DeliveryError:
    """The same error as that of one row among several."""
    return DeliveryError(
        error.message,
        cause=error.cause,
        retry_after=error.retry_after,
        outage=error.outage,
        status=error.status,
        params=error.params,
        lead_id=move.lead.id,
    )
