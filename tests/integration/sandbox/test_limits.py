"""The pace: seven in any second, and what comes of more."""

from typing import Any

import pytest


@pytest.fixture
def box(make_box: Any) -> Any:
    return make_box(limit_on=True)


def statuses(box: Any, count: Any) -> Any:
    return [box.get("/api/v4/account").status_code for _ in range(count)]


def test_the_eighth_request_within_a_second_is_429_with_the_wait_in_the_body(box: Any) -> None:
    assert statuses(box, 8) == [200] * 7 + [429]
    answer = box.get("/api/v4/account")
    assert answer.json()["retry_after"] == 1
    assert "Retry-After" not in answer.headers
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_the_second_slides_with_every_request(box: Any) -> None:
    assert statuses(box, 4) == [200] * 4
    box.clock.advance(0.6)
    assert statuses(box, 4) == [200, 200, 200, 429]
    box.clock.advance(0.4)
    assert statuses(box, 5) == [200] * 4 + [429]


def test_the_gateway_may_answer_429_in_html(make_box: Any) -> None:
    box = make_box(limit_on=True, limit_html=True, limit_rps=1)
    answer = [box.get("/api/v4/account") for _ in range(2)][1]
    assert (answer.status_code, answer.headers["Content-Type"]) == (429, "text/html")


def test_repeated_overrun_blocks_everything_with_bare_html_until_support_lifts_it(make_box: Any) -> None:
    box = make_box(limit_on=True, block_after=3)
    assert statuses(box, 11) == [200] * 7 + [429] * 3 + [403]
    box.clock.advance(3_600)
    for answer in (box.get("/api/v4/leads"), box.tokens()):
        assert (answer.status_code, answer.headers["Content-Type"]) == (403, "text/html")
        assert "nginx" in answer.text
    box.control("POST", "unblock")
    assert box.tokens().status_code == 200


def test_overruns_far_apart_do_not_block(make_box: Any) -> None:
    box = make_box(limit_on=True, limit_rps=1, block_after=2)
    for _ in range(4):
        assert statuses(box, 2) == [200, 429]
        box.clock.advance(61)


def test_the_erp_has_no_such_limit(box: Any) -> None:
    assert [box.erp("login").status_code for _ in range(20)] == [200] * 20


def test_the_log_counts_the_most_requests_in_any_one_second(box: Any) -> None:
    for pause in (0.0, 0.3, 0.3, 0.3, 0.3):
        box.clock.advance(pause)
        box.get("/api/v4/account")
    assert box.sandbox.log.max_in_window(part="amocrm") == 4
    assert box.control("GET", "log/figures?part=amocrm")["max_per_second"] == 4


def test_the_log_counts_requests_that_undercut_a_wait(make_box: Any) -> None:
    box = make_box(limit_on=True, limit_rps=1, limit_retry_after=300)
    statuses(box, 2)
    box.clock.advance(299)
    statuses(box, 1)
    box.clock.advance(1)
    statuses(box, 1)
    assert box.sandbox.log.undercut_waits() == 1
