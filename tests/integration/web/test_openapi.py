"""The API's description against the service: just what it says is taken is taken, and answers are as told."""

import json
import re
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as how
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service import create_app
from service.config import load
from tests.integration.web.conftest import ENVIRON, KEY

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
HOW: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "phases": [Phase.generate],
    "suppress_health_check": list(HealthCheck),
}
SENDING = ["/api/tripwire/complete", "/api/events", "/e/{event_key}"]
TAKEN = (200, 202, 409)
"""409: made-up ids meet again with other data."""


@pytest.fixture
def app(tmp_path: Any) -> Flask:
    return create_app(load({**ENVIRON, "DATABASE_URL": f"sqlite:///{tmp_path}/dealpost.db"}))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", path) for path in SENDING),
        ("GET", "/api/events/{event_id}"),
        ("GET", "/api/outbox"),
        ("POST", "/api/amocrm-webhook"),
        ("GET", "/api/amocrm-webhook"),
        ("GET", "/healthz"),
        ("GET", "/healthz/worker"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/oauth/start"),
        ("GET", "/oauth/callback"),
        ("GET", "/oauth/disconnected"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_each_answer_is_described(method: str, path: str, app: Flask) -> None:
    operation = schemathesis.openapi.from_wsgi("/openapi.json", app)[path][method]

    @how(max_examples=40 if method == "POST" else 5, **HOW)
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case) -> None:
        if "event_key" in case.path_parameters:
            case.path_parameters["event_key"] = "platform-key-1"
        # Without a worker its address says 503, as it should.
        case.call_and_validate(headers=KEY, checks=CHECKS[1:] if path == "/healthz/worker" else CHECKS)

    check()


# --- what is taken ----------------------------------------------------------------------------------------------------


def post(app: Flask, path: str, body: Any) -> Any:
    return app.test_client().post(path.replace("{event_key}", "platform-key-1"), json=body, headers=KEY)


def document(app: Flask) -> dict[str, Any]:
    made = app.test_client().get("/openapi.json").json
    assert isinstance(made, dict)
    return made


def taken_by(app: Flask, path: str) -> Any:
    """A validator of the description's schema of a JSON body."""
    described = document(app)
    schema = described["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return jsonschema_rs.Draft202012Validator({**schema, "components": described["components"]})


@pytest.mark.parametrize("path", SENDING)
@pytest.mark.filterwarnings("ignore")
def test_what_the_description_takes_the_service_takes(path: str, app: Flask) -> None:
    operation = schemathesis.openapi.from_wsgi("/openapi.json", app)[path]["POST"]
    seen = {True: 0, False: 0}

    @how(max_examples=50, **HOW)
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case) -> None:
        form = case.media_type != "application/json"
        seen[form] += 1
        where = path.replace("{event_key}", "platform-key-1")
        what: dict[str, Any] = {"data": case.body, "content_type": case.media_type} if form else {"json": case.body}
        answer = app.test_client().post(where, headers=KEY, **what)
        assert answer.status_code in TAKEN, (case.body, answer.text)

    check()
    assert seen[False] and (seen[True] or path != SENDING[0]), "both kinds of bodies were tried"


SPACES = st.sampled_from(["", " ", "\n", "\u00a0", "\u2003", "\x1c"])
NUMBERS = st.one_of(
    st.integers(-2, 70),
    st.sampled_from([67, 67.0, 68, 0, -0.0, 1.5, 10**9, 10**9 - 1, 10**15, 1e20, 1e31, 0.07, 19.99]),
    st.sampled_from([0.001, 0.125, 1e-7, 2.675, 123456789.01, 1e15 + 0.5]),
)  # fmt: skip
TEXTS = st.one_of(
    st.builds(
        lambda left, text, right: left + text + right, SPACES,
        st.sampled_from(["67", "067", "0", "", "1", "3", "1500.50", "1500.555", "0.30000000000000004", "-1", "1e3", "x",
                         "\u0661", "9" * 15, "9" * 16, "x" * 254, "x" * 256, "lesson.completed"]), SPACES,
    ),
    st.text(max_size=4),
)  # fmt: skip
ANYTHING = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS, st.just([]), st.just({}))
EMAILS = st.one_of(
    st.builds(
        lambda left, name, sign, domain, right: left + name + sign + domain + right, SPACES,
        st.sampled_from(["anna", "о", "a.b+c", "a\u200bb", "", "x" * 64, "x" * 65, "a b", "a,b"]),
        st.sampled_from(["@", "@@", "", "\u2060@"]),
        st.sampled_from(["b.ru", "почта.рф", "xn--80a1acny.xn--p1ai", "b", "b..ru", "b.1", "b.ru\u00ad", "b_c.ru",
                         "b!.ru", "a。ru", ".ru", "b.r1", "b.ru."]), SPACES,
    ),
    ANYTHING,
)  # fmt: skip


def mostly(odd: Any, *usual: Any) -> Any:
    """One of the usual values in three of four cases, so that whole bodies are often right."""
    return st.integers(0, 3).flatmap(lambda number: st.sampled_from(usual) if number else odd)


LESSON_DATA = st.fixed_dictionaries(
    {"email": mostly(EMAILS, "anna@b.ru", " Анна@почта.рф")},
    optional={
        "lesson": mostly(ANYTHING, 1, "1", None),
        "lesson_id": mostly(ANYTHING, 67, "67 ", 68, None),
        "id": mostly(ANYTHING, None),
        "more": ANYTHING,
    },
)
RECORD_DATA = st.fixed_dictionaries(
    {"dealName": mostly(ANYTHING, "x")},
    optional={"amount": mostly(ANYTHING, 5, "1.50"), "entityId": mostly(ANYTHING, "", 70)},
)
MORE = {
    "id": mostly(ANYTHING, None, "a"),
    "ts": mostly(ANYTHING, 0, 1.5, 1763000000000, 10**14, -1),
}
EVENTS = st.one_of(
    st.fixed_dictionaries({"name": st.just("lesson.completed"), "data": LESSON_DATA}, optional=MORE),
    st.fixed_dictionaries({"name": st.sampled_from(["crm/create-deal", "erp/task.create"]), "data": RECORD_DATA},
                          optional=MORE),
    st.fixed_dictionaries({"name": ANYTHING}, optional={"data": ANYTHING, **MORE}),
    st.fixed_dictionaries({}, optional={"name": st.just("lesson.completed"), "data": ANYTHING}),
)  # fmt: skip
ROUTE_BODIES = {
    SENDING[0]: st.one_of(LESSON_DATA, ANYTHING),
    SENDING[1]: st.one_of(EVENTS, st.lists(EVENTS, max_size=2), ANYTHING),
    SENDING[2]: st.one_of(EVENTS, st.lists(EVENTS, max_size=2), ANYTHING),
}


@pytest.mark.parametrize("path", SENDING)
def test_the_service_takes_what_the_description_takes_and_nothing_else(path: str, app: Flask) -> None:
    validator = taken_by(app, path)
    seen = {True: 0, False: 0}

    @how(max_examples=400, **HOW)
    @given(body=ROUTE_BODIES[path])
    def check(body: Any) -> None:
        described = validator.is_valid(json.loads(json.dumps(body)))
        answer = post(app, path, body)
        assert (answer.status_code in TAKEN) == described, (body, answer.text)
        seen[described] += 1

    check()
    assert min(seen.values()) > 30, seen


@pytest.mark.parametrize(("ids", "taken"), [("67:1,68:1,5:2", {67, 68, 5}), ("", {67, 68, 69}), ("0:4", {0})])
def test_the_description_knows_the_lessons_of_this_school(ids: str, taken: set[int], tmp_path: Any) -> None:
    app = create_app(load({**ENVIRON, "DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "LESSON_MAP": ids}))
    validator = taken_by(app, SENDING[0])
    for number in (0, 5, 67, 68, 69, 70):
        for written in (number, float(number), str(number), f" 0{number} "):
            body = {"email": "a@b.ru", "lesson_id": written}
            assert validator.is_valid(body) == (number in taken) == (post(app, SENDING[0], body).status_code == 202)


def test_an_amount_that_floating_point_has_moved_is_the_one_thing_taken_beyond_the_description(app: Flask) -> None:
    body = {"name": "crm/create-deal", "data": {"dealName": "x", "amount": 0.1 + 0.2}}
    assert not taken_by(app, SENDING[1]).is_valid(body)
    assert post(app, SENDING[1], body).status_code == 202
    assert "1e-9" in json.dumps(document(app)["components"]["schemas"]["RecordData"])


def test_the_patterns_are_read_alike_in_javascript(app: Flask) -> None:
    patterns = set(re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', json.dumps(document(app))))
    assert patterns
    for pattern in patterns:
        text = json.loads(f'"{pattern}"')
        assert not re.search(r"\\[wWdDsSbBAZ]|\(\?[<!=P]", text), f"{text}: other engines read this otherwise"
