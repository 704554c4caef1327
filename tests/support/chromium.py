"""A real Chromium, started anew when it hangs."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from playwright.sync_api import Browser, BrowserContext, Error, Page, Playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

HANGS = 60.0
"""Seconds after which a page that does not open or close never will: Playwright itself would wait for ever."""

LOADS = 10_000.0
"""Milliseconds that a page which is to be closed may still be loading."""


class Chromium:
    """generation: counts the browsers; contexts of an earlier one are gone. process: the id of the present one."""

    def __init__(self, playwright: Playwright, path: str) -> None:
        self._playwright, self._path = playwright, path
        self.generation = 0
        self._start()

    def _start(self) -> None:
        self.browser = self._playwright.chromium.launch(executable_path=self._path, args=FLAGS)
        processes = self.browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
        self.process = next(int(one["id"]) for one in processes if one["type"] == "browser")
        self.generation += 1

    def new_page(self, context: Callable[[Browser], BrowserContext]) -> Page:
        """A page of this context; once more, with a new browser, if it does not open."""
        try:
            return self._new_page(context)
        except Error:
            if self.browser.is_connected():
                raise
            self._start()
            return self._new_page(context)

    def _new_page(self, context: Callable[[Browser], BrowserContext]) -> Page:
        with self._killed_when_it_hangs():
            return context(self.browser).new_page()

    def close(self, page: Page) -> None:
        """Once it has loaded: Chromium may forget that a page is to be closed that is just being loaded."""
        with self._killed_when_it_hangs(), suppress(Error):
            page.wait_for_load_state(timeout=LOADS)
        with self._killed_when_it_hangs(), suppress(Error):
            page.close()

    @contextmanager
    def _killed_when_it_hangs(self) -> Iterator[None]:
        too_long = threading.Timer(HANGS, os.kill, (self.process, signal.SIGKILL))
        too_long.start()
        try:
            yield
        finally:
            too_long.cancel()
