"""From the button to stored tokens, and the hook that undoes it."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from outbox.outcome import DeliveryError
from service.amocrm.connect import ConnectError
from tests.unit.amocrm.fakes import House, issue, jwt


def answer(request: Any) -> Any:
    if request["path"] == "/oauth2/access_token":
        return 200, issue(1)
    assert request["headers"] == {"Authorization": "Bearer access-1"}
    return 200, {"id": 77, "name": "Школа"}


def test_the_consent_page_gets_the_client_and_the_state_and_nothing_else() -> None:
    url = urlsplit(House(refresh_token="").account.connect.consent_url("s t&a=te"))
    assert f"{url.scheme}://{url.netloc}{url.path}" == "https://www.amocrm.ru/oauth"
    assert parse_qs(url.query) == {"client_id": ["client"], "state": ["s t&a=te"], "mode": ["popup"]}


def test_a_code_becomes_a_stored_pair_and_the_account_is_named() -> None:
    house = House(answer, refresh_token="")
    found = house.account.connect.exchange("code-1", "school.amocrm.ru", "Olga")
    assert (found.account_id, found.account_name, found.host) == (77, "Школа", "school.amocrm.ru")
    assert house.http.requests[0]["json"]["code"] == "code-1"
    assert house.http.requests[0]["json"]["grant_type"] == "authorization_code"
    status = house.tokens.status()
    assert (status.state, status.who, status.account_id, status.account_name) == ("connected", "Olga", 77, "Школа")


def test_without_a_configured_account_the_referer_says_which() -> None:
    house = House(answer, refresh_token="", base_url="", subdomain="")
    house.account.connect.exchange("code-1", "newschool.kommo.com", "Olga")
    assert house.tokens.base_url() == "https://newschool.kommo.com"
    assert house.deals.destination.missing() == ()


@pytest.mark.parametrize(
    "referer",
    [
        "evil.example",
        "school.amocrm.ru.evil.example",
        "evil.example/school.amocrm.ru",
        "a.b.amocrm.ru",
        "amocrm.ru",
        "school.amocrm.ru:8443",
        "user@school.amocrm.ru",
        "",
        "other.amocrm.ru",  # one of amoCRM's, but not the configured account
    ],
)
def test_the_secret_is_sent_to_no_other_host(referer: str) -> None:
    house = House(answer, refresh_token="")
    with pytest.raises(ConnectError) as error:
        house.account.connect.exchange("code-1", referer, "Olga")
    assert error.value.code == "referer" and not house.http.requests


def test_a_renamed_account_is_connected_under_its_present_name() -> None:
    house = House(answer, refresh_token="")
    access = jwt(api_domain="api-b.amocrm.ru", account_id=77)
    house.tokens.import_pair(access, "refresh-1", who="Olga", expires_in=86400.0)

    def renamed(request: Any) -> Any:
        if request["path"] == "/oauth2/account/current/subdomain":
            return 200, {"id": 77, "subdomain": "new_name", "domain": "new_name.amocrm.ru"}
        return answer(request)

    house.http.answer = renamed
    assert house.account.connect.exchange("code-1", "new_name.amocrm.ru", "Olga").host == "new_name.amocrm.ru"
    with pytest.raises(ConnectError) as error:
        house.account.connect.exchange("code-1", "other.amocrm.ru", "Olga")
    assert "ours is new_name.amocrm.ru" in error.value.message


def test_where_nobody_can_tell_the_words_name_the_present_address_and_the_setting() -> None:
    house = House(answer, refresh_token="")
    with pytest.raises(ConnectError) as error:
        house.account.connect.exchange("code-1", "present.amocrm.ru", "Olga")
    assert "AMOCRM_SUBDOMAIN to its present name (present)" in error.value.message and not house.http.requests


def test_a_sandbox_connects_to_itself_only() -> None:
    house = House(answer, refresh_token="", base_url="http://127.0.0.1:8099", overridden=True)
    with pytest.raises(ConnectError):
        house.account.connect.exchange("code-1", "school.amocrm.ru", "Olga")
    house.account.connect.exchange("code-1", "127.0.0.1:8099", "Olga")
    assert house.http.requests[0]["url"] == "http://127.0.0.1:8099/oauth2/access_token"


@pytest.mark.parametrize(
    ("status", "hint", "code"),
    [
        (400, "Authorization code has expired", "grant"),
        (400, "Authorization code has been revoked", "grant"),
        (400, "Cannot decrypt the authorization code", "grant"),
        (400, "Invalid account", "place"),
        (401, "Авторизация клиента не прошла", "client"),
        (404, "", "place"),
    ],
)
def test_refusals_say_what_to_mend(status: int, hint: str, code: str) -> None:
    house = House(lambda request: (status, {"hint": hint}), refresh_token="")
    with pytest.raises(ConnectError) as error:
        house.account.connect.exchange("code-1", "school.amocrm.ru", "Olga")
    assert error.value.code == code and hint in error.value.message
    assert house.tokens.status().state == "not_connected"


def test_an_endpoint_that_fails_is_no_refusal() -> None:
    house = House(lambda request: (502, b"<html>"), refresh_token="")
    with pytest.raises(DeliveryError):
        house.account.connect.exchange("code-1", "school.amocrm.ru", "Olga")


def test_connected_it_is_even_if_the_account_does_not_tell_its_name() -> None:
    house = House(lambda r: (200, issue(1)) if "oauth2" in r["path"] else (500, b""), refresh_token="")
    assert house.account.connect.exchange("code-1", "school.amocrm.ru", "Olga").account_name == ""
    assert house.tokens.status().state == "connected"


def signed(account_id: str = "77", secret: str = "the-secret", client: str = "client") -> dict[str, str]:
    text = f"{client}|{account_id}".encode()
    signature = hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
    return {"client_uuid": client, "account_id": account_id, "signature": signature}


def test_the_uninstall_hook_is_believed_only_with_its_signature() -> None:
    connect = House().account.connect
    assert connect.verify_uninstall(signed())
    assert not connect.verify_uninstall(signed(secret="another"))
    assert not connect.verify_uninstall({**signed(), "account_id": "78"})
    assert not connect.verify_uninstall(signed(client="someone-else"))
    assert not connect.verify_uninstall({})
    assert not connect.verify_uninstall({**signed(), "signature": "ключ"})
    assert not House(client_secret="").account.connect.verify_uninstall(signed(secret=""))


def test_uninstalling_disconnects_this_account_only() -> None:
    house = House(answer, refresh_token="")
    house.account.connect.exchange("code-1", "school.amocrm.ru", "Olga")
    assert house.account.connect.disconnected(signed("78")) and house.tokens.status().state == "connected"
    assert house.account.connect.disconnected(signed("77")) and house.tokens.status().state == "reconnect"
    assert "switched off" in house.tokens.status().detail
    assert not house.account.connect.disconnected({})
