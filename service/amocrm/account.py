"""One amoCRM account: the connection with all its parts, put together."""

from __future__ import annotations

import random as random_module
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from service.amocrm.absences import Absences
from service.amocrm.api import TOTAL
from service.amocrm.client import AmocrmClient
from service.amocrm.connect import Connect
from service.amocrm.oauth.backoff import Backoff
from service.amocrm.oauth.connection import StoredConnection
from service.amocrm.oauth.endpoint import TokenEndpoint
from service.amocrm.oauth.token_store import TokenStore
from service.amocrm.oauth.tokens import TokenOwner
from service.amocrm.pipelines import Pipelines
from service.amocrm.rate_limit import Pace
from service.amocrm.stage_changes.own import OwnChanges
from service.config import Amocrm
from service.network.http import Http

if TYPE_CHECKING:
    from outbox.message import Known
    from outbox.shared import KeyValues, Leases, RateLimiter


CONNECT = 5.0


class AmocrmAccount:
    """An amoCRM (Kommo) account over a store's key-value store, leases and rate limiter. Opening it sends and stores
    nothing.

    wait: how to rest for the pace; may raise Stopping. sleep: how to rest where stopping would lose something.
    owner: names this process, as in leases. http: for tests. told: of each answer's status, as Http's.
    on_answer: called after each good answer, whoever asked. learn: told what is read of people. reopen: see Absences.
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
        told: Callable[[str], None] = lambda status: None,
        wait: Callable[[float], None] = time.sleep,
        sleep: Callable[[float], None] = time.sleep,
        on_answer: Callable[[], object] = lambda: None,
        learn: Callable[[Sequence[Known]], object] = lambda known: None,
        reopen: Callable[[int], int] = lambda lead_id: 0,
    ) -> None:
        http = http or Http(connect=CONNECT, total=TOTAL, told=told)
        pace = Pace(rate_limiter, key_values, now, settings.rps, wait)
        endpoint = TokenEndpoint(settings, http, pace)
        self.tokens = TokenOwner(
            settings,
            stored=StoredConnection(settings, TokenStore(key_values, token_keys), now),
            endpoint=endpoint,
            backoff=Backoff(key_values, now, random),
            leases=leases,
            now=now,
            owner=owner,
            wait=wait,
            sleep=sleep,
        )
        self.pace = pace
        self.client = AmocrmClient(
            http=http, tokens=self.tokens, pace=pace, key_values=key_values, now=now, on_answer=on_answer, learn=learn
        )
        self.pipelines = Pipelines(settings, self.client, key_values, now)
        self.own_changes = OwnChanges(key_values, now)
        self.absences = Absences(key_values, now, reopen)
        self.connect = Connect(settings, endpoint, self.tokens, self.client)

    def is_set_up(self) -> bool:
        """Whether it can be asked anything: there is a token, and it is known where the account lives."""
        return self.tokens.connected() and bool(self.tokens.base_url())
