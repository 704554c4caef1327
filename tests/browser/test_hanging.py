"""A browser that hangs holds up no test for ever."""

import os
import signal

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.support import chromium as of_tests
from tests.support.chromium import Chromium

pytestmark = pytest.mark.browser


def test_a_page_that_never_opens_is_opened_in_a_new_browser(
    chromium: Chromium, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = chromium.generation
    ready = chromium.browser.new_context()  # which may well take longer than a page may hang here

    def context(browser: Browser) -> BrowserContext:
        if chromium.generation > before:
            return browser.new_context()
        os.kill(chromium.process, signal.SIGSTOP)
        monkeypatch.undo()
        return ready

    monkeypatch.setattr(of_tests, "HANGS", 0.5)
    page = chromium.new_page(context)
    page.set_content("<h1>here</h1>")
    assert page.inner_text("h1") == "here" and chromium.generation == before + 1
    chromium.close(page)


def test_a_page_that_never_closes_takes_its_browser_with_it_and_the_next_page_has_a_new_one(
    chromium: Chromium, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = chromium.new_page(lambda browser: browser.new_context())
    before = chromium.generation
    monkeypatch.setattr(of_tests, "HANGS", 0.5)
    os.kill(chromium.process, signal.SIGSTOP)
    chromium.close(page)
    monkeypatch.undo()
    page = chromium.new_page(lambda browser: browser.new_context())
    page.set_content("<h1>here</h1>")
    assert page.inner_text("h1") == "here" and chromium.generation == before + 1
    chromium.close(page)
