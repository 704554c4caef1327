"""Makes the pictures of the page that README and docs show: a Chromium before a service with a seeded day."""

import base64
import contextlib
import io
import os
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from playwright.sync_api import expect, sync_playwright

from outbox.queries import Filter
from tests.support import seeded
from tests.support.site import OPERATOR, application, served
from workshop.palette import reduced

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "docs" / "images"
WIDE, PHONE = (1280, 800), (390, 800)
Make = Callable[[seeded.World], object]


def main() -> int:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        print("No Chromium is here: install it, or name one in CHROMIUM.", file=sys.stderr)
        return 1
    with contextlib.ExitStack() as stack, contextlib.redirect_stderr(io.StringIO()):  # the access log
        well = stack.enter_context(site(lambda w: w.day(0.15), lambda w: w.latest(), lambda w: w.house()))
        trouble = stack.enter_context(
            site(
                lambda w: w.day(0.15, lost=14), lambda w: w.others_lost(), lambda w: w.slow_down(), lambda w: w.house()
            )
        )
        trying = stack.enter_context(site(lambda w: w.trying(), lambda w: w.house()))
        new = stack.enter_context(site(lambda w: w.house(), beginning))
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        stack.callback(browser.close)
        waits = trying[1].store.reading.find(Filter(), 1).rows[0].id
        for language in ("en", "ru"):
            shoot(browser, language, WIDE, f"overview-{language}", f"{well[0]}/outbox")
            shoot(browser, language, WIDE, f"trouble-{language}", f"{trouble[0]}/outbox")
            shoot(browser, language, WIDE, f"list-{language}", f"{trouble[0]}/outbox/deliveries")
            shoot(browser, language, WIDE, f"delivery-{language}", f"{trying[0]}/outbox/{waits}")
            shoot(browser, language, WIDE, f"connections-{language}", f"{well[0]}/outbox/connections")
            shoot(browser, language, WIDE, f"setup-{language}", f"{new[0]}/outbox/setup")
            shoot(browser, language, PHONE, f"trouble-phone-{language}", f"{trouble[0]}/outbox")
    return 0


def beginning(world: seeded.World) -> None:
    """The set-up is not finished yet."""
    world.store.key_values.delete("setup", ["finished"])


@contextlib.contextmanager
def site(*steps: Make) -> Iterator[tuple[str, seeded.World]]:
    """The address of a service in which so much has happened, and its world."""
    with tempfile.TemporaryDirectory(prefix="dealpost-screenshots-") as folder:
        world = seeded.World(pathlib.Path(folder) / "dealpost.db")
        try:
            for step in steps:
                step(world)
            world.clock.now = seeded.NOON
            with served(application(world)) as address:
                yield address, world
        finally:
            world.store.close()


def shoot(browser: Any, language: str, size: tuple[int, int], name: str, address: str) -> None:
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        locale="ru-RU" if language == "ru" else "en-US",
        color_scheme="light",
        reduced_motion="reduce",
        extra_http_headers={"Authorization": "Basic " + base64.b64encode(":".join(OPERATOR).encode()).decode()},
    )
    page = context.new_page()
    answer = page.goto(address)
    if not answer or not answer.ok:
        raise RuntimeError(f"{address} answered {answer.status if answer else 'nothing'}, expected the page")
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    file = FOLDER / f"{name}.png"
    file.write_bytes(reduced(page.screenshot()))
    context.close()
    print(f"{file.relative_to(FOLDER.parent.parent)}  {file.stat().st_size // 1024} KB", flush=True)


if __name__ == "__main__":
    sys.exit(main())
