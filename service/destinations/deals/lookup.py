"""Whose deal each delivery means: the directory's answer, read from amoCRM within the last seconds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Sequence

from outbox.message import Delivery
from outbox.outcome import DeliveryError, Outcome
from service.amocrm.absences import Absences
from service.amocrm.client import AmocrmClient
from service.amocrm.payloads import Lead
from service.amocrm.pipelines import Pipelines, Target
from service.destinations.deals import outcomes
from service.destinations.deals.directory import SEARCHES, Directory
from service.destinations.deals.person import Person
from service.destinations.deals.rules import STALE, Choice, choose

Pair = tuple[str, int]
"""An e-mail and a pipeline."""


class Lookup:
    """The deals of one pass. Methods that read from amoCRM may raise DeliveryError and Stopping."""

    def __init__(
        self,
        client: AmocrmClient,
        directory: Directory,
        pipelines: Pipelines,
        absences: Absences,
        now: Callable[[], float],
    ) -> None:
        self._client = client
        self._directory = directory
        self._pipelines = pipelines
        self._absences = absences
        self._now = now
        self._leads: dict[int, tuple[Lead | None, float]] = {}
        self._chosen: dict[Pair, int] = {}
        self._absent: set[int] = set()  # not there or deleted, by their last answer
        self._back: set[int] = set()  # they are there, and what was skipped as they counted as gone waits
        self._unread: dict[int, DeliveryError] = {}
        self._healed: dict[str, Person] = {}  # as they were known before
        self._tired: Collection[str] = ()
        self.people: dict[str, Person] = {}

    def bound(self, client: AmocrmClient) -> Lookup:
        """The same deals, asking through this client."""
        other = copy.copy(self)
        other._client, other._directory = client, self._directory.bound(client)
        return other

    def resolve(
        self, wanted: Sequence[tuple[str, Target]], tired: Collection[str] = (), pages: bool = True
    ) -> dict[Pair, Outcome]:
        """Find the deals. -> the outcome of each pair that has none to move; a pair that is in neither this nor
        `chosen` was not looked up in this pass. tired: e-mails that have waited long enough for a deal that cannot be
        read: their other deals count without it. pages: whether the pipeline may be read by the page for it."""
        self._tired = tired
        targets = {(email, target.pipeline_id): target for email, target in wanted}
        pipelines = {pipeline_id for _, pipeline_id in targets}
        emails = list(dict.fromkeys(email for email, _ in targets))
        only = next(iter(pipelines)) if len(pipelines) == 1 else None
        self.people.update(self._directory.resolve(emails, only if pages else None))
        self.read(number for person in self.people.values() for number in person.watched)
        remembered = self._search_doubtful([pair for pair in targets if pair[0] in self.people])
        lost: dict[Pair, Outcome] = {}
        kept: set[str] = set()
        for pair, target in targets.items():
            if pair[0] in self.people and (outcome := self._settle(pair, target, remembered.get(pair[0]))):
                lost[pair] = outcome
                if isinstance(outcome, DeliveryError) and outcome.cause == "deal_missing":
                    kept.add(pair[0])
        if only is not None:  # of two pipelines the one's open deals would be the other's dull ones
            self._learn(only, {email for email, _ in lost})
        self._directory.forget([email for email, _ in lost if email not in kept])
        return lost

    def chosen(self, email: str, pipeline_id: int) -> int | None:
        """The id of the deal to move."""
        return self._chosen.get((email, pipeline_id))

    def lead(self, lead_id: int) -> Lead | None:
        """The deal as it was read last."""
        return self._leads.get(lead_id, (None, 0.0))[0]

    def read(self, lead_ids: Iterable[int], anew: bool = False) -> None:
        """Read those that were not read within the last seconds, or all of them anew. What a page of the pipeline has
        just shown need not be read by its id."""
        now = self._now()
        stale = [one for one in dict.fromkeys(lead_ids) if anew or self.is_stale(one)]
        shown = {one: row for one in stale if (row := self._directory.take(one, now - STALE)) is not None}
        if shown and not anew:
            self._leads.update(shown)
            self._back |= self._absences.are_there(list(shown))
            self._absent.difference_update(shown)
            stale = [one for one in stale if one not in shown]
        if stale:
            found = self._client.leads(stale)
            there = {one: lead for one, lead in found.items() if not lead.is_deleted}
            self._leads.update({one: (there.get(one), now) for one in stale})
            self._back |= self._absences.are_there(list(there))
            self._absent.difference_update(stale)
            self._absent |= found.absent | (found.keys() - there.keys())
            self._unread = {one: error for one, error in self._unread.items() if one not in stale} | found.unread

    def is_stale(self, lead_id: int) -> bool:
        """Whether what is known of the deal is too old to be written over."""
        known = self._leads.get(lead_id)
        return known is None or known[0] is None or not 0 <= self._now() - known[1] < STALE

    def moved(self, lead: Lead, at: float) -> None:
        """We have put the deal where this says, by a request that left at that time."""
        self._leads[lead.id] = (lead, at)

    def heal(self, row: Delivery, target: Target) -> Outcome | None:
        """The deal that was known is gone: forget it and search again, once. None: another one was found."""
        email = row.email or ""
        pair = (email, target.pipeline_id)
        self._chosen.pop(pair, None)
        if email not in self._healed:
            self._healed[email] = self.people[email]
            self.people[email] = self._directory.search(email)
            self._directory.forget([email])
            self.read(self.people[email].watched, anew=True)
        return self._settle(pair, target, self._healed[email])

    def _search_doubtful(self, pairs: Sequence[Pair]) -> dict[str, Person]:
        """Where what was remembered leads to no open deal, the search may know better. -> what was remembered."""
        doubtful = [
            email
            for email in dict.fromkeys(pair[0] for pair in pairs if self._is_doubtful(pair))
            if not self.people[email].searched
        ]
        before = {email: self.people.pop(email) for email in doubtful}
        for email in doubtful[:SEARCHES]:
            self.people[email] = self._directory.search(email)
        self.read(number for email in doubtful[:SEARCHES] for number in self.people[email].watched)
        return before

    def _is_doubtful(self, pair: Pair) -> bool:
        absent = any(number in self._absent for number in self.people[pair[0]].lead_ids)
        return absent or self._choice(pair).found != "open"

    def _settle(self, pair: Pair, target: Target, before: Person | None) -> Outcome | None:
        """Choose the deal of a pair. -> the outcome where there is none. before: what was known of the person before
        the search."""
        person = self.people[pair[0]]
        choice = self._choice(pair)
        for number in person.watched:
            if number in self._unread and (pair[0] not in self._tired or choice.found != "open"):
                return outcomes.unread_deal(self._unread[number], number, target)
        # A deal that the contact no longer bears does not hold up the others; without any it counts.
        listed = person.lead_ids
        known = (*listed, *person.missing, *(before.lead_ids if before else ()))
        absent = [one for one in (listed if choice.found == "open" else known) if one in self._absent]
        if max(map(self._absences.note, absent), default=0.0) > 0:
            self._directory.miss(person, absent)
            return outcomes.missing_deal(person, max(absent), target)
        if choice.found == "open" and choice.lead is not None:
            # What was skipped while it counted as gone waits again, and goes before what came after it.
            if choice.lead.id not in self._back:
                self._chosen[pair] = choice.lead.id
            return None
        gone = {*person.missing, *(before.lead_ids if before else ())}
        is_gone = bool(gone) and not any(self.lead(one) or one in self._unread for one in gone)
        return outcomes.no_deal(person, choice, max(gone) if is_gone else None, target, self._pipelines)

    def _choice(self, pair: Pair) -> Choice:
        person = self.people[pair[0]]
        leads = [lead for number in person.watched if (lead := self.lead(number)) is not None]
        # One that was missing and is there again may belong to somebody else by now.
        own = [lead for lead in leads if lead.id in person.lead_ids or set(lead.contact_ids) & set(person.contacts)]
        return choose(own, pair[1])

    def _learn(self, pipeline_id: int, without: Collection[str]) -> None:
        lessons = []
        for email, person in self.people.items():
            if email in without:
                continue
            choice = self._choice((email, pipeline_id))
            others = {*person.inactive_lead_ids, *person.lead_ids} - set(choice.open_ids)
            lessons.append((person, choice.open_ids, tuple(others)))
        self._directory.learn_all(lessons)
