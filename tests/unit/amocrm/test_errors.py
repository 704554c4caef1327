"""What each answer of amoCRM means for whom."""

import json
from typing import Any

import pytest

from service import causes
from service.amocrm import errors
from service.network.http import NoAnswer

HTML = b"<html><head><title>403 Forbidden</title></head><body>nginx</body></html>"


def problem(status: int, detail: str = "", **more: Any) -> bytes:
    return json.dumps({"title": "T", "type": "about:blank", "status": status, "detail": detail, **more}).encode()


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_good(status: int) -> None:
    assert errors.classify(status, {}, b"") is None


@pytest.mark.parametrize("body", [HTML, b"", problem(0, "words"), b"\xff", b"[1]"])
@pytest.mark.parametrize(
    ("status", "cause", "pause", "outage"),
    [
        (429, "amocrm_slow_down", "rate", False),
        (401, "amocrm_reconnect", "reconnect", False),
        (402, "amocrm_unpaid", "unpaid", False),
        (408, "amocrm_down", None, True),
        (500, "amocrm_down", None, True),
        (502, "amocrm_down", None, True),
        (503, "amocrm_down", None, True),
        (504, "amocrm_down", None, True),
        (599, "amocrm_down", None, True),
        (301, "amocrm_unreadable", None, True),
        (404, "amocrm_moved", "outage", False),
    ],
)
def test_each_status_in_json_and_html(status: int, cause: str, pause: str | None, outage: bool, body: bytes) -> None:
    error = errors.classify(status, {}, body, "GET /api/v4/leads")
    assert error is not None
    assert (error.cause, error.pause, error.outage) == (cause, pause, outage)
    assert error.status == status and not error.permanent and str(status) in error.message
    assert "<html>" not in error.message and error.params["detail"]
    assert error.cause in causes.CAUSES


@pytest.mark.parametrize("status", [400, 404, 405, 409, 422])
def test_a_refusal_is_one_only_in_amocrm_s_own_form(status: int) -> None:
    for body in (problem(status, "words"), problem(status)):
        error = errors.classify(status, {}, body, "PATCH /api/v4/leads", of_rows=True)
        assert error is not None and (error.cause, error.pause, error.outage) == ("deal_refused", None, False)
    for body in (HTML, b"", b"\xff", b"[1]", b"{}"):
        error = errors.classify(status, {}, body, "PATCH /api/v4/leads", of_rows=True)
        assert error is not None and (error.cause, error.pause, error.outage) == ("amocrm_unreadable", None, True)


@pytest.mark.parametrize(
    ("body", "of_rows", "cause", "pause"),
    [
        (HTML, False, "amocrm_forbidden", "forbidden"),
        (HTML, True, "amocrm_forbidden", "forbidden"),
        (b"", True, "amocrm_forbidden", "forbidden"),
        (problem(403, "Недостаточно прав"), True, "amocrm_rights", None),
        (problem(403, "Недостаточно прав"), False, "amocrm_rights", "forbidden"),
        (problem(403, "x", error_code=110), False, "amocrm_reconnect", "reconnect"),
        (problem(403, "x", error_code=111), False, "amocrm_captcha", "forbidden"),
        (problem(403, "x", code="112"), True, "amocrm_user_off", "forbidden"),
        (
            b'{"response": {"error": "IP", "error_code": "113", "ip": "1.2.3.4"}}',
            True,
            "amocrm_ip_refused",
            "forbidden",
        ),
    ],
)
def test_a_403_is_a_block_a_right_or_what_its_number_says(
    body: bytes, of_rows: bool, cause: str, pause: str | None
) -> None:
    error = errors.classify(403, {}, body, "GET /api/v4/leads/5", of_rows=of_rows)
    assert error is not None and (error.cause, error.pause) == (cause, pause)
    assert error.cause in causes.CAUSES


def test_error_244_is_a_missing_right() -> None:
    error = errors.classify(400, {}, problem(400, "Код ошибки 244"))
    assert error is not None and error.cause == "amocrm_rights"
    other = errors.classify(400, {}, problem(400, "Сделка 244517 не найдена"))
    assert other is not None and other.cause == "deal_refused"


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({}, problem(429, retry_after=300), 300.0),
        ({}, problem(429, retry_after="300"), 300.0),
        ({"Retry-After": "7"}, HTML, 7.0),
        ({"Retry-After": "7"}, problem(429, retry_after=300), 300.0),
        ({"Retry-After": "900"}, problem(429, retry_after=300), 900.0),
        ({"Retry-After": "Sat, 21 Nov 2026 10:05:00 GMT", "Date": "Sat, 21 Nov 2026 10:00:00 GMT"}, b"", 300.0),
        ({"Retry-After": "Sat, 21 Nov 2026 10:05:00 GMT"}, b"", None),
        ({"Retry-After": "soon"}, HTML, None),
        ({}, problem(429, retry_after=-5), None),
        ({}, problem(429, retry_after=None), None),
        ({}, problem(429, retry_after=10**12), errors.LONGEST_WAIT),
        ({}, b'{"retry_after": NaN}', None),
        ({}, HTML, None),
    ],
)
def test_a_wait_that_was_asked_for_in_body_or_header(
    headers: dict[str, str], body: bytes, seconds: float | None
) -> None:
    error = errors.classify(429, headers, body)
    assert error is not None and error.retry_after == seconds


def test_rows_named_by_validation_errors() -> None:
    body = problem(
        400,
        "Request validation failed",
        **{
            "validation-errors": [
                {"request_id": "7", "errors": [{"code": "NotSupportedChoice", "path": "status_id", "detail": "bad"}]},
                {"request_id": 8, "errors": [{"detail": "worse"}, {"path": "id", "detail": "gone"}]},
                {"request_id": ["9"], "errors": None},
                {"errors": []},
                "x",
            ]
        },
    )
    found = errors.refusal(body)
    assert found.by_request == {"7": "status_id: bad", "8": "worse; id: gone", "9": ""}
    assert found.by_entity == {} and found.detail == "Request validation failed"


def test_rows_named_by_their_deals() -> None:
    found = errors.refusal(
        problem(400, "Bad Request", errors={"5001": "Entity not found", "x": "y", "5002": [{"detail": "z"}]})
    )
    assert found.by_entity == {5001: "Entity not found", 5002: "z"}


@pytest.mark.parametrize("body", [problem(400, "Неизвестная ошибка"), HTML, b"", problem(400, errors=["a"]), b"[]"])
def test_no_row_is_named(body: bytes) -> None:
    found = errors.refusal(body)
    assert not found.by_request and not found.by_entity


@pytest.mark.parametrize("kind", ["connect", "tls", "timeout", "dropped", "too_large"])
def test_no_answer(kind: str) -> None:
    error = errors.no_answer(NoAnswer("…", kind=kind, acted=kind != "connect"), "GET /api/v4/leads")
    assert error.outage and error.cause == "amocrm_down" and error.params["acted"] is (kind != "connect")


def test_words_of_the_token_endpoint_are_in_hint() -> None:
    assert errors.words(problem(401, "", hint="Token has been revoked")) == "Token has been revoked"
    assert (
        errors.words(problem(401, "Unauthorized", hint="Token has been revoked"))
        == "Unauthorized: Token has been revoked"
    )
    assert errors.words(problem(401)) == "T"
