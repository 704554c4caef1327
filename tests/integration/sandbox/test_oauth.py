"""Tokens, codes and consent, over plain HTTP."""

import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from sandbox import defaults


def good(box: Any, access: str) -> bool:
    return bool(box.call("GET", "/api/v4/account", headers={"Authorization": f"Bearer {access}"}).status_code == 200)


def test_a_refresh_gives_a_new_pair_for_a_day(box: Any) -> None:
    data = box.tokens().json()
    assert set(data) == {"token_type", "expires_in", "access_token", "refresh_token"}
    assert (data["token_type"], data["expires_in"]) == ("Bearer", 86_400)
    assert data["refresh_token"] != defaults.REFRESH_TOKEN
    assert good(box, data["access_token"])


def test_the_access_token_is_a_jwt_with_the_claims_of_the_account(box: Any) -> None:
    token = box.tokens().json()["access_token"]
    middle = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    assert claims["api_domain"] == box.sandbox.world.netloc
    assert claims["account_id"] == defaults.ACCOUNT_ID
    assert claims["base_domain"] == "amocrm.ru"
    assert claims["exp"] == box.clock.now() + 86_400
    assert "crm" in claims["scopes"]


def test_an_old_refresh_token_dies_at_once_under_strict_rotation(make_box: Any) -> None:
    box = make_box(rotation="strict")
    assert box.tokens().status_code == 200
    answer = box.tokens()
    assert (answer.status_code, answer.json()["hint"]) == (401, "Token has been revoked")
    assert "error" not in answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_an_old_refresh_token_lives_until_the_new_pair_is_used_under_lenient_rotation(make_box: Any) -> None:
    box = make_box(rotation="lenient")
    first, second = box.tokens().json(), box.tokens()
    assert second.status_code == 200
    assert good(box, second.json()["access_token"])
    assert box.tokens().json()["hint"] == "Token has been revoked"
    assert not good(box, first["access_token"])
    assert box.tokens(refresh_token=first["refresh_token"]).status_code == 401


def test_the_use_of_the_new_refresh_token_ends_the_old_one_too(make_box: Any) -> None:
    box = make_box(rotation="lenient")
    new = box.tokens().json()["refresh_token"]
    assert box.tokens(refresh_token=new).status_code == 200
    assert box.tokens().status_code == 401


def test_the_log_tells_a_token_sent_again_before_and_after_its_successor_was_used(make_box: Any) -> None:
    box = make_box(rotation="lenient")
    box.tokens()
    pair = box.tokens().json()
    assert box.sandbox.log.dead_refreshes() == []
    good(box, pair["access_token"])
    box.tokens()
    assert len(box.sandbox.log.dead_refreshes()) == 1
    assert box.control("GET", "log/figures")["dead_refreshes"] == 1


@pytest.mark.parametrize("grant", ["refresh_token", "authorization_code"])
@pytest.mark.parametrize("address", [defaults.REDIRECT_URI + "/", None, defaults.REDIRECT_URI.upper()])
def test_redirect_uri_must_match_byte_for_byte_in_both_grants(box: Any, grant: Any, address: Any) -> None:
    answer = box.tokens(grant_type=grant, code=box.sandbox.oauth.new_code(), redirect_uri=address)
    assert answer.status_code == 400
    assert answer.json()["hint"] == "Redirect URI is not associated with client"


@pytest.mark.parametrize("wrong", [{"client_id": "someone-else"}, {"client_secret": "guess"}, {"client_secret": None}])
def test_a_wrong_client_is_told_so(box: Any, wrong: Any) -> None:
    answer = box.tokens(**wrong)
    assert (answer.status_code, answer.json()["hint"]) == (401, "Авторизация клиента не прошла")


def test_a_missing_client_id_is_told_so(box: Any) -> None:
    answer = box.tokens(client_id=None)
    assert (answer.status_code, answer.json()["hint"]) == (400, "Check the `client_id` parameter")
    assert box.call("POST", "/oauth2/access_token", data="client_id=x").status_code == 400


def test_a_code_works_once_and_for_twenty_minutes(box: Any) -> None:
    def exchange(code: str) -> tuple[int, str]:
        answer = box.tokens(grant_type="authorization_code", code=code)
        return answer.status_code, answer.json().get("hint", "")

    code = box.sandbox.oauth.new_code()
    box.clock.advance(1_199)
    assert exchange(code) == (200, "")
    assert exchange(code) == (400, "Authorization code has been revoked")
    late = box.sandbox.oauth.new_code()
    box.clock.advance(1_200)
    assert exchange(late) == (400, "Authorization code has expired")
    assert exchange("rubbish") == (400, "Cannot decrypt the authorization code")
    assert exchange(box.sandbox.oauth.new_code(account_id=1)) == (400, "Invalid account")


def test_access_lives_a_day_and_refresh_three_months(box: Any) -> None:
    pair = box.tokens().json()
    box.clock.advance(86_399)
    assert good(box, pair["access_token"])
    box.clock.advance(1)
    answer = box.call("GET", "/api/v4/account", headers={"Authorization": f"Bearer {pair['access_token']}"})
    assert (answer.status_code, answer.json()["detail"]) == (401, "Неверный логин или пароль")
    box.clock.advance(92 * 86_400)
    assert box.tokens(refresh_token=pair["refresh_token"]).json()["hint"] == "Token has been revoked"


def test_a_long_lived_token_has_no_refresh_and_dies_by_its_own_date_or_when_revoked(box: Any) -> None:
    assert good(box, defaults.LONG_LIVED_TOKEN)
    own = box.control("POST", "tokens/long-lived", {"seconds": 100})["access_token"]
    assert good(box, own)
    box.clock.advance(100)
    assert not good(box, own)
    box.control("POST", "tokens/revoke")
    assert not good(box, defaults.LONG_LIVED_TOKEN)


def test_nothing_opens_without_a_bearer_token(box: Any) -> None:
    for header in ("", "Bearer", "Bearer nonsense", f"Basic {box.token}"):
        assert box.call("GET", "/api/v4/leads", headers={"Authorization": header}).status_code == 401


def test_a_renamed_account_answers_only_under_its_new_name_and_says_it_at_the_api_domain(make_box: Any) -> None:
    for status in (401, 404):
        box = make_box(moved_status=status)
        port = urlsplit(box.sandbox.url).port
        box.control("PATCH", "settings", {"moved_to": f"localhost:{port}", "subdomain": "newname"})
        assert box.tokens().status_code == status
        assert box.get("/api/v4/account").status_code == status
        where = "/oauth2/account/current/subdomain"
        assert box.call("GET", where).status_code == 401
        answer = box.call("GET", where, headers={"X-Refresh-Token": defaults.REFRESH_TOKEN})
        expected = {"subdomain": "newname", "domain": f"localhost:{port}", "top_level_domain": "ru"}
        assert answer.json() == {"id": defaults.ACCOUNT_ID, **expected}
        moved = box.call("GET", "/api/v4/account", headers={"Host": f"localhost:{port}"})
        assert (moved.status_code, moved.json()["subdomain"]) == (200, "newname")


def consent(box: Any, **query: str) -> requests.Response:
    answer: requests.Response = box.get("/oauth", client_id=defaults.CLIENT_ID, **query)
    return answer


def test_consent_comes_back_with_code_state_referer_and_client_id(make_box: Any) -> None:
    box = make_box(consent="auto")
    answer = consent(box, state="s-1", mode="popup")
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(defaults.REDIRECT_URI + "?")
    back = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert set(back) == {"code", "state", "referer", "client_id"}
    assert (back["state"], back["referer"]) == (["s-1"], [box.sandbox.world.netloc])
    assert box.tokens(grant_type="authorization_code", code=back["code"][0]).status_code == 200


def test_consent_asks_with_a_button(box: Any) -> None:
    assert "Разрешить" in consent(box, state="s-2").text
    allowed = box.call("POST", "/oauth/allow?state=s-2")
    assert "code=" in allowed.headers["Location"] and "state=s-2" in allowed.headers["Location"]
    assert "error=access_denied" in box.call("POST", "/oauth/deny?state=s-2").headers["Location"]


def test_consent_may_be_refused_or_come_from_the_widget_without_a_state(make_box: Any) -> None:
    refused = parse_qs(urlsplit(consent(make_box(consent="refuse"), state="s").headers["Location"]).query)
    assert refused == {"error": ["access_denied"], "state": ["s"]}
    widget = make_box(consent="auto", consent_from_widget=True, consent_referer="evil.example.com")
    back = parse_qs(urlsplit(consent(widget, state="s").headers["Location"]).query)
    assert (back["from_widget"], back["referer"]) == (["1"], ["evil.example.com"])
    assert "state" not in back


def test_the_consent_page_takes_no_redirect_uri(box: Any) -> None:
    assert consent(box, redirect_uri="http://127.0.0.1").status_code == 400


def test_uninstalling_kills_the_tokens_and_is_signed_with_the_client_secret(box: Any) -> None:
    query = box.control("POST", "uninstall")["query"]
    text = f"{defaults.CLIENT_ID}|{defaults.ACCOUNT_ID}".encode()
    assert query["signature"] == hmac.new(defaults.CLIENT_SECRET.encode(), text, hashlib.sha256).hexdigest()
    assert (query["client_uuid"], query["account_id"]) == (defaults.CLIENT_ID, str(defaults.ACCOUNT_ID))
    assert box.get("/api/v4/account").status_code == 401
    assert box.tokens().status_code == 401


def test_the_log_shows_secrets_only_as_short_hashes(box: Any) -> None:
    box.tokens()
    box.erp("login")
    entries = box.control("GET", "log")["entries"]
    text = json.dumps(entries)
    for secret in (defaults.CLIENT_SECRET, defaults.REFRESH_TOKEN, defaults.ERP_PASSWORD, defaults.ERP_KEY, box.token):
        assert secret not in text
    assert entries[0]["body"]["refresh_token"].startswith("***")
