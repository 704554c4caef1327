"""From what was found out about a deal to what the outbox records: the words, facts and codes of each outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from outbox.outcome import Delivered, DeliveryError, Outcome, Skipped
from service.amocrm.payloads import Lead
from service.amocrm.pipelines import Pipelines, Target
from service.destinations.deals.person import Person
from service.destinations.deals.rules import Choice, Verdict
from service.destinations.deals.write import Fault, Move

PATIENCE = 3
"""Failed attempts, some minutes on the schedule, after which an answer that stays the same is believed."""

CODES = {"moved_back": "superseded", "elsewhere": "deal_gone"}
"""Verdicts whose name is no reason of the contract."""


def facts_of(
    target: Target, lead: Lead | None, person: Person | None, pipelines: Pipelines, from_status: int | None = None
) -> dict[str, Any]:
    """What the page shows of a deal and its move."""
    before = from_status if from_status is not None else lead.status_id if lead else None
    facts: dict[str, Any] = {
        "lesson": target.lesson,
        "pipeline_id": target.pipeline_id,
        "pipeline_name": target.pipeline_name,
        "to_status": target.status_id,
        "to_name": target.name,
    }
    if lead is not None:
        facts |= {"lead_id": lead.id, "from_status": before, "from_name": pipelines.name_of(lead.pipeline_id, before)}
    if person is not None:
        facts["contact_name"] = person.name(lead.contact_ids if lead else ())
    return facts


def delivered(move: Move, person: Person | None, pipelines: Pipelines, from_status: int | None = None) -> Delivered:
    """The deal is on its stage."""
    facts = facts_of(move.target, move.lead, person, pipelines, from_status)
    name = facts.get("contact_name") or None
    return Delivered(str(move.lead.id), facts, person=name, lead_id=move.lead.id)


def skipped(
    verdict: Verdict, lead: Lead | None, target: Target, person: Person | None, pipelines: Pipelines
) -> Skipped:
    """Nothing to do, by the guard."""
    facts = facts_of(target, lead, person, pipelines)
    return Skipped(
        f"{CODES.get(verdict.kind, verdict.kind)}: {verdict.words}",
        facts=facts,
        person=facts.get("contact_name") or None,
        lead_id=lead.id if lead else None,
        reference=str(lead.id) if lead else "",
    )


def superseded(loser: Target, winner: Move, by: int, pipelines: Pipelines, person: Person | None) -> Skipped:
    """AMOCRM_COALESCE=1: the deal went on to a further stage in one step."""
    facts = facts_of(loser, winner.lead, person, pipelines)
    return Skipped(
        f"superseded: the deal went straight on to {winner.target.name} (AMOCRM_COALESCE=1)",
        by=by,
        facts=facts,
        person=facts.get("contact_name") or None,
        lead_id=winner.lead.id,
        reference=str(winner.lead.id),
    )


def missing_deal(person: Person, lead_id: int, target: Target) -> DeliveryError:
    """A deal that was known is not found. That is no proof yet: it is looked for again on the schedule."""
    name = person.name()
    return DeliveryError(
        f"amoCRM does not find deal {lead_id} just now; we look again, also for another deal of the student",
        cause="deal_missing",
        code="not_found",
        person=name or None,
        params={"lead": lead_id, "contact": name},
        facts={"lesson": target.lesson, "contact_name": name},
        lead_id=lead_id,
    )


def unread_deal(error: DeliveryError, lead_id: int, target: Target) -> DeliveryError:
    """One of the student's deals could not be read, so that it is not known which one is meant."""
    return DeliveryError(
        f"deal {lead_id} could not be read: {error.message}",
        cause=error.cause,
        status=error.status,
        params=error.params,
        facts={"lesson": target.lesson},
        lead_id=lead_id,
    )


def no_deal(person: Person, choice: Choice, gone: int | None, target: Target, pipelines: Pipelines) -> Outcome:
    """The student has no open deal in the pipeline. gone: the one that was known and has been deleted."""
    if choice.found == "closed":
        return skipped(
            Verdict("deal_closed", "the student's deals in the funnel are closed"),
            choice.lead,
            target,
            person,
            pipelines,
        )
    if gone is not None:
        verdict = Verdict("deal_gone", "the student's deal was deleted")
        # With its id, so that whoever hears of the deal again can tell.
        return replace(skipped(verdict, None, target, person, pipelines), lead_id=gone)
    name = person.name()
    if not person.contacts:
        return DeliveryError(
            "amoCRM has no contact with exactly this e-mail",
            cause="contact_not_found",
            code="not_found",
            facts={"lesson": target.lesson},
        )
    return DeliveryError(
        f"the contact {name!r} has no deal in the funnel {target.pipeline_name!r}",
        cause="deal_not_found",
        code="not_found",
        person=name or None,
        params={"pipeline": target.pipeline_name, "contact": name},
        facts={"lesson": target.lesson, "contact_name": name},
    )


def with_own_stage(outcome: Outcome, target: Target) -> Outcome:
    """The same outcome for another lesson of the same student: which deal there is does not differ, the stage does."""
    if isinstance(outcome, DeliveryError):
        return outcome.with_facts(lesson=target.lesson)
    if not isinstance(outcome, Skipped):
        return outcome
    own = {"lesson": target.lesson, "to_status": target.status_id, "to_name": target.name}
    return replace(outcome, facts={**outcome.facts, **own})


def refused(fault: Fault, cause: str, person: Person | None, pipelines: Pipelines) -> DeliveryError:
    """amoCRM's answer to this row's own write names it: no further attempt makes sense. A 403 or 404 has to be given
    again minutes later, since both are seen in passing."""
    move = fault.move
    said = f"amoCRM's words: {fault.detail}" if fault.detail else "amoCRM gave no reason"
    messages = {
        "stage_deleted": f"the stage for lesson {move.target.lesson} is no longer in the funnel",
        "amocrm_rights": "the user who connected lacks the right to change this deal",
    }
    facts: Mapping[str, Any] = facts_of(move.target, move.lead, person, pipelines)
    return DeliveryError(
        f"{messages.get(cause, 'amoCRM refused to change the deal')} ({said})",
        cause=cause,
        code="refused",
        permanent=fault.status not in (403, 404) or move.row.failures >= PATIENCE,
        status=fault.status,
        params={"detail": fault.detail, "lesson": move.target.lesson, "stage": move.target.name},
        facts=facts,
        lead_id=move.lead.id,
        person=facts.get("contact_name") or None,
    )
