"""A real Chromium before the page: every screen over a seeded world, in each language, light, dark and on a phone."""

import os
import pathlib
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import axe_core_python
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from outbox.message import State
from outbox.queries import Filter
from sandbox import Sandbox
from service.network.http import Http
from service.sandbox_control import SandboxControl
from tests.support import seeded
from tests.support.chromium import Chromium
from tests.support.site import OPERATOR, VIEWER, Broken, application, served

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
AXE = (pathlib.Path(axe_core_python.__file__).parent / "axe.min.js").read_text()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser leaves a page whenever it likes; the development server then leaves a file that it was sending to the
    garbage collector, which complains of it in whichever test is running."""
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@dataclass(frozen=True)
class Sites:
    """Addresses of the same service in several days of its life. ids: of deliveries worth a look."""

    well: str
    trouble: str
    trying: str
    stopped: str
    first: str
    broken: str
    practice: str
    prefixed: str
    ids: dict[str, int]
    world: seeded.World


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        chromium = Chromium(playwright, CHROMIUM)
        yield chromium
        chromium.browser.close()


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    with ExitStack() as stack:

        def world(*steps: Callable[[seeded.World], Any]) -> seeded.World:
            one = seeded.World(tmp_path_factory.mktemp("world") / "dealpost.db")
            stack.callback(one.store.close)
            for step in steps:
                step(one)
            one.clock.now = seeded.NOON
            return one

        def serve(one: seeded.World, wired: Any = None, store: Any = None, prefix: str = "", **environ: str) -> str:
            return stack.enter_context(served(application(one, wired, store, **environ), prefix))

        well = world(lambda w: w.day(0.15), lambda w: w.latest(), lambda w: w.house())
        trouble = world(
            lambda w: w.day(0.15, lost=14), lambda w: w.others_lost(), lambda w: w.slow_down(), lambda w: w.house()
        )
        trouble.store.operations.log_action("operator", "pause", 1, {"destination": "erp"})
        trying = world(lambda w: w.trying(), lambda w: w.house())
        stopped = world(lambda w: w.day(0.15), lambda w: w.stopped(), lambda w: w.house())
        empty = world()
        bare = {"amocrm": seeded.Out("amocrm", ("AMOCRM_SUBDOMAIN",)), "erp": seeded.Out("erp", ("CRM_API_URL",))}
        played = stack.enter_context(Sandbox())
        practised = seeded.Wired(well.store)
        practised.sandbox = SandboxControl(played.base_url, Http(connect=2.0, total=5.0), well.store.key_values)
        sandbox = {"SANDBOX": "1", "AMOCRM_BASE_URL": played.base_url, "AMOCRM_SUBDOMAIN": "", "CRM_API_URL": ""}
        yield Sites(
            well=serve(well),
            trouble=serve(trouble),
            trying=serve(trying),
            stopped=serve(stopped),
            first=serve(empty, seeded.Wired(empty.store, bare)),
            broken=serve(empty, seeded.Wired(empty.store), Broken(empty)),
            practice=serve(well, practised, **sandbox),
            prefixed=serve(well, prefix="/school/post"),
            ids={
                "waits": trying.store.reading.find(Filter(), 1).rows[0].id,
                "held": stopped.store.reading.find(Filter(states=(State.PENDING,)), 1).rows[0].id,
                "dead": trouble.store.reading.find(Filter(states=(State.DEAD,), cause="stage_deleted"), 1).rows[0].id,
                "lost": trouble.store.reading.find(Filter(states=(State.DEAD,), cause="contact_not_found"), 1)
                .rows[0]
                .id,
                "refused": trouble.store.reading.find(Filter(states=(State.DEAD,), cause="erp_refused"), 1).rows[0].id,
                "done": well.store.reading.find(Filter(states=(State.DELIVERED,)), 1).rows[0].id,
            },
            world=trouble,
        )


Open = Callable[..., Page]


@pytest.fixture(scope="session")
def new_page(chromium: Chromium) -> Callable[..., Page]:
    """A page of the context for a way to look, which is kept for all tests: a new one costs more than the page."""
    made: dict[Any, BrowserContext] = {}

    def context(
        browser: Browser, language: str, dark: bool, width: int, scripts: bool, viewer: bool, clock: bool
    ) -> BrowserContext:
        key = (chromium.generation, language, dark, width, scripts, viewer, clock)
        if key not in made:
            name, password = VIEWER if viewer else OPERATOR
            made[key] = browser.new_context(
                viewport={"width": width, "height": 900},
                color_scheme="dark" if dark else "light",
                locale="ru-RU" if language == "ru" else "en-US",
                extra_http_headers={"Authorization": f"Basic {b64encode(f'{name}:{password}'.encode()).decode()}"},
                java_script_enabled=scripts,
                reduced_motion="reduce",
            )
        return made[key]

    return lambda *way: chromium.new_page(lambda browser: context(browser, *way))


NOISE = ("status of", "ERR_FAILED", "ERR_CONNECTION_RESET")
"""A refusal that is meant, a server that a test takes away, a connection that a busy machine resets."""


@pytest.fixture
def look(chromium: Chromium, new_page: Callable[..., Page]) -> Iterator[Open]:
    """look(address, language="ru", dark=False, width=1280, scripts=True, viewer=False, clock=False): a page, loaded.
    What the browser complains about (a policy that was broken, a script that failed) fails the test. clock: the test
    sets the page's clock; pages of other tests, whose clock it would be too, are not in its context."""
    pages: list[Page] = []
    complaints: list[str] = []

    def open_page(
        address: str,
        language: str = "ru",
        dark: bool = False,
        width: int = 1280,
        scripts: bool = True,
        viewer: bool = False,
        clock: bool = False,
    ) -> Page:
        page = new_page(language, dark, width, scripts, viewer, clock)
        pages.append(page)
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        if scripts:
            settled(page)
        return page

    yield open_page
    for page in pages:
        chromium.close(page)
    assert [one for one in complaints if not any(noise in one for noise in NOISE)] == []


def settled(page: Page) -> None:
    """Waits until what the page looks up by itself is there."""
    expect(page.locator("[aria-busy=true]")).to_have_count(0)


TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
BY_LOOK = ["color-contrast", "link-in-text-block", "scrollable-region-focusable"]
"""Rules whose answer depends on colours and widths. All others look at what is there, whatever it looks like."""


def faults(page: Page, only: list[str] | None = None) -> list[str]:
    """What axe finds wrong, a line each. only: by these rules."""
    page.evaluate(AXE)
    wanted = {"type": "rule", "values": only} if only else {"type": "tag", "values": TAGS}
    found = page.evaluate("(wanted) => axe.run(document, {runOnly: wanted})", wanted)
    return [
        f"{one['id']}: {node['target']} {node['failureSummary'][:200]}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
