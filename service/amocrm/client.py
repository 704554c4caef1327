"""What is asked of amoCRM, and its answers checked row by row.

Reference: https://www.amocrm.ru/developers/content/crm_platform/api-reference
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from outbox.message import Known
from outbox.outcome import DeliveryError, PauseKind
from service.amocrm import errors, payloads
from service.amocrm.account_facts import AccountFacts
from service.amocrm.api import Api, Params, Record, Rejected, Wanted
from service.amocrm.oauth.tokens import TokenOwner
from service.amocrm.payloads import Contact, Lead, Pipeline, StatusChange
from service.amocrm.rate_limit import Pace
from service.email_address import ascii_form, canonical
from service.network.http import Http

if TYPE_CHECKING:
    from outbox.shared import KeyValues

__all__ = ["AmocrmClient", "Found", "Rejected"]

LIST_LIMIT = 250
EVENTS_LIMIT = 100
MOST_SEARCH_PAGES = 100

ONE_BY_ONE = 5
"""Up to so many rows that a list with others did not hold are asked for one by one; for more a list is asked again."""

PARTS, IN_VAIN = 4, 3
"""Into how many parts a list is cut that tells nothing again and again, and after how many such lists nobody is asked
for by lists any more, if no row came at all."""

UNANSWERED, FORBIDDEN = 2, 5
"""So many questions running for single rows may go without an answer, or be refused for want of a right; then it is not
the rows."""

Row = TypeVar("Row", Lead, Contact)


class Found(dict[int, Row]):
    """Rows by their id.

    absent: the ids of which amoCRM said, asked for that very one while it answered other questions, that there is none.
        That is not yet proof: who makes something final of it asks again, minutes later.
    unread: the ids of which nothing is known, and why; the trouble of that row and of no other.
    """

    def __init__(self) -> None:
        super().__init__()
        self.absent: set[int] = set()
        self.unread: dict[int, DeliveryError] = {}


class AmocrmClient:
    """One amoCRM (Kommo) account. Safe to share between threads. Who works for certain deliveries, or for a person who
    waits, takes a copy that is `bound` to them, and asks through that.

    Every call may raise DeliveryError, with a cause, words for a person and, where all of the account is concerned, a
    pause; and Stopping while it waits for its turn.
    """

    def __init__(
        self,
        *,
        http: Http,
        tokens: TokenOwner,
        pace: Pace,
        key_values: KeyValues,
        now: Callable[[], float],
        on_answer: Callable[[], object] = lambda: None,
        learn: Callable[[Sequence[Known]], object] = lambda known: None,
    ) -> None:
        """learn: is told what each contact that is read says of a person."""
        self._api = Api(http=http, tokens=tokens, pace=pace, now=now, on_answer=on_answer)
        self._tokens = tokens
        self._facts = AccountFacts(key_values, now)
        self.learn = learn

    def bound(
        self,
        record: Record | None = None,
        deadline: float | None = None,
        leaves: Callable[[], None] | None = None,
        wanted: Wanted | None = None,
    ) -> AmocrmClient:
        """A copy whose requests are given to `record` (masked, with what came of them), and whose calls together take
        at most `deadline` seconds from now, or less where that was said before. leaves: called right before a request
        leaves, after it has waited for the pace; may raise. wanted: which requests `record` is given, all by default:
        to mask a long answer that nobody keeps takes milliseconds. What is not given stays as it is."""
        other = copy.copy(self)
        other._api = self._api.bound(record, deadline, leaves, wanted)
        return other

    @property
    def requests(self) -> int:
        """How many this copy has sent."""
        return self._api.requests

    # -- the account

    def account(self, with_filters: bool = False) -> dict[str, Any]:
        """The account: id, name, subdomain, current_user_id, ...; the cheapest test of a connection.

        with_filters: also is_api_filter_enabled, where amoCRM tells it.
        Reference: https://www.amocrm.ru/developers/content/crm_platform/account-info
        """
        params = [("with", "is_api_filter_enabled")] if with_filters else []
        node = self._api.node("GET", "/api/v4/account", params)
        if node is None or payloads.whole(node.get("id")) is None:
            raise errors.unreadable("GET /api/v4/account", "it holds no account id")
        self._tokens.note_account(node)
        return node

    def pipelines(self) -> tuple[Pipeline, ...]:
        """All pipelines with their stages, each by sort.

        Reference: https://www.amocrm.ru/developers/content/crm_platform/leads_pipelines
        """
        path = "/api/v4/leads/pipelines"
        pages = self._api.pages(path, [], LIST_LIMIT)
        found = [row for node, _ in pages for row in _rows(node, "pipelines", payloads.pipeline, path)]
        return tuple(sorted(found, key=lambda one: one.sort))

    # -- deals and contacts

    def leads(self, ids: Sequence[int]) -> Found[Lead]:
        """Deals by id, with their contacts; 250 per request. What a list does not hold is asked for by itself.

        Reference: https://www.amocrm.ru/developers/content/crm_platform/leads-api
        """
        return self._by_id("leads", ids, payloads.lead, "contacts")

    def contacts(self, ids: Sequence[int]) -> Found[Contact]:
        """Contacts by id, with the ids of their deals; as with deals.

        Reference: https://www.amocrm.ru/developers/content/crm_platform/contacts-api
        """
        found = self._by_id("contacts", ids, payloads.contact, "leads")
        self._met(found.values())
        return found

    def find_contacts(self, email: str) -> tuple[Contact, ...]:
        """Contacts that bear exactly this e-mail (in whatever spelling) in an EMAIL field, by id.

        amoCRM's search looks through all fields and is fuzzy, so that each row is looked at here. A domain of other
        letters than Latin is searched for in both its spellings.
        """
        wanted = canonical(email)
        found: dict[int, Contact] = {}
        for spelling in dict.fromkeys((wanted, ascii_form(wanted))):
            params = [("query", spelling), ("with", "leads"), ("limit", str(LIST_LIMIT)), ("page", "1")]
            pages = self._api.pages("/api/v4/contacts", params, LIST_LIMIT)
            for node, _ in islice(pages, MOST_SEARCH_PAGES):
                people = _rows(node, "contacts", payloads.contact, "/api/v4/contacts")
                found.update((one.id, one) for one in people if wanted in one.emails)
        self._met(found.values())
        return tuple(found[number] for number in sorted(found))

    def search_contacts(self, text: str, limit: int) -> tuple[Contact, ...]:
        """The first contacts that amoCRM's own search finds by a name, a phone or a part of an e-mail, with their
        deals."""
        params = [("query", text), ("with", "leads"), ("limit", str(limit)), ("page", "1")]
        for node, _ in islice(self._api.pages("/api/v4/contacts", params, limit), 1):
            found = tuple(_rows(node, "contacts", payloads.contact, "/api/v4/contacts"))[:limit]
            self._met(found)
            return found
        return ()

    def _met(self, contacts: Iterable[Contact]) -> None:
        """Whoever reads them, what they tell of people is kept."""
        self.learn([Known(one.name, one.phones, one.emails, one.lead_ids) for one in contacts])

    def open_leads(
        self, pipeline_id: int, status_ids: Sequence[int], page: int, limit: int = LIST_LIMIT, by: str = "updated_at"
    ) -> tuple[list[Lead], tuple[int, int] | None]:
        """A page (from 1) of so many deals on these stages, the latest `by` this field first, and page and limit of the
        next one, if any.

        Rows are not checked here: whoever pages has to see whether the account ignores filters, or their order.
        """
        params = [("with", "contacts"), ("limit", str(limit)), ("page", str(page)), (f"order[{by}]", "desc")]
        for place, status_id in enumerate(status_ids):
            params.append((f"filter[statuses][{place}][pipeline_id]", str(pipeline_id)))
            params.append((f"filter[statuses][{place}][status_id]", str(status_id)))
        for node, following in self._api.pages("/api/v4/leads", params, limit):
            place_of = dict(following or ())
            after = (int(place_of["page"]), int(place_of["limit"])) if following else None
            return _rows(node, "leads", payloads.lead, "/api/v4/leads"), after
        return [], None

    def patch_leads(self, changes: Sequence[Mapping[str, Any]]) -> set[int]:
        """PATCH a batch (250 at most) of {"id", "status_id", "pipeline_id", "request_id"}. -> the ids it confirmed.

        What an error means for which rows is for the writer to find out; `Rejected` carries the body of a 400 or 422.
        Reference: https://www.amocrm.ru/developers/content/crm_platform/leads-api#leads-edit
        """
        rows, many = [dict(one) for one in changes], len(changes) > ONE_BY_ONE
        node = self._api.node("PATCH", "/api/v4/leads", [], json=rows, of_rows=True, many=many)
        if node is None:
            return set()
        try:
            confirmed = payloads.embedded(node, "leads")
        except payloads.Unreadable as fault:
            raise errors.unreadable("PATCH /api/v4/leads", str(fault)) from None
        return {number for one in confirmed if (number := payloads.whole(one.get("id"))) is not None}

    # -- what happened

    def status_changes(self, since: int, until: int, with_new: bool = False) -> Iterator[StatusChange]:
        """Changes of stage between two times (seconds since the epoch, both included), newest first, each once.

        with_new: also the deals that were made.
        Reference: https://www.amocrm.ru/developers/content/crm_platform/events-and-notes
        """
        types = (payloads.STAGE_CHANGED, payloads.DEAL_ADDED) if with_new else (payloads.STAGE_CHANGED,)
        yield from self._changes(since, until, [], types)

    def status_changes_of(self, lead_id: int, since: int, until: int) -> Iterator[StatusChange]:
        """The same of one deal."""
        extra = [("filter[entity]", "lead"), ("filter[entity_id][]", str(lead_id))]
        yield from (change for change in self._changes(since, until, extra) if change.lead_id == lead_id)

    def _changes(
        self, since: int, until: int, extra: Params, types: Sequence[str] = (payloads.STAGE_CHANGED,)
    ) -> Iterator[StatusChange]:
        seen: set[object] = set()
        params = [
            ("filter[type]", ",".join(types)),
            ("filter[created_at][from]", str(since)),
            ("filter[created_at][to]", str(until)),
            *extra,
            ("limit", str(EVENTS_LIMIT)),
            ("page", "1"),
        ]
        for node, _ in self._api.pages("/api/v4/events", params, EVENTS_LIMIT):
            found = _rows(node, "events", lambda row: row, "/api/v4/events")
            times = [payloads.whole(row.get("created_at")) or 0 for row in found]
            for row in found:
                change = payloads.status_change(row)
                if change is None or not since <= change.at <= until or (change.is_new and len(types) == 1):
                    continue  # the account ignores filters
                # Pages shift while new events come in, so that a row may be met again.
                key = change.event_id or change
                if key not in seen:
                    seen.add(key)
                    yield change
            if times and max(times) < since:
                return

    # -- webhooks

    def webhooks(self) -> list[dict[str, Any]]:
        """The hooks of the account: {"destination", "settings", "disabled", ...}. For administrators only.

        Reference: https://www.amocrm.ru/developers/content/crm_platform/webhooks-api
        """
        pages = self._api.pages("/api/v4/webhooks", [], LIST_LIMIT)
        return [row for node, _ in pages for row in _rows(node, "webhooks", dict, "/api/v4/webhooks")]

    def subscribe(self, destination: str, settings: Sequence[str]) -> None:
        """Register a hook for exactly these settings ("status_lead", ...): whether POST merges is not documented."""
        self.unsubscribe(destination)
        self._api.node("POST", "/api/v4/webhooks", [], json={"destination": destination, "settings": list(settings)})

    def unsubscribe(self, destination: str) -> None:
        """Remove a hook; one that is not there is no error."""
        self._api.node("DELETE", "/api/v4/webhooks", [], json={"destination": destination})

    # -- rows by their ids

    def _by_id(self, name: str, ids: Sequence[int], read: Callable[[Mapping[str, Any]], Row], also: str) -> Found[Row]:
        wanted = list(dict.fromkeys(ids))
        found: Found[Row] = Found()
        answered = self._in_lists(name, wanted, read, also, found, False)
        left = [one for one in wanted if one not in found]
        if len(left) > ONE_BY_ONE and not answered:
            # Lists told nothing at all. If rows come that are asked for by themselves, it was the lists that were odd.
            first, left = left[:ONE_BY_ONE], left[ONE_BY_ONE:]
            answered = self._singly(name, first, read, also, found, False)
            if answered:
                self._in_lists(name, left, read, also, found, True)
        answered = self._singly(name, [one for one in left if one not in found], read, also, found, answered)
        if (found.absent or found.unread) and not answered:
            # Nothing but "not there": a moved account says so to every question, and this raises then.
            self.account()
        found.unread = {number: _of_a_row(error) for number, error in found.unread.items()}
        return found

    def _in_lists(
        self,
        name: str,
        wanted: list[int],
        read: Callable[[Mapping[str, Any]], Row],
        also: str,
        found: Found[Row],
        came: bool,
    ) -> bool:
        """Read these by lists. came: whether any row has come already. -> whether any has by now.

        A list that tells nothing is asked for again until it has given the same answer twice, since odd answers pass;
        then it is cut, since a single row may be what is refused. Who is left then is asked for singly. A long list has
        to say three times that the account has moved: a pause for nothing would cost more requests.
        """
        in_vain = 0
        before: tuple[str, ...]  # what lists with these ids have answered
        parts = [wanted[start : start + LIST_LIMIT] for start in range(0, len(wanted), LIST_LIMIT)]
        todo: list[tuple[list[int], tuple[str, ...]]] = [(part, ()) for part in reversed(parts) if len(part) > 1]
        while todo and (came or in_vain < IN_VAIN) and self._facts.heeds_filters() is not False:
            ids, before = todo.pop()
            answer = "nothing"
            try:
                came |= self._listed(name, ids, read, also, found)
            except DeliveryError as error:
                answer = error.cause
                passes = answer == "amocrm_moved" and before.count(answer) < (2 if len(ids) > ONE_BY_ONE else 1)
                if answer != "amocrm_rights" and not passes:
                    raise
            left = [one for one in ids if one not in found]
            if len(left) < len(ids):
                todo += [(left, ())] if len(left) > ONE_BY_ONE else []
            elif answer not in before or answer == "amocrm_moved":
                todo.append((ids, (*before, answer)))
            else:
                in_vain += 1
                size = -(-len(ids) // PARTS)
                # A refusal may be for a single row; of rows that are not there each has to be asked for anyway.
                if (len(ids) if answer == "amocrm_rights" else size) > ONE_BY_ONE:
                    parts = [ids[start : start + size] for start in range(0, len(ids), size)]
                    todo += [(one, (answer,)) for one in parts]
        return came

    def _listed(
        self, name: str, part: list[int], read: Callable[[Mapping[str, Any]], Row], also: str, found: Found[Row]
    ) -> bool:
        """Read these by a list. -> whether any row came. Rows that say that they are deleted are asked for singly."""
        path = f"/api/v4/{name}"
        params = [("with", also), ("limit", str(LIST_LIMIT)), *(("filter[id][]", str(one)) for one in part)]
        left, strange = set(part), False
        came = False
        for node, _ in self._api.pages(path, params, LIST_LIMIT, many=len(part) > ONE_BY_ONE):
            rows = _rows(node, name, read, path)
            strange |= any(row.id not in part for row in rows)
            good = {row.id: row for row in rows if row.id in left and not getattr(row, "is_deleted", False)}
            came |= bool(rows)
            found.update(good)
            left -= set(good)
            if strange:
                # The account ignores filters: its pages are those of all its deals.
                self._facts.keep_filters(False)
            if strange or not left or not good:
                break
        return came

    def _singly(
        self,
        name: str,
        ids: Sequence[int],
        read: Callable[[Mapping[str, Any]], Row],
        also: str,
        found: Found[Row],
        came: bool,
    ) -> bool:
        """Ask for each of these by itself. came: whether a list had any row. -> whether any row came at all."""
        unanswered, forbidden = 0, 0
        for one in ids:
            try:
                node = self._api.node("GET", f"/api/v4/{name}/{one}", [("with", also)], of_rows=True)
            except DeliveryError as error:
                unanswered = unanswered + 1 if error.params.get("acted") is not None else 0
                forbidden += error.cause == "amocrm_rights"
                if error.pause is None and forbidden >= FORBIDDEN and not came:
                    error.pause = PauseKind.FORBIDDEN
                if error.pause is not None or unanswered >= UNANSWERED:
                    raise
                found.unread[one] = error
                continue
            unanswered = 0
            if node is None:
                found.absent.add(one)
                continue
            try:
                row = read(node)
                if row.id != one:
                    raise payloads.Unreadable("another row than the one that was asked for")
            except payloads.Unreadable as fault:
                found.unread[one] = errors.unreadable(f"GET /api/v4/{name}/{one}", str(fault))
                continue
            came = True
            found[one] = row
        return came


def _of_a_row(error: DeliveryError) -> DeliveryError:
    """The same, but no sign of an outage: other questions were answered at the same time."""
    return DeliveryError(error.message, cause=error.cause, status=error.status, params=error.params)


def _rows(node: Mapping[str, Any], name: str, read: Callable[[Mapping[str, Any]], Any], path: str) -> list[Any]:
    """The rows of a page. One that cannot be read says nothing about its neighbours: it is left out, as if it had not
    come."""
    try:
        rows = payloads.embedded(node, name)
    except payloads.Unreadable as fault:
        raise errors.unreadable(f"GET {path}", str(fault)) from None
    found = []
    for row in rows:
        try:
            found.append(read(row))
        except payloads.Unreadable:
            continue
    return found
