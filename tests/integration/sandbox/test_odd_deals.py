"""Oddities of deals: deleted and unreadable ones, budgets, incoming and archived places, echoed rows, time."""

from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from sandbox import defaults

MOVE = {"status_id": defaults.STAGE_LESSON_1, "pipeline_id": defaults.PIPELINE_ID}


@pytest.fixture
def deal(box: Any) -> Any:
    return next(iter(box.sandbox.amocrm.deals.values()))


@pytest.mark.parametrize(("rows", "name"), [("nulls", None), ("whole", "Курс, студент 1")])
def test_a_deleted_deal_is_nulls_in_its_list(make_box: Any, rows: Any, name: Any) -> None:
    box = make_box(deleted_rows=rows, deleted_deals="shown")
    gone = next(iter(box.sandbox.amocrm.deals.values()))
    box.sandbox.amocrm.delete_deal(gone.id)
    (row,) = box.rows("/api/v4/leads", "leads", **{"with": "only_deleted"})
    assert (row["id"], row["is_deleted"], row["name"]) == (gone.id, True, name)
    assert (row["status_id"] is None, row["pipeline_id"] is None) == (name is None, name is None)
    assert box.get(f"/api/v4/leads/{gone.id}").json()["is_deleted"]


@pytest.mark.parametrize("status", [204, 404])
@pytest.mark.parametrize("path", ["leads", "contacts", "leads/pipelines"])
def test_what_is_not_there_by_id_is_204_or_404(make_box: Any, status: Any, path: Any) -> None:
    box = make_box(not_found_status=status)
    assert box.get(f"/api/v4/{path}/999").status_code == status
    assert box.get(f"/api/v4/{path}").status_code == 200


def test_a_deal_cannot_be_read_right_after_its_hook(make_box: Any, deal: Any) -> None:
    box = make_box(read_lag_seconds=1.0)
    moved = list(box.sandbox.amocrm.deals)[1]
    box.sandbox.amocrm.move_deal(moved, defaults.STAGE_LESSON_1)
    assert box.get(f"/api/v4/leads/{moved}").status_code == 204
    assert box.get("/api/v4/leads", **{"filter[id][]": moved}).status_code == 204
    assert len(box.rows("/api/v4/leads", "leads")) == 4
    box.clock.advance(1)
    assert box.get(f"/api/v4/leads/{moved}").json()["status_id"] == defaults.STAGE_LESSON_1


@pytest.mark.parametrize(("scope", "read", "write"), [("no", 200, 200), ("writes", 200, 402), ("all", 402, 402)])
def test_an_unpaid_account_stops_writes_first(make_box: Any, scope: Any, read: Any, write: Any) -> None:
    box = make_box(unpaid=scope)
    first = next(iter(box.sandbox.amocrm.deals))
    assert box.get("/api/v4/account").status_code == read
    assert box.patch(f"/api/v4/leads/{first}", MOVE).status_code == write
    assert box.tokens().status_code == 200


def test_a_whole_row_sent_back_is_refused_or_passed_over_by_knob(box: Any, deal: Any) -> None:
    row = box.get(f"/api/v4/leads/{deal.id}", **{"with": "contacts"}).json()
    assert box.patch("/api/v4/leads", [{**row, **MOVE}]).status_code == 400
    box.sandbox.set(echoed_rows="accepted")
    assert box.patch("/api/v4/leads", [{**row, **MOVE}]).status_code == 200
    assert deal.status_id == defaults.STAGE_LESSON_1
    assert box.patch("/api/v4/leads", [{**row, "nonsense": 1}]).status_code == 400


def test_a_budget_has_whole_units_and_beside_them_a_decimal(box: Any) -> None:
    made = box.sandbox.amocrm.add_deal("Курс", 12.5)
    row = box.get(f"/api/v4/leads/{made.id}").json()
    assert (row["price"], row["price_with_minor_units"]) == (12, 12.5)
    box.sandbox.set(minor_units=False)
    assert "price_with_minor_units" not in box.get(f"/api/v4/leads/{made.id}").json()


def test_a_very_large_budget_wraps_by_knob(box: Any) -> None:
    made = box.sandbox.amocrm.add_deal("Курс", 4_294_967_297)
    assert box.get(f"/api/v4/leads/{made.id}").json()["price"] == 4_294_967_297
    box.sandbox.set(price_wraps=True)
    assert box.get(f"/api/v4/leads/{made.id}").json()["price"] == 1


def test_any_update_takes_a_deal_out_of_incoming(box: Any) -> None:
    made = box.control("POST", "deals", {"name": "Заявка", "stage": "Неразобранное"})
    assert made["status_id"] == defaults.STAGE_INCOMING
    assert box.patch(f"/api/v4/leads/{made['id']}", {"price": 5}).status_code == 200
    assert box.control("GET", f"deals/{made['id']}")["stage"] == "Новая заявка"


def test_an_archived_pipeline_takes_no_moves(box: Any, deal: Any) -> None:
    box.control("PATCH", f"pipelines/{defaults.PIPELINE_ID}", {"is_archive": True})
    assert box.patch("/api/v4/leads", [{"id": deal.id, **MOVE}]).status_code == 400
    assert box.patch(f"/api/v4/leads/{deal.id}", MOVE).status_code == 400
    (row,) = box.rows("/api/v4/leads/pipelines", "pipelines")
    assert row["is_archive"]
    box.control("PATCH", f"pipelines/{defaults.PIPELINE_ID}", {"is_archive": False})
    assert box.patch(f"/api/v4/leads/{deal.id}", MOVE).status_code == 200


def test_a_renamed_account_says_its_new_name_to_a_living_refresh_token(box: Any) -> None:
    box.sandbox.set(subdomain="renamed", moved_to="renamed.localhost:8099", moved_status=404)
    assert box.get("/api/v4/account").status_code == 404
    headers = {"X-Refresh-Token": defaults.REFRESH_TOKEN}
    answer = box.call("GET", "/oauth2/account/current/subdomain", headers=headers).json()
    assert (answer["id"], answer["subdomain"], answer["domain"]) == (
        defaults.ACCOUNT_ID,
        "renamed",
        "renamed.localhost:8099",
    )
    there = box.call("GET", "/api/v4/account", headers={"Host": "renamed.localhost:8099"})
    assert (there.json()["subdomain"], there.json()["id"]) == ("renamed", defaults.ACCOUNT_ID)


def test_it_says_so_to_a_good_access_token_too_and_to_nobody_else(box: Any) -> None:
    box.sandbox.set(subdomain="renamed", moved_to="renamed.localhost:8099")
    assert box.get("/oauth2/account/subdomain").json()["subdomain"] == "renamed"
    assert box.call("GET", "/oauth2/account/subdomain", headers={"Authorization": "Bearer x"}).status_code == 401
    assert box.call("GET", "/oauth2/account/current/subdomain", headers={"X-Refresh-Token": "x"}).status_code == 401


@pytest.mark.parametrize(("knobs", "seconds"), [({}, 0), ({"date_offset": -400.0}, -400), ({"clock_offset": 90.0}, 90)])
def test_the_date_of_an_answer_may_be_off(make_box: Any, knobs: Any, seconds: Any) -> None:
    box = make_box(**knobs)
    date = parsedate_to_datetime(box.get("/api/v4/account").headers["Date"])
    assert date.timestamp() - int(box.clock.real()) == seconds
