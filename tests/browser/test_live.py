"""What the page does by itself and by keys, and that it does without scripts all that it does with them."""

import pathlib
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from outbox import pauses
from outbox.message import State
from outbox.outcome import PauseKind
from outbox.queries import Filter
from tests.browser.conftest import Open, Sites, settled
from tests.support import seeded
from tests.support.site import application, served

pytestmark = pytest.mark.browser

REFRESH = "r"


def refreshed(page: Page) -> None:
    """Presses the key that refreshes and waits for the answer."""
    with page.expect_response(lambda answer: answer.request.headers.get("x-fragment") == "1"):
        page.keyboard.press(REFRESH)


def test_a_refresh_shows_news_and_keeps_panels_focus_and_place(look: Open, sites: Sites) -> None:
    page = look(sites.trouble + "/outbox", "en")
    page.get_by_text("Show as a table").click()
    page.get_by_role("link", name="All deliveries of the last 24 hours").focus()
    page.evaluate("window.scrollTo(0, 700)")
    page.evaluate("document.querySelector('#coming').dataset.kept = 'yes'")
    world = sites.world
    try:
        world.clock.now += 1
        refreshed(page)
        expect(page.locator("#updated")).to_have_text("14:36:09")
    finally:
        world.clock.now -= 1
    assert page.locator("#chart-table").get_attribute("open") is not None
    assert page.evaluate("document.activeElement.textContent") == "All deliveries of the last 24 hours"
    assert page.evaluate("window.scrollY") == 700
    assert page.locator("#coming").count() == 1


def test_it_refreshes_by_itself_until_it_is_stopped(look: Open, sites: Sites) -> None:
    page = look("about:blank", clock=True)
    page.clock.install()
    page.goto(sites.well + "/outbox")
    with page.expect_response(lambda answer: answer.request.headers.get("x-fragment") == "1"):
        page.clock.run_for(5100)
    page.get_by_role("button", name="Остановить").click()
    expect(page.get_by_role("button", name="Обновлять")).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(30_000)
    assert asked == []
    with page.expect_response(lambda answer: answer.request.headers.get("x-fragment") == "1"):
        page.get_by_role("button", name="Обновлять").click()


def test_the_countdown_counts_and_is_not_read_aloud(look: Open, sites: Sites) -> None:
    page = look("about:blank", "en", clock=True)
    page.clock.install(time=0)
    page.clock.pause_at(1000)  # it goes on only when the test says so, however long the page takes to come
    page.goto(sites.trouble + "/outbox")
    count = page.locator(".countdown b")
    expect(count).to_have_text("40\u00a0s")
    page.clock.run_for(3000)
    expect(count).to_have_text("37\u00a0s")
    assert page.locator("#spoken").inner_text() == ""


def test_a_lost_server_is_told_and_the_figures_stay(look: Open, sites: Sites) -> None:
    page = look(sites.well + "/outbox", "en")
    page.route("**/*", lambda route: route.abort())
    page.keyboard.press(REFRESH)
    expect(page.locator("#spoken")).to_have_text("No answer from the server. These are old figures.")
    expect(page.get_by_role("heading", level=1)).to_contain_text("All delivered.")
    page.unroute("**/*")
    refreshed(page)
    expect(page.locator("#main")).not_to_have_class(re.compile("stale"))


def test_keys_search_and_help(look: Open, sites: Sites) -> None:
    page = look(sites.well + "/outbox", "en")
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("student1@example.com")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/outbox/deliveries\?q=student1"))
    page.wait_for_load_state()  # the address changes before the page's script listens to keys
    page.locator("body").press("?")
    expect(page.get_by_role("dialog", name="Keys and words")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_the_question_comes_in_a_dialog_and_going_back_returns_the_focus(look: Open, sites: Sites) -> None:
    page = look(sites.trouble + "/outbox/deliveries?state=dead&cause=stage_deleted", "en")
    page.get_by_role("button", name="Send 14…", exact=True).click()
    dialog = page.get_by_role("dialog", name="Send 14 deliveries again?")
    expect(dialog).to_be_visible()
    expect(dialog.locator("#foreseen")).to_contain_text("2 deals stay where they are")
    dialog.get_by_role("link", name="Go back").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("button", name="Send 14…", exact=True)).to_be_focused()


def test_ticking_counts_and_only_the_ticked_are_asked_about(look: Open, sites: Sites) -> None:
    page = look(sites.trouble + "/outbox/deliveries?state=dead&cause=stage_deleted", "en")
    page.get_by_role("checkbox", name=re.compile("Студент 3,")).uncheck()
    expect(page.get_by_text("Selected: 13")).to_be_visible()
    everything = page.get_by_role("checkbox", name="Select all on this page")
    everything.check()
    everything.uncheck()
    expect(page.locator(".bulk .main")).to_be_disabled()
    page.get_by_role("checkbox", name=re.compile("Студент 5,")).check()
    page.get_by_role("button", name="Do not send 1…").click()
    expect(page.get_by_role("dialog", name="Cancel 1 delivery?")).to_be_visible()


def test_the_preview_and_the_checks_are_looked_up_by_the_page(look: Open, sites: Sites) -> None:
    page = look(f"{sites.trying}/outbox/{sites.ids['waits']}", "en")
    expect(page.locator("#preview")).to_contain_text("will be")
    page = look(sites.well + "/outbox/connections", "en")
    expect(page.locator("#checks")).to_contain_text("in order")


STAGES = "**/outbox/connections/stages*"


def test_a_stage_that_was_chosen_stays_while_the_list_of_stages_is_still_coming(look: Open, sites: Sites) -> None:
    page = look("about:blank", "en")
    held: list[Route] = []
    page.route(STAGES, lambda route: held.append(route))
    with page.expect_request(STAGES):
        page.goto(sites.trouble + "/outbox")
    choice = page.get_by_label("Where to move deals after lesson 2")
    choice.select_option(label="Урок 3 пройден")  # of those that were known before
    choice.evaluate("(one) => one.blur()")
    for _refresh in range(2):
        refreshed(page)
    with page.expect_response(STAGES):
        held[0].continue_()
    for _refresh in range(2):
        refreshed(page)
    expect(choice.locator("option")).to_have_count(7)
    expect(choice).to_have_value(str(seeded.LESSON_STAGE[3]))


def test_stages_that_cannot_be_asked_for_leave_those_that_are_known(look: Open, sites: Sites) -> None:
    page = look("about:blank", "en")
    page.route(STAGES, lambda route: route.fulfill(body='<option value="">amoCRM does not answer</option>'))
    with page.expect_response(STAGES):
        page.goto(sites.trouble + "/outbox")
    refreshed(page)
    expect(page.get_by_label("Where to move deals after lesson 2").locator("option")).to_have_count(7)


@pytest.fixture
def own(tmp_path: pathlib.Path) -> Iterator[tuple[seeded.World, str]]:
    """A school with a stage that is gone, which a test may change. Asked for before `look`, it goes after the pages."""
    world = seeded.World(tmp_path / "dealpost.db")
    world.day(0.05, lost=6)
    world.house()
    world.clock.now = seeded.NOON
    with served(application(world)) as address:
        yield world, address
    world.store.close()


def test_a_choice_stays_with_what_it_is_for_when_blocks_come_and_go_round_it(
    own: tuple[seeded.World, str], look: Open
) -> None:
    world, address = own
    page = look(address + "/outbox", "en")
    choice = page.get_by_label("Where to move deals after lesson 2")
    choice.select_option(label="Урок 3 пройден")
    choice.evaluate("(one) => one.blur()")
    world.store.operations.log_action("operator", "pause", 1, {"destination": "erp"})
    undo = pauses.Paused(PauseKind.OPERATOR, None, "operator", "operator", seeded.NOON, who="operator")
    pauses.begin(world.store.key_values, "erp", undo)
    for age in (world.clock.now, world.clock.now + 400):  # then no process is heard: that is worse, and comes first
        world.clock.now = age
        refreshed(page)
        expect(choice).to_have_value(str(seeded.LESSON_STAGE[3]))
        expect(choice).to_have_attribute("name", "stage:2")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Nothing is being sent")


def test_what_was_typed_into_a_filter_stays(own: tuple[seeded.World, str], look: Open) -> None:
    world, address = own
    page = look(address + "/outbox/deliveries", "en")
    page.locator("#find").fill("Anna")
    page.get_by_label("Where to").select_option("erp")
    page.evaluate("document.activeElement.blur()")
    world.deliver(seeded.PEOPLE[1], seeded.NOON, 1)
    refreshed(page)
    expect(page.locator("#find")).to_have_value("Anna")
    expect(page.get_by_label("Where to")).to_have_value("erp")


def test_ticks_stay_with_their_deliveries_when_others_arrive(own: tuple[seeded.World, str], look: Open) -> None:
    world, address = own
    page = look(address + "/outbox/deliveries?state=dead&cause=stage_deleted&select=none", "en")
    boxes = page.locator("input[name=id]")
    ticked = boxes.nth(1).get_attribute("value")
    boxes.nth(1).check()
    boxes.nth(1).evaluate("(one) => one.blur()")
    world.lose(9, seeded.NOON)
    refreshed(page)
    expect(boxes).to_have_count(7)
    assert page.evaluate("[...document.querySelectorAll('input[name=id]:checked')].map((one) => one.value)") == [ticked]
    expect(page.get_by_text("Selected: 1")).to_be_visible()


def test_an_answer_that_comes_late_does_not_put_the_page_back(own: tuple[seeded.World, str], look: Open) -> None:
    world, address = own
    page = look(address + "/outbox", "en")
    held: list[Route] = []
    page.route("**/outbox", lambda route: route.continue_() if held else held.append(route))
    with page.expect_request("**/outbox"):
        page.keyboard.press(REFRESH)
    page.wait_for_function("() => true")  # its route comes right behind the request
    answer = held[0].fetch()
    world.clock.now += 1
    refreshed(page)
    expect(page.locator("#updated")).to_have_text("14:36:09")
    with page.expect_response("**/outbox"):
        held[0].fulfill(response=answer)
    page.evaluate("() => new Promise((done) => setTimeout(done))")
    expect(page.locator("#updated")).to_have_text("14:36:09")


def test_what_was_done_is_still_said_after_a_refresh_and_not_for_ever(look: Open, sites: Sites) -> None:
    page = look(sites.well + "/outbox/connections", "en", clock=True)
    page.get_by_role("button", name="Send a test alert").click()
    said = page.get_by_text("There is nobody to tell: the school's developer sets ALERT_URLS.")
    expect(said).to_be_visible()
    refreshed(page)
    page.clock.run_for(20_000)
    refreshed(page)
    expect(said).to_be_visible()
    page.clock.run_for(20_000)
    refreshed(page)
    expect(said).to_be_hidden()


@pytest.mark.parametrize("prefix", ["", "prefixed"])
def test_everything_works_without_scripts(look: Open, sites: Sites, prefix: str) -> None:
    base = sites.prefixed if prefix else sites.trouble
    page = look(base + "/outbox", "en", scripts=False)
    page.get_by_role("link", name="Deliveries", exact=False).first.click()
    page.get_by_label("Where to").select_option("amocrm")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile("destination=amocrm"))
    page.get_by_role("link", name=re.compile("^Delivered")).click()
    page.locator("td.name a").first.click()
    expect(page.get_by_text("How it went")).to_be_visible()
    page.get_by_role("button", name="Русский").click()
    expect(page.get_by_text("Как шла отправка")).to_be_visible()
    page.get_by_role("button", name="English").click()
    expect(page.get_by_text("How it went")).to_be_visible()  # other tests' pages have the same cookie


def test_a_bulk_retry_without_scripts_goes_through_a_page_of_its_own(look: Open, sites: Sites) -> None:
    page = look(sites.trouble + "/outbox/deliveries?state=dead&cause=erp_refused", "en", scripts=False)
    page.get_by_role("button", name="Do not send 1…").click()
    expect(page.get_by_role("heading", name="Cancel 1 delivery?")).to_be_visible()
    page.get_by_role("button", name="Do not send 1").click()
    expect(page.get_by_text("1 delivery cancelled.")).to_be_visible()
    refused = Filter(states=(State.DISCARDED,), cause="erp_refused")
    one = sites.world.store.reading.find(refused, 1).rows[0].id
    page.goto(f"{sites.trouble}/outbox/{one}")
    page.get_by_role("button", name="Send now").click()
    expect(page.get_by_text("It goes out now.")).to_be_visible()


def test_focus_is_never_under_the_bar(look: Open, sites: Sites) -> None:
    page = look(sites.trouble + "/outbox/deliveries?state=dead&cause=stage_deleted", "en")
    page.set_viewport_size({"width": 1280, "height": 500})
    for box in page.locator("input[name=id]").all():
        box.focus()
        ring, bar = box.bounding_box(), page.locator(".bulk").bounding_box()
        assert ring and bar
        assert ring["y"] + ring["height"] <= bar["y"] or ring["y"] >= bar["y"] + bar["height"]


def test_targets_are_large_enough_on_a_phone(look: Open, sites: Sites) -> None:
    page = look(sites.trouble + "/outbox", width=390)
    settled(page)
    for button in page.locator("#main .button:visible").all():
        box = button.bounding_box()
        assert box and box["height"] >= 36, button.inner_text()
