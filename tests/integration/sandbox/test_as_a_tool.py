"""What other people's clients ask for: bodies in every encoding, links by Host, HTTPS, and the rest of the account."""

import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from sandbox import Sandbox, defaults


def first_deal(box: Any) -> Any:
    return next(iter(box.sandbox.amocrm.deals.values()))


def made(answer: Any, name: str) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()["_embedded"][name][0]


def test_a_body_may_come_in_chunks(box: Any) -> None:
    row = {"id": first_deal(box).id, "status_id": defaults.STAGE_PAID, "pipeline_id": defaults.PIPELINE_ID}
    text = json.dumps([row]).encode()
    pieces = iter([text[:7], text[7:]])
    assert box.call("PATCH", "/api/v4/leads", data=pieces).status_code == 200
    assert first_deal(box).status_id == defaults.STAGE_PAID
    assert box.get("/api/v4/account").status_code == 200


@pytest.mark.parametrize("size", [b"nonsense", b""])
def test_chunks_that_cannot_be_read_are_400(box: Any, size: Any) -> None:
    connection = http.client.HTTPConnection(box.sandbox.url.removeprefix("http://"), timeout=10)
    connection.putrequest("POST", "/api/v4/leads")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders(size + b"\r\n")
    assert connection.getresponse().status == 400
    connection.close()


def test_tokens_may_be_asked_for_by_a_form(box: Any) -> None:
    data = {
        "client_id": defaults.CLIENT_ID,
        "client_secret": defaults.CLIENT_SECRET,
        "redirect_uri": defaults.REDIRECT_URI,
        "grant_type": "authorization_code",
        "code": box.sandbox.oauth.new_code(),
    }
    answer = requests.post(f"{box.sandbox.url}/oauth2/access_token", data=data, timeout=10)
    assert answer.status_code == 200
    again = {**data, "grant_type": "refresh_token", "refresh_token": answer.json()["refresh_token"]}
    assert requests.post(f"{box.sandbox.url}/oauth2/access_token", data=again, timeout=10).status_code == 200
    refused = requests.post(f"{box.sandbox.url}/oauth2/access_token", data={**data, "client_secret": "x"}, timeout=10)
    assert refused.status_code == 401
    assert box.sandbox.log.entries(path="/oauth2")[0].body["client_secret"].startswith("***")


def test_deals_and_contacts_may_be_added_by_a_form(box: Any) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    person = {"0[name]": "Анна", "0[custom_fields_values][0][field_code]": "EMAIL"}
    person["0[custom_fields_values][0][values][0][value]"] = "anna@example.com"
    contact = made(box.call("POST", "/api/v4/contacts", data=urlencode(person), headers=headers), "contacts")
    deal = {"0[name]": "2026", "0[price]": "100", "0[_embedded][contacts][0][id]": str(contact["id"])}
    lead = made(box.call("POST", "/api/v4/leads", data=urlencode(deal), headers=headers), "leads")
    kept = box.sandbox.amocrm.deals[lead["id"]]
    assert (kept.name, kept.price, kept.contact_ids) == ("2026", 100, [contact["id"]])
    assert box.sandbox.amocrm.contacts[contact["id"]].emails == ["anna@example.com"]


def test_links_lead_to_the_host_that_was_asked(box: Any) -> None:
    host = {"Host": "school.amocrm.ru"}
    answer = box.call("GET", "/api/v4/leads", params={"limit": 2}, headers=host).json()
    assert answer["_links"]["next"]["href"].startswith("http://school.amocrm.ru/api/v4/leads?")
    assert answer["_embedded"]["leads"][0]["_links"]["self"]["href"].startswith("http://school.amocrm.ru/")
    assert box.get("/api/v4/account").json()["_links"]["self"]["href"].startswith(box.sandbox.url)


def test_the_account_has_its_usual_fields_and_more_on_request(box: Any) -> None:
    plain = box.get("/api/v4/account").json()
    assert {"customers_mode", "is_unsorted_on", "is_loss_reason_enabled", "mobile_feature_version"} <= set(plain)
    assert "_embedded" not in plain and "amojo_id" not in plain
    words = "amojo_id,version,users_groups,task_types,datetime_settings,is_api_filter_enabled"
    more = box.get("/api/v4/account", **{"with": words}).json()
    assert more["amojo_id"] and more["version"] and more["is_api_filter_enabled"]
    assert {"users_groups", "task_types", "datetime_settings"} == set(more["_embedded"])


def test_contacts_are_changed_in_a_batch_and_one_by_one(box: Any) -> None:
    first, second = list(box.sandbox.amocrm.contacts.values())[:2]
    phone = [{"field_code": "PHONE", "values": [{"value": "+7 900 000-00-00"}]}]
    box.sandbox.amocrm.edit_contact(first.id, fields={"Город": "Казань"})
    box.sandbox.amocrm.field_id("Город")
    answer = box.patch("/api/v4/contacts", [{"id": first.id, "custom_fields_values": phone}])
    assert made(answer, "contacts")["id"] == first.id
    assert (first.phones, first.emails, first.fields) == (
        ["+7 900 000-00-00"],
        ["student-1@example.com"],
        {"Город": "Казань"},
    )
    one = box.patch(f"/api/v4/contacts/{second.id}", {"first_name": "Пётр", "last_name": "Иванов"})
    assert (one.json()["id"], one.json()["name"], second.name) == (second.id, "Пётр Иванов", "Пётр Иванов")
    assert box.rows("/api/v4/contacts", "contacts", query="Иванов")[0]["id"] == second.id


@pytest.mark.parametrize(
    "row",
    [{"nonsense": 1}, {"name": 5}, {"responsible_user_id": defaults.GONE_USER_ID}, {"custom_fields_values": {}}],
)
def test_a_bad_change_of_a_contact_is_refused_and_changes_nothing(box: Any, row: Any) -> None:
    first, second = list(box.sandbox.amocrm.contacts.values())[:2]
    batch = [{"id": first.id, "name": "Другое"}, {"id": second.id, **row}]
    assert box.patch("/api/v4/contacts", batch).status_code == 400
    assert first.name == "Студент 1"
    assert box.patch("/api/v4/contacts/999", {"name": "x"}).status_code == 404
    assert box.patch("/api/v4/contacts", [{"id": 999, "name": "x"}]).status_code == 400


def test_a_complex_deal_takes_a_contact_and_a_company_along(box: Any) -> None:
    email = [{"field_code": "EMAIL", "values": [{"value": "new@example.com"}]}]
    contact = {"first_name": "Анна", "custom_fields_values": email}
    deal = {"name": "Курс", "price": 10, "status_id": defaults.STAGE_PAID, "pipeline_id": defaults.PIPELINE_ID}
    rows = [{**deal, "request_id": "a", "_embedded": {"contacts": [contact], "companies": [{"name": "Школа"}]}}]
    (answer,) = box.post("/api/v4/leads/complex", rows).json()
    assert (answer["request_id"], answer["merged"]) == (["a"], False)
    kept = box.sandbox.amocrm.deals[answer["id"]]
    assert (kept.contact_ids, kept.status_id) == ([answer["contact_id"]], defaults.STAGE_PAID)
    assert box.get(f"/api/v4/companies/{answer['company_id']}").json()["name"] == "Школа"
    known = box.post("/api/v4/leads/complex", [{**deal, "_embedded": {"contacts": [{"id": answer["contact_id"]}]}}])
    assert known.json()[0]["contact_id"] == answer["contact_id"]


def test_a_complex_batch_has_at_most_fifty_deals_of_one_contact_each(box: Any) -> None:
    assert box.post("/api/v4/leads/complex", [{"name": "x"}] * 51).status_code == 400
    assert box.post("/api/v4/leads/complex", [{"_embedded": {"contacts": [{}, {}]}}]).status_code == 400
    assert box.post("/api/v4/leads/complex", [{"_embedded": {"contacts": [{"id": 5}]}}]).status_code == 400
    assert len(box.sandbox.amocrm.deals) == 5


@pytest.mark.parametrize(
    ("path", "row", "change", "wrong"),
    [
        ("companies", {"name": "Школа"}, {"name": "Другая"}, {"nonsense": 1}),
        ("tasks", {"text": "Позвонить", "complete_till": 1_790_000_000}, {"is_completed": True}, {"text": "x"}),
    ],
)
def test_companies_and_tasks_are_added_read_and_changed(box: Any, path: Any, row: Any, change: Any, wrong: Any) -> None:
    assert box.get(f"/api/v4/{path}").status_code == 204
    number = made(box.post(f"/api/v4/{path}", [row, {**row, "request_id": "b"}]), path)["id"]
    assert len(box.rows(f"/api/v4/{path}", path)) == 2
    assert box.patch(f"/api/v4/{path}/{number}", change).json()["id"] == number
    assert made(box.patch(f"/api/v4/{path}", [{"id": number, **change}]), path)["id"] == number
    read = box.get(f"/api/v4/{path}/{number}").json()
    assert {**row, **change}.items() <= read.items()
    assert box.post(f"/api/v4/{path}", [wrong]).status_code == 400
    assert box.patch(f"/api/v4/{path}/999", change).status_code == 404
    assert box.get(f"/api/v4/{path}/999").status_code == 204
    assert len(box.rows(f"/api/v4/{path}", path, limit=1, page=2)) == 1


def test_tasks_are_filtered_as_clients_do(box: Any) -> None:
    rows = [
        {"text": "a", "complete_till": 1, "is_completed": done, "entity_id": 7, "entity_type": "leads"}
        for done in (True, False)
    ]
    box.post("/api/v4/tasks", rows)
    (row,) = box.rows("/api/v4/tasks", "tasks", **{"filter[is_completed]": 0, "filter[entity_id][]": 7})
    assert row["is_completed"] is False


def test_notes_belong_to_their_entity(box: Any) -> None:
    deal, other = list(box.sandbox.amocrm.deals)[:2]
    note = {"note_type": "common", "params": {"text": "Оплатил наличными"}}
    number = made(box.post(f"/api/v4/leads/{deal}/notes", [note]), "notes")["id"]
    made(box.post("/api/v4/leads/notes", [{**note, "entity_id": other}]), "notes")
    (row,) = box.rows(f"/api/v4/leads/{deal}/notes", "notes")
    assert (row["id"], row["entity_id"], row["params"]) == (number, deal, note["params"])
    assert box.get(f"/api/v4/leads/{deal}/notes/{number}").json()["id"] == number
    assert len(box.rows("/api/v4/leads/notes", "notes")) == 2
    assert box.get("/api/v4/contacts/notes").status_code == 204
    assert box.post("/api/v4/leads/999/notes", [note]).status_code == 400
    assert box.post(f"/api/v4/leads/{deal}/notes", [{"params": {}}]).status_code == 400


def test_a_deal_and_a_contact_are_linked_and_parted(box: Any) -> None:
    deal = first_deal(box)
    person = box.sandbox.amocrm.add_contact("Вторая", "second@example.com")
    link = [{"to_entity_id": person.id, "to_entity_type": "contacts"}]
    assert box.post(f"/api/v4/leads/{deal.id}/link", link).status_code == 200
    rows = box.rows(f"/api/v4/leads/{deal.id}/links", "links")
    assert [row["to_entity_id"] for row in rows] == deal.contact_ids
    assert box.rows(f"/api/v4/contacts/{person.id}/links", "links")[0]["to_entity_id"] == deal.id
    assert box.post(f"/api/v4/leads/{deal.id}/unlink", link).status_code == 204
    assert person.lead_ids == [] and person.id not in deal.contact_ids
    assert (
        box.post(f"/api/v4/leads/{deal.id}/link", [{"to_entity_id": 5, "to_entity_type": "contacts"}]).status_code
        == 400
    )
    assert box.get("/api/v4/leads/999/links").status_code == 404


def test_users_fields_tags_and_stages_are_looked_up(box: Any) -> None:
    box.sandbox.amocrm.add_deal("Курс", fields={"Город": "Казань"}, tags=["весна"])
    users = {row["id"]: row["rights"] for row in box.rows("/api/v4/users", "users")}
    assert (users[defaults.ADMIN_USER_ID]["is_admin"], users[defaults.GONE_USER_ID]["is_active"]) == (True, False)
    assert box.get(f"/api/v4/users/{defaults.ADMIN_USER_ID}").json()["email"]
    assert {"PHONE", "EMAIL"} <= {row["code"] for row in box.rows("/api/v4/contacts/custom_fields", "custom_fields")}
    (field,) = box.rows("/api/v4/leads/custom_fields", "custom_fields")
    assert box.get(f"/api/v4/leads/custom_fields/{field['id']}").json()["name"] == "Город"
    assert box.rows("/api/v4/leads/tags", "tags")[0]["name"] == "весна"
    stages = box.rows(f"/api/v4/leads/pipelines/{defaults.PIPELINE_ID}/statuses", "statuses")
    assert stages[-1]["id"] == 143


def test_companies_tasks_and_notes_outlive_a_restart(tmp_path: Any) -> None:
    for expected in (1, 2):
        with Sandbox(state_file=tmp_path / "state.json") as sandbox:
            headers = {"Authorization": f"Bearer {defaults.LONG_LIVED_TOKEN}"}
            url = f"{sandbox.url}/api/v4/companies"
            requests.post(url, json=[{"name": "Школа"}], headers=headers, timeout=10)
            assert len(requests.get(url, headers=headers, timeout=10).json()["_embedded"]["companies"]) == expected


def test_one_port_speaks_https_too_by_a_certificate_for_amocrms_names(tmp_path: Any) -> None:
    with Sandbox(tls_folder=tmp_path) as sandbox:
        secure = sandbox.url.replace("http://", "https://")
        headers = {"Authorization": f"Bearer {defaults.LONG_LIVED_TOKEN}"}
        ca = str(tmp_path / "ca.pem")
        answer = requests.get(f"{secure}/api/v4/account", headers=headers, verify=ca, timeout=10)
        assert answer.json()["_links"]["self"]["href"].startswith(secure)
        assert requests.get(f"{sandbox.url}/api/v4/account", headers=headers, timeout=10).status_code == 200
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{secure}/api/v4/account", timeout=10)
        again = ssl.create_default_context(cafile=ca)
        assert again.get_ca_certs()
    with Sandbox(tls_folder=tmp_path) as sandbox:
        secure = sandbox.url.replace("http://", "https://")
        assert requests.get(f"{secure}/api/v4/account", verify=ca, timeout=10).status_code == 401


def test_it_is_a_proxy_for_amocrms_names_and_for_no_others(tmp_path: Any) -> None:
    with Sandbox(tls_folder=tmp_path) as sandbox:
        options: Any = {"proxies": {"https": sandbox.url}, "verify": str(tmp_path / "ca.pem"), "timeout": 10}
        headers = {"Authorization": f"Bearer {defaults.LONG_LIVED_TOKEN}"}
        with requests.Session() as session:
            for _ in range(2):
                answer = session.get("https://school.amocrm.ru/api/v4/account", headers=headers, **options)
                assert answer.json()["_links"]["self"]["href"] == "https://school.amocrm.ru/api/v4/account"
            control = session.get("https://school.amocrm.ru/_sandbox/tokens", **options)
            assert control.status_code == 403
            for other in ("https://example.com/", "https://amocrm.ru.evil.example/"):
                with pytest.raises(requests.exceptions.ProxyError):
                    session.get(other, **options)


def test_a_time_may_end_in_a_nought_as_pythons_does_and_nothing_else_may(box: Any) -> None:
    assert box.post("/api/v4/tasks", [{"text": "a", "complete_till": 1_790_000_000.0}]).status_code == 200
    assert box.rows("/api/v4/tasks", "tasks")[0]["complete_till"] == 1_790_000_000
    assert box.post("/api/v4/tasks", [{"text": "a", "complete_till": 1_790_000_000.5}]).status_code == 400
    assert box.patch(f"/api/v4/leads/{first_deal(box).id}", {"price": 5.0}).status_code == 400
