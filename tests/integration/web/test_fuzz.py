"""Whatever comes in by any way, well meant or not, no answer is the service's own fault.

FUZZ_CASES=100000 tries so many in all, each time others: `make fuzz`.
"""

import base64
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from outbox.engines import open_store
from service import create_app
from service.config import load
from tests.integration.web.conftest import ENVIRON, KEY, OPERATOR, SECRET

CASES = int(os.environ.get("FUZZ_CASES", "0"))
USUAL = 900
"""Cases in all, in a usual run of the tests: each kind of door has its share of them."""

SIGN_IN = {"Authorization": "Basic " + base64.b64encode(":".join(OPERATOR).encode()).decode()}
INNGEST = "/e/platform-key-1"


def how(share: float) -> settings:
    return settings(
        max_examples=max(1, int((CASES or USUAL) * share)),
        deadline=None,
        database=None,
        derandomize=not CASES,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def app() -> Iterator[Flask]:
    store = open_store("memory://")
    store.maintenance.migrate()
    made = create_app(load({**ENVIRON, "DATABASE_URL": "sqlite:////nowhere/fuzz.db"}), store)
    yield made
    store.close()


def ask(app: Flask, method: str, path: str, **what: Any) -> None:
    with app.test_client().open(path, method=method, **what) as answer:
        # 503: what was asked needs a worker, or an account, that nobody set up here.
        assert answer.status_code < 500 or answer.status_code == 503, (
            method,
            path,
            what,
            answer.get_data(as_text=True)[:500],
        )


TEXT = st.text(max_size=12)
ODD = st.sampled_from(
    ["", "0", "-1", "1", "1e400", "9" * 25, "²", "٣", "\x00", "\ud7ff", "%00", "null", "NaN", "[]", "{}", "x" * 300,
     "2026-01-01", "142", "anna@b.ru", "' OR 1=1 --", "../../etc/passwd", "//evil", "﷽", "true"]
)  # fmt: skip
WORD = st.one_of(ODD, TEXT)

# --- amoCRM's hooks ---------------------------------------------------------------------------------------------------

PART = st.one_of(
    st.sampled_from(
        ["leads", "contacts", "account", "status", "update", "add", "delete", "0", "1", "00", "-1", "", "id",
         "status_id", "old_status_id", "pipeline_id", "old_pipeline_id", "last_modified", "updated_at", "subdomain",
         "custom_fields", "values", "[", "]", "9" * 19]
    ),
    TEXT,
)  # fmt: skip
NAME = st.builds(lambda first, rest: first + "".join(f"[{one}]" for one in rest), PART, st.lists(PART, max_size=5))
FIELD = st.one_of(
    st.tuples(NAME, WORD),
    st.tuples(
        st.builds(
            "leads[{}][{}][{}]".format,
            st.sampled_from(["status", "update", "add"]),
            st.integers(0, 3),
            st.sampled_from(["id", "status_id", "old_status_id", "pipeline_id", "last_modified", "account_id"]),
        ),
        st.one_of(st.integers(-1, 10**20).map(str), ODD),
    ),
)
FORM = st.lists(FIELD, max_size=12).map(lambda fields: urlencode(fields, errors="replace").encode())
CUT = st.builds(lambda body, start, end: body[start : len(body) - end], FORM, st.integers(0, 5), st.integers(0, 5))
HOOK = st.one_of(FORM, CUT, st.binary(max_size=60))
HOOK_DOORS = (f"/webhooks/amocrm/{SECRET}", f"/api/amocrm-webhook?secret={SECRET}", f"/api/inngest?secret={SECRET}")


def test_hooks(app: Flask) -> None:
    @how(0.35)
    @given(door=st.sampled_from(HOOK_DOORS), body=HOOK, kind=st.sampled_from(["application/x-www-form-urlencoded", ""]))
    def check(door: str, body: bytes, kind: str) -> None:
        ask(app, "POST", door, data=body, content_type=kind)

    check()


# --- Inngest's wire, and the platform's -------------------------------------------------------------------------------

VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORD),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORD, inner, max_size=4)),
    max_leaves=8,
)
EVENT = st.fixed_dictionaries(
    {},
    optional={
        "name": st.one_of(
            st.sampled_from(["lesson.completed", "crm/create-deal", "erp/task.create", "amocrm/webhook"]), VALUE
        ),
        "data": st.one_of(
            st.dictionaries(
                st.sampled_from(["email", "lesson", "lesson_id", "dealName", "amount", "entityId", "id"]), VALUE
            ),
            VALUE,
        ),
        "id": VALUE,
        "ts": VALUE,
        "v": VALUE,
        "user": VALUE,
    },
)
WIRE = st.one_of(EVENT, st.lists(EVENT, max_size=4), VALUE)
KINDS = st.sampled_from(["application/json", "text/plain", "application/json; charset=utf-16", ""])


def test_events(app: Flask) -> None:
    doors = st.sampled_from([INNGEST, "/api/events", "/api/tripwire/complete"])

    @how(0.3)
    @given(door=doors, body=WIRE, kind=KINDS, own_id=WORD)
    def check(door: str, body: Any, kind: str, own_id: str) -> None:
        headers = {**KEY, "Idempotency-Key": quote(own_id), "X-Inngest-Env": quote(own_id)}
        ask(app, "POST", door, json=body, headers=headers)

    @how(0.05)
    @given(door=doors, body=st.binary(max_size=80), kind=KINDS)
    def check_bytes(door: str, body: bytes, kind: str) -> None:
        ask(app, "POST", door, data=body, content_type=kind, headers=KEY)

    check()
    check_bytes()


# --- all that the description tells of, as told and not as told -------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_all_that_is_described(app: Flask) -> None:
    described = schemathesis.openapi.from_wsgi("/openapi.json", app).get_all_operations()
    operations = [found.ok() for found in described if isinstance(found, Ok)]
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    tried = 0
    for operation in operations:
        for mode in modes:

            @how(0.2 / len(operations) / len(modes))
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case: schemathesis.Case) -> None:
                nonlocal tried
                tried += 1
                answer = case.call(headers=KEY)
                assert answer.status_code < 500 or answer.status_code == 503, (
                    case.as_curl_command(),
                    answer.text[:500],
                )

            try:
                check()
            except (Unsatisfiable, schemathesis.errors.SchemathesisError) as error:
                # Where anything at all is taken there is no wrong case to make.
                assert mode is GenerationMode.NEGATIVE, error
    assert tried > len(operations)


# --- the operator's pages ---------------------------------------------------------------------------------------------


def pages(app: Flask) -> list[str]:
    """The addresses of GET routes that need no account on the other side."""
    return sorted(
        rule.rule
        for rule in app.url_map.iter_rules()
        if "GET" in (rule.methods or ()) and rule.rule.startswith(("/outbox", "/healthz", "/metrics", "/static"))
    )


@pytest.mark.parametrize("name", ["endpoint", "_method", "_anchor", "_external", "_scheme", "self", "delivery_id"])
@pytest.mark.parametrize("page", ["/outbox", "/outbox/1", "/outbox/1/correct", "/outbox/nowhere"])
def test_arguments_that_only_flask_knows(app: Flask, page: str, name: str) -> None:
    ask(app, "GET", f"{page}?{name}=x&refresh=²", headers=SIGN_IN)


def test_pages_with_any_arguments(app: Flask) -> None:
    names = st.sampled_from(
        ["after", "before", "limit", "state", "states", "destination", "event_name", "cause", "search", "email", "q",
         "lead_id", "since", "until", "endpoint", "_method", "_external", "_anchor", "_scheme", "refresh", "page", "id",
         "ids", "lang", "lesson", "values", "self", "max_id", "expected", "filename"]
    )  # fmt: skip
    arguments = st.lists(st.tuples(st.one_of(names, TEXT), WORD), max_size=4)

    @how(0.1)
    @given(rule=st.sampled_from(pages(app)), part=WORD, query=arguments, signed=st.booleans())
    def check(rule: str, part: str, query: list[tuple[str, str]], signed: bool) -> None:
        filled = "/".join(
            (quote(part or "1", safe="") if one.startswith("<") and ":" not in one else "1" if "<" in one else one)
            for one in rule.split("/")
        )
        target = f"{filled}?{urlencode(query, errors='replace')}"
        ask(app, "GET", target, headers=SIGN_IN if signed else {})

    check()
