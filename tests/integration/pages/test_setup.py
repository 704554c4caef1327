"""The set-up on the page: each step's button and what it leaves in the store; no practice panel elsewhere."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from outbox.message import State
from outbox.queries import Filter
from service.amocrm.choices import StageChoices
from service.setup.notes import SetupNotes
from tests.integration.pages.conftest import Visitor
from tests.support import seeded
from tests.support.site import VIEWER, application


@pytest.fixture
def school(world: seeded.World) -> seeded.World:
    """A school whose set-up is not finished."""
    world.house()
    world.store.key_values.delete("setup", ["finished"])
    world.clock.now = seeded.NOON
    return world


def test_the_list_stays_on_the_overview_until_all_is_done_and_can_be_found_afterwards(
    school: seeded.World, visitor: Visitor
) -> None:
    assert "Set-up: 4 of 8 steps are done." in visitor.text("/outbox")
    for step in ("webhook", "erp", "trial", "alert"):
        answer = visitor.press(f"/outbox/setup/without/{step}", **{"from": "overview"})
        assert answer.headers["Location"] == "/outbox"
    assert "Set-up: 8 of 8" in visitor.text("/outbox")  # once more, so that one sees it
    assert "Set-up:" not in visitor.text("/outbox")
    text = visitor.text("/outbox/setup")
    assert "Everything is set up." in text and "Not needed, says operator." in text
    visitor.press("/outbox/setup/without/alert", wanted="1")
    assert "Set-up: 7 of 8 steps are done." in visitor.text("/outbox/setup")
    assert visitor.press("/outbox/setup/without/account").status_code == 404


def test_the_funnel_is_chosen_on_the_page_where_no_setting_names_one(school: seeded.World) -> None:
    visitor = Visitor(application(school, AMOCRM_PIPELINE_ID="").test_client())
    assert "Lessons move deals of one funnel only. Which one?" in visitor.text("/outbox/setup")
    assert "no such funnel" in plain_of(visitor, visitor.press("/outbox/setup/funnel", funnel="999"))
    visitor.press("/outbox/setup/funnel", funnel=str(seeded.PIPELINE))
    text = visitor.text("/outbox/setup")
    assert f"Deals of “{seeded.FUNNEL[0]}” are moved: chosen here by operator." in text
    chosen = StageChoices(school.store.key_values).funnel()
    assert chosen is not None and (chosen.pipeline_id, chosen.who) == (seeded.PIPELINE, "operator")
    assert "chose the funnel" in visitor.text("/outbox/log")


def plain_of(visitor: Visitor, answer: Any) -> str:
    return visitor.text(answer.headers["Location"])


def test_a_setting_goes_before_and_is_named(school: seeded.World, visitor: Visitor) -> None:
    assert "set by AMOCRM_PIPELINE_ID" in visitor.text("/outbox/setup")
    assert "goes before a choice made here" in plain_of(
        visitor, visitor.press("/outbox/setup/funnel", funnel=str(seeded.PIPELINE))
    )
    assert StageChoices(school.store.key_values).funnel() is None


def test_a_trial_is_followed_to_the_stage_on_which_its_deal_stands(school: seeded.World, visitor: Visitor) -> None:
    where = {"from": "setup", "email": "student7@example.com", "lesson": "2"}
    assert visitor.press("/outbox/connections/trial", **where).headers["Location"] == "/outbox/setup"
    row = school.store.reading.find(Filter(), 1).rows[0]
    assert SetupNotes(school.store.key_values).trial() == row.id
    assert "The trial lesson is on its way." in visitor.text("/outbox/setup")
    school.end(row.id, "amocrm", State.DELIVERED, facts={"lead_id": 42, "to_name": "Lesson 2"})
    assert "Deal 42 stands on the stage “Lesson 2”." in visitor.text("/outbox/setup")


def test_whoever_may_only_look_sees_the_steps_without_buttons(school: seeded.World, app: Flask) -> None:
    looker = Visitor(app.test_client(), auth=VIEWER)
    page = looker.get("/outbox/setup").text
    assert "Set-up" in page
    assert not re.search(r'action="/outbox/(setup|connections)', page)
    assert looker.press("/outbox/setup/without/erp").status_code == 403


@pytest.mark.parametrize("path", ["/outbox/practice", "/outbox/practice/silence"])
def test_outside_practice_the_panel_is_not_there(school: seeded.World, visitor: Visitor, path: str) -> None:
    assert visitor.get("/outbox/practice").status_code == 404
    assert visitor.press(path).status_code in (404, 405)
    assert "/outbox/practice" not in visitor.get("/outbox").text


def test_a_deed_of_practice_needs_the_forms_token(school: seeded.World) -> None:
    here = {"SANDBOX": "1", "AMOCRM_BASE_URL": "http://127.0.0.1:9", "AMOCRM_SUBDOMAIN": "", "CRM_API_URL": ""}
    app = application(school, **here)
    app.extensions["dealpost"].wiring.sandbox = SimpleNamespace()
    visitor = Visitor(app.test_client())
    assert visitor.press("/outbox/practice/silence", token=False).status_code == 400
    assert visitor.press("/outbox/practice/nothing").status_code == 404
