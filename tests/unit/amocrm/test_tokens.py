"""The one owner of the tokens, over fakes: what is stored, when it refreshes, and what ends as "reconnect"."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from outbox.message import StoreUnavailable
from outbox.outcome import DeliveryError
from service.amocrm.oauth.token_store import claims
from tests.unit.amocrm.fakes import KEY_1, KEY_2, NOW, Endpoint, House, gone, issue, jwt, reply

HOUR, DAY = 3600.0, 86400.0


def failure(house: House) -> DeliveryError:
    with pytest.raises(DeliveryError) as error:
        house.tokens.access_token()
    return error.value


# ---- refreshing


def test_the_first_token_comes_from_the_settings_and_is_stored_before_it_is_used() -> None:
    house = House(Endpoint())
    assert house.tokens.access_token() == "access-1"
    [request] = house.http.requests
    assert request["url"] == "https://school.amocrm.ru/oauth2/access_token"
    assert request["json"] == {
        "client_id": "client",
        "client_secret": "the-secret",
        "redirect_uri": "https://dealpost.example/oauth/callback",
        "grant_type": "refresh_token",
        "refresh_token": "refresh-0",
    }
    assert request["total"] == 15.0
    other = House(Endpoint(), other=house)
    assert other.tokens.access_token() == "access-1" and not other.http.requests


def test_nothing_readable_is_stored() -> None:
    house = House(Endpoint())
    house.tokens.access_token()
    text = repr(house.key_values.kept)
    assert "access-1" not in text and "refresh-" not in text and "the-secret" not in text
    assert "access-1" not in repr(house.tokens.status())


def test_it_is_due_at_half_its_life_and_refreshes_then() -> None:
    endpoint = Endpoint()
    house = House(endpoint)
    house.tokens.access_token()
    assert house.tokens.due_at() == NOW + DAY / 2
    house.clock.at += DAY / 2 - 1
    assert not house.tokens.refresh() and endpoint.number == 1
    house.clock.at += 1
    assert house.tokens.refresh() and endpoint.number == 2


def test_it_is_due_weekly_however_long_access_lives() -> None:
    house = House(lambda request: (200, issue(1, 365 * 86400)))
    house.tokens.access_token()
    assert house.tokens.due_at() == NOW + 7 * DAY


def test_a_token_near_its_end_is_renewed_before_it_is_used_but_kept_while_the_endpoint_fails() -> None:
    endpoint = Endpoint()
    house = House(endpoint)
    house.tokens.access_token()
    house.clock.at += DAY - 200
    endpoint.next = [(500, b"oops")]
    assert house.tokens.access_token() == "access-1"
    house.clock.at += 100
    assert house.tokens.access_token() == "access-2"


def test_forced_refreshes_at_once_are_one() -> None:
    endpoint = Endpoint()
    house = House(endpoint)
    house.tokens.access_token()
    barrier = threading.Barrier(8)

    def force() -> None:
        barrier.wait()
        house.tokens.renewed("access-1")

    threads = [threading.Thread(target=force) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert endpoint.sent == ["refresh-0", "refresh-1"]


def test_another_process_that_is_refreshing_is_waited_for() -> None:
    endpoint = Endpoint()
    house = House(endpoint)
    lease = house.leases.acquire("token-refresh:amocrm", "another", 20)
    assert lease is not None
    other = House(endpoint, other=house)
    waits = 0

    def wait(seconds: float) -> None:
        nonlocal waits
        waits += 1
        if waits == 3:
            house.leases.release(lease)
            other.tokens.access_token()

    house.tokens._wait = wait
    assert house.tokens.access_token() == "access-1"
    assert endpoint.sent == ["refresh-0"] and waits == 3


def test_one_that_died_while_refreshing_is_waited_for_no_longer_than_its_lease() -> None:
    house = House(Endpoint())
    house.leases.acquire("token-refresh:amocrm", "dead", 20)
    assert house.tokens.access_token() == "access-1"
    assert 20 <= house.clock.at - NOW < 21


def test_a_process_that_slept_before_its_request_sends_nothing() -> None:
    endpoint = Endpoint()
    house, other = House(endpoint), None
    other = House(endpoint, other=house)
    reserve = house.rate_limiter.reserve

    def slow(name: str, per_second: float) -> tuple[int, float]:
        if not endpoint.sent:
            house.clock.at += 60  # longer than the lease
            other.tokens.access_token()
        return reserve(name, per_second)

    house.rate_limiter.reserve = slow  # type: ignore[method-assign]
    assert failure(house).pause is not None
    assert endpoint.sent == ["refresh-0"]


# ---- a failing endpoint


@pytest.mark.parametrize(
    "answer",
    [
        (500, b""),
        (502, b"<html>"),
        (504, b"<html>"),
        (200, b"<html>"),
        (200, b""),
        (200, {"token_type": "Bearer"}),
        (200, {"access_token": ""}),
        (401, b"<html>nginx"),
        (400, b""),
        (302, b""),
        gone("timeout"),
        gone("dropped"),
        gone("connect", acted=False),
    ],
)
def test_the_same_old_token_is_sent_again_after_anything_that_is_not_final(answer: Any) -> None:
    endpoint = Endpoint()
    endpoint.next = [answer]
    house = House(endpoint)
    error = failure(house)
    assert error.pause is not None and error.pause == "outage" and not error.outage
    assert house.tokens.status().state == "connected"
    house.clock.at += 6
    assert house.tokens.access_token() == "access-1"
    assert endpoint.sent == ["refresh-0", "refresh-0"]


def test_processes_share_the_wait_after_a_failure_and_it_grows() -> None:
    endpoint = Endpoint()
    house = House(endpoint)
    other = House(endpoint, other=house)
    for wait in (5, 10, 20, 40, 80, 160, 320, 600, 600):
        endpoint.next = [(500, b"")]
        sent = len(endpoint.sent)
        assert failure(house).retry_after == pytest.approx(wait)  # or a pause would end too early, its probe unsent
        house.clock.at += wait - 1
        assert failure(other).retry_after == pytest.approx(1.0)
        assert len(endpoint.sent) == sent + 1
        house.clock.at += 1
    assert other.tokens.access_token() == "access-1"
    assert house.key_values.get("tokens", "amocrm:trouble") is None


def test_an_operator_need_not_wait() -> None:
    endpoint = Endpoint()
    endpoint.next = [(500, b"")]
    house = House(endpoint)
    failure(house)
    assert house.tokens.refresh(force=True) and house.tokens.access_token() == "access-1"


def test_what_waits_for_another_pair_goes_out_after_a_refresh_by_hand_and_after_no_other() -> None:
    house = House(Endpoint())
    house.tokens.access_token()
    before = house.tokens.generation
    house.tokens.note_answer(good=False)
    house.clock.at += DAY
    assert house.tokens.refresh() and house.tokens.generation == before
    house.tokens.note_answer(good=False)
    assert house.tokens.refresh(force=True) and house.tokens.generation != before
    before = house.tokens.generation
    assert house.tokens.refresh(force=True) and house.tokens.generation == before


def test_a_wait_that_the_endpoint_asks_for_holds_for_all_requests() -> None:
    endpoint = Endpoint()
    endpoint.next = [(429, {"retry_after": 300})]
    house = House(endpoint)
    assert failure(house).retry_after == 300
    house.clock.at += 299
    with pytest.raises(DeliveryError) as error:
        house.tokens.refresh(force=True)
    assert error.value.retry_after == pytest.approx(1.0) and len(endpoint.sent) == 1


def test_a_blocked_endpoint_is_a_block_with_a_text_for_the_support() -> None:
    endpoint = Endpoint()
    endpoint.next = [(403, b"<html>")]
    error = failure(House(endpoint))
    assert error.pause is not None and error.pause == "forbidden"
    assert error.params["account"] and error.params["address"] == "dealpost.example" and error.params["since"]


# ---- what is final


def test_a_token_that_is_refused_again_minutes_later_is_revoked_and_nothing_more_is_sent() -> None:
    endpoint = Endpoint()
    house = House(endpoint, refresh_token="stolen")
    error = failure(house)
    assert error.cause == "amocrm_reconnect" and error.pause is not None and error.pause == "reconnect"
    assert house.tokens.status().state == "reconnect" and "revoked" in house.tokens.status().detail
    failure(house)
    failure(House(endpoint, other=house, refresh_token="stolen"))
    assert endpoint.sent == ["stolen"]  # not at once
    for _ in range(40):
        house.clock.at += 30
        failure(house)
    assert 2 <= len(endpoint.sent) <= 8 and set(endpoint.sent) == {"stolen"}
    assert house.tokens.status().state == "reconnect" and "revoked" in house.tokens.status().detail
    assert house.tokens.due_at() is None


def test_before_it_is_declared_lost_the_stored_pair_is_read_again() -> None:
    house = House()

    def answer(request: Mapping[str, Any]) -> Any:
        # Another process has rotated it meanwhile, although it should not have been able to.
        house.tokens.import_pair("access-9", "refresh-9", who="another", expires_in=DAY)
        return 401, {"hint": "Token has been revoked"}

    house.http.answer = answer
    assert house.tokens.access_token() == "access-9"
    assert house.tokens.status().state == "connected"


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (401, "Авторизация клиента не прошла"),
        (400, "Redirect URI is not associated with client"),
        (400, "Check the `client_id` parameter"),
        (401, "Client authentication failed"),
    ],
)
def test_settings_that_amocrm_refuses_keep_the_token(status: int, hint: str) -> None:
    endpoint = Endpoint()
    endpoint.next = [(status, {"hint": hint})]
    house = House(endpoint)
    error = failure(house)
    assert error.cause == "amocrm_credentials" and error.pause is not None and error.pause == "settings"
    assert hint in error.message and house.tokens.status().state == "reconnect"
    house.clock.at += 3600
    assert house.tokens.access_token() == "access-1"
    assert house.tokens.status().state == "connected"


def test_a_lost_answer_under_strict_rotation_ends_as_reconnect() -> None:
    endpoint = Endpoint()
    house = House(endpoint)

    def lost(request: Mapping[str, Any]) -> Any:
        endpoint(request)
        house.http.answer = endpoint
        return gone("timeout")

    house.http.answer = lost
    failure(house)
    house.clock.at += 10
    assert failure(house).cause == "amocrm_reconnect"
    assert endpoint.sent == ["refresh-0", "refresh-0"]


# ---- committing


def test_a_pair_that_cannot_be_committed_is_not_used_and_not_lost() -> None:
    endpoint = Endpoint()
    house = House(endpoint)
    house.tokens.status()  # the settings' token is taken over before
    house.key_values.broken = [OSError("locked")] * 8
    assert failure(house).pause is not None
    assert house.slept == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]
    assert house.tokens.access_token() == "access-1"
    assert endpoint.sent == ["refresh-0"]


def test_what_the_settings_offer_is_told_though_it_cannot_be_stored_and_nothing_is_sent_meanwhile() -> None:
    endpoint = Endpoint()
    house = House(endpoint)
    house.key_values.broken = [StoreUnavailable("it may not be written")] * 4
    assert (house.tokens.connected(), house.tokens.status().state) == (True, "connected")
    assert endpoint.sent == []


def test_a_lock_that_passes_is_waited_out() -> None:
    endpoint = Endpoint()
    house = House(endpoint)
    house.tokens.status()
    house.key_values.broken = [OSError("locked")] * 3
    assert house.tokens.access_token() == "access-1" and endpoint.sent == ["refresh-0"]


def test_a_pair_in_hand_survives_that_another_process_declared_the_old_one_lost() -> None:
    endpoint = Endpoint()
    house = House(endpoint)
    house.tokens.status()
    house.key_values.broken = [OSError("locked")] * 8
    failure(house)
    other = House(endpoint, other=house)
    assert failure(other).cause == "amocrm_reconnect"  # the old one is dead, and the new one not stored yet
    assert house.tokens.access_token() == "access-1"
    assert other.tokens.access_token() == "access-1"


def test_a_connection_that_an_operator_made_meanwhile_wins() -> None:
    endpoint = Endpoint()
    house = House(endpoint)

    def answer(request: Mapping[str, Any]) -> Any:
        found = endpoint(request)
        house.tokens.import_pair("access-9", "refresh-9", who="Olga", expires_in=DAY)
        return found

    house.http.answer = answer
    assert house.tokens.access_token() == "access-9" and house.tokens.status().who == "Olga"


# ---- clocks


@pytest.mark.parametrize("off", [-HOUR, HOUR])
def test_a_clock_that_is_an_hour_off_does_no_harm(off: float) -> None:
    """The JWT's exp is by amoCRM's clock; only expires_in counts, from our own receipt on."""
    true_now = NOW - off

    def answer(request: Mapping[str, Any]) -> Any:
        return 200, {**issue(1, 3000), "access_token": jwt(exp=int(true_now) + 3000)}

    house = House(answer)
    house.tokens.access_token()
    assert house.tokens.status().expires_at == NOW + 3000
    assert house.tokens.due_at() == NOW + 1500
    house.tokens.access_token()
    assert len(house.http.requests) == 1


def test_a_clock_that_jumps_back_a_day_does_not_stop_refreshing_on_401() -> None:
    endpoint = Endpoint()
    house = House(endpoint)
    house.tokens.access_token()
    house.clock.at -= DAY
    assert house.tokens.renewed("access-1") == "access-2"


# ---- what the settings offer


def test_a_newly_pasted_token_wins_and_an_old_one_never_beats_the_store() -> None:
    endpoint = Endpoint()
    first = House(endpoint)
    first.tokens.access_token()
    again = House(endpoint, other=first)
    assert again.tokens.access_token() == "access-1" and len(endpoint.sent) == 1
    endpoint.number = 50
    pasted = House(endpoint, other=first, refresh_token="refresh-50")
    assert pasted.tokens.access_token() == "access-51"
    older = House(endpoint, other=first)  # a .env from a backup
    assert older.tokens.access_token() == "access-51"
    assert endpoint.sent == ["refresh-0", "refresh-50"]


def test_a_connection_by_the_button_is_not_undone_by_the_settings_that_were_there_before() -> None:
    endpoint = Endpoint()
    house = House(endpoint)
    house.tokens.import_pair("access-0", "refresh-0", who="Olga", expires_in=DAY)
    assert House(endpoint, other=house).tokens.access_token() == "access-0"
    assert house.tokens.status().who == "Olga"


def test_an_access_token_beside_a_refresh_token_is_the_first_of_a_pair() -> None:
    house = House(Endpoint(), access_token=jwt(exp=int(NOW) + 7200, account_id=77))
    assert house.tokens.access_token().startswith("ey") and not house.http.requests
    status = house.tokens.status()
    assert (status.state, status.expires_at, status.account_id) == ("connected", NOW + 7200, 77)
    assert house.tokens.due_at() == NOW + 3600


def test_an_access_token_alone_is_long_lived() -> None:
    house = House(Endpoint(), refresh_token="", access_token=jwt(exp=int(NOW) + 10, account_id=77))
    assert house.tokens.status().state == "long_lived" and house.tokens.due_at() is None
    assert not house.tokens.refresh(force=True)
    house.clock.at += 11
    assert house.tokens.status().state == "expired"
    assert house.tokens.access_token()  # whether it has expired is for amoCRM to say


def test_a_long_lived_token_that_is_pasted_beside_a_spent_refresh_token_wins() -> None:
    house = House(Endpoint())
    house.tokens.access_token()
    pasted = House(Endpoint(), other=house, access_token=jwt(exp=int(NOW) + 10**7))
    assert pasted.tokens.access_token().startswith("ey") and pasted.tokens.status().state == "long_lived"
    assert House(Endpoint(), other=house).tokens.access_token().startswith("ey")  # the old settings change nothing


def test_a_long_lived_token_that_is_no_jwt_is_used_as_it_is() -> None:
    house = House(Endpoint(), refresh_token="", access_token="opaque")
    assert house.tokens.access_token() == "opaque"
    assert house.tokens.status().expires_at is None and house.tokens.status().state == "long_lived"


def test_a_refused_long_lived_token_is_reconnect_until_it_is_taken_or_another_is_pasted() -> None:
    house = House(Endpoint(), refresh_token="", access_token="opaque")
    with pytest.raises(DeliveryError) as error:
        house.client.account()
    assert error.value.cause == "amocrm_reconnect" and house.tokens.status().state == "reconnect"
    assert len(house.http.requests) == 2  # asked again once
    fresh = House(Endpoint(), other=house, refresh_token="", access_token="opaque-2")
    assert fresh.tokens.access_token() == "opaque-2" and fresh.tokens.status().state == "long_lived"


# ---- keys


def test_lost_keys_are_not_connected_and_nothing_crashes() -> None:
    house = House(Endpoint())
    house.tokens.access_token()
    other = House(Endpoint(), other=house, keys=[KEY_2])
    status = other.tokens.status()
    assert status.state == "not_connected" and "TOKEN_KEYS" in status.detail
    assert failure(other).cause == "amocrm_not_set_up" and not other.tokens.connected()
    assert other.tokens.due_at() is None and not other.tokens.rotate_keys()
    assert other.deals.destination.missing() == ("AMOCRM_REFRESH_TOKEN",)
    assert house.tokens.access_token() == "access-1"  # the old key still opens it


def test_keys_are_rotated() -> None:
    house = House(Endpoint())
    house.tokens.access_token()
    both = House(Endpoint(), other=house, keys=[KEY_2, KEY_1])
    assert both.tokens.access_token() == "access-1" and both.tokens.rotate_keys()
    assert House(Endpoint(), other=house, keys=[KEY_2]).tokens.access_token() == "access-1"
    assert house.tokens.status().state == "not_connected"


def test_no_key_at_all_is_not_connected() -> None:
    house = House(Endpoint(), keys=[])
    assert house.tokens.status().state == "not_connected" and failure(house).cause == "amocrm_not_set_up"


# ---- an account that moved


def moved(endpoint: Any, place: str = "new.amocrm.ru", number: int = 77) -> Any:
    def answer(request: Mapping[str, Any]) -> Any:
        if request["path"] == "/oauth2/account/current/subdomain":
            assert request["headers"] == {"X-Refresh-Token": endpoint.token}
            return 200, {"id": number, "subdomain": "new", "domain": place, "top_level_domain": "ru"}
        if request["host"] == "school.amocrm.ru" and endpoint.number:
            return endpoint.status, {"detail": "Not found"}
        return endpoint(request)

    return answer


class Moving(Endpoint):
    """An account that answers under its old name only once."""

    status = 401
    token = "refresh-1"


def first_pair(house: House, api_domain: str = "api-b.amocrm.ru") -> None:
    access = jwt(api_domain=api_domain, account_id=77)
    house.tokens.import_pair(access, "refresh-1", who="Olga", expires_in=DAY)


@pytest.mark.parametrize("status", [401, 404])
def test_a_renamed_account_is_followed(status: int) -> None:
    endpoint = Moving()
    endpoint.number, endpoint.status = 1, status
    house = House(moved(endpoint))
    first_pair(house)
    assert house.tokens.refresh(force=True)
    assert house.tokens.base_url() == "https://new.amocrm.ru" and house.tokens.status().host == "new.amocrm.ru"
    hosts = [request["host"] for request in house.http.requests]
    assert hosts == ["school.amocrm.ru", "api-b.amocrm.ru", "new.amocrm.ru"]
    again = House(moved(endpoint), other=house)
    assert again.tokens.base_url() == "https://new.amocrm.ru"
    told = House(moved(endpoint), other=house, base_url="https://third.amocrm.ru")
    assert told.tokens.base_url() == "https://third.amocrm.ru"  # new settings are the operator's wish


@pytest.mark.parametrize(
    "domain", ["evil.example", "amocrm.ru.evil.example", "a.b.amocrm.ru", "", "evil.example/amocrm.ru"]
)
def test_a_token_is_never_sent_to_a_host_that_is_not_amocrms(domain: str) -> None:
    endpoint = Moving()
    endpoint.number = 1
    house = House(moved(endpoint))
    first_pair(house, domain)
    with pytest.raises(DeliveryError):
        house.tokens.refresh(force=True)
    assert {request["host"] for request in house.http.requests} == {"school.amocrm.ru"}


@pytest.mark.parametrize(("place", "number"), [("evil.example", 77), ("other.amocrm.ru", 78), ("school.amocrm.ru", 77)])
def test_an_account_is_not_followed_to_a_strange_host_or_into_another_account(place: str, number: int) -> None:
    endpoint = Moving()
    endpoint.number = 1
    house = House(moved(endpoint, place, number))
    first_pair(house)
    with pytest.raises(DeliveryError):
        house.tokens.refresh(force=True)
    hosts = {request["host"] for request in house.http.requests}
    assert hosts == {"school.amocrm.ru", "api-b.amocrm.ru"}


def test_a_sandbox_is_not_left() -> None:
    endpoint = Moving()
    endpoint.number = 1
    house = House(moved(endpoint), overridden=True)
    first_pair(house)
    with pytest.raises(DeliveryError):
        house.tokens.refresh(force=True)
    assert {request["host"] for request in house.http.requests} == {"school.amocrm.ru"}
    assert house.tokens.base_url() == "https://school.amocrm.ru"


def test_an_account_that_is_not_there_keeps_its_token() -> None:
    endpoint = Endpoint()
    endpoint.next = [(404, {"detail": "Not found"})]
    house = House(endpoint)
    error = failure(house)
    assert (error.cause, error.pause) == ("amocrm_moved", "outage") and error.params["host"] == "school.amocrm.ru"
    house.clock.at += 6
    assert house.tokens.access_token() == "access-1"


def test_an_account_that_answers_404_to_every_question_is_followed_with_the_token_it_has() -> None:
    def answer(request: Mapping[str, Any]) -> Any:
        if request["host"] == "school.amocrm.ru":
            return 404, b"<html>nginx</html>"
        if request["path"] == "/oauth2/account/current/subdomain":
            return 200, {"id": 77, "subdomain": "new", "domain": "new.amocrm.ru"}
        return 200, {"id": 77, "name": "Школа"}

    house = House(answer)
    first_pair(house)
    assert house.client.account()["id"] == 77
    assert house.tokens.base_url() == "https://new.amocrm.ru"
    assert not [path for path in house.http.paths() if "access_token" in path]  # no new pair was needed


# ---- shown


def test_status_of_a_healthy_connection() -> None:
    house = House(Endpoint())
    assert house.client.account()["id"] == 77
    status = house.tokens.status()
    assert (status.state, status.who, status.host) == ("connected", "settings", "school.amocrm.ru")
    assert (status.expires_at, status.refresh_expires_at) == (NOW + DAY, NOW + 90 * DAY)
    assert (status.last_refresh, status.next_refresh) == (NOW, NOW + DAY / 2)
    assert (status.account_id, status.account_name) == (77, "Школа")


def test_never_connected() -> None:
    house = House(refresh_token="")
    assert house.tokens.status().state == "not_connected"
    assert not house.tokens.connected() and house.tokens.generation == ""


def test_the_generation_changes_with_connecting_and_losing_but_not_with_refreshing() -> None:
    endpoint = Endpoint()
    house = House(endpoint)
    house.tokens.access_token()
    first = house.tokens.generation
    house.tokens.refresh(force=True)
    assert house.tokens.generation == first
    house.tokens.disconnected("switched off")
    lost = house.tokens.generation
    house.clock.at += 1
    house.tokens.import_pair("access-9", "refresh-9", who="Olga")
    assert len({first, lost, house.tokens.generation}) == 3


def test_a_fresh_token_that_is_refused_shows_as_reconnect_until_it_is_accepted() -> None:
    endpoint = Endpoint()
    refuse = True

    def answer(request: Mapping[str, Any]) -> Any:
        if request["path"].startswith("/api") and refuse:
            return 401, {"detail": "no"}
        return endpoint(request)

    house = House(answer)
    with pytest.raises(DeliveryError) as error:
        house.client.account()
    assert error.value.cause == "amocrm_reconnect" and house.tokens.status().state == "reconnect"
    assert house.http.paths().count("POST /oauth2/access_token") == 2  # the first one, and one refresh
    refuse = False
    house.client.account()
    assert house.tokens.status().state == "connected"


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.b.c", "a.!!.c", "a.W10.c", "…"])
def test_what_is_no_jwt_tells_nothing(text: str) -> None:
    assert claims(text) == {}


def test_headers_are_plain() -> None:
    assert reply(200, {}).headers == {}


def test_what_is_missing() -> None:
    bare = {"client_id": "", "client_secret": "", "redirect_uri": "", "refresh_token": "", "base_url": ""}
    client = ("AMOCRM_CLIENT_ID", "AMOCRM_CLIENT_SECRET", "AMOCRM_REDIRECT_URI")
    assert House(**bare, pipeline_id=None).deals.destination.missing() == (
        "AMOCRM_SUBDOMAIN",
        *client,
        "AMOCRM_PIPELINE_ID",
    )
    here = {**bare, "base_url": "https://school.amocrm.ru"}
    assert House(**here).deals.destination.missing() == client
    assert House(**{**here, "access_token": "long-lived"}).deals.destination.missing() == ()
    assert House(refresh_token="").deals.destination.missing() == ("AMOCRM_REFRESH_TOKEN",)
    imported = House(**here)
    imported.tokens.import_pair("long-lived", who="Olga")
    assert imported.deals.destination.missing() == ()
    chosen = House(pipeline_id=None)
    chosen.key_values.put("choices", "stage:1", {"status_id": 101, "pipeline_id": 10})
    assert chosen.deals.destination.missing() == ()
    chosen.key_values.put("choices", "stage:1", {})
    assert chosen.deals.destination.missing() == ("AMOCRM_PIPELINE_ID",)
    chosen.key_values.put("choices", "funnel", {"pipeline_id": 10})
    assert chosen.deals.destination.missing() == ()
