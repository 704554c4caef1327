"""Set-up and the practice panel on the processes of `make run`: each button pressed to its end, with scripts and
without, and looked for on the page and in the sandbox."""

import pathlib
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from sandbox.defaults import STAGE_LESSON_3
from tests.support.chromium import Chromium
from tests.support.processes import PYTHON, Processes, bare_environ, free_port
from tests.support.waiting import eventually
from workshop.calls import call

pytestmark = [pytest.mark.browser]

PASSWORD = "practice-password-1"


@dataclass
class School:
    """A practice that runs, before a browser."""

    url: str
    sandbox: str
    page: Page
    scripts: bool

    def control(self, method: str, path: str, body: Any = None) -> Any:
        return call(method, f"{self.sandbox}/_sandbox/{path}", body=body)[1]

    def stored(self, destination: str) -> dict[str, Any]:
        auth = {"Authorization": "Basic " + b64encode(f"admin:{PASSWORD}".encode()).decode()}
        return dict(call("GET", f"{self.url}/api/outbox", headers=auth)[1]["destinations"][destination])

    def sees(self, text: str, path: str = "/outbox") -> None:
        """Waits until the page says so."""

        def look() -> bool:
            self.page.goto(self.url + path)
            return text in self.page.locator("#main").inner_text()

        eventually(look, 40)

    def press(self, button: str, at: str = "/outbox/practice") -> None:
        self.page.goto(self.url + at)
        with self.page.expect_navigation():  # to the page that says it is done
            self.page.get_by_role("button", name=button, exact=True).click()


@pytest.fixture(scope="module", params=[True, False], ids=["with scripts", "without scripts"])
def school(request: pytest.FixtureRequest, chromium: Chromium, tmp_path_factory: Any) -> Iterator[School]:
    folder: pathlib.Path = tmp_path_factory.mktemp("practice")
    processes = Processes(folder)
    environ = bare_environ(
        DATABASE_URL=f"sqlite:///{folder}/dealpost.db", PORT=str(free_port()), ADMIN_PASSWORD=PASSWORD,
        VIEWER_PASSWORD="looks-only-1", LOCALE="en", WEB_CONCURRENCY="1",
    )  # fmt: skip
    page = chromium.new_page(
        lambda browser: browser.new_context(
            locale="en-US", java_script_enabled=request.param, viewport={"width": 1280, "height": 900}
        )
    )
    try:
        run = processes.start("run", [PYTHON, "-m", "workshop.run"], environ)
        run.says("Ctrl-C stops everything", within=90)
        url, sandbox = run.says(r"(http://\S+)/outbox")[1], run.says(r"Sandbox +(http://\S+)/")[1]
        page.goto(f"{url}/outbox/sign-in")
        page.get_by_role("textbox", name="Name").fill("admin")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{url}/outbox")
        yield School(url, sandbox, page, request.param)
    finally:
        chromium.close(page)
        processes.stop()


def test_set_up_is_done_step_by_step_and_then_leaves_the_overview(school: School) -> None:
    page = school.page
    expect(page.get_by_role("heading", name="Set-up: 3 of 8 steps are done.")).to_be_visible()
    school.press("Ask amoCRM now", "/outbox")
    expect(page.get_by_text("Deals of “Продажи” are moved: set by AMOCRM_PIPELINE_ID.")).to_be_visible()
    expect(page.get_by_text("Each lesson has its stage.")).to_be_visible()
    school.press("Check the ERP", "/outbox")
    expect(page.get_by_text("The login works, the table has its fields, and the key is unique.")).to_be_visible()
    school.sees("Registered, but nothing has come yet.")  # once the worker has looked

    page.get_by_role("link", name="Send a trial lesson…").click()
    asked = page.get_by_role("dialog") if school.scripts else page.locator("#main")
    asked.get_by_role("textbox", name="E-mail").fill("дент 2")
    if not school.scripts:
        asked.get_by_role("button", name="Search amoCRM").click()
    asked.get_by_role("link", name="Студент 2").click()
    expect(asked.get_by_role("textbox", name="E-mail")).to_have_value("student-2@example.com")
    if school.scripts:
        expect(asked.get_by_text("Оплатил → Урок 1 пройден")).to_be_visible()
    with page.expect_navigation():
        asked.get_by_role("button", name="Send the lesson").click()
    # The move of the trial comes back by the webhook: with both the last steps are done.
    school.sees("The trial lesson has arrived.", "/outbox/setup")
    expect(page.get_by_text(re.compile(r"Deal \d+ stands on the stage “Урок 1 пройден”\."))).to_be_visible()
    school.sees("amoCRM tells of changes, last", "/outbox/setup")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Everything is set up.")
    page.goto(f"{school.url}/outbox")
    expect(page.get_by_role("heading", name="Set-up: ")).to_have_count(0)
    page.goto(f"{school.url}/outbox/connections")
    page.get_by_role("link", name="All steps of the set-up").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Everything is set up.")


def test_a_lesson_and_a_move_arrive(school: School) -> None:
    before = school.stored("erp")["states"].get("delivered", 0)
    school.press("Finish a lesson")
    expect(school.page.get_by_role("status").filter(has_text="has finished lesson")).to_be_visible()
    school.press("Move a deal")
    expect(school.page.get_by_role("status").filter(has_text="now.")).to_be_visible()
    eventually(lambda: school.stored("erp")["states"].get("delivered", 0) >= before + 2, 40)


def test_a_silent_amocrm_passes_by_itself_and_answers_again(school: School) -> None:
    school.press("amoCRM falls silent")
    eventually(lambda: school.stored("amocrm")["pause"] is not None, 40)
    school.sees("Passes by itself")
    school.press("amoCRM answers again")
    eventually(lambda: not school.stored("amocrm")["states"].get("pending"), 60)
    school.sees("In order", "/outbox/practice")


def test_a_deleted_stage_is_named_and_comes_back_as_it_was(school: School) -> None:
    school.press("Delete a stage")
    school.sees("is gone from the funnel")
    school.press("Bring the stage back")
    stages = [one for pipeline in school.control("GET", "pipelines")["pipelines"] for one in pipeline["stages"]]
    assert [one["name"] for one in stages if one["id"] == STAGE_LESSON_3] == ["Урок 3 пройден"]
    page = school.page
    page.goto(f"{school.url}/outbox")
    page.get_by_role("link", name="“Send 1…”").click()
    asked = page.get_by_role("dialog") if school.scripts else page.locator("#main")
    asked.get_by_role("button", name="Send 1", exact=True).click()
    eventually(
        lambda: not any(school.stored("amocrm")["states"].get(one) for one in ("dead", "pending", "sending")), 40
    )


def test_access_that_is_withdrawn_is_given_again_by_connect(school: School) -> None:
    school.press("Withdraw the access")
    school.sees("Connect again")
    eventually(lambda: school.stored("amocrm")["states"].get("pending"), 20)
    school.page.goto(f"{school.url}/outbox/practice")
    school.page.get_by_role("link", name="Give access again").click()
    school.page.wait_for_url(re.compile(re.escape(school.sandbox)))
    school.page.get_by_role("button").first.click()
    school.page.wait_for_url(re.compile(re.escape(school.url)))
    eventually(lambda: not school.stored("amocrm")["states"].get("pending"), 40)


def test_an_unpaid_account_is_told_and_goes_on_after_one_that_was_tried(school: School) -> None:
    school.press("Let the paid time end")
    eventually(lambda: school.stored("amocrm")["pause"] is not None, 40)
    school.sees("Needs your decision")
    school.press("Pay for amoCRM")
    school.press("Try one", "/outbox")
    eventually(lambda: not school.stored("amocrm")["states"].get("pending"), 40)


def test_an_erp_that_refuses_keeps_records_waiting_until_one_is_tried(school: School) -> None:
    school.press("Let the ERP refuse")
    # A record that met the unpaid account waits half a minute before it looks again.
    eventually(lambda: school.stored("erp")["pause"] is not None, 60)
    school.sees("The ERP does not accept our key, user or fields")
    school.press("The ERP takes records again")
    school.press("Try one", "/outbox")
    eventually(lambda: not school.stored("erp")["states"].get("pending"), 40)


def test_a_webhook_that_is_off_is_told_at_once_and_switched_on(school: School) -> None:
    school.press("Switch the webhook off")
    school.sees("amoCRM has switched")
    school.press("Switch the webhook on")
    assert [one["disabled"] for one in school.control("GET", "hooks")["hooks"]] == [False]
    eventually(lambda: "Off" not in school.page.goto(f"{school.url}/outbox/practice").text(), 10)  # type: ignore[union-attr]


def test_a_strangers_lesson_can_be_corrected(school: School) -> None:
    school.press("Finish a stranger's lesson")
    school.sees("stranger-", "/outbox/deliveries?state=pending")


def test_whoever_may_only_look_does_not_play(school: School) -> None:
    auth = {"Authorization": "Basic " + b64encode(b"viewer:looks-only-1").decode()}
    assert call("GET", f"{school.url}/outbox/practice", headers=auth)[0] == 403
    assert call("POST", f"{school.url}/outbox/practice/silence", form={}, headers=auth)[0] == 403
