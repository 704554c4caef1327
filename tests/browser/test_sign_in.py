"""A person signs in by the form, in both languages and on a phone, and out again."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Sites, faults, overflow
from tests.support.chromium import Chromium
from tests.support.site import OPERATOR

pytestmark = pytest.mark.browser


@pytest.fixture(params=[("en", 1280), ("ru", 375)], ids=["desktop, English", "phone, Russian"])
def stranger(chromium: Chromium, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A browser that has no password of its own."""
    language, width = request.param
    page = chromium.new_page(
        lambda browser: browser.new_context(viewport={"width": width, "height": 800}, locale=language)
    )
    yield page
    chromium.close(page)


def test_signing_in_leads_to_the_page_and_signing_out_to_the_form(stranger: Page, sites: Sites) -> None:
    stranger.goto(f"{sites.well}/outbox/sign-in")
    assert faults(stranger) == [] and overflow(stranger) <= 0
    stranger.locator("input[name=name]").fill(OPERATOR[0])
    stranger.locator("input[name=password]").fill("wrong")
    stranger.locator("main button").click()
    expect(stranger.get_by_role("alert")).to_be_visible()
    expect(stranger.locator("input[name=name]")).to_have_value(OPERATOR[0])
    stranger.locator("input[name=password]").fill(OPERATOR[1])
    stranger.locator("main button").click()
    stranger.wait_for_url(f"{sites.well}/outbox")
    stranger.locator("form[action$='/sign-out'] button").locator("visible=true").first.click()
    stranger.wait_for_url(f"{sites.well}/outbox/sign-in")
    stranger.goto(f"{sites.well}/outbox/log")
    expect(stranger.locator("input[name=password]")).to_be_visible()
