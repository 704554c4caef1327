"""Faults by knob: each kind, before and after acting, counted and aimed."""

import time
from typing import Any

import pytest
import requests

from sandbox import defaults


@pytest.fixture
def deal(box: Any) -> Any:
    return next(iter(box.sandbox.amocrm.deals))


def move(box: Any, deal: Any, timeout: Any = 10) -> Any:
    row = {"id": deal, "status_id": defaults.STAGE_LESSON_1, "pipeline_id": defaults.PIPELINE_ID}
    return box.call("PATCH", "/api/v4/leads", json=[row], timeout=timeout)


def moved(box: Any, deal: Any) -> Any:
    return box.sandbox.amocrm.deals[deal].status_id == defaults.STAGE_LESSON_1


@pytest.mark.parametrize("status", [401, 402, 403, 404, 422, 429, 500])
def test_a_status_comes_as_problem_json_and_nothing_is_done(box: Any, deal: Any, status: Any) -> None:
    box.control("POST", "faults", {"kind": "status", "status": status})
    answer = move(box, deal)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert not moved(box, deal)
    assert move(box, deal).status_code == 200


@pytest.mark.parametrize("status", [403, 429, 500, 502, 503, 504])
def test_a_status_may_come_from_the_gateway_as_html(box: Any, deal: Any, status: Any) -> None:
    box.control("POST", "faults", {"kind": "status", "status": status, "html": True})
    answer = move(box, deal)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html")


def test_a_429_may_tell_the_wait_in_its_body(box: Any) -> None:
    box.control("POST", "faults", {"kind": "status", "status": 429, "retry_after": 300})
    assert box.get("/api/v4/account").json()["retry_after"] == 300
    box.get("/api/v4/account")
    assert box.sandbox.log.undercut_waits() == 1


@pytest.mark.parametrize("act", [True, False])
def test_a_504_on_a_write_is_ambiguous(box: Any, deal: Any, act: Any) -> None:
    box.control("POST", "faults", {"kind": "status", "status": 504, "act": act})
    assert move(box, deal).status_code == 504
    assert moved(box, deal) is act
    assert box.sandbox.log.entries()[-1].acted is act


@pytest.mark.parametrize("act", [True, False])
def test_a_connection_may_be_dropped_before_or_after_acting(box: Any, deal: Any, act: Any) -> None:
    box.control("POST", "faults", {"kind": "drop", "act": act})
    with pytest.raises(requests.ConnectionError):
        move(box, deal)
    assert moved(box, deal) is act


def test_a_200_may_be_garbage(box: Any) -> None:
    box.control("POST", "faults", {"kind": "garbage"})
    answer = box.get("/api/v4/account")
    assert answer.status_code == 200
    assert answer.text.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("act", [True, False])
def test_a_hang_gives_no_answer_in_time(box: Any, deal: Any, act: Any) -> None:
    box.control("POST", "faults", {"kind": "hang", "seconds": 0.5, "act": act})
    with pytest.raises(requests.ReadTimeout):
        move(box, deal, timeout=0.2)
    assert moved(box, deal) is act
    assert box.sandbox.log.entries()[-1].status is None


def test_a_drip_defeats_a_timeout_per_read(box: Any) -> None:
    box.control("POST", "faults", {"kind": "drip", "seconds": 1.5})
    started = time.monotonic()
    assert box.call("GET", "/api/v4/account", timeout=1.0).status_code == 200
    assert time.monotonic() - started >= 1.5


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [
        ("erp_fatal", 200, "Fatal error"),
        ("erp_db_error", 200, "<app_db_error>"),
        ("erp_empty", 500, ""),
        ("erp_old_error", 200, '"status": "error"'),
    ],
)
def test_the_erps_own_failures(box: Any, kind: Any, status: Any, text: Any) -> None:
    box.control("POST", "faults", {"kind": kind, "part": "erp"})
    answer = box.erp("login")
    assert answer.status_code == status
    assert text in answer.text
    assert answer.headers["Content-Type"].startswith("text/html")


def test_a_fault_is_aimed_counted_and_cleared(box: Any) -> None:
    aim = {"method": "GET", "path": "/leads", "part": "amocrm", "skip": 1, "count": 2}
    box.control("POST", "faults", {"kind": "status", "status": 500, **aim})
    assert box.get("/api/v4/account").status_code == 200
    assert [box.get("/api/v4/leads").status_code for _ in range(4)] == [200, 500, 500, 200]
    number = box.control("POST", "faults", {"kind": "status", "count": None})["id"]
    assert {box.get("/api/v4/account").status_code for _ in range(5)} == {500}
    assert box.control("GET", "faults")["faults"][0]["hits"] == 5
    box.control("DELETE", f"faults/{number}")
    assert box.get("/api/v4/account").status_code == 200


def test_a_fault_may_hit_a_share_or_bodies_with_a_text(box: Any) -> None:
    box.control("POST", "faults", {"kind": "status", "count": None, "fraction": 0.5})
    hit = sum(box.get("/api/v4/account").status_code == 500 for _ in range(200))
    assert 60 < hit < 140
    box.control("DELETE", "faults")
    box.control("POST", "faults", {"kind": "status", "contains": "evt-7"})
    assert box.insert(field_1041="evt-6").status_code == 200
    assert box.insert(field_1041="evt-7").status_code == 500


def test_latency_and_the_clock_can_be_set(box: Any) -> None:
    box.control("PATCH", "settings", {"latency_ms": 100, "clock_offset": 3600})
    started = time.monotonic()
    box.get("/api/v4/account")
    assert time.monotonic() - started >= 0.1
    made = box.sandbox.amocrm.add_deal("Через час")
    assert made.created_at == int(box.clock.real()) + 3600


@pytest.mark.parametrize("body", [{"kind": "nonsense"}, {"kind": "drop", "nonsense": 1}])
def test_an_unknown_fault_is_refused(box: Any, body: Any) -> None:
    assert requests.post(f"{box.sandbox.url}/_sandbox/faults", json=body, timeout=10).status_code == 400
