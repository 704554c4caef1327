"""Which deal an event means, and whether it may move it: pure rules over what was read.

The rules: the open deal of the pipeline that was changed last; never backwards; never out of a closed stage; and a deal
that a manager has moved back goes on with the next lesson, never by an event that is older than that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from service.amocrm.payloads import Lead, Pipeline
from service.amocrm.pipelines import Target, is_further
from service.amocrm.stage_changes.own import Known

STALE = 5.0
"""Seconds after which a deal that was read is read again before it is written over."""


@dataclass(frozen=True)
class Choice:
    """The deal that an e-mail means. found: open (lead is it), closed (only closed ones; lead is the latest), none."""

    found: str
    lead: Lead | None = None
    open_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What is to be done. kind: move, here (our own earlier write has arrived), already_further, deal_closed,
    deal_gone, elsewhere (in another pipeline now), moved_back, or ask (only amoCRM's log of events can tell when it
    was moved back), unknown (and that does not answer). words: English, for a person."""

    kind: str
    words: str = ""


def choose(leads: Iterable[Lead], pipeline_id: int) -> Choice:
    """Of a student's deals the one to move: open, in this pipeline, latest updated_at, then the highest id."""
    ours = [lead for lead in leads if lead.pipeline_id == pipeline_id and not lead.is_deleted]
    ours.sort(key=lambda lead: (lead.updated_at, lead.id))
    opened = [lead for lead in ours if not lead.is_closed]
    if opened:
        return Choice("open", opened[-1], tuple(lead.id for lead in opened))
    return Choice("closed", ours[-1]) if ours else Choice("none")


def judge(
    lead: Lead | None, target: Target, pipeline: Pipeline, known: Known, received_at: float, delivery_id: int
) -> Verdict:
    """Whether an event that came in at received_at may move this deal, as it was just read, to the target."""
    if lead is None or lead.is_deleted:
        return Verdict("deal_gone", "the deal is no longer in amoCRM")
    if lead.pipeline_id != target.pipeline_id:
        return Verdict("elsewhere", "the deal is in another pipeline now")
    current = pipeline.stage(lead.status_id)
    name = current.name if current else f"stage {lead.status_id}"
    if lead.is_closed:
        return Verdict("deal_closed", f"the deal is closed ({name})")
    if lead.status_id == target.status_id:
        asked = known.asked
        if asked is not None and asked.delivery == delivery_id and asked.status_id == lead.status_id:
            return Verdict("here", f"the deal is on {name}: our earlier request had arrived")
        return Verdict("already_further", f"the deal is on {name} already")
    if target.known and is_further(pipeline, lead.status_id, target.status_id):
        return Verdict("already_further", f"the deal is on {name}, which is further")
    return _since_moved_back(lead, pipeline, known, received_at, name)


def _since_moved_back(lead: Lead, pipeline: Pipeline, known: Known, received_at: float, name: str) -> Verdict:
    theirs, ours = known.theirs, known.ours
    back = Verdict(
        "moved_back", f"somebody moved the deal back to {name} after this event; the next lesson moves it on"
    )
    if theirs is not None and theirs.new == lead.status_id and theirs.old is not None:
        if is_further(pipeline, theirs.old, theirs.new):
            return back if received_at <= (theirs.at or 0.0) else Verdict("move")
        return Verdict("move")
    if ours is None or not is_further(pipeline, ours.status_id, lead.status_id):
        return Verdict("move")
    # We had set a further stage, so that somebody moved it back after that; when, is not known yet.
    if received_at <= ours.at:
        return back
    return Verdict("move") if received_at > lead.updated_at else Verdict("ask", back.words)
