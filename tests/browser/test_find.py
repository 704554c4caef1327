"""One box finds whatever is typed into it, with scripts and without."""

import pathlib
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from outbox.message import Known
from outbox.queries import Filter
from tests.browser.conftest import Open
from tests.support import seeded
from tests.support.site import application, served

pytestmark = [
    pytest.mark.browser,
    pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"]),
]

NAME = "Анна Сёмина"
_, EMAIL, DEAL = seeded.PEOPLE[3]


@pytest.fixture
def school(tmp_path: pathlib.Path) -> Iterator[tuple[str, seeded.World]]:
    world = seeded.World(tmp_path / "dealpost.db")
    world.day(0.05)
    world.record(seeded.PEOPLE[3], seeded.NOON - 200, 88_881)
    world.deliver(seeded.PEOPLE[3], seeded.NOON - 100, 2)
    world.store.operations.learn([Known(NAME, ("+7 (912) 345-67-89",), (EMAIL,), (DEAL,))])
    world.house()
    world.clock.now = seeded.NOON
    with served(application(world)) as address:
        yield address, world
    world.store.close()


def test_a_student_is_found_by_whatever_is_known_and_with_the_records(
    school: tuple[str, seeded.World], look: Open, scripts: bool
) -> None:
    address, world = school
    theirs = world.store.reading.find(Filter(email=EMAIL), 100).rows
    records = world.store.reading.find(Filter(lead_id=DEAL, destination="erp"), 100).rows
    everything = {row.id for row in (*theirs, *records)}
    event = theirs[0].event_id
    page = look(f"{address}/outbox/deliveries", "en", scripts=scripts)
    for typed, wanted in (
        (EMAIL, everything),
        ("tudent4@", everything),
        ("семина АННА", everything),
        ("8 912 345 67 89", everything),
        ("67-89", everything),
        (str(DEAL), everything),
        ("88881", {records[0].id}),
        (event, {theirs[0].id}),
    ):
        box = page.get_by_role("searchbox", name="Find", exact=True)
        box.fill(typed)
        with page.expect_navigation(url=re.compile("q=")):
            box.press("Enter")
        shown = page.locator("table.tight tbody tr")
        expect(shown.first).to_be_visible()
        links = page.locator("table.tight tbody td.name a, table.tight tbody td.c1 a").all()
        ids = {int(str(link.get_attribute("href")).rpartition("/")[2]) for link in links}
        assert ids == wanted, typed


def test_the_students_list_finds_by_telephone_and_shows_stage_and_last_lesson(
    school: tuple[str, seeded.World], look: Open, scripts: bool
) -> None:
    address, _ = school
    page = look(f"{address}/outbox/students", "en", scripts=scripts)
    box = page.get_by_role("searchbox", name="Find", exact=True)
    box.fill("+7 912 345 67 89")
    with page.expect_navigation(url=re.compile("q=")):
        box.press("Enter")
    (row,) = page.locator("table.rows tbody tr").all()
    for said in (NAME, EMAIL, "+7 (912) 345-67-89", "Урок 2 пройден", "finished lesson 2", str(DEAL)):
        expect(row).to_contain_text(said)
    row.get_by_role("link", name=NAME, exact=True).click()
    expect(page.get_by_text("+7 (912) 345-67-89")).to_be_visible()
