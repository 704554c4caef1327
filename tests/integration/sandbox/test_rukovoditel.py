"""rest.php: what it does, and its 500s and 200s that are failures."""

import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox.erp import tables

KEYS = {"field_1039": "Курс", "field_1040": "0", "field_1041": "evt-1"}


def data(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "success"
    return answer.json()["data"]


def select(box: Any, form: Any = False, **more: Any) -> Any:
    return data(box.erp("select", entity_id=70, form=form, **more))


def refused(answer: Any) -> Any:
    assert (answer.status_code, answer.json()["status"], answer.json()["error_code"]) == (500, "error", 500)
    return answer.json()["error_message"]


def test_every_reply_is_text_html(box: Any) -> None:
    for answer in (box.erp("login"), box.erp("login", key="x"), box.erp("login", password="x")):
        assert answer.headers["Content-Type"].startswith("text/html")


def test_an_insert_answers_with_the_id_as_text(box: Any) -> None:
    answer = box.insert(**KEYS)
    assert answer.json() == {"status": "success", "data": {"id": "1"}}


def test_an_insert_may_come_as_a_form_with_brackets(box: Any) -> None:
    fields = {f"items[{name}]": value for name, value in KEYS.items()}
    assert data(box.erp("insert", form=True, entity_id=70, **fields)) == {"id": "1"}
    assert box.sandbox.erp.records()[0]["1039"] == "Курс"


def test_an_array_of_items_answers_with_all_ids(box: Any) -> None:
    answer = box.erp("insert", entity_id=70, items=[{"field_1039": "a"}, {"field_1039": "b"}])
    assert data(answer) == {"id": "1,2"}


def test_one_bad_item_hides_the_ids_of_the_others_which_stay(box: Any) -> None:
    refused(box.erp("insert", entity_id=70, items=[{"field_1039": "a"}, {"field_9": "b"}]))
    assert len(box.sandbox.erp.records()) == 1
    box.insert(**KEYS)
    twice = box.erp("insert", entity_id=70, items=[{"field_1039": "c"}, KEYS])
    assert data(twice)["id"] == ""
    assert len(box.sandbox.erp.records()) == 3


def test_a_unique_value_that_is_there_already_is_a_warning_with_200(box: Any) -> None:
    box.insert(**KEYS)
    answer = box.insert(**KEYS)
    warning = [{"id": "1041", "value": "evt-1"}]
    assert answer.json() == {"status": "success", "data": {"id": "", "unique_fields_warning": warning}}
    assert len(box.sandbox.erp.records()) == 1
    assert not box.sandbox.log.entries()[-1].acted


def test_an_empty_unique_value_is_never_taken(box: Any) -> None:
    for _ in range(2):
        assert data(box.insert(field_1039="a", field_1041=""))["id"]


def test_uniqueness_is_checked_without_a_lock(make_box: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    box = make_box(erp_race_ms=200.0)
    both, rests = threading.Barrier(2), []

    def rest(seconds: float) -> None:
        """As long as the other needs to have checked, too."""
        rests.append(seconds)
        both.wait(20)

    monkeypatch.setattr(tables, "time", SimpleNamespace(sleep=rest))
    entity = box.sandbox.erp.entities["70"]
    threads = [threading.Thread(target=box.sandbox.erp.insert, args=(entity, {"1041": "k"})) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.undo()
    assert len(box.sandbox.erp.records()) == 2 and rests == [0.2, 0.2]


def test_the_uniqueness_query_does_not_escape(box: Any) -> None:
    answer = box.insert(field_1039="a", field_1041="it's")
    assert (answer.status_code, answer.text[:14]) == (200, "<app_db_error>")


def test_a_bare_number_filters_exactly(box: Any) -> None:
    for number in range(3):
        box.insert(field_1039=f"deal {number}", field_1041=f"evt-{number}")
    assert [row["id"] for row in select(box, filters={"1041": "evt-1"})] == ["2"]
    assert select(box, filters={"1041": "evt"}) == []
    by_form = select(box, form=True, **{"filters[1041]": "evt-2"})
    assert [row["1039"] for row in by_form] == ["deal 2"]


def test_a_filter_named_field_is_silently_ignored_and_all_rows_come(box: Any) -> None:
    for number in range(3):
        box.insert(field_1041=f"evt-{number}")
    assert len(select(box, filters={"field_1041": "evt-1"})) == 3


def test_rows_have_bare_numbers_texts_and_the_servers_date(box: Any) -> None:
    box.insert(**KEYS)
    (row,) = select(box, select_fields="1039,1040")
    assert row == {"id": "1", "parent_item_id": "0", "date_added": row["date_added"], "1039": "Курс", "1040": "0"}
    assert row["date_added"] == "09/21/2026 17:13"


def test_pages_work_for_forms_and_are_ignored_in_json(box: Any) -> None:
    for number in range(5):
        box.insert(field_1039=str(number))
    answer = box.erp("select", form=True, entity_id=70, rows_per_page=2, page=3).json()
    assert [row["1039"] for row in answer["data"]] == ["4"]
    assert (answer["page"], answer["number_of_rows"], answer["number_of_pages"]) == (3, 5, 3)
    answer = box.erp("select", entity_id=70, rows_per_page=2, page=3).json()
    assert [row["1039"] for row in answer["data"]] == ["0", "1"]
    assert answer["page"] == 1
    assert len(select(box, limit=4)) == 4


def test_an_update_wants_the_field_by_its_full_name(box: Any) -> None:
    box.insert(**KEYS)
    box.insert(field_1039="other")
    change = {"field_1040": "12.50"}
    changed = data(box.erp("update", entity_id=70, data=change, update_by_field={"field_1041": "evt-1"}))
    assert changed == {"id": "1"}
    assert data(box.erp("update", entity_id=70, data=change, update_by_field={"id": "2"})) == {"id": "2"}
    assert data(box.erp("update", entity_id=70, data=change, update_by_field={"field_1041": "none"})) == ""
    refused(box.erp("update", entity_id=70, data=change, update_by_field={"1041": "evt-1"}))
    assert [row["1040"] for row in box.sandbox.erp.records()] == ["12.50", "12.50"]


def test_text_is_cut_silently_at_255_and_a_number_takes_any_text(box: Any) -> None:
    box.insert(field_1039="я" * 300, field_1040="not a number")
    (row,) = box.sandbox.erp.records()
    assert (len(row["1039"]), row["1040"]) == (255, "not a number")


def test_a_text_area_keeps_a_long_text(box: Any) -> None:
    box.control("POST", "erp/fields", {"field_id": "1060", "kind": "textarea"})
    box.insert(field_1060="я" * 300, field_1039="я" * 300)
    (row,) = box.sandbox.erp.records()
    assert (len(row["1060"]), len(row["1039"])) == (300, 255)
    data(box.erp("update", entity_id=70, data={"field_1060": "ю" * 400}, update_by_field={"id": "1"}))
    assert box.sandbox.erp.records()[0]["1060"] == "ю" * 400


@pytest.mark.parametrize("shape", ["text", "object"])
def test_the_fields_tell_their_types_and_whether_they_are_unique(make_box: Any, shape: Any) -> None:
    box = make_box(erp_configuration=shape, erp_may_view="no", erp_may_create=False)
    box.control("POST", "erp/fields", {"field_id": "1060", "kind": "textarea"})
    fields = {row["id"]: row for row in data(box.erp("get_entity_fields", entity_id=70))}
    assert fields["1060"]["type"] == "fieldtype_textarea"
    options = fields["1041"]["configuration"]
    assert (json.loads(options) if shape == "text" else options)["is_unique"] == "1"
    assert "is_unique" not in fields["1039"]["configuration"]
    refused(box.erp("get_entity_fields", entity_id=71))


def test_a_key_field_that_is_not_unique_takes_the_same_key_twice_without_a_word(box: Any) -> None:
    box.control("POST", "erp/fields", {"field_id": "1041", "name": "Ключ", "unique": False})
    assert [data(box.insert(**KEYS))["id"] for _ in range(2)] == ["1", "2"]
    assert len(select(box, filters={"1041": "evt-1"})) == 2


def test_a_user_may_create_but_not_see(make_box: Any) -> None:
    box = make_box(erp_may_view="no")
    assert data(box.insert(**KEYS)) == {"id": "1"}
    for answer in (
        box.erp("select", entity_id=70),
        box.erp("update", entity_id=70, data={"field_1039": "x"}, update_by_field={"id": "1"}),
    ):
        assert (answer.status_code, answer.content) == (500, b"")
    box.sandbox.set(erp_may_view="none")
    assert select(box) == []


def test_a_user_may_see_but_not_create_and_a_question_without_items_tells(make_box: Any) -> None:
    box = make_box(erp_may_create=False)
    for more in ({}, {"items": KEYS}):
        answer = box.erp("insert", entity_id=70, **more)
        assert (answer.status_code, answer.content) == (500, b"")
    assert select(box) == []
    box.sandbox.set(erp_may_create=True)
    assert "items is required" in refused(box.erp("insert", entity_id=70))
    assert "field_9" in refused(box.erp("insert", entity_id=70, items={"field_1039": "x", "field_9": "y"}))
    assert box.sandbox.erp.records() == []


def test_another_entity_has_fields_of_its_own(box: Any) -> None:
    box.control("POST", "erp/entities", {"entity_id": "80", "name": "Заявки"})
    box.control("POST", "erp/fields", {"entity_id": "80", "field_id": "1070"})
    assert "field_1039" in refused(box.erp("insert", entity_id=80, items=KEYS))
    assert data(box.erp("insert", entity_id=80, items={"field_1070": "x"})) == {"id": "1"}


def test_an_unknown_kind_of_field_is_refused(box: Any) -> None:
    with pytest.raises(ValueError, match="textarea"):
        box.sandbox.erp.add_field("70", "1060", kind="date")


def test_login_answers_with_the_user(box: Any) -> None:
    assert data(box.erp("login"))["username"] == "dealpost"


@pytest.mark.parametrize(
    "call",
    [
        {"action": "insert", "key": "x"},
        {"action": "insert", "key": None},
        {"action": "insert", "username": None},
        {"action": "insert", "entity_id": None, "items": KEYS},
        {"action": "insert", "entity_id": 71, "items": KEYS},
        {"action": "insert", "entity_id": 70, "items": {"field_9": "x"}},
        {"action": "insert", "entity_id": 70, "items": {"1039": "x"}},
        {"action": "insert", "entity_id": 70, "items": {}},
        {"action": "insert", "entity_id": 70, "items": []},
        {"action": "insert", "entity_id": 70},
        {"action": "select", "entity_id": 70, "filters": {"9": "x"}},
        {"action": "update", "entity_id": 70, "data": {"field_1039": "x"}},
        {"action": "explode", "entity_id": 70},
    ],
)
def test_what_it_can_name_is_a_500_in_json(box: Any, call: Any) -> None:
    assert refused(box.erp(**call))
    assert box.sandbox.erp.records() == []


def test_a_wrong_key_is_named(box: Any) -> None:
    assert refused(box.erp("login", key="x")) == "API Key mismatch"


def test_bad_json_is_a_500_in_json(box: Any) -> None:
    answer = box.session.post(box.sandbox.erp_url, data="{", headers={"Content-Type": "application/json"}, timeout=10)
    refused(answer)


@pytest.mark.parametrize("wrong", [{"password": "x"}, {"username": "x"}])
def test_a_wrong_user_is_an_empty_500_or_a_fatal_error_with_200(box: Any, wrong: Any) -> None:
    answer = box.erp("login", **wrong)
    assert (answer.status_code, answer.content) == (500, b"")
    box.sandbox.set(erp_display_errors=True)
    answer = box.erp("login", **wrong)
    assert answer.status_code == 200
    assert "Fatal error" in answer.text
    assert not box.sandbox.log.entries()[-1].acted


def test_a_dead_database_is_a_200(make_box: Any) -> None:
    answer = make_box(erp_database_down=True).erp("login")
    assert (answer.status_code, answer.text[:14]) == (200, "<app_db_error>")


def test_older_versions_refuse_with_200(make_box: Any) -> None:
    box = make_box(erp_old_version=True)
    answer = box.erp("login", password="x")
    assert (answer.status_code, answer.json()["error_code"]) == (200, "login_fail")
    answer = box.erp("insert", entity_id=70, items={"field_9": "x"})
    assert (answer.status_code, answer.json()["status"], answer.json()["error_code"]) == (200, "error", "")


def test_entities_and_fields_can_be_added_and_a_child_wants_its_parent(box: Any) -> None:
    box.control("POST", "erp/entities", {"entity_id": "80", "name": "Оплаты", "parent": "70"})
    box.control("POST", "erp/fields", {"entity_id": "80", "field_id": "field_1060", "kind": "numeric"})
    refused(box.erp("insert", entity_id=80, items={"field_1060": "5"}))
    box.insert(**KEYS)
    assert data(box.erp("insert", entity_id=80, parent_item_id=1, items={"field_1060": 5})) == {"id": "1"}
    assert box.sandbox.erp.records("80")[0]["parent_item_id"] == "1"


def test_its_answers_can_be_lost_after_it_acted(box: Any) -> None:
    box.control("POST", "faults", {"kind": "drop", "act": True, "part": "erp"})
    with pytest.raises(OSError):
        box.insert(**KEYS)
    assert len(box.sandbox.erp.records()) == 1
    entry = box.sandbox.log.entries()[-1]
    assert (entry.status, entry.acted) == (0, True)
