"""Every screen and state, in both languages, light, dark and on phones: nothing for axe to find, nothing sticks out.

What is wrong with a page's parts is the same in every dress, so all rules are tried once a screen; what depends on
colours and widths is tried in each.
"""

import os
import pathlib

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import BY_LOOK, Open, Sites, faults, overflow

pytestmark = pytest.mark.browser

PICTURES = os.environ.get("PICTURES")
"""A folder for pictures of all screens, for a person to look at."""

SCREENS = {
    "overview": ("well", "/outbox"),
    "overview-week": ("well", "/outbox?chart=week"),
    "trouble": ("trouble", "/outbox"),
    "stopped": ("stopped", "/outbox"),
    "first": ("first", "/outbox"),
    "broken": ("broken", "/outbox"),
    "practice": ("practice", "/outbox/log"),
    "practice-panel": ("practice", "/outbox/practice"),
    "setup": ("first", "/outbox/setup"),
    "setup-done": ("well", "/outbox/setup"),
    "list": ("trouble", "/outbox/deliveries"),
    "list-bulk": ("trouble", "/outbox/deliveries?state=dead&cause=stage_deleted"),
    "list-waiting": ("trouble", "/outbox?state=pending&destination=amocrm"),
    "list-empty": ("trouble", "/outbox/deliveries?q=nobody@example.org"),
    "confirm": ("trouble", "/outbox/confirm?act=retry&state=dead&cause=stage_deleted"),
    "confirm-foreseen": ("trouble", "/outbox/confirm/preview?act=retry&state=dead"),
    "delivery": ("trying", "/outbox/{waits}"),
    "delivery-dead": ("trouble", "/outbox/{dead}"),
    "delivery-held": ("stopped", "/outbox/{held}"),
    "delivery-done": ("well", "/outbox/{done}"),
    "correct": ("trouble", "/outbox/{lost}/correct"),
    "correct-record": ("trouble", "/outbox/{refused}/correct"),
    "cancel": ("trouble", "/outbox/{dead}/discard"),
    "students": ("well", "/outbox/students"),
    "journey": ("well", "/outbox/students/journey?email=student1@example.com"),
    "journey-nobody": ("well", "/outbox/students/journey?email=nobody@example.org"),
    "connections": ("trouble", "/outbox/connections"),
    "pause": ("trouble", "/outbox/pause/amocrm"),
    "log": ("trouble", "/outbox/log"),
    "log-empty": ("first", "/outbox/log"),
    "help": ("well", "/outbox/help"),
    "missing": ("well", "/outbox/99999"),
}
LAYOUTS = ("trouble", "list", "delivery")
"""One screen of each layout is looked at in light and dark at each width, for what only shows on one of them; all
others wide in light and on a phone in dark."""

WIDE, PHONE, SMALL = 1280, 390, 320


def address(sites: Sites, name: str) -> str:
    site, path = SCREENS[name]
    return str(getattr(sites, site)) + path.format(**sites.ids)


def look_over(page: Page, name: str, language: str, dark: bool, width: int, only: list[str] | None = None) -> None:
    """Dresses the page so, and has it looked over."""
    page.emulate_media(color_scheme="dark" if dark else "light")
    page.set_viewport_size({"width": width, "height": 900})
    dress = f"{language}-{'dark' if dark else 'light'}-{width}"
    if PICTURES:
        page.screenshot(path=pathlib.Path(PICTURES) / f"{name}-{dress}.png", full_page=True)
    assert faults(page, only) == [], dress
    assert overflow(page) <= 0, dress


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_has_nothing_for_axe_to_find(look: Open, sites: Sites, name: str) -> None:
    page = look(address(sites, name), "ru", width=WIDE)
    assert page.locator("h1").count() == 1
    assert page.locator("html").get_attribute("lang") == "ru"
    look_over(page, name, "ru", dark=False, width=WIDE)
    if name in LAYOUTS:
        look_over(page, name, "ru", dark=True, width=WIDE, only=BY_LOOK)
    page = look(address(sites, name), "en", dark=True, width=PHONE)
    assert page.locator("html").get_attribute("lang") == "en"
    look_over(page, name, "en", dark=True, width=PHONE, only=BY_LOOK)
    if name in LAYOUTS:
        look_over(page, name, "en", dark=False, width=SMALL, only=BY_LOOK)


def test_a_viewers_page_says_so_and_has_no_buttons_that_change(look: Open, sites: Sites) -> None:
    page = look(sites.trouble + "/outbox", viewer=True)
    assert page.get_by_text("Вы смотрите без права менять.").is_visible()
    assert page.get_by_role("button", name="Сохранить и отправить").count() == 0
    assert faults(page) == []


@pytest.mark.parametrize("name", ["trouble", "list-bulk", "delivery", "journey", "connections"])
def test_nothing_sticks_out_at_any_width(look: Open, sites: Sites, name: str) -> None:
    page = look(address(sites, name))
    for width in (SMALL, PHONE, 600, 859, 861, 1000, 1179, 1181, 1600):
        page.set_viewport_size({"width": width, "height": 900})
        assert overflow(page) <= 0, width


@pytest.mark.parametrize("language", ["ru", "en"])
@pytest.mark.parametrize("width", [1181, 1280])
def test_the_header_stays_one_row_with_a_wide_font_and_a_long_name(
    look: Open, sites: Sites, language: str, width: int
) -> None:
    page = look(sites.trouble + "/outbox", language, width=width)
    page.evaluate("document.querySelector('.school span').textContent = 'Школа иностранных языков «Азимут»'")
    page.evaluate("document.body.style.fontFamily = 'DejaVu Sans, Verdana'")
    assert overflow(page) <= 0
    header = page.locator("#top").bounding_box()
    assert header and header["height"] <= 57
    edges = [one.bounding_box() for one in page.locator(".top-in > *, .tools > :visible").all()]
    assert max(one["x"] + one["width"] for one in edges if one) <= width - 39


@pytest.mark.parametrize("name", ["trouble", "stopped", "list"])
def test_no_address_is_broken_and_no_figure_touches_its_neighbour(look: Open, sites: Sites, name: str) -> None:
    page = look(address(sites, name))
    for width in (1180, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        broken = (
            "all => all.filter(one => { const r = document.createRange(); r.selectNodeContents(one); "
            "return new Set([...r.getClientRects()].map(b => Math.round(b.top))).size > 1 })"
            ".map(one => one.textContent)"
        )
        assert page.locator(".rows .name a").evaluate_all(broken) == [], width
        gaps = (
            "all => all.map(one => [...one.children].map(div => div.querySelector('dd')).map(dd => "
            "{ const r = document.createRange(); r.selectNodeContents(dd); return r.getBoundingClientRect() }))"
            ".flatMap(row => row.slice(1).map((box, place) => box.left - row[place].right))"
        )
        assert all(gap >= 12 for gap in page.locator(".figures").evaluate_all(gaps)), width


def test_large_text_does_not_stick_out_either(look: Open, sites: Sites) -> None:
    page = look(sites.trouble + "/outbox", width=640)
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert overflow(page) <= 0
