"""What the client sends, strictly, and what it accepts, liberally."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from outbox.outcome import DeliveryError
from service.amocrm import api
from service.amocrm.client import Rejected
from service.network.exchange import Exchange, exchange_of
from tests.unit.amocrm.fakes import House, gone, issue, reply

LEAD = {"status_id": 101, "pipeline_id": 10}


def house(answer: Any, **changes: Any) -> House:
    return House(answer, refresh_token="", access_token="token", **changes)


def listed(name: str, *rows: Mapping[str, Any], more: bool = False) -> Any:
    links = {"self": {"href": "x"}, **({"next": {"href": "y"}} if more else {})}
    return 200, {"_page": 1, "_links": links, "_embedded": {name: list(rows)}}


def pairs(request: Mapping[str, Any], name: str) -> list[str]:
    return [value for key, value in request["params"] if key == name]


def test_deals_are_read_250_at_a_time_each_row_checked() -> None:
    def answer(request: Mapping[str, Any]) -> Any:
        if request["path"].endswith("/7"):
            return 204, b""
        ids = pairs(request, "filter[id][]")
        return listed("leads", *({**LEAD, "id": one} for one in reversed(ids) if one != "7"))

    one = house(answer)
    found = one.client.leads([*range(1, 401), 5])
    assert sorted(found) == [number for number in range(1, 401) if number != 7]
    assert [len(pairs(request, "filter[id][]")) for request in one.http.requests] == [250, 150, 0]
    assert one.http.paths()[2] == "GET /api/v4/leads/7" and found.absent == {7}
    assert pairs(one.http.requests[0], "limit") == ["250"] and pairs(one.http.requests[0], "with") == ["contacts"]
    assert one.http.requests[0]["headers"] == {"Authorization": "Bearer token"}
    assert one.http.requests[0]["total"] == 10.0


@pytest.mark.parametrize("answer", [(204, b""), (404, {"detail": "Not found"})])
def test_a_single_deal_is_asked_for_by_its_address_and_may_be_gone(answer: Any) -> None:
    one = house(lambda request: (200, {"id": 77}) if request["path"].endswith("/account") else answer)
    found = one.client.leads([5])
    assert found == {} and found.absent == {5} and not found.unread
    assert one.http.paths() == ["GET /api/v4/leads/5", "GET /api/v4/account"]


@pytest.mark.parametrize("body", [{"title": "Not found", "status": 404}, b"<html>404 nginx</html>", b""])
def test_where_everything_is_404_nothing_is_gone(body: Any) -> None:
    for ids in ([5], [5, 6, 7]):
        with pytest.raises(DeliveryError) as error:
            house(lambda request: (404, body)).client.leads(ids)
        assert (error.value.cause, error.value.pause) == ("amocrm_moved", "outage")


def test_a_gateway_s_404_or_an_unreadable_row_is_that_row_s_trouble_and_no_outage() -> None:
    def answer(request: Mapping[str, Any]) -> Any:
        if request["path"].endswith("/leads"):
            nulls = {"id": 3, "status_id": None, "pipeline_id": None}
            return listed("leads", {**LEAD, "id": 1}, nulls, "?")
        return (404, b"<html>nginx</html>") if request["path"].endswith("/2") else (200, {"id": 3, "status_id": None})

    found = house(answer).client.leads([1, 2, 3])
    assert list(found) == [1] and set(found.unread) == {2, 3} and not found.absent
    assert not any(error.outage or error.pause for error in found.unread.values())


ODD: dict[str, Any] = {"204": (204, b""), "403": (403, {"detail": "no right"}), "404": (404, {"detail": "Not found"})}


def lists_and_singles(one: House) -> tuple[list[int], int]:
    """(how many ids each list asked for, how many rows were asked for by themselves)."""
    lists = [request for request in one.http.requests if request["path"].endswith("/leads")]
    return [len(pairs(request, "filter[id][]")) for request in lists], len(one.http.requests) - len(lists)


@pytest.mark.parametrize("count", [2, 4, 60, 250])
@pytest.mark.parametrize(
    "odd", [["204"], ["403"], ["404"], ["204", "404"], ["404", "403"], ["204", "403", "404"]], ids="-".join
)
def test_a_list_whose_odd_answers_pass_is_asked_for_again_whole_and_no_deal_by_itself(
    odd: list[str], count: int
) -> None:
    left = list(odd)

    def answer(request: Mapping[str, Any]) -> Any:
        if left:
            return ODD[left.pop(0)]
        return listed("leads", *({**LEAD, "id": one} for one in pairs(request, "filter[id][]")))

    one = house(answer)
    found = one.client.leads(range(1, count + 1))
    assert len(found) == count and not found.absent and not found.unread
    assert lists_and_singles(one) == ([count] * (len(odd) + 1), 0)


@pytest.mark.parametrize("passing", ["204", "404"])
def test_a_part_of_a_refused_list_that_is_odd_in_passing_is_asked_for_again_and_not_cut(passing: str) -> None:
    left = [passing]

    def answer(request: Mapping[str, Any]) -> Any:
        ids = pairs(request, "filter[id][]")
        if not ids:
            number = int(request["path"].rpartition("/")[2])
            return (200, {**LEAD, "id": number}) if number != 70 else ODD["403"]
        if "70" in ids:
            return ODD["403"]
        return ODD[left.pop()] if left else listed("leads", *({**LEAD, "id": one} for one in ids))

    one = house(answer)
    found = one.client.leads(range(1, 251))
    assert set(found.unread) == {70} and len(found) == 249
    lists, singles = lists_and_singles(one)
    assert lists[:4] == [250, 250, 61, 61] and singles <= 5


@pytest.mark.parametrize(("count", "times"), [(2, 2), (5, 2), (6, 3), (250, 3)])
def test_a_404_that_a_list_gives_again_and_again_is_the_account_s(count: int, times: int) -> None:
    answers = [ODD["204"], *[ODD["404"]] * times]
    one = house(lambda request: answers.pop(0))
    with pytest.raises(DeliveryError) as error:
        one.client.leads(range(1, count + 1))
    assert (error.value.cause, error.value.pause) == ("amocrm_moved", "outage") and not answers


@pytest.mark.parametrize("pair", [True, False])
@pytest.mark.parametrize(("count", "refused"), [(5, 1), (50, 2)])
@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_a_401_that_passes_costs_one_request_each_and_one_renewal(
    method: str, count: int, refused: int, pair: bool
) -> None:
    left = [401] * refused
    rows = [{**LEAD, "id": number} for number in range(1, count + 1)]

    def answer(request: Mapping[str, Any]) -> Any:
        if request["path"] == "/oauth2/access_token":
            return 200, issue(1)
        return (left.pop(), {"detail": "x"}) if left else listed("leads", *rows)

    one = House(answer, refresh_token="refresh-0" if pair else "", access_token="token")
    found = one.client.leads(range(1, count + 1)) if method == "GET" else one.client.patch_leads(rows)
    paths = one.http.paths()
    assert len(found) == count and paths.count(f"{method} /api/v4/leads") == refused + 1
    assert len(paths) == refused + 1 + pair


@pytest.mark.parametrize(("count", "times"), [(5, 2), (50, 3)])
def test_a_401_that_stays_is_told_after_one_renewal(count: int, times: int) -> None:
    one = House(
        lambda request: (200, issue(1)) if request["path"] == "/oauth2/access_token" else (401, {"detail": "x"}),
        access_token="token",
    )
    with pytest.raises(DeliveryError) as error:
        one.client.leads(range(1, count + 1))
    assert (error.value.cause, error.value.pause) == ("amocrm_reconnect", "reconnect")
    assert sorted(one.http.paths()) == [*["GET /api/v4/leads"] * times, "POST /oauth2/access_token"]


@pytest.mark.parametrize("odd", ["204", "403"])
def test_where_a_deal_comes_that_no_list_told_of_lists_are_asked_again_and_not_each_deal(odd: str) -> None:
    singles: list[str] = []

    def answer(request: Mapping[str, Any]) -> Any:
        ids = pairs(request, "filter[id][]")
        if ids:
            return listed("leads", *({**LEAD, "id": one} for one in ids)) if singles else ODD[odd]
        singles.append(request["path"])
        return 200, {**LEAD, "id": int(request["path"].rpartition("/")[2])}

    one = house(answer)
    assert len(one.client.leads(range(1, 251))) == 250
    lists, _ = lists_and_singles(one)
    assert len(singles) == 5 and len(lists) == 5 and lists[-1] == 245


def test_deals_that_may_not_be_read_beside_others_that_came_are_no_sign_of_a_block() -> None:
    def answer(request: Mapping[str, Any]) -> Any:
        ids = pairs(request, "filter[id][]")
        shown = [{**LEAD, "id": one} for one in ids if int(one) > 5]
        return ODD["403"] if not ids else listed("leads", *shown) if shown else ODD["204"]

    found = house(answer).client.leads(range(1, 101))
    assert len(found) == 95 and set(found.unread) == {1, 2, 3, 4, 5}
    assert not any(error.pause for error in found.unread.values())


def test_a_list_that_is_cut_follows_its_links_and_never_in_a_circle() -> None:
    rows = [{**LEAD, "id": number} for number in range(1, 101)]

    def answer(request: Mapping[str, Any]) -> Any:
        page = int((pairs(request, "page") or ["1"])[0])
        if "/leads/" in request["path"]:
            return 204, b""
        href = f"https://elsewhere.example/api/v4/leads?page={page + 1}&limit=30"
        links = {"next": {"href": href if page < 3 else "?page=1&limit=250"}}
        return 200, {"_links": links, "_embedded": {"leads": rows[(page - 1) * 30 : page * 30]}}

    one = house(answer)
    assert sorted(one.client.leads(range(1, 96))) == list(range(1, 91))
    lists = [request for request in one.http.requests if request["path"].endswith("/leads")]
    assert [pairs(request, "limit") for request in lists] == [["250"], ["30"], ["30"], ["250"]]
    assert {request["host"] for request in one.http.requests} == {"school.amocrm.ru"}
    assert all(len(pairs(request, "filter[id][]")) == 95 for request in lists)


def test_where_filters_are_ignored_a_deal_that_is_not_on_the_page_is_not_gone() -> None:
    def answer(request: Mapping[str, Any]) -> Any:
        if request["path"] == "/api/v4/leads":
            return listed("leads", {**LEAD, "id": 1}, {**LEAD, "id": 900}, {**LEAD, "id": 901})
        number = int(request["path"].rpartition("/")[2])
        return (200, {**LEAD, "id": number}) if number != 3 else (204, b"")

    one = house(answer)
    assert sorted(one.client.leads([1, 2, 3])) == [1, 2]
    one.http.requests.clear()
    assert sorted(one.client.leads([4, 5])) == [4, 5]
    assert one.http.paths() == ["GET /api/v4/leads/4", "GET /api/v4/leads/5"]
    one.clock.at += 86401  # a day later the account may have them
    one.client.leads([4, 5])
    assert one.http.paths()[2] == "GET /api/v4/leads"


def test_another_deal_under_the_address_is_not_taken() -> None:
    found = house(lambda request: (200, {**LEAD, "id": 6})).client.leads([5])
    assert found == {} and set(found.unread) == {5}


def test_only_contacts_that_bear_exactly_this_email() -> None:
    def person(number: int, *emails: str) -> dict[str, Any]:
        fields = [{"field_code": "EMAIL", "values": [{"value": email} for email in emails]}]
        leads = {"leads": [{"id": number * 10}]}
        return {"id": number, "name": f"P{number}", "custom_fields_values": fields, "_embedded": leads}

    def answer(request: Mapping[str, Any]) -> Any:
        if pairs(request, "page") == ["1"]:
            people = [
                person(2, "Anna@Example.com"),
                person(1, "anna@example.com.ru"),
                {"id": 3, "name": "anna@example.com"},
            ]
            return listed("contacts", *people, more=True)
        return (
            listed("contacts", person(1, "other@x.y", " anna@example.com"), more=True)
            if pairs(request, "page") == ["2"]
            else (204, b"")
        )

    one = house(answer)
    found = one.client.find_contacts(" Anna@Example.com ")
    assert [(person.id, person.lead_ids) for person in found] == [(1, (10,)), (2, (20,))]
    assert pairs(one.http.requests[0], "query") == ["anna@example.com"]
    assert pairs(one.http.requests[0], "with") == ["leads"] and len(one.http.requests) == 3


@pytest.mark.parametrize("asked", ["anna@xn--e1afmkfd.xn--80akhbyknj4f", "Anna@пример.испытание"])
def test_a_domain_of_other_letters_is_searched_for_in_both_its_spellings(asked: str) -> None:
    def answer(request: Mapping[str, Any]) -> Any:
        (query,) = pairs(request, "query")
        number = 1 if query.isascii() else 2
        fields = [{"field_code": "EMAIL", "values": [{"value": query}]}]
        return listed("contacts", {"id": number, "name": "A", "custom_fields_values": fields})

    found = house(answer).client.find_contacts(asked)
    assert [(person.id, person.emails) for person in found] == [
        (1, ("anna@пример.испытание",)),
        (2, ("anna@пример.испытание",)),
    ]


def test_a_batch_is_an_array_and_the_answer_may_confirm_in_any_order_and_form() -> None:
    changes = [{"id": 5, "status_id": 101, "pipeline_id": 10, "request_id": "1"}, {"id": 6, "request_id": "2"}]
    one = house(lambda request: listed("leads", {"id": "6", "request_id": ["2"]}, {"id": 5, "updated_at": 1}))
    assert one.client.patch_leads(changes) == {5, 6}
    assert one.http.requests[0]["json"] == changes and one.http.paths() == ["PATCH /api/v4/leads"]


@pytest.mark.parametrize("answer", [(204, b""), (200, {}), (200, {"_embedded": {"leads": []}})])
def test_a_batch_may_be_answered_without_confirming(answer: Any) -> None:
    assert house(lambda request: answer).client.patch_leads([{"id": 5}]) == set()


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", {"_embedded": 5}])
def test_a_good_status_with_an_unreadable_body_is_a_failure(body: Any) -> None:
    for call in (lambda c: c.account(), lambda c: c.leads([1, 2]), lambda c: c.patch_leads([{"id": 5}])):
        with pytest.raises(DeliveryError) as error:
            call(house(lambda request: (200, body)).client)
        assert error.value.cause == "amocrm_unreadable" and error.value.outage


def test_a_400_tells_which_rows() -> None:
    body = {"detail": "x", "validation-errors": [{"request_id": "1", "errors": [{"detail": "bad"}]}]}
    with pytest.raises(Rejected) as error:
        house(lambda request: (400, body)).client.patch_leads([{"id": 5}])
    assert error.value.refused.by_request == {"1": "bad"} and error.value.cause == "deal_refused"


def test_no_answer_tells_whether_it_may_have_acted() -> None:
    for kind, acted in (("connect", False), ("timeout", True)):
        with pytest.raises(DeliveryError) as error:
            house(lambda request, kind=kind, acted=acted: gone(kind, acted)).client.patch_leads([{"id": 5}])
        assert error.value.params["acted"] is acted and error.value.outage


def test_one_401_is_refreshed_and_repeated_once() -> None:
    sent: list[str] = []

    def answer(request: Mapping[str, Any]) -> Any:
        if request["path"].startswith("/oauth2"):
            return 200, {"access_token": "new", "refresh_token": "r", "expires_in": 86400}
        sent.append(request["headers"]["Authorization"])
        return (401, {"detail": "x"}) if len(sent) == 1 else listed("leads", {"id": 5})

    one = House(answer, refresh_token="r0", access_token="old")
    assert one.client.patch_leads([{"id": 5}]) == {5}
    assert sent == ["Bearer old", "Bearer new"]


def test_429_slows_everybody_down_and_a_wait_of_a_503_is_kept() -> None:
    one = house(lambda request: (429, {"retry_after": 30}))
    with pytest.raises(DeliveryError):
        one.client.account()
    with pytest.raises(DeliveryError) as error:
        one.client.account()
    assert len(one.http.requests) == 1 and error.value.retry_after == pytest.approx(30.0)
    two = house(lambda request: reply(503, b"", {"Retry-After": "20"}))
    for _ in range(2):
        with pytest.raises(DeliveryError) as error:
            two.client.account()
    assert len(two.http.requests) == 1 and error.value.retry_after == pytest.approx(20.0)


def test_a_block_carries_what_the_support_asks_for() -> None:
    with pytest.raises(DeliveryError) as error:
        house(lambda request: (403, b"<html>nginx</html>")).client.account()
    assert set(error.value.params) >= {"account", "address", "since"} and error.value.pause is not None
    assert error.value.params["since"] == "2026-09-21T14:13:20Z"


@pytest.mark.parametrize("status", [402, 403, 404])
@pytest.mark.parametrize("body", [{"detail": "Недостаточно прав"}, b"<html>"])
def test_a_refusal_of_webhooks_or_events_concerns_nothing_else(status: int, body: Any) -> None:
    one = house(lambda request: (200, {"id": 1}) if request["method"] == "DELETE" else (status, body))
    for call, cause in (
        (one.client.webhooks, "webhooks_closed"),
        (lambda: one.client.subscribe("https://x", ["status_lead"]), "webhooks_closed"),
        (lambda: list(one.client.status_changes(0, 1)), "events_closed"),
    ):
        with pytest.raises(DeliveryError) as error:
            call()
        assert (error.value.cause, error.value.pause, error.value.outage) == (cause, None, False)


def test_subscribing_removes_the_hook_first() -> None:
    answers = {"DELETE": (404, {"detail": "x"}), "POST": (201, {"id": 1}), "GET": (204, b"")}
    one = house(lambda request: answers[request["method"]])
    one.client.subscribe("https://x/hook", ["status_lead"])
    assert one.http.paths() == ["DELETE /api/v4/webhooks", "POST /api/v4/webhooks"]
    assert one.http.requests[0]["json"] == {"destination": "https://x/hook"}
    assert one.http.requests[1]["json"] == {"destination": "https://x/hook", "settings": ["status_lead"]}
    assert one.client.webhooks() == []


@pytest.mark.parametrize("answer", [(204, b""), (200, b""), (202, b"")])
def test_removing_may_be_answered_by_nothing(answer: Any) -> None:
    house(lambda request: answer).client.unsubscribe("https://x")


def change(number: int, at: int, **more: Any) -> dict[str, Any]:
    return {"id": f"e{number}", "type": "lead_status_changed", "entity_id": number, "created_at": at, **more}


def test_changes_of_stage_are_paged_by_a_hundred_each_once_within_the_times() -> None:
    pages = {
        "1": listed("events", change(3, 300), change(2, 200), change(9, 250, type="lead_added"), more=True),
        "2": listed("events", change(2, 200), change(1, 100), change(8, 99), change(7, 301), more=True),
        "3": (204, b""),
    }
    one = house(lambda request: pages[pairs(request, "page")[0]])
    assert [found.event_id for found in one.client.status_changes(100, 300)] == ["e3", "e2", "e1"]
    request = one.http.requests[0]
    assert pairs(request, "limit") == ["100"] and pairs(request, "filter[type]") == ["lead_status_changed"]
    assert pairs(request, "filter[created_at][from]") == ["100"] and pairs(request, "filter[created_at][to]") == ["300"]


def test_where_filters_are_ignored_paging_ends_before_the_time_asked_for() -> None:
    one = house(lambda request: listed("events", change(1, 99), change(2, 98), more=True))
    assert list(one.client.status_changes(100, 300)) == []
    assert len(one.http.requests) == 1


def test_a_page_without_links_is_the_last_unless_it_is_full() -> None:
    def answer(request: Mapping[str, Any]) -> Any:
        full = pairs(request, "page") == ["1"]
        start = 0 if full else 1000
        return 200, {"_embedded": {"events": [change(start + n, 200) for n in range(100 if full else 3)]}}

    one = house(answer)
    assert len(list(one.client.status_changes(100, 300))) == 103 and len(one.http.requests) == 2


def test_a_person_s_deadline_covers_all_requests_of_a_call() -> None:
    def answer(request: Mapping[str, Any]) -> Any:
        one.clock.at += 4
        return 204, b""

    one = house(answer)
    client = one.client.bound(deadline=7)
    client.find_contacts("a@b.c")
    client.find_contacts("a@b.c")
    one.rate_limiter.waits = [1.0]
    with pytest.raises(DeliveryError):
        client.find_contacts("a@b.c")
    assert [round(request["total"], 1) for request in one.http.requests] == [7.0, 3.0]


def test_each_request_is_noted_with_its_secrets_masked() -> None:
    notes: list[Exchange] = []
    one = house(lambda request: (200, {"id": 77}))
    one.client.bound(record=notes.append).account()
    one.client.account()
    [note] = notes
    assert note.status == 200 and "token" not in str(note.request_headers)


def test_of_the_requests_only_those_that_are_wanted_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[Exchange] = []

    def note(*args: Any, **kwargs: Any) -> Exchange:
        masked.append(exchange_of(*args, **kwargs))
        return masked[-1]

    monkeypatch.setattr(api, "exchange_of", note)
    notes: list[Exchange] = []
    one = house(lambda request: (200, {"id": 77}))
    client = one.client.bound(record=notes.append, wanted=lambda status, params: dict(params).get("with") != "users")
    client.bound(deadline=5.0).account()
    one.client.bound(record=notes.append, wanted=lambda status, params: status != 200).account()
    assert [note.status for note in notes] == [200] and masked == notes
    client.bound(record=notes.append).account()
    assert len(notes) == 2


def test_pipelines_in_order() -> None:
    stages = {"statuses": [{"id": 142, "sort": 10000}, {"id": 100, "name": "Новая", "sort": 10}]}
    two = {"id": 2, "name": "B", "sort": 1, "_embedded": stages}
    one = house(lambda request: listed("pipelines", {"id": 1, "name": "A", "sort": 2}, two))
    found = one.client.pipelines()
    assert [pipeline.id for pipeline in found] == [2, 1] and [stage.id for stage in found[0].stages] == [100, 142]
