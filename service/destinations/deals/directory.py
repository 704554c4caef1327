"""Whose deals: e-mail -> contacts -> deals, remembered with age, looked up one by one or, when many wait, by the page.

The page way reads the open deals of one pipeline with their contacts, 250 of each per request, and never the account's
whole contact base. It is tried only so far as it cannot cost more than it saves: see docs/amocrm.md.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from outbox.message import Known
from service.amocrm.account_facts import AccountFacts
from service.amocrm.client import AmocrmClient
from service.amocrm.payloads import Contact, Lead
from service.destinations.deals.person import NAMESPACE, Person, as_value, from_entry
from service.destinations.deals.prefetch import Prefetch

if TYPE_CHECKING:
    from outbox.shared import KeyValues

FRESH = 600.0
"""Seconds for which an entry is believed as it is; its deals' stages are read in any case."""

BELIEVED = 7 * 24 * 3600.0
"""An older entry is checked by its contacts' ids when many wait; after so long the e-mail is searched for again."""

FEW = 5
"""Up to so many are searched for one by one, which also finds contacts that were made since."""

MANY = 20
"""From so many unknown ones on the page way is tried."""

COUNTED_SECONDS = 600.0
A_FEW_PAGES = 6
"""So many requests for pages at a time, while only a few students wait."""

SEARCHES = 50
"""Searches in one pass; who is left then is answered for in the next one."""


class Directory:
    """E-mails and their deals. Methods that read from amoCRM may raise DeliveryError and Stopping."""

    def __init__(
        self, client: AmocrmClient, prefetch: Prefetch, key_values: KeyValues, now: Callable[[], float]
    ) -> None:
        self._client = client
        self._prefetch = prefetch
        self._key_values = key_values
        self._facts = AccountFacts(key_values, now)
        self._now = now

    def bound(self, client: AmocrmClient) -> Directory:
        """The same, asking through this client."""
        other = copy.copy(self)
        other._client, other._prefetch = client, self._prefetch.bound(client)
        return other

    def unknown(self, emails: Sequence[str]) -> list[str]:
        """Those of which nothing is remembered."""
        return self._remembered(emails)[2]

    def pages(self, pipeline_id: int, unknown: int) -> Iterator[list[str]]:
        """The e-mails that one page of the pipeline after the other shows, while so many are unknown; see
        Prefetch.pages."""
        return self._prefetch.pages(pipeline_id, unknown // 2)

    def resolve(self, emails: Sequence[str], pipeline_id: int | None) -> dict[str, Person]:
        """What is known or can be found of these e-mails (trimmed, casefolded). One that is missing in the answer has
        to wait for the next pass; one without contacts is in the answer, with none. pipeline_id: whose pages may be
        read; None: no pages."""
        found, old, unknown = self._remembered(emails)
        self._client.learn([Known(one.name(), one.phones, (email,)) for email, one in found.items()])
        if pipeline_id is not None and len(emails) > 1 and 0 < len(unknown) < MANY:  # one alone is not kept waiting
            unknown = self._by_pages(pipeline_id, unknown, min(self._earned(), A_FEW_PAGES), found)
        if len(old) + len(unknown) <= FEW:
            return {**found, **self._search_all([*old, *unknown])}
        checked = self._check(old)
        found.update(checked)
        unknown += [email for email in old if email not in checked]
        if len(unknown) >= MANY and pipeline_id is not None:
            unknown = self._by_pages(pipeline_id, unknown, len(unknown) // 2, found)
        return {**found, **self._search_all(unknown[:SEARCHES])}

    def search(self, email: str) -> Person:
        """Ask amoCRM now."""
        person = _person(email, self._client.find_contacts(email), searched=True)
        entry = self._key_values.get(NAMESPACE, email)
        return replace(person, missing=from_entry(email, entry).missing) if entry is not None else person

    def take(self, lead_id: int, since: float) -> tuple[Lead, float] | None:
        """The deal as a page of the pipeline showed it, and when; see Prefetch.take."""
        return self._prefetch.take(lead_id, since)

    def learn(self, person: Person, open_ids: Iterable[int], inactive_lead_ids: Iterable[int]) -> None:
        """Remember which of the deals are worth looking at. A person without open deals is not remembered."""
        self.learn_all([(person, tuple(open_ids), tuple(inactive_lead_ids))])

    def learn_all(self, people: Sequence[tuple[Person, tuple[int, ...], tuple[int, ...]]]) -> None:
        """The same for many, in one commit."""
        values = {}
        for person, open_ids, inactive_lead_ids in people:
            if open_ids and (person.searched or set(open_ids) != set(person.lead_ids)):
                values[person.email] = as_value(person.contacts, open_ids, inactive_lead_ids, phones=person.phones)
        self._key_values.put_many(NAMESPACE, values)

    def miss(self, person: Person, missing: Iterable[int]) -> None:
        """Remember which deals amoCRM did not find. Until they are found or their end is proven, the e-mail is searched
        for each time."""
        value = as_value(person.contacts, (), missing=missing, phones=person.phones)
        self._key_values.put(NAMESPACE, person.email, value)

    def forget(self, emails: Sequence[str]) -> None:
        """What was remembered turned out to be wrong."""
        self._key_values.delete(NAMESPACE, list(emails))

    def tidy(self, older_than: float) -> int:
        """Forget entries that nobody has touched since then (seconds since the epoch). -> how many."""
        return self._key_values.delete_old(NAMESPACE, older_than)

    def _remembered(self, emails: Sequence[str]) -> tuple[dict[str, Person], list[str], list[str]]:
        """(those that are believed as they are, e-mails of old entries, unknown e-mails)."""
        kept = self._key_values.get_many(NAMESPACE, list(emails))
        found, old, unknown = {}, [], []
        is_believed = self._prefetch.believed()
        for email in emails:
            entry = kept.get(email)
            age = self._now() - entry.updated_at if entry else BELIEVED
            held = entry is not None and not entry.value.get("missing") and is_believed(entry.value)
            if entry is None or not held or not 0 <= age < BELIEVED:
                unknown.append(email)
            elif age < FRESH:
                found[email] = from_entry(email, entry)
            else:
                old.append(email)
        return found, old, unknown

    def _by_pages(self, pipeline_id: int, unknown: list[str], allowed: int, found: dict[str, Person]) -> list[str]:
        """Read on by the page, for so many requests. -> who is still unknown; the others are put into `found`."""
        if allowed < 2 or not self._prefetch.read(pipeline_id, allowed):
            return unknown
        paged, _, unknown = self._remembered(unknown)
        found.update(paged)
        return unknown

    def _search_all(self, emails: Sequence[str]) -> dict[str, Person]:
        if emails:
            since, count = self._searches()
            self._facts.keep_searches(since, count + len(emails))
        return {email: self.search(email) for email in emails}

    def _earned(self) -> int:
        """How many requests for pages the searches of the last minutes have earned: as many as they were, once they
        were many. So unknown students who trickle in for an hour cost at most twice what knowing would have cost."""
        since, count = self._searches()
        return count - self._prefetch.requests_since(since) if count >= MANY else 0

    def _searches(self) -> tuple[float, int]:
        """(since when they are counted, how many)."""
        since, count = self._facts.searches()
        return (since, count) if 0 <= self._now() - since < COUNTED_SECONDS else (self._now(), 0)

    def _check(self, emails: Sequence[str]) -> dict[str, Person]:
        """Old entries, read again by their contacts' ids; those that no longer hold, or of which a contact could not be
        read, are left out and forgotten: they are searched for next."""
        if not emails:
            return {}
        kept = {
            email: from_entry(email, entry) for email, entry in self._key_values.get_many(NAMESPACE, emails).items()
        }
        rows = self._client.contacts([number for person in kept.values() for number in person.contacts])
        good: dict[str, Person] = {}
        values: dict[str, Any] = {}
        for email, before in kept.items():
            bearers = [row for number in before.contacts if (row := rows.get(number)) and email in row.emails]
            person = _person(email, bearers)
            inactive = tuple(number for number in before.inactive_lead_ids if number in person.lead_ids)
            live = tuple(number for number in person.lead_ids if number not in inactive)
            if bearers and live and all(number in rows for number in before.contacts):
                good[email] = replace(person, lead_ids=live, inactive_lead_ids=inactive)
                values[email] = as_value(person.contacts, live, inactive, phones=person.phones)
        self.forget([email for email in emails if email not in good])
        self._key_values.put_many(NAMESPACE, values)
        return good


def _person(email: str, contacts: Sequence[Contact], searched: bool = False) -> Person:
    lead_ids = dict.fromkeys(number for one in contacts for number in one.lead_ids)
    phones = dict.fromkeys(phone for one in contacts for phone in one.phones)
    names = {one.id: one.name for one in contacts}
    return Person(email, names, tuple(lead_ids), searched=searched, phones=tuple(phones))
