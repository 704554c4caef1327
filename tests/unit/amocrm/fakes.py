"""A clock, a store's plain things and an HTTP seam that live in memory, for tests without files and sockets."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from outbox.message import Delivery, State
from outbox.shared import Leases
from service.amocrm import AmocrmAccount
from service.config import Amocrm
from service.destinations.deals import Deals
from service.network.http import NoAnswer, Reply
from tests.support.key_values import WatchedKeyValues

KEY_1 = "Zk3vQ1p0cU5mS2d4bXJ6a0xwT3dFaHlOc0tqVGZHaUI="
KEY_2 = "YTlLbW5Qc1R2WHlaMTIzNDU2Nzg5MGFiY2RlZmdoaWo="
NOW = 1_790_000_000.0


class Clock:
    """Time that only moves when told, or while somebody waits."""

    def __init__(self, at: float = NOW) -> None:
        self.at = at
        self.waited: list[float] = []

    def __call__(self) -> float:
        return self.at

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.at += seconds


class FakeRates:
    """outbox.shared.RateLimiter that lets everything through and remembers the speed that was asked for."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.open: set[int] = set()
        self.waits: list[float] = []
        self.recent = 0

    def reserve(self, name: str, per_second: float) -> tuple[int, float]:
        if self.waits:
            return 0, self.waits.pop(0)
        self.asked.append(per_second)
        self.open.add(len(self.asked))
        return len(self.asked), 0.0

    def done(self, name: str, ticket: int) -> None:
        self.open.discard(ticket)

    def used(self, name: str, seconds: float) -> int:
        return self.recent


class FakeHttp:
    """Answers requests by a function of (method, path, request): a Reply, (status, body), or an exception."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self.answer = answer
        self.requests: list[dict[str, Any]] = []

    def request(self, method: str, url: str, **request: Any) -> Reply:
        _, _, rest = url.partition("://")
        host, slash, path = rest.partition("/")
        told = {"method": method, "host": host, "path": slash + path, "url": url, **request}
        self.requests.append(told)
        answer = self.answer(told)
        if isinstance(answer, NoAnswer):
            raise answer
        if isinstance(answer, Reply):
            return answer
        return reply(*answer)

    def paths(self) -> list[str]:
        return [f"{one['method']} {one['path']}" for one in self.requests]


def reply(status: int, body: Any = b"", headers: Mapping[str, str] | None = None) -> Reply:
    """An answer; what is not bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, dict(headers or {}), raw, 0.01, "GET", "https://school.amocrm.ru/")


def gone(kind: str = "dropped", acted: bool = True) -> NoAnswer:
    return NoAnswer("no answer", kind=kind, acted=acted)


def settings(**changes: Any) -> Amocrm:
    given: dict[str, Any] = {
        "subdomain": "school",
        "base_url": "https://school.amocrm.ru",
        "client_id": "client",
        "client_secret": "the-secret",
        "redirect_uri": "https://dealpost.example/oauth/callback",
        "refresh_token": "refresh-0",
        "pipeline_id": 10,
        "stages": {1: "101", 2: "102", 3: "103"},
    }
    return Amocrm(**{**given, **changes})


class House:
    """An account over fakes. Several may share a clock, memory and leases, as processes share a store."""

    def __init__(
        self,
        answer: Callable[..., Any] = lambda request: (500, b""),
        other: House | None = None,
        keys: Sequence[str] = (KEY_1,),
        **changes: Any,
    ) -> None:
        self.clock: Clock = other.clock if other else Clock()
        self.key_values: WatchedKeyValues = other.key_values if other else WatchedKeyValues(self.clock)
        self.leases: Leases = self.key_values.leases
        self.rate_limiter = FakeRates()
        self.http = FakeHttp(answer)
        self.slept: list[float] = []
        self.account = AmocrmAccount(
            settings(**changes),
            key_values=self.key_values,
            leases=self.leases,
            rate_limiter=self.rate_limiter,
            now=self.clock,
            token_keys=keys,
            owner="test",
            random=lambda: 0.0,
            http=self.http,  # type: ignore[arg-type]
            wait=self.clock.wait,
            sleep=self.slept.append,
        )
        self.deals = Deals(settings(**changes), self.account, self.key_values, self.clock)
        self.tokens = self.account.tokens
        self.client = self.account.client


def jwt(**told: Any) -> str:
    """An access token that tells these claims."""

    def part(value: Mapping[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'typ': 'JWT'})}.{part(told)}.c2ln"


def issue(number: int, seconds: int = 86400) -> dict[str, Any]:
    """What the token endpoint answers for the number-th pair."""
    return {
        "token_type": "Bearer",
        "expires_in": seconds,
        "access_token": f"access-{number}",
        "refresh_token": f"refresh-{number}",
    }


class Endpoint:
    """A token endpoint where the old refresh token dies at once, and anything else answers 200 to a good token."""

    def __init__(self) -> None:
        self.number = 0
        self.sent: list[str] = []
        self.next: list[Any] = []

    def __call__(self, request: Mapping[str, Any]) -> Any:
        if request["path"] == "/oauth2/access_token":
            self.sent.append(request["json"].get("refresh_token", ""))
            if self.next:
                return self.next.pop(0)
            if self.sent[-1] != f"refresh-{self.number}":
                return 401, {"hint": "Token has been revoked", "status": 401}
            self.number += 1
            return 200, issue(self.number)
        if request["headers"].get("Authorization") != f"Bearer access-{self.number}":
            return 401, {"detail": "Неверный логин или пароль"}
        return 200, {"id": 77, "name": "Школа", "subdomain": "school"}


def delivery(number: int = 1, email: str = "anna@example.com", lesson: int = 1, **changes: Any) -> Delivery:
    given: dict[str, Any] = {
        "id": number,
        "event_id": f"event-{number}",
        "event_name": "lesson.completed",
        "destination": "amocrm",
        "key": f"email:{email}",
        "state": State.SENDING,
        "reason": "",
        "cause": "",
        "reference": "",
        "due_at": NOW,
        "failures": 0,
        "created_at": NOW,
        "changed_at": NOW,
        "data": {"email": email, "lesson": lesson},
        "source": "lessons",
        "received_at": NOW,
        "email": email,
    }
    return Delivery(**{**given, **changes})


class FakeDesk:
    """outbox.outcome.DeliveryContext that remembers."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.outcomes: dict[int, Any] = {}
        self.exchanges: dict[int, list[Mapping[str, Any]]] = {}

    def check(self) -> None: ...

    def begin(self, delivery_ids: Sequence[int], ahead: Sequence[int] = ()) -> None:
        self.begun += delivery_ids

    def exchange(self, delivery_ids: Sequence[int], exchange: Mapping[str, Any]) -> None:
        for one in delivery_ids:
            self.exchanges.setdefault(one, []).append(exchange)

    def join(self, keys: Sequence[str]) -> Sequence[Delivery]:
        return []

    def settle(self, outcomes: Mapping[int, Any]) -> None:
        self.outcomes.update(outcomes)


@contextmanager
def nothing() -> Iterator[None]:
    yield
