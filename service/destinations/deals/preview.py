"""What sending a lesson now would do, and where an e-mail leads to: asked by people before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from outbox.message import Delivery, Reason
from outbox.outcome import DeliveryError, Outcome, Skipped
from service.amocrm import AmocrmAccount
from service.amocrm.client import AmocrmClient
from service.amocrm.payloads import Contact, Lead, Pipeline
from service.amocrm.pipelines import Pipelines, Target
from service.destinations.deals import outcomes
from service.destinations.deals.destination import lesson_of
from service.destinations.deals.directory import Directory
from service.destinations.deals.lookup import Lookup
from service.destinations.deals.rules import Verdict, choose, judge

PEOPLE, DEALS = 8, 50
"""How many contacts a search shows, and how many deals of theirs are read at most."""

PERSON_WAITS = 10.0
"""Seconds that a person waits for an answer on the page or the command line."""


@dataclass(frozen=True)
class Preview:
    """What sending a delivery now would do, without doing it. verdict: move, or why not (already_further, deal_closed,
    deal_gone, superseded, no_stage, stage_gone, not_found). words: English, for a person."""

    verdict: str
    words: str
    lead_id: int | None = None
    pipeline_name: str = ""
    from_status: int | None = None
    to_status: int | None = None
    from_name: str = ""
    to_name: str = ""
    contact_name: str = ""


@dataclass(frozen=True)
class FoundLead:
    """One deal of an e-mail: where it is, and whether it is the one that a lesson would move."""

    lead: Lead
    contact: Contact
    pipeline_name: str
    stage_name: str
    chosen: bool


@dataclass(frozen=True)
class FoundLeads:
    """All that an e-mail leads to. why: which deal is chosen and by what rule, or why none is."""

    contacts: tuple[Contact, ...]
    leads: tuple[FoundLead, ...]
    chosen: int | None
    why: str


@dataclass(frozen=True)
class FoundPerson:
    """A contact that a search found. lead_id, stage: of the deal in the lessons' pipeline; None, "" without one."""

    name: str
    emails: tuple[str, ...]
    lead_id: int | None
    stage: str


class Previewer:
    """Reads only. deadline: seconds for all of a call."""

    def __init__(self, account: AmocrmAccount, directory: Directory, now: Callable[[], float]) -> None:
        self._client = account.client
        self._pipelines = account.pipelines
        self._absences = account.absences
        self._own_changes = account.own_changes
        self._directory = directory
        self._now = now

    def preview(self, delivery: Delivery, deadline: float = PERSON_WAITS) -> Preview:
        """What sending this delivery now would do. Sends no change. Raises DeliveryError."""
        return self.previews([delivery], deadline).get(delivery.id) or Preview("not_found", "nothing was found")

    def previews(self, deliveries: Sequence[Delivery], deadline: float = PERSON_WAITS) -> dict[int, Preview]:
        """The same of many, read together; those that there was no time to look up are left out. Raises
        DeliveryError."""
        return self._previews(deliveries, self._client.bound(deadline=deadline))

    def find_lead(self, email: str, deadline: float = PERSON_WAITS) -> FoundLeads:
        """All contacts that bear exactly this e-mail, their deals, and which of them a lesson would move. Raises
        DeliveryError."""
        client = self._client.bound(deadline=deadline)
        pipelines = self._pipelines.bound(client)
        contacts = client.find_contacts(email)
        ids = {number: contact for contact in reversed(contacts) for number in contact.lead_ids}
        leads = client.leads(sorted(ids)) if ids else {}
        pipeline_id = pipelines.funnel_id()
        choice = choose(leads.values(), pipeline_id) if pipeline_id is not None else None
        chosen = choice.lead.id if choice and choice.found == "open" and choice.lead else None
        rows = []
        for lead in sorted(leads.values(), key=lambda lead: lead.id):
            names = pipelines.names(lead.pipeline_id, lead.status_id)
            rows.append(FoundLead(lead, ids[lead.id], *names, lead.id == chosen))
        if pipeline_id is None:
            why = "no funnel is set (AMOCRM_PIPELINE_ID) or chosen on the page"
        elif chosen is not None:
            why = "the open deal of the pipeline that was changed last"
        elif choice is not None and choice.found == "closed":
            why = "all deals in the pipeline are closed"
        else:
            why = "no deal in the pipeline" if contacts else "no contact bears exactly this e-mail"
        return FoundLeads(contacts, tuple(rows), chosen, why)

    def find_people(self, text: str, deadline: float = PERSON_WAITS) -> tuple[FoundPerson, ...]:
        """Who amoCRM finds by a name or a part of an e-mail, with the deal that a lesson would move. Three requests at
        most. Raises DeliveryError."""
        client = self._client.bound(deadline=deadline)
        pipelines = self._pipelines.bound(client)
        contacts = [contact for contact in client.search_contacts(text, PEOPLE) if contact.emails]
        ids = sorted({number for contact in contacts for number in contact.lead_ids})[:DEALS]
        leads = client.leads(ids) if ids else {}
        found = []
        for contact in contacts:
            own = [leads[number] for number in contact.lead_ids if number in leads]
            pipeline_id = pipelines.funnel_id()
            lead = choose(own, pipeline_id).lead if pipeline_id is not None else next(iter(own), None)
            stage = pipelines.names(lead.pipeline_id, lead.status_id)[1] if lead else ""
            found.append(FoundPerson(contact.name, contact.emails, lead.id if lead else None, stage))
        return tuple(found)

    def _previews(self, deliveries: Sequence[Delivery], client: AmocrmClient) -> dict[int, Preview]:
        pipelines = self._pipelines.bound(client)
        found: dict[int, Preview] = {}
        targets: dict[int, Target] = {}
        known: dict[int, Target | None] = {}
        for row in deliveries:
            lesson = lesson_of(row)
            if lesson is not None and lesson not in known:
                known[lesson] = pipelines.target(lesson)
            target = known.get(lesson) if lesson is not None else None
            if target is None:
                found[row.id] = Preview("no_stage", f"lesson {lesson} has no stage in amoCRM")
            else:
                targets[row.id] = target
        lookup = Lookup(client, self._directory.bound(client), pipelines, self._absences, self._now)
        lost = lookup.resolve([(row.email or "", targets[row.id]) for row in deliveries if row.id in targets])
        for row in deliveries:
            if row.id in targets and (preview := self._foreseen(row, targets[row.id], lookup, pipelines, lost)):
                found[row.id] = preview
        return found

    def _foreseen(
        self,
        row: Delivery,
        target: Target,
        lookup: Lookup,
        pipelines: Pipelines,
        lost: Mapping[tuple[str, int], Outcome],
    ) -> Preview | None:
        pair = (row.email or "", target.pipeline_id)
        lead_id = lookup.chosen(*pair)
        lead = lookup.lead(lead_id) if lead_id is not None else None
        if lead is None:
            looked_up = pair in lost or lead_id is not None
            return self._nothing(lost.get(pair), target) if looked_up else None
        pipeline = pipelines.pipeline(target.pipeline_id, lead.status_id)
        known = self._own_changes.known([lead.id])[lead.id]
        verdict = judge(lead, target, pipeline or Pipeline(target.pipeline_id, ""), known, row.received_at, row.id)
        facts = outcomes.facts_of(target, lead, lookup.people.get(pair[0]), pipelines)
        kind = {"here": "already_further", "ask": "superseded"}.get(
            verdict.kind, outcomes.CODES.get(verdict.kind, verdict.kind)
        )
        if kind == "move" and not target.known:
            kind, verdict = "stage_gone", Verdict("stage_gone", "the stage is no longer in the funnel")
        words = verdict.words or f"would move deal {lead.id} from {facts['from_name']} to {facts['to_name']}"
        return Preview(
            kind,
            words,
            lead.id,
            target.pipeline_name,
            lead.status_id,
            target.status_id,
            str(facts["from_name"]),
            target.name,
            str(facts.get("contact_name", "")),
        )

    def _nothing(self, outcome: object, target: Target) -> Preview:
        verdict, words = "not_found", "nothing was found"
        if isinstance(outcome, Skipped):
            reason = Reason(outcome.reason)
            verdict, words = reason.code, reason.words
        elif isinstance(outcome, DeliveryError):
            verdict, words = outcome.code, outcome.message
        return Preview(
            verdict, words, pipeline_name=target.pipeline_name, to_status=target.status_id, to_name=target.name
        )
