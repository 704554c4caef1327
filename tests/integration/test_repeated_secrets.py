"""The other side repeats what we sent it in secret: none of it is kept, whichever of its words are."""

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from outbox.outcome import DeliveryError
from service.amocrm.oauth.endpoint import TokenEndpoint, TokenRefused
from service.amocrm.rate_limit import Pace
from service.config import load
from service.destinations.records.rukovoditel.client import Client
from service.destinations.records.rukovoditel.refusals import error_of
from service.destinations.records.rukovoditel.replies import Refused
from service.network.http import Http
from tests.integration.test_http import Server, answer
from tests.unit.amocrm.fakes import House, settings

JWT = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


class Echo:
    """Answers each request with everything that it was sent, in the words of a refusal."""

    def __init__(self, status: str, body: dict[str, Any], place: str) -> None:
        self.status, self.body, self.place = status, body, place
        self.server = Server(self.talk)

    def talk(self, server: Server, conn: socket.socket, number: int) -> None:
        while request := server.read(conn):
            words = " ".join(request.decode("utf-8", "replace").split())
            said = json.dumps({**self.body, self.place: f"no: {words}"}).encode()
            conn.sendall(answer(said, self.status))


@pytest.fixture
def echo() -> Iterator[Any]:
    made: list[Echo] = []

    def make(*args: Any) -> Echo:
        made.append(Echo(*args))
        return made[-1]

    yield make
    for one in made:
        one.server.close()


def test_the_erps_words_show_neither_its_key_nor_the_password(echo: Any) -> None:
    erp = echo("500 Error", {"status": "error", "error_code": 500}, "error_message")
    given = {
        "CRM_API_URL": erp.server.url.replace("://", "://olga:url%2Dpass@"),
        "CRM_API_KEY": "KEY/hush-hush",
        "CRM_API_USERNAME": "robot",
        "CRM_API_PASSWORD": 'пароль "7"',
    }
    http = Http(connect=2.0, total=4.0)
    with pytest.raises(Refused) as refused:
        Client(load(given).erp, http, lambda: 0.0).call("login", {})
    http.close()
    error = error_of(refused.value)
    kept = f"{error.message} {dict(error.params)}"
    assert "[hidden]" in kept
    for secret in ("hush", "пароль", "\\u043f", "url-pass", "url%2Dpass", "b2xnYTp1cmwtcGFzcw=="):
        assert secret not in kept, kept


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "500 Error"])
def test_amocrms_words_show_no_token(echo: Any, status: str) -> None:
    amocrm = echo(status, {"title": "x"}, "detail")
    one = House(lambda request: (500, b""), refresh_token="", access_token=JWT, base_url=amocrm.server.url.rstrip("/"))
    http = Http(connect=2.0, total=4.0)
    one.http.request = http.request  # type: ignore[method-assign, assignment]
    with pytest.raises(DeliveryError) as error:
        one.client.account()
    http.close()
    kept = f"{error.value.message} {dict(error.value.params)}"
    assert "Bearer [hidden]" in kept and "eyJ" not in kept and "c2lnbmF0dXJl" not in kept


def test_the_token_endpoints_words_show_neither_the_clients_secret_nor_the_token(echo: Any) -> None:
    amocrm = echo("400 Bad Request", {"title": "x"}, "hint")
    one = House()
    pace = Pace(one.rate_limiter, one.key_values, one.clock, 6.0, one.clock.wait)
    ours = replace(settings(), client_secret="the-secret-of-ours")
    http = Http(connect=2.0, total=4.0)
    endpoint = TokenEndpoint(ours, http, pace)
    with pytest.raises(TokenRefused) as refused:
        endpoint.ask(
            amocrm.server.url.rstrip("/"), {"grant_type": "refresh_token", "refresh_token": "def50200-refresh"}
        )
    http.close()
    assert "the-secret-of-ours" not in refused.value.detail and "def50200" not in refused.value.detail
