"""The odd answers by name, each as a client meets it."""

import json
import threading
from typing import Any

import pytest
import requests

from sandbox import defaults
from sandbox.presets import PRESETS
from tests.support.waiting import eventually

MOVE = {"status_id": defaults.STAGE_LESSON_1, "pipeline_id": defaults.PIPELINE_ID}


@pytest.fixture
def deal(box: Any) -> Any:
    return next(iter(box.sandbox.amocrm.deals))


def other(box: Any) -> Any:
    return list(box.sandbox.amocrm.deals)[1]


@pytest.mark.parametrize(("name", "kind"), [("account_gone", "json"), ("account_gone_html", "html")])
def test_a_moved_account_answers_404_to_everything_for_a_while(box: Any, deal: Any, name: Any, kind: Any) -> None:
    box.control("POST", "faults", {"preset": name, "for_seconds": 20})
    paths = ("account", "leads", f"leads/{deal}", "contacts", "events", "webhooks", "leads/pipelines")
    for answer in [box.get(f"/api/v4/{path}") for path in paths] + [box.tokens(), box.patch("/api/v4/leads", [MOVE])]:
        assert answer.status_code == 404
        assert kind in answer.headers["Content-Type"]
    assert box.erp("login").status_code == 200
    box.clock.advance(20)
    assert box.get("/api/v4/account").status_code == 200


@pytest.mark.parametrize(("name", "status"), [("deal_404", 404), ("deal_204", 204), ("deal_404_html", 404)])
def test_one_deal_is_not_there_once(box: Any, deal: Any, name: Any, status: Any) -> None:
    box.control("POST", "faults", {"preset": name, "entity": deal})
    assert box.get(f"/api/v4/leads/{other(box)}").status_code == 200
    assert len(box.rows("/api/v4/leads", "leads")) == 5
    assert box.get(f"/api/v4/leads/{deal}").status_code == status
    assert box.get(f"/api/v4/leads/{deal}").status_code == 200


def test_one_deal_is_forbidden_in_every_way_and_the_others_are_not(box: Any, deal: Any) -> None:
    box.sandbox.faults.preset("deal_forbidden", entity=deal)
    assert box.get(f"/api/v4/leads/{deal}").status_code == 403
    assert box.get("/api/v4/leads", **{"filter[id][]": deal}).status_code == 403
    assert box.patch("/api/v4/leads", [{"id": other(box), **MOVE}, {"id": deal, **MOVE}]).status_code == 403
    assert box.patch(f"/api/v4/leads/{deal}", MOVE).status_code == 403
    assert box.patch(f"/api/v4/leads/{other(box)}", MOVE).status_code == 200


def test_lists_are_cut_at_fifty_and_their_links_lead_to_the_rest(box: Any) -> None:
    box.sandbox.seed(students=115)
    box.sandbox.faults.preset("lists_cut")
    answer, found, pages = box.get("/api/v4/leads", limit=250, **{"with": "contacts"}), [], 0
    while answer:
        data = answer.json()
        found += [row["id"] for row in data["_embedded"]["leads"]]
        pages += 1
        following = data["_links"].get("next")
        answer = box.call("GET", following["href"].removeprefix(box.sandbox.url)) if following else None
    assert (pages, len(found), len(set(found))) == (3, 120, 120)


def test_a_row_of_nulls_an_unreadable_one_and_one_left_out_spare_their_neighbours(box: Any, deal: Any) -> None:
    nulls = box.sandbox.faults.preset("row_of_nulls", entity=deal)
    rows = {row["id"]: row for row in box.rows("/api/v4/leads", "leads")}
    assert [rows[deal][name] for name in ("name", "status_id", "pipeline_id", "is_deleted")] == [None, None, None, True]
    assert rows[other(box)]["status_id"] == defaults.STAGE_PAID
    assert box.get(f"/api/v4/leads/{deal}").json()["status_id"] is None
    box.sandbox.faults.clear(nulls.id)
    box.sandbox.faults.preset("row_unreadable", place=2)
    assert [isinstance(row, dict) for row in box.rows("/api/v4/leads", "leads")] == [True, True, False, True, True]
    box.sandbox.faults.clear()
    box.sandbox.faults.preset("row_left_out", entity=deal)
    assert deal not in [row["id"] for row in box.rows("/api/v4/leads", "leads")]
    assert box.get("/api/v4/leads", **{"filter[id][]": deal}).status_code == 204


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("unauthorized", 401, None),
        ("unauthorized_101", 401, 101),
        ("forbidden_110", 403, 110),
        ("forbidden_111", 403, 111),
        ("forbidden_112", 403, 112),
        ("forbidden_113", 403, 113),
        ("no_rights_244", 400, 244),
        ("unpaid", 402, None),
    ],
)
def test_a_refusal_has_amocrms_words_and_code(box: Any, name: Any, status: Any, code: Any) -> None:
    box.sandbox.faults.preset(name, count=1)
    answer = box.get("/api/v4/account")
    assert (answer.status_code, answer.json().get("error_code")) == (status, code)
    assert answer.json()["detail"]
    assert box.get("/api/v4/account").status_code == 200


def test_a_refusal_may_have_the_old_shape(box: Any) -> None:
    box.sandbox.faults.preset("forbidden_113", old_shape=True)
    answer = box.get("/api/v4/account").json()["response"]
    assert answer["error_code"] == "113"
    assert "IP" in answer["error"]


def test_a_block_is_bare_html(box: Any) -> None:
    box.sandbox.faults.preset("forbidden_html", for_seconds=60)
    answer = box.tokens()
    assert (answer.status_code, answer.headers["Content-Type"]) == (403, "text/html")


@pytest.mark.parametrize("status", [402, 403, 404])
@pytest.mark.parametrize(("name", "path"), [("events_closed", "events"), ("webhooks_closed", "webhooks")])
def test_a_side_door_is_closed_and_the_front_one_is_not(box: Any, name: Any, path: Any, status: Any) -> None:
    box.sandbox.faults.preset(name, status=status)
    assert [box.get(f"/api/v4/{path}").status_code for _ in range(3)] == [status] * 3
    assert box.get("/api/v4/leads").status_code == 200


@pytest.mark.parametrize(("name", "status"), [("patch_400_html", 400), ("patch_404_html", 404)])
def test_a_gateway_refuses_a_patch_with_a_page(box: Any, deal: Any, name: Any, status: Any) -> None:
    box.sandbox.faults.preset(name)
    answer = box.patch("/api/v4/leads", [{"id": deal, **MOVE}])
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html")
    assert box.sandbox.amocrm.deals[deal].status_id == defaults.STAGE_NEW


def test_a_write_may_be_done_and_answered_with_504(box: Any, deal: Any) -> None:
    box.sandbox.faults.preset("write_504")
    assert box.patch("/api/v4/leads", [{"id": deal, **MOVE}]).status_code == 504
    assert box.sandbox.amocrm.deals[deal].status_id == defaults.STAGE_LESSON_1


def test_a_bulk_reading_is_slow_or_ends_in_204_while_search_answers_at_once(box: Any) -> None:
    bulk = {"filter[statuses][0][pipeline_id]": defaults.PIPELINE_ID, "filter[statuses][0][status_id]": 61204414}
    box.sandbox.faults.preset("bulk_slow", seconds=30)
    with pytest.raises(requests.ReadTimeout):
        box.call("GET", "/api/v4/leads", params=bulk, timeout=0.2)
    assert box.rows("/api/v4/contacts", "contacts", query="student-2@example.com")
    box.sandbox.faults.clear()
    box.sandbox.faults.preset("bulk_empty", delay=0.01)
    assert box.get("/api/v4/leads", **bulk).status_code == 204
    assert box.get("/api/v4/leads").status_code == 200


def test_a_redirect_names_its_place(box: Any) -> None:
    for name in ("account_moved", "erp_to_https", "erp_moved"):
        box.sandbox.faults.preset(name)
    moved = box.get("/api/v4/account")
    assert (moved.status_code, moved.headers["Location"]) == (301, "https://renamed.amocrm.ru/api/v4/account")
    answer = requests.post(box.sandbox.erp_url, data={"action": "login"}, allow_redirects=False, timeout=10)
    assert answer.headers["Location"] == box.sandbox.erp_url.replace("http://", "https://")
    assert answer.status_code == 301


class Held(threading.Event):
    """In place of the world's `stopping`: whatever waits there does so until the test ends it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.asked.append(timeout)
        return super().wait(30)


def test_a_late_insert_succeeds_after_the_caller_gave_up_and_is_not_seen_until_then(box: Any) -> None:
    box.sandbox.faults.preset("erp_insert_late", seconds=1.5)
    held = box.sandbox.world.stopping = Held()
    data = {"key": defaults.ERP_KEY, "username": defaults.ERP_USERNAME, "password": defaults.ERP_PASSWORD}
    body = {**data, "action": "insert", "entity_id": 70, "items": {"field_1041": "late"}}
    with pytest.raises(requests.ReadTimeout):
        requests.post(box.sandbox.erp_url, json=body, timeout=0.3)
    eventually(lambda: held.asked == [1.5])
    assert box.erp("select", entity_id=70, filters={"1041": "late"}).json()["data"] == []
    entry = box.sandbox.log.entries(part="erp")[0]
    held.set()
    eventually(lambda: entry.status is not None)
    assert entry.acted
    assert len(box.erp("select", entity_id=70, filters={"1041": "late"}).json()["data"]) == 1


def test_an_insert_is_lost_after_it_was_done(box: Any) -> None:
    box.sandbox.faults.preset("erp_insert_lost")
    assert box.erp("login").status_code == 200
    with pytest.raises(requests.ConnectionError):
        box.insert(field_1041="x")
    assert len(box.sandbox.erp.records()) == 1


def test_warnings_before_the_json_hide_a_success(box: Any) -> None:
    box.sandbox.faults.preset("erp_warning")
    answer = box.insert(field_1041="x")
    assert answer.status_code == 200
    assert answer.text.startswith("<br />\n<b>Warning</b>")
    assert json.loads(answer.text.split("<br />\n")[-1])["data"] == {"id": "1"}
    assert len(box.sandbox.erp.records()) == 1


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("erp_api_off", 500, "API is not enabled"),
        ("erp_key_mismatch", 500, "API Key mismatch"),
        ("erp_ip_refused", 500, "203.0.113.7"),
        ("erp_unknown_refusal", 500, "is not installed"),
        ("erp_empty", 500, ""),
        ("erp_database_page", 200, "<app_db_error>"),
    ],
)
def test_the_erp_refuses_everything_by_its_own_words(box: Any, name: Any, status: Any, words: Any) -> None:
    box.sandbox.faults.preset(name)
    for answer in (box.erp("login"), box.insert(field_1041="x")):
        assert (answer.status_code, bool(answer.text)) == (status, bool(words))
        assert words in answer.text
    assert box.sandbox.erp.records() == []


def test_presets_are_listed_may_be_overridden_and_unknown_ones_refused(box: Any) -> None:
    assert box.control("GET", "faults/presets")["presets"] == PRESETS
    assert box.control("POST", "faults", {"preset": "unpaid", "count": 2, "skip": 1})["status"] == 402
    assert [box.get("/api/v4/account").status_code for _ in range(4)] == [200, 402, 402, 200]
    wrong = requests.post(f"{box.sandbox.url}/_sandbox/faults", json={"preset": "nonsense"}, timeout=10)
    assert wrong.status_code == 400


def test_a_fault_is_aimed_by_a_piece_of_the_query_and_by_the_erps_action_in_both_encodings(box: Any) -> None:
    box.sandbox.faults.add("status", query="with=contacts")
    assert box.get("/api/v4/leads").status_code == 200
    assert box.get("/api/v4/leads", **{"with": "contacts"}).status_code == 500
    for form in (False, True):
        box.sandbox.faults.add("erp_empty", action="login")
        assert box.erp("select", form=form, entity_id=70).status_code == 200
        assert box.erp("login", form=form).status_code == 500
