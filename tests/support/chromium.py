"""A real Chromium, started anew when it hangs."""

import os
import signal
import threading
from collections.abc import Callable

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
"""Seconds after which a page that does not open never will: Playwright itself would wait for ever."""


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
        too_long = threading.Timer(HANGS, os.kill, (self.process, signal.SIGKILL))
        too_long.start()
        try:
            return context(self.browser).new_page()
        finally:
            too_long.cancel()
