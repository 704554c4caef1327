"""One request to amoCRM's API: at the shared pace, with access, under a deadline, its answer told for what it is.

Reference: https://www.amocrm.ru/developers/content/crm_platform/error-codes
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from outbox.outcome import DeliveryError, PauseKind
from service.amocrm import errors, payloads
from service.amocrm.oauth.tokens import TokenOwner
from service.amocrm.rate_limit import Pace
from service.network.exchange import Exchange, exchange_of
from service.network.http import Http, NoAnswer, Reply

TOTAL = 10.0
MOST_PAGES = 500
"""Pages of one list after which no further one is read, whatever its links say."""

Params = list[tuple[str, str]]
Record = Callable[[Exchange], None]
Wanted = Callable[[int | None, Params], bool]
"""By the answer's status, None where none came, and the request's params."""


class Api:
    """Sends requests and reads their answers. See AmocrmClient, which knows what to ask."""

    def __init__(
        self,
        *,
        http: Http,
        tokens: TokenOwner,
        pace: Pace,
        now: Callable[[], float],
        on_answer: Callable[[], object],
    ) -> None:
        self._http = http
        self._tokens = tokens
        self._pace = pace
        self._now = now
        self._on_answer = on_answer
        self._record: Record | None = None
        self._wanted: Wanted = lambda status, params: True
        self._leaves: Callable[[], None] | None = None
        self._until: float | None = None
        self.requests = 0

    def bound(
        self,
        record: Record | None,
        deadline: float | None,
        leaves: Callable[[], None] | None,
        wanted: Wanted | None,
    ) -> Api:
        """See AmocrmClient.bound."""
        other = copy.copy(self)
        if record is not None:
            other._record, other._wanted = record, wanted or (lambda status, params: True)
        other._leaves = leaves or self._leaves
        until = None if deadline is None else self._now() + deadline
        other._until = min((one for one in (self._until, until) if one is not None), default=None)
        return other

    def pages(
        self, path: str, params: Params, limit: int, *, many: bool = False
    ) -> Iterator[tuple[dict[str, Any], Params | None]]:
        """A list, page after page as its links lead on, and with each page what asks for the next one (None: that was
        the last). A list may be cut at fewer rows than were asked for."""
        asked: Params | None = params
        seen: list[Params] = []
        while asked is not None and asked not in seen and len(seen) < MOST_PAGES:
            seen.append(asked)
            node = self.node("GET", path, asked, many=many)
            if node is None:
                return
            asked = _next(node, asked, limit)
            yield node, asked

    def node(
        self, method: str, path: str, params: Params, *, json: Any = None, of_rows: bool = False, many: bool = False
    ) -> dict[str, Any] | None:
        """The answer's object; None where there is nothing (204). of_rows: see errors.classify; amoCRM's own 404 is
        nothing, too, to a question for one row. many: so many rows hang on it that a pause for a 401 that passes would
        cost more than a request. Raises DeliveryError, Rejected."""
        what = f"{method} {path}"
        reply = self._answered(method, path, params, json, of_rows, 2 if many else 1)
        if reply.status == 404 and (method == "DELETE" or (method == "GET" and of_rows and errors.is_own(reply.body))):
            return None
        words = reply.body if 200 <= reply.status < 300 else reply.words
        error = errors.classify(reply.status, reply.headers, words, what, of_rows=of_rows)
        if error is not None:
            if reply.status == 429:
                self._pace.slow_down(error.retry_after)
            elif error.retry_after is not None:
                self._pace.hold(error.retry_after)
            if reply.status == 403:
                error.params.update(self._tokens.for_support())
            if error.cause == "amocrm_moved":
                error.params["host"] = urlsplit(self._tokens.base_url()).netloc
            if error.pause is None and not error.outage and reply.status in (400, 409, 422):
                raise Rejected(error, errors.refusal(words))
            raise error
        if reply.status == 204 or (method == "DELETE" and not reply.body.strip()):
            return None
        try:
            return payloads.document(reply.body)
        except payloads.Unreadable as fault:
            raise errors.unreadable(what, str(fault), reply.status) from None

    def _answered(self, method: str, path: str, params: Params, json: Any, of_rows: bool, repeats: int) -> Reply:
        """The reply; sent again so often where the access token was refused, which is renewed once, and once where the
        account is elsewhere."""
        token = self._tokens.access_token()
        reply = self._sent(method, path, params, json, token)
        if reply.status == 401:
            token = self._tokens.renewed(token)
            for _ in range(repeats):
                reply = self._sent(method, path, params, json, token)
                if reply.status != 401:
                    break
            else:
                self._tokens.note_answer(good=False)
                return reply
        everybody = not of_rows and method == "GET" and path not in errors.SIDE_DOORS
        if reply.status == 404 and everybody and self._tokens.follow():
            reply = self._sent(method, path, params, json, token)
        if 200 <= reply.status < 300:
            self._tokens.note_answer(good=True)
            self._on_answer()
        return reply

    def _sent(self, method: str, path: str, params: Params, json: Any, token: str) -> Reply:
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
        until = self._until
        with self._pace.turn(until):
            if self._leaves is not None:
                self._leaves()
            at = self._now()
            total = TOTAL if until is None else min(TOTAL, max(until - at, 0.1))
            answer: Reply | NoAnswer
            self.requests += 1
            try:
                answer = self._http.request(method, url, headers=headers, params=params or None, json=json, total=total)
            except NoAnswer as fault:
                answer = fault
        status = answer.status if isinstance(answer, Reply) else None
        if self._record is not None and self._wanted(status, params):
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


def _next(node: dict[str, Any], params: Params, limit: int) -> Params | None:
    """What asks for the page after this one. Of the link only the place is taken: who asked knows the rest better.
    An answer without any links: there is another page when this one is full."""
    links = node.get("_links")
    place = dict(params)
    if isinstance(links, dict):
        link = links.get("next")
        href = link.get("href") if isinstance(link, dict) else link
        if not href:
            return None
        told = dict(parse_qsl(urlsplit(str(href)).query))
    else:
        embedded = node.get("_embedded")
        lists = embedded.values() if isinstance(embedded, dict) else ()
        if not any(isinstance(rows, list) and len(rows) >= limit for rows in lists):
            return None
        told = {}
    page = told.get("page") or str(int(place.get("page", "1")) + 1)
    moved = {"page": page, "limit": told.get("limit") or place.get("limit", str(limit))}
    return [(name, value) for name, value in params if name not in moved] + sorted(moved.items())
