"""What `flask check` says of amoCRM, the settings and itself: each thing that is not well, made in the sandbox."""

import pathlib
import threading
from collections.abc import Callable, Iterator

import pytest

from sandbox import Sandbox, defaults
from service import checks, create_app
from service.checks import FAULT, NOTE, OK, Check, account, pipelines
from service.config import load
from service.current import Dealpost
from service.environment import read_settings
from tests.support.waiting import eventually

Look = Callable[..., list[Check]]
KEYS = {"SECRET_KEY": "only-for-tests-of-the-checks", "TOKEN_KEYS": "q6zW4n1vYdQk0cW7o1nq0m1B3l9v1eJ8s2dXc5yTg7A="}


@pytest.fixture
def look(sandbox: Sandbox, tmp_path: pathlib.Path) -> Iterator[Look]:
    opened: list[Dealpost] = []

    def ask(email: str = "", **settings: str) -> list[Check]:
        environ = {**sandbox.env, "SANDBOX": "1", "DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "LOCALE": "en", **KEYS}
        app = create_app(load({**environ, **settings}))
        dealpost: Dealpost = app.extensions["dealpost"]
        opened.append(dealpost)
        with app.test_request_context():
            return list(checks.run(dealpost, email))

    yield ask
    sandbox.world.stopping.set()  # whatever still hangs there goes on
    eventually(lambda: not at_work("check-"))
    for one in opened:
        one.store.close()


def at_work(prefix: str) -> set[str]:
    """The threads of that name."""
    return {thread.name for thread in threading.enumerate() if thread.name.startswith(prefix)}


def named(found: list[Check], name: str) -> Check:
    return next(one for one in found if one.name == name)


def test_pipelines_and_stages_are_told_with_their_ids(look: Look) -> None:
    told = named(look(), f"pipeline {defaults.PIPELINE_ID}")
    assert told.state == OK and "Продажи" in told.words and f"Урок 1 пройден ({defaults.STAGE_LESSON_1})" in told.words


def test_an_archived_pipeline_is_no_place_for_deals(sandbox: Sandbox, look: Look) -> None:
    sandbox.amocrm.main_pipeline().is_archive = True
    found = look()
    for name in ("AMOCRM_PIPELINE_ID", "AMOCRM_STAGE_LESSON_1", "AMOCRM_STAGE_LESSON_3"):
        assert named(found, name).state == FAULT and "archive" in named(found, name).words
    assert "(archived)" in named(found, f"pipeline {defaults.PIPELINE_ID}").words


def test_a_renamed_account_is_told_by_its_name(sandbox: Sandbox, look: Look) -> None:
    sandbox.set(subdomain="renamed")
    found = look(SANDBOX="", AMOCRM_SUBDOMAIN=defaults.SUBDOMAIN, API_KEYS="platform:key-of-the-tests-of-checks")
    told = named(found, "AMOCRM_SUBDOMAIN")
    assert told.state == FAULT and "renamed" in told.words and told.mend == "AMOCRM_SUBDOMAIN=renamed"


def test_an_account_that_moved_away_is_not_well(sandbox: Sandbox, look: Look) -> None:
    sandbox.faults.preset("account_moved")
    told = named(look(), "amoCRM, account")
    assert told.state == FAULT and told.mend


def test_a_clock_that_is_off_and_the_time_that_an_answer_takes(sandbox: Sandbox, look: Look) -> None:
    found = look()
    assert named(found, "clock").state == OK and named(found, "amoCRM, speed").state == OK
    sandbox.set(date_offset=3600)
    told = named(look(), "clock")
    assert told.state == FAULT and "differs from amoCRM's by -3" in told.words


def test_the_kind_of_the_token_and_its_end_are_told(sandbox: Sandbox, look: Look) -> None:
    assert "a pair of tokens" in named(look(), "amoCRM, access").words
    token = sandbox.oauth.new_long_lived(3 * 86400)
    told = named(look(AMOCRM_ACCESS_TOKEN=token, AMOCRM_REFRESH_TOKEN=""), "amoCRM, access")
    assert told.state == NOTE and "long-lived" in told.words and "make another" in told.mend


def test_a_student_is_looked_for(sandbox: Sandbox, look: Look) -> None:
    contact = sandbox.amocrm.add_contact("Anna", email="anna@example.com")
    deal = sandbox.amocrm.add_deal("Course", 4900, contact_ids=[contact.id])
    told = [one for one in look("Anna@example.com") if one.part == "email"]
    assert {one.state for one in told} == {OK} and any(str(deal.id) in one.words for one in told)
    told = [one for one in look("nobody@example.com") if one.part == "email"]
    assert [one.state for one in told] == [FAULT] and told[0].mend
    told = [one for one in look("anna@example.com", AMOCRM_REFRESH_TOKEN="def50200bad") if one.part == "email"]
    assert [one.state for one in told] != [OK]


def test_a_system_that_does_not_answer_hides_none_of_the_others(
    sandbox: Sandbox, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "DEADLINE", 0.5)
    sandbox.faults.add("hang", part="amocrm", path="/api/v4", seconds=3, count=None)
    found = look()
    assert named(found, "amoCRM, account").state == FAULT
    assert named(found, "ERP_ENTITY_ID").state == OK and named(found, "store").state == OK


def test_a_part_that_takes_too_long_is_said_to(sandbox: Sandbox, look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    class OnceTheOthersAnswered(checks.Remaining):
        def __call__(self) -> float:
            eventually(lambda: at_work("check-") <= {"check-amocrm"})
            return super().__call__()

    monkeypatch.setattr(checks, "LIMIT", 0.5)
    monkeypatch.setattr(checks, "Remaining", OnceTheOthersAnswered)
    sandbox.faults.add("hang", part="amocrm", path="/api/v4", seconds=60, count=None)
    found = look()
    told = named(found, "amocrm")
    assert told.state == FAULT and "no answer within" in told.words
    assert named(found, "ERP_ENTITY_ID").state == OK


def test_a_part_that_stumbles_hides_none_of_the_others(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object) -> Iterator[Check]:
        yield from ()
        raise RuntimeError("of the test")

    monkeypatch.setattr(pipelines, "checks", stumble)
    found = look()
    assert named(found, "amocrm").state == FAULT and "RuntimeError" in named(found, "amocrm").words
    assert named(found, "amoCRM, account").state == OK and named(found, "ERP_ENTITY_ID").state == OK


def test_each_setting_is_told_with_its_source_and_no_secret(tmp_path: pathlib.Path) -> None:
    file, key = tmp_path / "of-test.env", tmp_path / "key"
    key.write_text("only-in-a-file-1")
    file.write_text("AMOCRM_SUBDOMAIN=yoursubdomain\nCRM_API_USERNAME=post\nRETENTION_DAYS=90\nLOCALE=ru\n")
    environ = {
        "DEALPOST_ENV_FILE": str(file), "DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "LOCALE": "en",
        "CRM_API_KEY_FILE": str(key), "ALLOW_EPHEMERAL": "1",
        "CRM_API_URL": "http://user:secret-word@127.0.0.1:9/rest.php",
    }  # fmt: skip
    app = create_app(read_settings(environ))
    dealpost: Dealpost = app.extensions["dealpost"]
    with app.test_request_context():
        found = list(checks.run(dealpost, every=True))
    dealpost.store.close()
    sources = {one.name: one.source for one in found}
    assert sources["RETENTION_DAYS"] == sources["CRM_API_USERNAME"] == str(file)
    assert sources["LOCALE"] == sources["DATABASE_URL"] == "environment"
    assert sources["CRM_API_KEY"] == "file named by CRM_API_KEY_FILE"
    assert sources["AMOCRM_RPS"] == sources["ERP_ENTITY_ID"] == "default"
    assert named(found, "AMOCRM_SUBDOMAIN").state == NOTE and "example" in named(found, "AMOCRM_SUBDOMAIN").words
    said = " ".join(f"{one.words} {one.mend}" for one in found)
    assert "only-in-a-file-1" not in said and "secret-word" not in said
