"""What `flask check` finds out about amoCRM, without changing anything there."""

import pathlib
from collections.abc import Callable, Iterator

import pytest

from sandbox import Sandbox, defaults
from service import create_app
from service.checks import FAULT, NOTE, OK, Check, run
from service.config import load
from service.current import Dealpost

Look = Callable[..., dict[str, Check]]


@pytest.fixture
def look(sandbox: Sandbox, tmp_path: pathlib.Path) -> Iterator[Look]:
    """The checks by the setting that they name, the worst of each."""
    opened: list[Dealpost] = []

    def ask(**settings: str) -> dict[str, Check]:
        environ = {**sandbox.env, "DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "LOCALE": "en"}
        secrets = {
            "SECRET_KEY": "6b1f0c5a9d3e47a2b8c4d7e1",
            "TOKEN_KEYS": "q6zW4n1vYdQk0cW7o1nq0m1B3l9v1eJ8s2dXc5yTg7A=",
        }
        app = create_app(load({**environ, **secrets, **settings}))
        dealpost: Dealpost = app.extensions["dealpost"]
        opened.append(dealpost)
        found: dict[str, Check] = {}
        with app.test_request_context():
            for check in run(dealpost):
                if check.name not in found or check.state == FAULT:
                    found[check.name] = check
        return found

    yield ask
    for one in opened:
        one.store.close()


def test_an_archived_pipeline(sandbox: Sandbox, look: Look) -> None:
    assert look()["AMOCRM_PIPELINE_ID"].state == OK
    sandbox.amocrm.pipelines[defaults.PIPELINE_ID].is_archive = True
    check = look()["AMOCRM_PIPELINE_ID"]
    assert check.state == FAULT and "archive" in check.words and "archive" in check.mend


def test_a_renamed_account(sandbox: Sandbox, look: Look) -> None:
    assert look(AMOCRM_SUBDOMAIN=defaults.SUBDOMAIN)["AMOCRM_SUBDOMAIN"].state == OK
    sandbox.set(subdomain="newname")
    check = look(AMOCRM_SUBDOMAIN=defaults.SUBDOMAIN)["AMOCRM_SUBDOMAIN"]
    assert check.state == FAULT and "newname" in check.words and check.mend == "AMOCRM_SUBDOMAIN=newname"
    sandbox.faults.preset("account_gone")
    check = look(AMOCRM_SUBDOMAIN=defaults.SUBDOMAIN)["amoCRM, account"]
    assert check.state == FAULT and "AMOCRM_SUBDOMAIN" in check.mend


@pytest.mark.parametrize("status", [402, 403, 404])
def test_closed_webhooks_are_only_noted(sandbox: Sandbox, look: Look, status: int) -> None:
    sandbox.faults.preset("webhooks_closed", status=status)
    found = look()
    assert found["webhook"].state == NOTE and "by hand" in found["webhook"].mend
    assert found["AMOCRM_PIPELINE_ID"].state == OK


@pytest.mark.parametrize(("preset", "word"), [("forbidden_113", "address"), ("forbidden_112", "Switch the user on")])
def test_a_403_with_a_number_has_its_own_mend(sandbox: Sandbox, look: Look, preset: str, word: str) -> None:
    sandbox.faults.preset(preset)
    check = look()["amoCRM, account"]
    assert check.state == FAULT and word in check.mend
