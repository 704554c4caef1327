"""Requests that a program makes up of the API's description: each answer is one that the description tells of."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as how
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


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/tripwire/complete"),
        ("POST", "/api/events"),
        ("POST", "/e/{event_key}"),
        ("GET", "/api/events/{event_id}"),
        ("GET", "/api/outbox"),
        ("POST", "/api/amocrm-webhook"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_each_answer_is_described(method: str, path: str, tmp_path) -> None:
    app = create_app(load({**ENVIRON, "DATABASE_URL": f"sqlite:///{tmp_path}/dealpost.db"}))
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    operation = schema[path][method]

    @how(max_examples=40, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
         suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case) -> None:
        if "event_key" in case.path_parameters:
            case.path_parameters["event_key"] = "platform-key-1"
        case.call_and_validate(headers=KEY, checks=CHECKS)

    check()
