"""Requests to amoCRM's API: paced, with access, under a deadline, their answers checked row by row.

Reference: https://www.amocrm.ru/developers/content/crm_platform/api-reference
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from outbox.outcome import DeliveryError, PauseKind
from service.amocrm import errors, payloads
from service.amocrm.account_facts import AccountFacts
from service.amocrm.oauth.tokens import TokenOwner
from service.amocrm.payloads import Contact, Lead, Pipeline, StatusChange
from service.amocrm.rate_limit import Pace
from service.email_address import ascii_form, canonical
from service.network.exchange import Exchange, exchange_of
from service.network.http import Http, NoAnswer, Reply

if TYPE_CHECKING:
    from outbox.shared import KeyValues

CONNECT, TOTAL = 5.0, 10.0
LIST_LIMIT = 250
EVENTS_LIMIT = 100
MOST_EVENT_PAGES = 500

Params = list[tuple[str, str]]
Record = Callable[[Exchange], None]


class AmocrmClient:
    """One amoCRM (Kommo) account. Safe to share between threads. Who works for certain deliveries, or for a person who
    waits, takes a copy that is `bound` to them, and asks through that.

    Every call may raise DeliveryError, with a cause, words for a person and, where all of the account is concerned, a
    pause; and Stopping while it waits for its turn. `deadline` (seconds, for all of a call) is for people who wait.
    """

    def __init__(
        self,
        *,
        http: Http,
        tokens: TokenOwner,
        pace: Pace,
        key_values: KeyValues,
        now: Callable[[], float],
    ) -> None:
        self._http = http
        self._tokens = tokens
        self._pace = pace
        self._facts = AccountFacts(key_values, now)
        self._now = now
        self._record: Record | None = None
        self._until: float | None = None

    def bound(self, record: Record | None = None, deadline: float | None = None) -> AmocrmClient:
        """A copy whose requests are given to `record` (masked, with what came of them), and whose calls together take
        at most `deadline` seconds from now. What is not given stays as it is here."""
        other = copy.copy(self)
        other._record = record or self._record
        other._until = self._until if deadline is None else self._now() + deadline
        return other

    # -- the account

    def account(self, with_filters: bool = False, deadline: float | None = None) -> dict[str, Any]:
        """The account: id, name, subdomain, current_user_id, ...; the cheapest test of a connection.

        with_filters: also is_api_filter_enabled, where amoCRM tells it.
        Reference: https://www.amocrm.ru/developers/content/crm_platform/account-info
        """
        params = [("with", "is_api_filter_enabled")] if with_filters else []
        node = self._object("GET", "/api/v4/account", params, deadline=deadline)
        if payloads.whole(node.get("id")) is None:
            raise errors.unreadable("GET /api/v4/account", "it holds no account id")
        self._tokens.note_account(node)
        return node

    def pipelines(self, deadline: float | None = None) -> tuple[Pipeline, ...]:
        """All pipelines with their stages, each by sort.

        Reference: https://www.amocrm.ru/developers/content/crm_platform/leads_pipelines
        """
        found = self._list("/api/v4/leads/pipelines", [], "pipelines", payloads.pipeline, deadline)
        return tuple(sorted(found, key=lambda one: one.sort))

    # -- deals and contacts

    def leads(self, ids: Sequence[int], deadline: float | None = None) -> dict[int, Lead]:
        """Deals by id, with their contacts; one that is missing in the answer is gone. 250 per request.

        Reference: https://www.amocrm.ru/developers/content/crm_platform/leads-api
        """
        found = self._by_id("/api/v4/leads", "leads", ids, payloads.lead, "contacts", deadline)
        return {one.id: one for one in found}

    def contacts(self, ids: Sequence[int], deadline: float | None = None) -> dict[int, Contact]:
        """Contacts by id, with the ids of their deals; one that is missing in the answer is gone. 250 per request.

        Reference: https://www.amocrm.ru/developers/content/crm_platform/contacts-api
        """
        found = self._by_id("/api/v4/contacts", "contacts", ids, payloads.contact, "leads", deadline)
        return {one.id: one for one in found}

    def find_contacts(self, email: str, deadline: float | None = None) -> tuple[Contact, ...]:
        """Contacts that bear exactly this e-mail (in whatever spelling) in an EMAIL field, by id.

        amoCRM's search looks through all fields and is fuzzy, so that each row is looked at here. A domain of other
        letters than Latin is searched for in both its spellings.
        """
        wanted = canonical(email)
        found: dict[int, Contact] = {}
        for spelling in dict.fromkeys((wanted, ascii_form(wanted))):
            for page in range(1, 21):
                params = [("query", spelling), ("with", "leads"), ("limit", str(LIST_LIMIT)), ("page", str(page))]
                node = self._node("GET", "/api/v4/contacts", params, deadline=deadline)
                people = self._rows(node, "contacts", payloads.contact, "GET /api/v4/contacts")
                found.update((one.id, one) for one in people if wanted in one.emails)
                if not _has_next(node, len(people), LIST_LIMIT):
                    break
        return tuple(found[number] for number in sorted(found))

    def open_leads(
        self, pipeline_id: int, status_ids: Sequence[int], page: int, deadline: float | None = None
    ) -> tuple[list[Lead], bool]:
        """A page (from 1) of up to 250 deals on these stages, newest first, and whether there is a next one.

        Rows are not checked here: whoever pages has to see whether the account ignores filters.
        """
        params = [("with", "contacts"), ("limit", str(LIST_LIMIT)), ("page", str(page)), ("order[id]", "desc")]
        for place, status_id in enumerate(status_ids):
            params.append((f"filter[statuses][{place}][pipeline_id]", str(pipeline_id)))
            params.append((f"filter[statuses][{place}][status_id]", str(status_id)))
        node = self._node("GET", "/api/v4/leads", params, deadline=deadline)
        found = self._rows(node, "leads", payloads.lead, "GET /api/v4/leads")
        return found, _has_next(node, len(found), LIST_LIMIT)

    def patch_leads(self, changes: Sequence[Mapping[str, Any]]) -> set[int]:
        """PATCH a batch (250 at most) of {"id", "status_id", "pipeline_id", "request_id"}. -> the ids it confirmed.

        What an error means for which rows is for `moves` to find out; `Rejected` carries the body of a 400 or 422.
        Reference: https://www.amocrm.ru/developers/content/crm_platform/leads-api#leads-edit
        """
        node = self._node("PATCH", "/api/v4/leads", [], json=[dict(one) for one in changes])
        if node is None:
            return set()
        try:
            return {
                number
                for one in payloads.embedded(node, "leads")
                if (number := payloads.whole(one.get("id"))) is not None
            }
        except payloads.Unreadable as fault:
            raise errors.unreadable("PATCH /api/v4/leads", str(fault)) from None

    # -- what happened

    def status_changes(self, since: int, until: int) -> Iterator[StatusChange]:
        """Changes of stage between two times (seconds since the epoch, both included), newest first, each once.

        Reference: https://www.amocrm.ru/developers/content/crm_platform/events-and-notes
        """
        yield from self._changes(since, until, [])

    def status_changes_of(self, lead_id: int, since: int, until: int) -> Iterator[StatusChange]:
        """The same of one deal."""
        extra = [("filter[entity]", "lead"), ("filter[entity_id][]", str(lead_id))]
        yield from (change for change in self._changes(since, until, extra) if change.lead_id == lead_id)

    def _changes(self, since: int, until: int, extra: Params) -> Iterator[StatusChange]:
        seen: set[object] = set()
        for page in range(1, MOST_EVENT_PAGES + 1):
            params = [
                ("filter[type]", "lead_status_changed"),
                ("filter[created_at][from]", str(since)),
                ("filter[created_at][to]", str(until)),
                *extra,
                ("limit", str(EVENTS_LIMIT)),
                ("page", str(page)),
            ]
            node = self._node("GET", "/api/v4/events", params)
            found = self._rows(node, "events", lambda row: row, "GET /api/v4/events")
            times = [payloads.whole(row.get("created_at")) or 0 for row in found]
            for row in found:
                change = payloads.status_change(row)
                if change is None or not since <= change.at <= until:
                    continue  # the account ignores filters
                # Pages shift while new events come in, so that a row may be met again.
                key = change.event_id or change
                if key not in seen:
                    seen.add(key)
                    yield change
            if not _has_next(node, len(found), EVENTS_LIMIT) or (times and max(times) < since):
                return

    # -- webhooks

    def webhooks(self, deadline: float | None = None) -> list[dict[str, Any]]:
        """The hooks of the account: {"destination", "settings", "disabled", ...}. For administrators only.

        Reference: https://www.amocrm.ru/developers/content/crm_platform/webhooks-api
        """
        node = self._node("GET", "/api/v4/webhooks", [], deadline=deadline)
        return self._rows(node, "webhooks", dict, "GET /api/v4/webhooks")

    def subscribe(self, destination: str, settings: Sequence[str], deadline: float | None = None) -> None:
        """Register a hook for exactly these settings ("status_lead", ...): whether POST merges is not documented."""
        self.unsubscribe(destination, deadline)
        body = {"destination": destination, "settings": list(settings)}
        self._node("POST", "/api/v4/webhooks", [], json=body, deadline=deadline)

    def unsubscribe(self, destination: str, deadline: float | None = None) -> None:
        """Remove a hook; one that is not there is no error."""
        self._node("DELETE", "/api/v4/webhooks", [], json={"destination": destination}, deadline=deadline)

    # -- one request

    def _by_id(
        self,
        path: str,
        name: str,
        ids: Sequence[int],
        read: Callable[[Mapping[str, Any]], Any],
        also: str,
        deadline: float | None,
    ) -> list[Any]:
        wanted = list(dict.fromkeys(ids))
        found: list[Any] = []
        for start in range(0, len(wanted), LIST_LIMIT):
            part = wanted[start : start + LIST_LIMIT]
            if len(part) > 1 and self._facts.heeds_filters() is not False:
                params = [("with", also), ("limit", str(LIST_LIMIT)), *(("filter[id][]", str(one)) for one in part)]
                listed = self._list(path, params, name, read, deadline)
                found += [row for row in listed if row.id in set(part)]
                if all(row.id in set(part) for row in listed):
                    continue
                # The account ignores filters: a deal that is not on this page is not gone for that.
                self._facts.keep_filters(False)
                part = [one for one in part if one not in {row.id for row in found}]
            for one in part:
                node = self._node("GET", f"{path}/{one}", [("with", also)], deadline=deadline)
                if node:
                    found += [
                        row for row in self._rows({"_embedded": {name: [node]}}, name, read, path) if row.id == one
                    ]
        return found

    def _list(
        self, path: str, params: Params, name: str, read: Callable[[Mapping[str, Any]], Any], deadline: float | None
    ) -> list[Any]:
        return self._rows(self._node("GET", path, params, deadline=deadline), name, read, f"GET {path}")

    def _rows(
        self, node: Mapping[str, Any] | None, name: str, read: Callable[[Mapping[str, Any]], Any], what: str
    ) -> list[Any]:
        if node is None:
            return []
        try:
            return [read(row) for row in payloads.embedded(node, name)]
        except payloads.Unreadable as fault:
            raise errors.unreadable(what, str(fault)) from None

    def _object(self, method: str, path: str, params: Params, *, deadline: float | None = None) -> dict[str, Any]:
        node = self._node(method, path, params, deadline=deadline)
        if node is None:
            raise errors.unreadable(f"{method} {path}", "the answer is empty")
        return node

    def _node(
        self, method: str, path: str, params: Params, *, json: Any = None, deadline: float | None = None
    ) -> dict[str, Any] | None:
        """The answer's object; None where there is nothing (204, and 404 to a reading or removing request)."""
        what = f"{method} {path}"
        until = self._until if deadline is None else self._now() + deadline
        reply = self._answered(method, path, params, json, until)
        if reply.status == 404 and method in ("GET", "DELETE"):
            return None
        error = errors.classify(reply.status, reply.headers, reply.body, what)
        if error is not None:
            if reply.status == 429:
                self._pace.slow_down(error.retry_after)
            elif error.retry_after is not None:
                self._pace.hold(error.retry_after)
            if reply.status == 403:
                error.params.update(self._tokens.for_support())
                if path.endswith("/webhooks") and errors.words(reply.body):
                    raise _no_administrator(error)
            if error.pause is None and reply.status in (400, 409, 422):
                raise Rejected(error, errors.refusal(reply.body))
            raise error
        if reply.status == 204 or (method == "DELETE" and not reply.body.strip()):
            return None
        try:
            return payloads.document(reply.body)
        except payloads.Unreadable as fault:
            raise errors.unreadable(what, str(fault), reply.status) from None

    def _answered(self, method: str, path: str, params: Params, json: Any, until: float | None) -> Reply:
        """The reply, after refreshing once and repeating once where the access token was refused."""
        token = self._tokens.access_token()
        reply = self._sent(method, path, params, json, token, until)
        if reply.status == 401:
            token = self._tokens.renewed(token)
            reply = self._sent(method, path, params, json, token, until)
            if reply.status == 401:
                self._tokens.note_answer(good=False)
                return reply
        if 200 <= reply.status < 300:
            self._tokens.note_answer(good=True)
        return reply

    def _sent(self, method: str, path: str, params: Params, json: Any, token: str, until: float | None) -> Reply:
        base_url = self._tokens.base_url()
        if not base_url:
            raise DeliveryError(
                "amoCRM is not set up. Missing: AMOCRM_SUBDOMAIN",
                cause="amocrm_not_set_up",
                pause=PauseKind.SETTINGS,
                params={"missing": "AMOCRM_SUBDOMAIN"},
            )
        url = f"{base_url}{path}"
        headers = {"Authorization": f"Bearer {token}"}
        with self._pace.turn(until):
            at = self._now()
            total = TOTAL if until is None else min(TOTAL, max(until - at, 0.1))
            answer: Reply | NoAnswer
            try:
                answer = self._http.request(method, url, headers=headers, params=params or None, json=json, total=total)
            except NoAnswer as fault:
                answer = fault
        if self._record is not None:
            self._record(exchange_of(at, method, url, headers=headers, params=params or None, json=json, answer=answer))
        if isinstance(answer, NoAnswer):
            raise errors.no_answer(answer, f"{method} {path}") from answer
        return answer


class Rejected(DeliveryError):
    """A 400, 409 or 422, as the error of a row; `refused` tells which rows of a batch it names."""

    def __init__(self, error: DeliveryError, refused: errors.Refused) -> None:
        super().__init__(
            error.message, cause=error.cause, retry_after=error.retry_after, status=error.status, params=error.params
        )
        self.refused = refused


def _has_next(node: Mapping[str, Any] | None, count: int, limit: int) -> bool:
    """Whether there is another page: `_links.next` says so. An answer without any links: when this one is full."""
    links = node.get("_links") if node else None
    return bool(links.get("next")) if isinstance(links, Mapping) else count >= limit


def _no_administrator(error: DeliveryError) -> DeliveryError:
    """A 403 with words to a question about webhooks is no block: only administrators may ask it."""
    message = "Only an administrator of the amoCRM account may manage its webhooks; the user who connected is none"
    return DeliveryError(message, cause="amocrm_rights", status=403, params=error.params)
