"""Reading a pipeline's open deals by the page, bounded and resumable, to learn many students' deals at once.

Of a student's open deals the one that was changed last is meant, and the pages are asked for in that order: the first
one that a page shows is it. Who is on a page can be served before the next one is read, while what it shows is fresh.

Reference: https://www.amocrm.ru/developers/content/crm_platform/filters-api
"""

from __future__ import annotations

import copy
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from outbox.outcome import DeliveryError, PauseKind
from service.amocrm.account_facts import AccountFacts
from service.amocrm.client import LIST_LIMIT, AmocrmClient, Rejected
from service.amocrm.payloads import Contact, Lead
from service.amocrm.pipelines import Pipelines
from service.closed_stages import CLOSED
from service.destinations.deals.person import NAMESPACE, as_value
from service.destinations.deals.rules import STALE

if TYPE_CHECKING:
    from outbox.shared import KeyValues

Answer = TypeVar("Answer")

A_DAY = 800
"""Requests for this a day (UTC): 100,000 open deals. amoCRM calls going through all data without end an abuse."""

RESUMABLE = 900.0
"""Seconds after which a reading that was broken off begins anew: by then deals have come and gone."""

PAGE_WAIT, READ_WAIT = 3.0, 20.0
"""Seconds that a list may take, and after which no further page is begun in a pass: meanwhile others wait."""

GIVEN_UP, GIVEN_UP_LONGEST = 30.0, 24 * 3600.0
"""Seconds for which a reading that failed or was slow is given up, doubling with each failure running. Everybody is
searched for meanwhile, six a second at the usual pace."""

CROWD, TRIES, CROWD_GIVEN_UP = 50, 3, 5.0
"""Where so many requests for pages would be worth it, a page has to fail so many times for one cause, and is given up
for shorter at first: the searches of half a minute are more requests than all the pages of a launch."""

IN_PASSING = ("amocrm_moved", "amocrm_rights", "amocrm_reconnect")
"""Answers to all of a list that were seen once and not again. To a block nothing is asked twice."""

REPEATS = 250
"""So many deals on two pages of a reading are more than is changed meanwhile: there is no order among equal times."""

REST = 1800.0
"""Seconds after a whole reading in which there is no other: who was not in it is searched for."""


class Prefetch:
    """Fills the directory. Where it is, is kept among the account's facts."""

    def __init__(
        self, client: AmocrmClient, pipelines: Pipelines, key_values: KeyValues, now: Callable[[], float]
    ) -> None:
        self._client = client
        self._pipelines = pipelines
        self._key_values = key_values
        self._facts = AccountFacts(key_values, now)
        self._now = now
        self._rows: dict[int, tuple[Lead, float]] = {}  # shared with the bound ones

    def bound(self, client: AmocrmClient) -> Prefetch:
        """The same, asking through this client."""
        other = copy.copy(self)
        other._client, other._pipelines = client, self._pipelines.bound(client)
        return other

    def read(self, pipeline_id: int, allowed: int) -> bool:
        """Read on, for at most so many requests and a few seconds. -> whether the reading is whole now."""
        end = self._now() + READ_WAIT
        for _ in self.pages(pipeline_id, allowed):
            if self._now() >= end:
                break  # the next pass goes on from here
        state = self._facts.scan()
        return state.get("pipeline") == pipeline_id and bool(state.get("whole"))

    def pages(self, pipeline_id: int, allowed: int) -> Iterator[list[str]]:
        """The same without an end, page by page: the e-mails that one showed, whose deals need not wait for the others.
        Empty where the order is not kept: then nothing is believed before the reading is whole.

        Whatever goes wrong, nobody waits for it: who is not found here is searched for, and that tells what is wrong.
        """
        state = self._state(pipeline_id)
        if state is None:
            return
        reading = self._read(pipeline_id, allowed, state)
        while True:
            try:
                emails = next(reading, None)
            except DeliveryError as error:
                if error.pause is PauseKind.RECONNECT:
                    raise  # refused again and again with new access: to search would only ask the same
                if error.cause != "amocrm_slow_down":  # the pace is no fault of the reading
                    self._give_up(state, GIVEN_UP if allowed < CROWD else CROWD_GIVEN_UP)
                return
            if emails is None:
                return
            yield emails

    def take(self, lead_id: int, since: float) -> tuple[Lead, float] | None:
        """The deal as a page showed it, and when that page was asked for, if not before `since` (seconds since the
        epoch). It is given out once: whoever takes it may write the deal, and then it is no longer so."""
        row = self._rows.pop(lead_id, None)
        return row if row is not None and since <= row[1] <= self._now() else None

    def _give_up(self, state: dict[str, Any], first: float) -> None:
        failures = int(state.get("failures", 0)) + 1
        rest = min(first * 2 ** (failures - 1), GIVEN_UP_LONGEST)
        self._facts.keep_scan({**state, "failures": failures, "not_before": self._now() + rest})

    def _read(self, pipeline_id: int, allowed: int, state: dict[str, Any]) -> Iterator[list[str]]:
        open_ids = self._open_ids(pipeline_id, allowed)
        known: dict[int, Contact] = {}
        empty = 0  # how often running a page had no deals: an empty answer may be given in passing
        while open_ids and allowed >= 2 and state["requests"] < A_DAY and not state["whole"]:
            taken = state["taken"]
            leads, following, asked_at = self._patiently(partial(self._page, pipeline_id, open_ids, state), allowed)
            if any(lead.pipeline_id != pipeline_id or lead.status_id not in open_ids for lead in leads):
                # Filters are ignored: this is just any page of all deals of the account.
                self._facts.keep_filters(False)
                return
            self._patiently(partial(self._meet, leads, known, state), allowed)
            emails = self._learn(leads, known, state)
            self._keep(leads, asked_at)
            allowed -= state["taken"] - taken
            empty = 0 if leads else empty + 1
            is_end = following is None and (bool(leads) or empty >= (TRIES if allowed >= CROWD else 2))
            page, limit = following or (state["page"], state.get("limit", LIST_LIMIT))
            state.update(page=page, limit=limit, at=self._now(), whole=is_end, failures=0)
            self._heed_order(leads, state)
            self._facts.keep_scan(state)
            yield emails if state["ordered"] else []

    def _heed_order(self, leads: Sequence[Lead], state: dict[str, Any]) -> None:
        """Where pages do not come in the order that was asked for, only a whole reading tells which deal is meant.
        Where they show the same deals again and again, they lack others: the reading begins anew, by ids."""
        times = [state.get("last", math.inf), *(lead.updated_at for lead in leads)]
        state["ordered"] = state["ordered"] and all(one >= other for one, other in itertools.pairwise(times))
        if leads:
            state["last"] = times[-1]
        if state["by"] == "updated_at" and state["repeats"] >= REPEATS:
            _begin_by_ids(state)

    def _open_ids(self, pipeline_id: int, allowed: int) -> list[int]:
        """The stages whose deals are read; none where there is nothing to read."""
        if not self._patiently(self._filters_work, allowed):
            return []
        pipeline = self._patiently(lambda: self._pipelines.within(PAGE_WAIT).pipeline(pipeline_id), allowed)
        return [stage.id for stage in pipeline.stages if stage.id not in CLOSED] if pipeline else []

    def _page(
        self, pipeline_id: int, open_ids: list[int], state: dict[str, Any]
    ) -> tuple[list[Lead], tuple[int, int] | None, float]:
        """A page and what asks for the next one, as AmocrmClient.open_leads has them, and when it was asked for."""
        while True:
            asked_at, limit = self._now(), state.get("limit", LIST_LIMIT)
            try:
                with self._counted(state) as client:
                    leads, following = client.open_leads(pipeline_id, open_ids, state["page"], limit, state["by"])
                return leads, following, asked_at
            except Rejected:
                if state["by"] == "id":
                    raise
                _begin_by_ids(state)  # the other order is not known here

    def _meet(self, leads: list[Lead], known: dict[int, Contact], state: dict[str, Any]) -> None:
        """Read the contacts of these deals that are not known yet."""
        ids = dict.fromkeys(number for lead in leads for number in lead.contact_ids if number not in known)
        if ids:
            with self._counted(state) as client:
                people = client.contacts(list(ids)).values()
                # Without their fields, which are most of it: a reading may meet a hundred thousand people.
                known.update((one.id, replace(one, custom_fields=())) for one in people)

    @contextmanager
    def _counted(self, state: dict[str, Any]) -> Iterator[AmocrmClient]:
        """A client for one list, whose requests are counted whatever comes of them."""
        client = self._client.bound(deadline=PAGE_WAIT)
        sent = client.requests
        try:
            yield client
        finally:
            for name in ("requests", "taken"):
                state[name] += client.requests - sent

    def _patiently(self, ask: Callable[[], Answer], allowed: int) -> Answer:
        """The answer, asked for again at once where many wait for it and what was odd may be so in passing."""
        failures: Counter[str] = Counter()
        while True:
            try:
                return ask()
            except DeliveryError as error:
                failures[error.cause] += 1
                passes = error.outage or error.cause in IN_PASSING
                if not passes or allowed < CROWD or failures[error.cause] >= TRIES:
                    raise

    def _keep(self, leads: Iterable[Lead], at: float) -> None:
        """Those of earlier pages that nobody could take any more make room."""
        for lead_id in [one for one, row in list(self._rows.items()) if not at - STALE <= row[1] <= at]:
            self._rows.pop(lead_id, None)
        self._rows.update((lead.id, (replace(lead, custom_fields=()), at)) for lead in leads)

    def requests_since(self, since: float) -> int:
        """How many requests the present reading has taken, if it is from after that time (seconds since the epoch)."""
        state = self._facts.scan()
        return int(state.get("taken", 0)) if float(state.get("begun", 0.0)) >= since else 0

    def believed(self) -> Callable[[Any], bool]:
        """-> whether an entry of the directory may be believed: it is from no reading by pages, from a whole one, or
        from one that shows the deal that was changed last first. To be asked of many entries."""
        state = self._facts.scan()
        good = {"", *state.get("done", ())}
        if state.get("whole") or state.get("ordered"):
            good.add(state.get("scan"))
        return lambda value: (value.get("scan") or "") in good

    def _learn(self, leads: list[Lead], known: dict[int, Contact], state: dict[str, Any]) -> list[str]:
        """Remember the e-mails of these deals' contacts. -> those e-mails."""
        scan = state["scan"]
        here = list(dict.fromkeys(number for lead in leads for number in lead.contact_ids))
        bearers: dict[str, list[Contact]] = {}
        for number in here:
            for email in known[number].emails if number in known else ():
                bearers.setdefault(email, []).append(known[number])
        kept = self._key_values.get_many(NAMESPACE, list(bearers))
        ours = {lead.id for lead in leads}
        borne: dict[int, set[int]] = {}  # contact -> deals of this page
        for lead in leads:
            for number in lead.contact_ids:
                borne.setdefault(number, set()).add(lead.id)
        values = {}
        is_believed = self.believed()
        for email, people in bearers.items():
            contacts = {one.id: one.name for one in people}
            phones = [phone for one in people for phone in one.phones]
            # A contact's other deals are on other pages; those that are open come by with them, the rest is dull.
            deals = {lead_id for number in contacts for lead_id in borne[number]}
            dull = {number for one in people for number in one.lead_ids} - ours
            entry = kept.get(email)
            if entry is not None and entry.value.get("scan") != scan and is_believed(entry.value):
                continue  # known already
            if entry is not None and entry.value.get("scan") == scan:
                state["repeats"] += bool(deals & set(entry.value["leads"]))
                contacts = {**{int(number): name for number, name in entry.value["contacts"].items()}, **contacts}
                dull |= set(entry.value.get("dull", ()))
                deals |= set(entry.value["leads"])
                phones = [*entry.value.get("phones", ()), *phones]
            values[email] = as_value(contacts, deals, dull - deals, scan, phones=list(dict.fromkeys(phones)))
        self._key_values.put_many(NAMESPACE, values)
        return list(bearers)

    def _state(self, pipeline_id: int) -> dict[str, Any] | None:
        """Where to read on; None while there is nothing to be gained or today's requests are used up."""
        state = self._facts.scan()
        now = self._now()
        day = datetime.fromtimestamp(now, UTC).date().isoformat()
        requests = state.get("requests", 0) if state.get("day") == day else 0
        age = now - float(state.get("at", 0.0))
        same = state.get("pipeline") == pipeline_id
        given_up = 0 <= float(state.get("not_before", 0.0)) - now <= GIVEN_UP_LONGEST
        if requests >= A_DAY or given_up or (same and state.get("whole") and 0 <= age < REST):
            return None
        if same and "by" in state and not state.get("whole") and 0 <= age < RESUMABLE:
            return {**state, "day": day, "requests": requests}
        good = state.get("whole") or state.get("ordered")
        done = [*state.get("done", []), state["scan"]][-50:] if good else state.get("done", [])
        scan = f"{pipeline_id}:{int(now)}"
        fresh = {"pipeline": pipeline_id, "page": 1, "scan": scan, "whole": False, "at": now, "begun": now, "taken": 0}
        fresh |= {"failures": state.get("failures", 0), "by": "updated_at", "ordered": True, "repeats": 0}
        return {**fresh, "day": day, "requests": requests, "done": done}

    def _filters_work(self) -> bool:
        """Whether the account heeds filters, asked once a day where amoCRM tells; else its rows will show."""
        known = self._facts.heeds_filters()
        if known is None:
            known = (
                self._client.bound(deadline=PAGE_WAIT).account(with_filters=True).get("is_api_filter_enabled")
                is not False
            )
            self._facts.keep_filters(known)
        return known


def _begin_by_ids(state: dict[str, Any]) -> None:
    """The reading begins anew, in an order that nobody's change disturbs; nothing is believed before it is whole."""
    state.update(by="id", scan=f"{state['scan']}:id", page=1, whole=False, ordered=False, repeats=0)
