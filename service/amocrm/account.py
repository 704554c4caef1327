"""One amoCRM account with all its parts, put together; and what people ask of it before anything is sent."""

from __future__ import annotations

import random as random_module
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from outbox.message import Delivery
from outbox.outcome import DeliveryError, Outcome, Skipped
from service.amocrm.client import CONNECT, TOTAL, AmocrmClient
from service.amocrm.connect import Connect
from service.amocrm.oauth.backoff import Backoff
from service.amocrm.oauth.connection import Custody
from service.amocrm.oauth.endpoint import TokenEndpoint
from service.amocrm.oauth.token_store import TokenStore
from service.amocrm.oauth.tokens import TokenOwner
from service.amocrm.payloads import Contact, Lead, Pipeline
from service.amocrm.pipelines import Pipelines, Target
from service.amocrm.rate_limit import Pace
from service.amocrm.stage_changes.own import OwnChanges
from service.config import Amocrm
from service.destinations.deals import outcomes
from service.destinations.deals.destination import DealMoves, lesson_of
from service.destinations.deals.directory import Directory
from service.destinations.deals.lookup import Deals
from service.destinations.deals.prefetch import Pages
from service.destinations.deals.rules import choose, judge
from service.network.http import Http

if TYPE_CHECKING:
    from outbox.shared import KeyValues, Leases, RateLimiter

PERSON_WAITS = 10.0
"""Seconds that a person waits for an answer on the page or the command line."""

DAY = 24 * 3600.0


@dataclass(frozen=True)
class Preview:
    """What sending a delivery now would do, without doing it. verdict: move, or why not (already_further, deal_closed,
    deal_gone, superseded, no_stage, not_found). words: English, for a person."""

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


class AmocrmAccount:
    """An amoCRM (Kommo) account over a store's memory, leases and rates. Opening it sends nothing and stores nothing.

    wait: how to rest for the pace; may raise Stopping. sleep: how to rest where stopping would lose something.
    owner: names this process, as in leases. http: for tests.
    """

    def __init__(
        self,
        settings: Amocrm,
        *,
        key_values: KeyValues,
        leases: Leases,
        rate_limiter: RateLimiter,
        now: Callable[[], float],
        token_keys: Sequence[str],
        owner: str,
        random: Callable[[], float] = random_module.random,
        http: Http | None = None,
        wait: Callable[[float], None] = time.sleep,
        sleep: Callable[[float], None] = time.sleep,
        lease_seconds: float = 20.0,
    ) -> None:
        http = http or Http(connect=CONNECT, total=TOTAL)
        pace = Pace(rate_limiter, key_values, now, settings.rps, wait)
        self._settings = settings
        self._now = now
        self._endpoint = TokenEndpoint(settings, http, pace)
        self.tokens = TokenOwner(
            settings,
            custody=Custody(settings, TokenStore(key_values, token_keys), now),
            endpoint=self._endpoint,
            trouble=Backoff(key_values, now, random),
            leases=leases,
            now=now,
            owner=owner,
            wait=wait,
            sleep=sleep,
            lease_seconds=lease_seconds,
        )
        self.pace = pace
        self.client = AmocrmClient(http=http, tokens=self.tokens, pace=pace, key_values=key_values, now=now)
        self.pipelines = Pipelines(settings, self.client, key_values, now)
        self.echoes = OwnChanges(key_values, now)
        self.directory = Directory(self.client, Pages(self.client, self.pipelines, key_values, now), key_values, now)
        self.moves = DealMoves(
            settings, self.client, self.tokens, self.pipelines, self.directory, self.echoes, pace, key_values, now
        )
        self.connect = Connect(settings, self._endpoint, self.tokens, self.client)

    def preview(self, delivery: Delivery, deadline: float = PERSON_WAITS) -> Preview:
        """What sending this delivery now would do. Sends no change. Raises DeliveryError."""
        return self.previews([delivery], deadline).get(delivery.id) or Preview("not_found", "nothing was found")

    def previews(self, deliveries: Sequence[Delivery], deadline: float = PERSON_WAITS) -> dict[int, Preview]:
        """The same of many, read together; those that there was no time to look up are left out. Raises
        DeliveryError."""
        with self.client.within(deadline):
            return self._previews(deliveries)

    def find_lead(self, email: str, deadline: float = PERSON_WAITS) -> FoundLeads:
        """All contacts that bear exactly this e-mail, their deals, and which of them a lesson would move. Raises
        DeliveryError."""
        with self.client.within(deadline):
            contacts = self.client.find_contacts(email)
            ids = {number: one for one in reversed(contacts) for number in one.lead_ids}
            leads = self.client.leads(sorted(ids)) if ids else {}
            pipeline_id = self._settings.pipeline_id
            choice = choose(leads.values(), pipeline_id) if pipeline_id is not None else None
            chosen = choice.lead.id if choice and choice.found == "open" and choice.lead else None
            rows = [self._found(lead, ids[lead.id], chosen) for lead in sorted(leads.values(), key=lambda one: one.id)]
        if pipeline_id is None:
            why = "AMOCRM_PIPELINE_ID is not set"
        elif chosen is not None:
            why = "the open deal of the pipeline that was changed last"
        elif choice is not None and choice.found == "closed":
            why = "all deals in the pipeline are closed"
        else:
            why = "no deal in the pipeline" if contacts else "no contact bears exactly this e-mail"
        return FoundLeads(contacts, tuple(rows), chosen, why)

    def tidy(self) -> int:
        """Forget e-mails and deals that were not heard of for 90 days. -> how many. For a daily job."""
        return self.directory.tidy(self._now() - 90 * DAY) + self.echoes.tidy(self._now() - 90 * DAY)

    def _found(self, lead: Lead, contact: Contact, chosen: int | None) -> FoundLead:
        pipeline_name, stage_name = self.pipelines.names(lead.pipeline_id, lead.status_id)
        return FoundLead(lead, contact, pipeline_name, stage_name, lead.id == chosen)

    def _previews(self, deliveries: Sequence[Delivery]) -> dict[int, Preview]:
        found: dict[int, Preview] = {}
        targets: dict[int, Target] = {}
        known: dict[int, Target | None] = {}
        for row in deliveries:
            lesson = lesson_of(row)
            if lesson is not None and lesson not in known:
                known[lesson] = self.pipelines.target(lesson)
            target = known.get(lesson) if lesson is not None else None
            if target is None:
                found[row.id] = Preview("no_stage", f"lesson {lesson} has no stage in amoCRM")
            else:
                targets[row.id] = target
        deals = Deals(self.client, self.directory, self.pipelines, self._now)
        lost = deals.resolve([(row.email or "", targets[row.id]) for row in deliveries if row.id in targets])
        for row in deliveries:
            if row.id in targets and (one := self._foreseen(row, targets[row.id], deals, lost)):
                found[row.id] = one
        return found

    def _foreseen(
        self, row: Delivery, target: Target, deals: Deals, lost: Mapping[tuple[str, int], Outcome]
    ) -> Preview | None:
        pair = (row.email or "", target.pipeline_id)
        lead_id = deals.chosen(*pair)
        lead = deals.lead(lead_id) if lead_id is not None else None
        if lead is None:
            looked_up = pair in lost or lead_id is not None
            return self._nothing(lost.get(pair), target) if looked_up else None
        pipeline = self.pipelines.pipeline(target.pipeline_id, lead.status_id)
        known = self.echoes.known([lead.id])[lead.id]
        verdict = judge(lead, target, pipeline or Pipeline(target.pipeline_id, ""), known, row.received_at, row.id)
        facts = outcomes.facts_of(target, lead, deals.people.get(pair[0]), self.pipelines)
        kind = {"here": "already_further", "ask": "superseded"}.get(
            verdict.kind, outcomes.CODES.get(verdict.kind, verdict.kind)
        )
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
            verdict, _, words = outcome.reason.partition(": ")
        elif isinstance(outcome, DeliveryError):
            verdict, words = outcome.code, outcome.message
        return Preview(
            verdict, words, pipeline_name=target.pipeline_name, to_status=target.status_id, to_name=target.name
        )
