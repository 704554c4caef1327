"""Whose deal each delivery means: the directory's answer, read from amoCRM within the last seconds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence

from outbox.message import Delivery
from outbox.outcome import Outcome
from service.amocrm.client import AmocrmClient
from service.amocrm.payloads import Lead
from service.amocrm.pipelines import Pipelines, Target
from service.destinations.deals import outcomes
from service.destinations.deals.directory import SEARCHES, Directory
from service.destinations.deals.person import Person
from service.destinations.deals.rules import Choice, choose

STALE = 5.0
"""Seconds after which a deal that was read is read again before it is written over."""

Pair = tuple[str, int]
"""An e-mail and a pipeline."""


class Lookup:
    """The deals of one pass. Methods that read from amoCRM may raise DeliveryError and Stopping."""

    def __init__(
        self, client: AmocrmClient, directory: Directory, pipelines: Pipelines, now: Callable[[], float]
    ) -> None:
        self._client = client
        self._directory = directory
        self._pipelines = pipelines
        self._now = now
        self._leads: dict[int, tuple[Lead | None, float]] = {}
        self._chosen: dict[Pair, int] = {}
        self._healed: set[str] = set()
        self.people: dict[str, Person] = {}

    def bound(self, client: AmocrmClient) -> Lookup:
        """The same deals, asking through this client."""
        other = copy.copy(self)
        other._client, other._directory = client, self._directory.bound(client)
        return other

    def resolve(self, wanted: Sequence[tuple[str, Target]]) -> dict[Pair, Outcome]:
        """Find the deals. -> the outcome of each pair that has none to move; a pair that is in neither this nor
        `chosen` was not looked up in this pass."""
        targets = {(email, target.pipeline_id): target for email, target in wanted}
        pipelines = {pipeline_id for _, pipeline_id in targets}
        emails = list(dict.fromkeys(email for email, _ in targets))
        only = next(iter(pipelines)) if len(pipelines) == 1 else None
        self.people.update(self._directory.resolve(emails, only))
        self.read(number for person in self.people.values() for number in person.lead_ids)
        remembered = self._search_doubtful([pair for pair in targets if pair[0] in self.people])
        lost: dict[Pair, Outcome] = {}
        for pair, target in targets.items():
            if pair[0] in self.people and (outcome := self._settle(pair, target, remembered.get(pair[0]))):
                lost[pair] = outcome
        if only is not None:  # of two pipelines the one's open deals would be the other's dull ones
            self._learn(only)
        self._directory.forget([email for email, _ in lost if email in remembered])
        return lost

    def chosen(self, email: str, pipeline_id: int) -> int | None:
        """The id of the deal to move."""
        return self._chosen.get((email, pipeline_id))

    def lead(self, lead_id: int) -> Lead | None:
        """The deal as it was read last."""
        return self._leads.get(lead_id, (None, 0.0))[0]

    def read(self, lead_ids: Iterable[int], anew: bool = False) -> None:
        """Read those that were not read within the last seconds, or all of them anew."""
        now = self._now()
        stale = [one for one in dict.fromkeys(lead_ids) if anew or self.is_stale(one)]
        if stale:
            found = self._client.leads(stale)
            there = {one: lead for one, lead in found.items() if not lead.is_deleted}
            self._leads.update({one: (there.get(one), now) for one in stale})

    def is_stale(self, lead_id: int) -> bool:
        """Whether what is known of the deal is too old to be written over."""
        known = self._leads.get(lead_id)
        return known is None or not 0 <= self._now() - known[1] < STALE

    def moved(self, lead: Lead, at: float) -> None:
        """We have put the deal where this says, by a request that left at that time."""
        self._leads[lead.id] = (lead, at)

    def heal(self, row: Delivery, target: Target) -> Outcome | None:
        """The deal that was known is gone: forget it and search again, once. None: another one was found."""
        email = row.email or ""
        pair = (email, target.pipeline_id)
        self._chosen.pop(pair, None)
        if email in self._healed:
            return outcomes.no_deal(self.people[email], Choice("none"), True, target, self._pipelines)
        self._healed.add(email)
        before = self.people[email]
        self._directory.forget([email])
        self.people[email] = self._directory.search(email)
        self.read(self.people[email].lead_ids, anew=True)
        return self._settle(pair, target, before)

    def _search_doubtful(self, pairs: Sequence[Pair]) -> dict[str, Person]:
        """Where what was remembered leads to no open deal, the search may know better. -> what was remembered."""
        doubtful = [
            email
            for email in dict.fromkeys(pair[0] for pair in pairs if self._choice(pair).found != "open")
            if not self.people[email].searched
        ]
        before = {email: self.people.pop(email) for email in doubtful}
        for email in doubtful[:SEARCHES]:
            self.people[email] = self._directory.search(email)
        self.read(number for email in doubtful[:SEARCHES] for number in self.people[email].lead_ids)
        return before

    def _settle(self, pair: Pair, target: Target, before: Person | None) -> Outcome | None:
        """Choose the deal of a pair. -> the outcome where there is none."""
        choice = self._choice(pair)
        if choice.found == "open" and choice.lead is not None:
            self._chosen[pair] = choice.lead.id
            return None
        gone = before is not None and bool(before.lead_ids) and not any(map(self.lead, before.lead_ids))
        return outcomes.no_deal(self.people[pair[0]], choice, gone, target, self._pipelines)

    def _choice(self, pair: Pair) -> Choice:
        leads = (self.lead(number) for number in self.people[pair[0]].lead_ids)
        return choose([lead for lead in leads if lead is not None], pair[1])

    def _learn(self, pipeline_id: int) -> None:
        lessons = []
        for email, person in self.people.items():
            choice = self._choice((email, pipeline_id))
            others = {*person.inactive_lead_ids, *person.lead_ids} - set(choice.open_ids)
            lessons.append((person, choice.open_ids, tuple(others)))
        self._directory.learn_all(lessons)
