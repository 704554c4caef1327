"""PATCH and POST: batches, what is refused, and in which shape."""

from typing import Any

import pytest

from sandbox import defaults

PLACE = {"pipeline_id": defaults.PIPELINE_ID}
LESSON_1 = {"status_id": defaults.STAGE_LESSON_1, **PLACE}


@pytest.fixture
def deals(box: Any) -> Any:
    return list(box.sandbox.amocrm.deals)


def stage(box: Any, deal: Any) -> Any:
    return box.sandbox.amocrm.deals[deal].status_id


def test_a_batch_moves_deals_and_the_answer_says_nothing_of_the_stage(box: Any, deals: Any) -> None:
    box.clock.advance(10)
    answer = box.patch(
        "/api/v4/leads", [{"id": deals[0], **LESSON_1, "request_id": "r-9"}, {"id": deals[1], **LESSON_1}]
    )
    rows = answer.json()["_embedded"]["leads"]
    assert [(row["id"], row["request_id"]) for row in rows] == [(deals[0], "r-9"), (deals[1], "1")]
    assert rows[0]["updated_at"] == box.clock.now()
    assert set(rows[0]) == {"id", "updated_at", "request_id", "_links"}
    assert stage(box, deals[0]) == stage(box, deals[1]) == defaults.STAGE_LESSON_1


def test_a_single_deal_takes_an_object(box: Any, deals: Any) -> None:
    assert box.patch(f"/api/v4/leads/{deals[0]}", LESSON_1).json()["id"] == deals[0]
    assert stage(box, deals[0]) == defaults.STAGE_LESSON_1
    assert box.patch(f"/api/v4/leads/{deals[0]}", [LESSON_1]).status_code == 400
    assert box.patch("/api/v4/leads/1", LESSON_1).status_code == 404


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"status_id": 1, **PLACE}, "status_id"),
        ({"status_id": defaults.STAGE_INCOMING, **PLACE}, "status_id"),
        ({"status_id": str(defaults.STAGE_PAID), **PLACE}, "status_id"),
        ({"status_id": True, **PLACE}, "status_id"),
        ({"status_id": defaults.STAGE_PAID, "pipeline_id": 1}, "pipeline_id"),
        ({"id": 1, **LESSON_1}, "id"),
        ({"responsible_user_id": defaults.GONE_USER_ID}, "responsible_user_id"),
        ({"loss_reason_id": 4_203_748}, "loss_reason_id"),
        ({"price": "100"}, "price"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_a_bad_row_is_named_by_request_and_path_and_nothing_is_applied(
    box: Any, deals: Any, change: Any, path: Any
) -> None:
    answer = box.patch("/api/v4/leads", [{"id": deals[0], **LESSON_1}, {"id": deals[1], "request_id": "bad", **change}])
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    (fault,) = answer.json()["validation-errors"]
    assert fault["request_id"] == "bad"
    assert fault["errors"][0]["path"] == path
    assert set(fault["errors"][0]) == {"code", "path", "detail"}
    assert stage(box, deals[0]) == defaults.STAGE_NEW


def test_a_400_may_name_entities_or_nothing_at_all(box: Any, deals: Any) -> None:
    batch = [{"id": deals[0], **LESSON_1}, {"id": deals[1], "status_id": 1, **PLACE}]
    box.sandbox.set(error_shape="errors")
    assert list(box.patch("/api/v4/leads", batch).json()["errors"]) == [str(deals[1])]
    box.sandbox.set(error_shape="detail")
    assert set(box.patch("/api/v4/leads", batch).json()) == {"title", "type", "status", "detail"}


def test_the_good_rows_of_a_refused_batch_may_have_been_applied(box: Any, deals: Any) -> None:
    box.sandbox.set(refused_batch_applies=True)
    answer = box.patch("/api/v4/leads", [{"id": deals[0], **LESSON_1}, {"id": deals[1], "status_id": 1}])
    assert answer.status_code == 400
    assert stage(box, deals[0]) == defaults.STAGE_LESSON_1
    assert box.sandbox.log.entries()[-1].acted


def test_a_batch_has_at_most_250_rows(box: Any, deals: Any) -> None:
    row = {"id": deals[0], **LESSON_1}
    assert box.patch("/api/v4/leads", [row] * 250).status_code == 200
    assert box.patch("/api/v4/leads", [row] * 251).status_code == 400


@pytest.mark.parametrize("body", ["", "{", "[]", "{}", "[1]", "null"])
def test_a_batch_must_be_an_array_of_objects(box: Any, body: Any) -> None:
    assert box.call("PATCH", "/api/v4/leads", data=body).status_code == 400


def test_142_means_the_deals_own_pipeline_unless_another_is_named(box: Any, deals: Any) -> None:
    other = box.sandbox.amocrm.add_pipeline("Вторая", ["Начало"])
    box.patch(
        "/api/v4/leads",
        [{"id": deals[0], "status_id": 142}, {"id": deals[1], "status_id": 142, "pipeline_id": other.id}],
    )
    books = box.sandbox.amocrm.deals
    assert [books[deal].pipeline_id for deal in deals[:2]] == [defaults.PIPELINE_ID, other.id]
    assert books[deals[0]].closed_at == box.clock.now()
    own = other.first_stage().id
    assert box.patch("/api/v4/leads", [{"id": deals[2], "status_id": own}]).status_code == 400


def test_a_deal_that_leaves_142_is_open_again(box: Any, deals: Any) -> None:
    box.patch("/api/v4/leads", [{"id": deals[0], "status_id": 142, **PLACE}])
    box.patch("/api/v4/leads", [{"id": deals[0], **LESSON_1}])
    assert box.sandbox.amocrm.deals[deals[0]].closed_at is None


def test_a_lost_deal_takes_a_reason_and_drops_it_when_it_moves_on(box: Any, deals: Any) -> None:
    box.patch("/api/v4/leads", [{"id": deals[0], "status_id": 143, "loss_reason_id": 4_203_748, **PLACE}])
    assert box.sandbox.amocrm.deals[deals[0]].loss_reason_id == 4_203_748
    assert box.patch("/api/v4/leads", [{"id": deals[0], "loss_reason_id": 4_203_748, **LESSON_1}]).status_code == 400


def test_a_deleted_stage_or_deal_is_refused(box: Any, deals: Any) -> None:
    box.control("DELETE", f"pipelines/{defaults.PIPELINE_ID}/stages/{defaults.STAGE_LESSON_1}")
    assert box.patch("/api/v4/leads", [{"id": deals[0], **LESSON_1}]).status_code == 400
    box.control("DELETE", f"deals/{deals[0]}")
    assert box.patch("/api/v4/leads", [{"id": deals[0], "price": 1}]).status_code == 400


def test_contacts_and_deals_can_be_added(box: Any) -> None:
    email = {"field_code": "EMAIL", "values": [{"value": "new@example.com", "enum_code": "WORK"}]}
    made = box.post("/api/v4/contacts", [{"name": "Новый", "custom_fields_values": [email]}]).json()
    contact = made["_embedded"]["contacts"][0]["id"]
    answer = box.post(
        "/api/v4/leads",
        [{"name": "Курс", "price": 100, **LESSON_1, "_embedded": {"contacts": [{"id": contact}]}}],
    )
    deal = answer.json()["_embedded"]["leads"][0]["id"]
    (row,) = box.rows("/api/v4/contacts", "contacts", query="new@example.com", **{"with": "leads"})
    assert row["_embedded"]["leads"][0]["id"] == deal
    assert stage(box, deal) == defaults.STAGE_LESSON_1
    unknown = [{"_embedded": {"contacts": [{"id": 1}]}}]
    assert box.post("/api/v4/leads", unknown).status_code == 400


@pytest.mark.parametrize(
    "row",
    [
        {"_embedded": "x"},
        {"_embedded": {"contacts": [1]}},
        {"_embedded": {"contacts": [{"id": []}]}},
        {"custom_fields_values": {}},
        {"custom_fields_values": [{"field_id": [], "values": [{"value": 1}]}]},
        {"custom_fields_values": [{"field_id": 1, "values": {}}]},
        {"name": 5},
        {"nonsense": 1},
    ],
)
def test_rows_of_a_wrong_build_are_400_and_never_break_the_connection(box: Any, row: Any) -> None:
    assert box.post("/api/v4/leads", [row]).status_code == 400
    if "_embedded" not in row:
        assert box.post("/api/v4/contacts", [row]).status_code == 400


@pytest.mark.parametrize("query", ["page=x", "limit=0", "filter[id][]=x", "filter[id][]=--5", "order[nothing]=asc"])
def test_a_query_of_a_wrong_build_is_400(box: Any, query: Any) -> None:
    assert box.get(f"/api/v4/leads?{query}").status_code == 400
