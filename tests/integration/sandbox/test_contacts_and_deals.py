"""Reading: search, lists, pages, filters, and nothing found."""

from typing import Any

import pytest

from sandbox import defaults


def test_the_account_is_the_cheapest_test_of_a_connection(box: Any) -> None:
    account = box.get("/api/v4/account").json()
    assert (account["id"], account["subdomain"]) == (defaults.ACCOUNT_ID, defaults.SUBDOMAIN)
    assert "is_api_filter_enabled" not in account
    assert box.get("/api/v4/account", **{"with": "is_api_filter_enabled"}).json()["is_api_filter_enabled"] is True


def test_every_answer_has_a_request_id(box: Any) -> None:
    assert box.get("/api/v4/account").headers["X-Request-Id"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v4/contacts?query=nobody@example.com",
        "/api/v4/contacts/1",
        "/api/v4/leads/1",
        "/api/v4/leads?filter[id][]=1",
        "/api/v4/leads?page=1000",
        "/api/v4/leads/pipelines/1",
        "/api/v4/events",
        "/api/v4/webhooks",
    ],
)
def test_nothing_found_is_204_with_an_empty_body(box: Any, path: Any) -> None:
    answer = box.get(path)
    assert (answer.status_code, answer.content) == (204, b"")


def test_an_unknown_address_is_404_and_a_wrong_method_405(box: Any) -> None:
    assert box.get("/api/v4/nothing").status_code == 404
    assert box.call("PUT", "/api/v4/leads").status_code == 405


@pytest.mark.parametrize("query", ["ANNA@Example.com", "anna@example.co", "+7 (900) 123-45-67", "9001234567", "казань"])
def test_the_search_is_a_substring_over_all_fields_in_any_case(box: Any, query: Any) -> None:
    anna = box.sandbox.amocrm.add_contact("Анна", "Anna@example.com", "79001234567", {"Город": "Казань"})
    joanna = box.sandbox.amocrm.add_contact("Joanna", "joanna@example.com", fields={"Note": "ask anna@example.com"})
    box.sandbox.amocrm.add_contact("anna@example.org")
    found = [row["id"] for row in box.rows("/api/v4/contacts", "contacts", query=query)]
    assert found == ([anna.id, joanna.id] if "nna" in query.lower() else [anna.id])


def test_the_search_forgets_a_changed_address(box: Any) -> None:
    contact = box.sandbox.amocrm.add_contact("Анна", "old@example.com")
    box.sandbox.amocrm.edit_contact(contact.id, emails=["new@example.com"])
    assert box.get("/api/v4/contacts", query="old@example.com").status_code == 204
    assert len(box.rows("/api/v4/contacts", "contacts", query="new@example.com")) == 1


def test_a_contact_bears_addresses_in_multitext_fields_and_null_without_any(box: Any) -> None:
    full = box.sandbox.amocrm.add_contact("Анна", ["a@example.com", "b@example.com"])
    bare = box.sandbox.amocrm.add_contact("Никто")
    fields = box.get(f"/api/v4/contacts/{full.id}").json()["custom_fields_values"]
    assert fields[0]["field_code"] == "EMAIL"
    assert [value["value"] for value in fields[0]["values"]] == ["a@example.com", "b@example.com"]
    assert box.get(f"/api/v4/contacts/{bare.id}").json()["custom_fields_values"] is None


def test_a_contact_shows_its_deals_only_when_asked(box: Any) -> None:
    contact = box.sandbox.amocrm.add_contact("Анна", "anna@example.com")
    deal = box.sandbox.amocrm.add_deal("Курс", contact_ids=[contact.id])
    (row,) = box.rows("/api/v4/contacts", "contacts", query="anna@example.com", **{"with": "leads"})
    assert [lead["id"] for lead in row["_embedded"]["leads"]] == [deal.id]
    assert "leads" not in box.get(f"/api/v4/contacts/{contact.id}").json()["_embedded"]


def test_a_deal_shows_its_contacts_with_the_main_one_when_asked(box: Any) -> None:
    people = [box.sandbox.amocrm.add_contact(str(number)).id for number in range(2)]
    deal = box.sandbox.amocrm.add_deal("Курс", 4_900.5, contact_ids=people, tags=["vip"], fields={"Город": "Казань"})
    row = box.get(f"/api/v4/leads/{deal.id}", **{"with": "contacts"}).json()
    assert [(one["id"], one["is_main"]) for one in row["_embedded"]["contacts"]] == [
        (people[0], True),
        (people[1], False),
    ]
    assert (row["price"], row["price_with_minor_units"]) == (4_900, 4_900.5)
    assert row["_embedded"]["tags"][0]["name"] == "vip"
    assert row["custom_fields_values"][0]["values"] == [{"value": "Казань"}]
    assert (row["closed_at"], row["is_deleted"]) == (None, False)
    box.sandbox.set(minor_units=False)
    bare = box.get(f"/api/v4/leads/{deal.id}").json()
    assert "price_with_minor_units" not in bare and "contacts" not in bare["_embedded"]


def test_pages_are_linked_and_the_last_has_no_next(box: Any) -> None:
    box.sandbox.seed(students=7, prefix="page")
    first = box.get("/api/v4/leads", limit=10).json()
    assert len(first["_embedded"]["leads"]) == 10
    second = box.session.get(
        first["_links"]["next"]["href"], headers={"Authorization": f"Bearer {box.token}"}, timeout=10
    ).json()
    assert len(second["_embedded"]["leads"]) == 2
    assert "next" not in second["_links"]


def test_a_page_has_at_most_250_rows_and_kommo_refuses_a_larger_limit(box: Any) -> None:
    box.sandbox.seed(students=300)
    assert len(box.rows("/api/v4/leads", "leads", limit=1000)) == 250
    box.sandbox.set(flavour="kommo")
    assert box.get("/api/v4/leads", limit=251).status_code == 422
    assert len(box.rows("/api/v4/contacts", "contacts", limit=250)) == 250


def ids(rows: Any) -> Any:
    return [row["id"] for row in rows]


def test_the_id_filter_is_the_deals_own_id(box: Any) -> None:
    deals = list(box.sandbox.amocrm.deals.values())
    assert ids(box.rows(f"/api/v4/leads?filter[id][]={deals[0].id}&filter[id][]={deals[2].id}", "leads")) == [
        deals[0].id,
        deals[2].id,
    ]
    assert box.get(f"/api/v4/leads?filter[id][]={deals[0].contact_ids[0]}").status_code == 204


def test_contacts_are_filtered_by_id(box: Any) -> None:
    wanted = list(box.sandbox.amocrm.contacts)[1:3]
    assert ids(box.rows(f"/api/v4/contacts?filter[id][]={wanted[0]}&filter[id][]={wanted[1]}", "contacts")) == wanted


def test_deals_are_filtered_by_pipeline_and_by_pairs_of_pipeline_and_status(box: Any) -> None:
    other = box.sandbox.amocrm.add_pipeline("Вторая", ["Начало"])
    here = box.sandbox.amocrm.add_deal("Другая", pipeline_id=other.id)
    won = box.sandbox.amocrm.add_deal("Победа", status_id=142, pipeline_id=other.id)
    box.sandbox.amocrm.add_deal("Победа тут", status_id=142)
    assert ids(box.rows(f"/api/v4/leads?filter[pipeline_id][]={other.id}", "leads")) == [here.id, won.id]
    pair = f"filter[statuses][0][pipeline_id]={other.id}&filter[statuses][0][status_id]=142"
    assert ids(box.rows(f"/api/v4/leads?{pair}", "leads")) == [won.id]
    assert box.get("/api/v4/leads?filter[statuses][0][status_id]=142").status_code == 400


def test_the_time_filter_wants_from_and_to_and_finds_nothing_for_a_bare_number(box: Any) -> None:
    start = box.clock.now()
    box.clock.advance(100)
    fresh = box.sandbox.amocrm.add_deal("Свежая")
    assert ids(box.rows(f"/api/v4/leads?filter[updated_at][from]={start + 1}", "leads")) == [fresh.id]
    assert fresh.id not in ids(box.rows(f"/api/v4/leads?filter[updated_at][to]={start}", "leads"))
    assert box.get(f"/api/v4/leads?filter[updated_at]={start}").status_code == 204


def test_where_filters_are_off_they_are_silently_ignored_and_everything_comes_back(make_box: Any) -> None:
    box = make_box(filters_enabled=False)
    assert box.get("/api/v4/account", **{"with": "is_api_filter_enabled"}).json()["is_api_filter_enabled"] is False
    assert len(box.rows("/api/v4/leads?filter[id][]=1", "leads")) == 5
    assert len(box.rows("/api/v4/contacts?filter[id][]=1", "contacts")) == 5
    assert len(box.rows("/api/v4/contacts", "contacts", query="student-1@example.com")) == 1


def test_deleted_deals_are_hidden_and_only_deleted_hides_the_living(box: Any) -> None:
    gone = next(iter(box.sandbox.amocrm.deals))
    box.control("DELETE", f"deals/{gone}")
    assert gone not in ids(box.rows("/api/v4/leads", "leads"))
    assert ids(box.rows("/api/v4/leads", "leads", **{"with": "only_deleted"})) == [gone]
    assert box.get(f"/api/v4/leads/{gone}").status_code == 204
    box.sandbox.set(deleted_deals="shown")
    assert box.get(f"/api/v4/leads/{gone}").json()["is_deleted"] is True


def test_deals_are_searched_by_their_people_too(box: Any) -> None:
    (row,) = box.rows("/api/v4/leads", "leads", query="student-3@example.com")
    assert "студент 3" in row["name"]


def test_every_pipeline_has_an_incoming_stage_and_142_and_143_last(box: Any) -> None:
    box.sandbox.amocrm.add_pipeline("Вторая", ["Начало"])
    pipelines = box.rows("/api/v4/leads/pipelines", "pipelines")
    assert [row["name"] for row in pipelines] == ["Продажи", "Вторая"]
    for row in pipelines:
        stages = row["_embedded"]["statuses"]
        assert (stages[0]["name"], stages[0]["type"]) == ("Неразобранное", 1)
        assert [stage["id"] for stage in stages[-2:]] == [142, 143]
        assert [stage["sort"] for stage in stages] == sorted(stage["sort"] for stage in stages)
        assert {stage["pipeline_id"] for stage in stages} == {row["id"]}
    assert pipelines[0]["is_main"] and not pipelines[0]["is_archive"]
    assert box.get(f"/api/v4/leads/pipelines/{defaults.PIPELINE_ID}").json()["name"] == "Продажи"
