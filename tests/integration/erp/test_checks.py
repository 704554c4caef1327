"""What `flask check` finds out about the ERP, without changing anything there."""

import pathlib
from collections.abc import Callable, Iterator

import pytest

from sandbox import Sandbox
from service import create_app
from service.checks import FAULT, NOTE, OK, Check, run
from service.config import load
from service.current import Dealpost

Look = Callable[..., dict[str, Check]]


@pytest.fixture
def look(sandbox: Sandbox, tmp_path: pathlib.Path) -> Iterator[Look]:
    """The checks of the ERP by the setting that they name, the worst of each."""
    opened: list[Dealpost] = []

    def ask(**settings: str) -> dict[str, Check]:
        environ = {**sandbox.env, "SANDBOX": "1", "DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "LOCALE": "en"}
        secrets = {"SECRET_KEY": "x" * 40, "TOKEN_KEYS": "q6zW4n1vYdQk0cW7o1nq0m1B3l9v1eJ8s2dXc5yTg7A="}
        app = create_app(load({**environ, **secrets, **settings}))
        dealpost: Dealpost = app.extensions["dealpost"]
        opened.append(dealpost)
        found: dict[str, Check] = {}
        with app.test_request_context():
            for check in run(dealpost):
                if check.name.startswith("ERP") and (check.name not in found or check.state == FAULT):
                    found[check.name] = check
        return found

    yield ask
    for one in opened:
        one.store.close()


def test_all_is_well(sandbox: Sandbox, look: Look) -> None:
    assert {name: check.state for name, check in look().items()} == {
        "ERP": OK,
        "ERP_ENTITY_ID": OK,
        "ERP_FIELD_KEY": OK,
    }
    assert sandbox.erp.records() == []


def test_a_key_field_that_is_not_unique(sandbox: Sandbox, look: Look) -> None:
    for form in ("text", "object"):
        sandbox.set(erp_configuration=form)
        sandbox.erp.add_field("70", "1041", "Ключ", unique=False)
        check = look()["ERP_FIELD_KEY"]
        assert check.state == FAULT and "field_1041 is not unique" in check.words and "unique" in check.mend
        sandbox.erp.add_field("70", "1041", "Ключ", unique=True)
        assert look()["ERP_FIELD_KEY"].state == OK


def test_fields_that_are_not_there(sandbox: Sandbox, look: Look) -> None:
    sandbox.erp.delete_field("70", "1041")
    check = look(ERP_FIELDS="field_4711={stage}")["ERP_ENTITY_ID"]
    assert check.state == FAULT and "entity 70 has no field_1041, field_4711" in check.words


def test_a_user_who_may_not_create(sandbox: Sandbox, look: Look) -> None:
    sandbox.set(erp_may_create=False)
    check = look()["ERP_ENTITY_ID"]
    assert check.state == FAULT and "may not create records in entity 70" in check.words and "right" in check.mend


def test_an_entity_that_is_not_there(look: Look) -> None:
    check = look(ERP_ENTITY_ID="4711")["ERP_ENTITY_ID"]
    assert check.state == FAULT and "Entity 4711 not found" in check.words


@pytest.mark.parametrize(
    ("preset", "words"),
    [
        ("erp_api_off", "API is not enabled"),
        ("erp_to_https", "a redirect (301) to https://"),
        ("erp_moved", "a redirect (302) to https://erp.example.com/api/rest.php"),
    ],
)
def test_what_keeps_the_ERP_from_answering_is_named(sandbox: Sandbox, look: Look, preset: str, words: str) -> None:
    sandbox.faults.preset(preset)
    check = look()["ERP"]
    assert check.state == FAULT and words in check.words


def test_words_of_PHP_before_the_answers(sandbox: Sandbox, look: Look) -> None:
    sandbox.faults.preset("erp_warning")
    check = look()["ERP"]
    assert check.state == NOTE and "Warning" in check.words and "display_errors" in check.mend


def test_an_older_version_that_does_not_tell_of_its_fields(sandbox: Sandbox, look: Look) -> None:
    sandbox.faults.add("erp_refusal", action="get_entity_fields", detail="Action not found", count=None)
    check = look()["ERP_ENTITY_ID"]
    assert check.state == NOTE and "cannot be read" in check.words
