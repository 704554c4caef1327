"""Each deed of the page, pressed to its end with scripts and without, and looked for in the store."""

import pathlib
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from outbox import pauses
from outbox.drain import Lane
from outbox.message import Delivery, State
from outbox.outcome import Delivered
from outbox.queries import Filter
from service.amocrm.choices import StageChoices
from tests.browser.conftest import Open, faults
from tests.integration.store.make import Fake
from tests.support import seeded
from tests.support.site import application, served

pytestmark = [
    pytest.mark.browser,
    pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"]),
]

DELETED = "/outbox/deliveries?state=dead&cause=stage_deleted"


class School:
    """A school with 14 lessons that did not arrive, three unknown students and a refused record; and its store."""

    def __init__(self, world: seeded.World, address: str) -> None:
        self.world, self.store = world, world.store
        self.address = address

    def rows(self, cause: str) -> tuple[Delivery, ...]:
        return self.store.reading.find(Filter(cause=cause), 50).rows

    def states(self, cause: str) -> list[State]:
        return [row.state for row in self.rows(cause)]


@pytest.fixture
def school(tmp_path: pathlib.Path) -> Iterator[School]:
    world = seeded.World(tmp_path / "dealpost.db")
    world.day(0.05, lost=14)
    world.others_lost()
    world.house()
    world.clock.now = seeded.NOON
    with served(application(world)) as address:
        yield School(world, address)
    world.store.close()


def answer(page: Page, scripts: bool, question: str, button: str | re.Pattern[str]) -> None:
    """Presses the button under the question, which is a dialog with scripts and a page without."""
    asked = page.get_by_role("dialog", name=question) if scripts else page.locator("#main")
    expect(asked.get_by_role("heading", name=question)).to_be_visible()
    exact = isinstance(button, str)
    with page.expect_navigation():  # to the page that says it is done: before that the store may be as it was
        asked.get_by_role("button", name=button, exact=exact).click()


def test_fourteen_lessons_are_sent_again(school: School, look: Open, scripts: bool) -> None:
    ids = [row.id for row in school.rows("stage_deleted")]
    page = look(school.address + DELETED, "en", scripts=scripts)
    page.get_by_role("button", name="Send 14…", exact=True).click()
    answer(page, scripts, "Send 14 deliveries again?", "Send 14")
    expect(page.get_by_role("heading", level=1)).to_contain_text("0 of 14")
    assert {row.state for row in school.store.reading.find(Filter(ids=tuple(ids)), 50).rows} == {State.PENDING}


def test_fourteen_lessons_are_cancelled(school: School, look: Open, scripts: bool) -> None:
    page = look(school.address + DELETED, "en", scripts=scripts)
    page.get_by_role("button", name="Do not send 14…", exact=True).click()
    answer(page, scripts, "Cancel 14 deliveries?", "Do not send 14")
    expect(page.get_by_text("14 deliveries cancelled.")).to_be_visible()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    assert not scripts or faults(page) == []
    assert set(school.states("stage_deleted")) == {State.DISCARDED}


def test_only_the_ticked_lesson_is_sent(school: School, look: Open, scripts: bool) -> None:
    page = look(school.address + DELETED, "en", scripts=scripts)
    for box in page.locator("input[name=id]").all()[1:]:
        box.uncheck()
    page.get_by_role("button", name="Send 1…" if scripts else "Send 14…", exact=True).click()
    answer(page, scripts, "Send 1 delivery again?", "Send 1")
    expect(page.get_by_role("heading", level=1)).to_contain_text("0 of 1")
    assert school.states("stage_deleted").count(State.DEAD) == 13


def test_the_cause_on_the_overview_is_sent_from_there(school: School, look: Open, scripts: bool) -> None:
    page = look(school.address + "/outbox", "en", scripts=scripts)
    page.get_by_role("link", name="“Send 14…”").click()
    answer(page, scripts, "Send 14 deliveries again?", "Send 14")
    expect(page.get_by_role("heading", level=1)).to_contain_text("0 of 14")
    assert State.DEAD not in school.states("stage_deleted")


def test_one_lesson_is_cancelled(school: School, look: Open, scripts: bool) -> None:
    row = school.rows("stage_deleted")[0]
    page = look(f"{school.address}/outbox/{row.id}", "en", scripts=scripts)
    page.get_by_role("link", name="Do not send…").click()
    answer(page, scripts, "Do not send this one?", "Do not send")
    page.wait_for_url(f"{school.address}/outbox/{row.id}")
    found = school.store.reading.delivery(row.id)
    assert found is not None and found.state == State.DISCARDED


def test_a_cancelled_lesson_is_sent_after_all(school: School, look: Open, scripts: bool) -> None:
    row = school.rows("stage_deleted")[0]
    school.store.operations.discard(Filter(ids=(row.id,)), "operator")
    page = look(f"{school.address}/outbox/{row.id}", "en", scripts=scripts)
    page.get_by_role("button", name="Send now").click()
    expect(page.get_by_text("It goes out now.")).to_be_visible()
    found = school.store.reading.delivery(row.id)
    assert found is not None and found.state == State.PENDING


def test_an_e_mail_is_corrected_and_sent(school: School, look: Open, scripts: bool) -> None:
    row = school.rows("contact_not_found")[0]
    page = look(f"{school.address}/outbox/{row.id}", "en", scripts=scripts)
    page.get_by_role("link", name="Correct and send…").click()
    page.get_by_role("textbox", name="E-mail").fill("student41@example.com")
    answer(page, scripts, "Correct the e-mail and send?", "Correct and send")
    expect(page.get_by_text("Corrected. It goes out now to student41@example.com.")).to_be_visible()
    found = school.store.reading.delivery(row.id)
    assert found is not None
    assert (found.state, found.email) == (State.PENDING, "student41@example.com")


def test_whom_an_address_means_is_found_by_a_part_of_it_and_all_lessons_are_mended(
    school: School, look: Open, scripts: bool
) -> None:
    row = school.rows("contact_not_found")[0]
    assert row.email
    person = ("", row.email, 0)
    school.world.accept("lesson.completed", person, school.world.clock.now, lesson=2)
    page = look(f"{school.address}/outbox/{row.id}", "en", scripts=scripts)
    page.get_by_role("link", name="Correct and send…").click()
    page.get_by_role("textbox", name="E-mail").fill("dent41@")
    if not scripts:
        page.get_by_role("button", name="Search amoCRM").click()
    page.get_by_role("link", name="Студент 41").click()
    expect(page.get_by_role("textbox", name="E-mail")).to_have_value("student41@example.com")
    answer(page, scripts, "Correct the e-mail and send?", "Correct and send")
    expect(page.get_by_text("Corrected: 2 deliveries go out now to student41@example.com.")).to_be_visible()
    found = school.store.reading.find(Filter(email="student41@example.com", states=(State.PENDING,)), 10).rows
    assert [one.data["lesson"] for one in found] == [2, 1]


def test_a_deed_is_taken_back(school: School, look: Open, scripts: bool) -> None:
    page = look(school.address + DELETED, "en", scripts=scripts)
    page.get_by_role("button", name="Do not send 14…", exact=True).click()
    answer(page, scripts, "Cancel 14 deliveries?", "Do not send 14")
    assert set(school.states("stage_deleted")) == {State.DISCARDED}
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Taken back: 14 deliveries are as they were.")).to_be_visible()
    assert set(school.states("stage_deleted")) == {State.DEAD}


def test_a_record_is_corrected_and_sent(school: School, look: Open, scripts: bool) -> None:
    row = school.rows("erp_refused")[0]
    page = look(f"{school.address}/outbox/{row.id}", "en", scripts=scripts)
    page.get_by_role("link", name="Correct and send…").click()
    page.get_by_label("Amount").fill("12500.50")
    answer(page, scripts, "Correct the record and send?", "Correct and send")
    found = school.store.reading.delivery(row.id)
    assert found is not None
    assert (found.state, found.data["amount"]) == (State.PENDING, "12500.50")


def test_a_destination_is_paused_and_resumed(school: School, look: Open, scripts: bool) -> None:
    page = look(school.address + "/outbox/connections", "en", scripts=scripts)
    page.get_by_role("link", name="Pause sending…").first.click()
    answer(page, scripts, "Pause sending to amoCRM?", "Pause")
    expect(page.get_by_text("Sending to amoCRM is paused. Events are accepted and wait.")).to_be_visible()
    paused = pauses.read(school.store.key_values, "amocrm")
    assert paused is not None and (paused.kind, paused.who) == ("operator", "operator")
    page.get_by_role("button", name="Resume").first.click()
    expect(page.get_by_text("Sending to amoCRM goes on.")).to_be_visible()
    assert pauses.read(school.store.key_values, "amocrm") is None


def test_a_pause_and_its_end_are_taken_back(school: School, look: Open, scripts: bool) -> None:
    page = look(school.address + "/outbox/connections", "en", scripts=scripts)
    page.get_by_role("link", name="Pause sending…").first.click()
    answer(page, scripts, "Pause sending to amoCRM?", "Pause")
    expect(page.get_by_text("amoCRM: paused")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Taken back: sending is as it was before.")).to_be_visible()
    assert pauses.read(school.store.key_values, "amocrm") is None
    pauses.pause(school.store, "amocrm", "olga", "the account is being cleaned")
    before = pauses.read(school.store.key_values, "amocrm")
    page.goto(school.address + "/outbox/connections")
    page.get_by_role("button", name="Resume").first.click()
    expect(page.get_by_text("amoCRM: resumed")).to_be_visible()
    assert pauses.read(school.store.key_values, "amocrm") is None
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Taken back: sending is as it was before.")).to_be_visible()
    assert before is not None and pauses.read(school.store.key_values, "amocrm") == before


def test_a_stage_is_chosen_one_is_tried_and_the_other_thirteen_follow(
    tmp_path: pathlib.Path, look: Open, scripts: bool
) -> None:
    world = seeded.World(tmp_path / "dealpost.db")
    world.day(0.05)
    world.stopped()
    world.house()
    amocrm = Fake()
    lane = Lane(
        world.store, amocrm, "worker", random=lambda: 0.0, stopping=lambda: False, alert=lambda *_: None,
        rest=lambda _seconds: None,
    )  # fmt: skip
    assert lane.acquire() and lane.run_pass().paused
    amocrm.answer = lambda row: Delivered(str(row.id), {**world.moved(3), "lesson": 2})
    with served(application(world)) as address:
        page = look(address + "/outbox", "en", scripts=scripts)
        page.get_by_label("Where to move deals after lesson 2").select_option(label="Урок 3 пройден")
        page.get_by_role("button", name="Save and try one").click()
        expect(page.get_by_text("One delivery to amoCRM is being tried.")).to_be_visible()
        amocrm.fingerprint = "with another stage"
        assert lane.run_pass().claimed == 1 and lane.run_pass().paused
        page.goto(address + "/outbox")
        expect(page.get_by_text("went through: stage “Урок 3 пройден”.")).to_be_visible()
        page.get_by_role("button", name="Send the other 13", exact=True).click()
        expect(page.get_by_text("Sending to amoCRM goes on.")).to_be_visible()
        page.goto("about:blank")  # before its server goes
        while lane.run_pass().claimed:
            pass
    sent = world.store.reading.find(Filter(destination="amocrm", since=seeded.NOON - 701), 50).rows
    assert {row.state for row in sent} == {State.DELIVERED} and len(sent) >= 14
    world.store.close()


def test_the_funnel_is_chosen(school: School, look: Open, scripts: bool) -> None:
    with served(application(school.world, AMOCRM_PIPELINE_ID="")) as address:
        page = look(address + "/outbox/setup", "en", scripts=scripts)
        page.get_by_label("Funnel").select_option(seeded.FUNNEL[0])
        page.locator("form", has=page.get_by_label("Funnel")).get_by_role("button", name="Save").click()
        expect(page.get_by_text(f"Saved. Lessons move deals of “{seeded.FUNNEL[0]}”.")).to_be_visible()
        page.goto("about:blank")  # before its server goes
    chosen = StageChoices(school.store.key_values).funnel()
    assert chosen is not None and (chosen.pipeline_id, chosen.who) == (seeded.PIPELINE, "operator")
