"""What the pages say, to whom, and what they never let through."""

import os
import re
import sqlite3
from dataclasses import replace
from typing import Any

import pytest

from outbox.message import State
from outbox.queries import Filter
from outbox.sqlite.files import Files
from service.operator.pages.blueprint import TEMPLATES
from service.refusals import Refusals
from tests.integration.pages.conftest import Visitor
from tests.support import seeded
from tests.support.site import OPERATOR, VIEWER, Broken, application
from tests.support.text import plain

PAGES = (
    "/outbox", "/outbox/deliveries", "/outbox/deliveries?state=dead&cause=stage_deleted", "/outbox/students",
    "/outbox/students/journey?email=student1@example.com", "/outbox/connections", "/outbox/log", "/outbox/help",
    "/outbox/confirm?act=retry&state=dead", "/outbox/confirm/preview?state=dead",
    "/outbox/connections/checks", "/outbox/connections/stages",
)  # fmt: skip


def first_dead(world: seeded.World) -> int:
    return world.store.reading.find(Filter(states=(State.DEAD,), cause="stage_deleted"), 1).rows[0].id


def test_the_overview_says_the_worst_first_and_what_passes_by_itself(trouble, visitor: Visitor) -> None:
    text = visitor.text("/outbox")
    assert "3 students wait longer than 5 minutes, 18 deliveries did not arrive." in text
    assert "Those who wait go out by themselves in 40 seconds, the others need you." in text
    assert "Needs your decision" in text and "Passes by itself" in text
    assert "The stage “Урок 2 пройден” is gone from the funnel" in text
    assert "amoCRM asks to slow down" in text and "Paused, 40 s left" in text
    assert "0 of 3 requests per second, usually 6" in text
    assert "longest wait (too long) 6 min 12 s" in text


def test_a_healthy_day_is_one_calm_sentence(world: seeded.World, visitor: Visitor) -> None:
    world.day(scale=0.1)
    world.latest()
    world.house()
    text = visitor.text("/outbox")
    assert "All delivered. The last lesson reached amoCRM 11 seconds ago." in text
    assert "Needs your decision" not in text and "Passes by itself" not in text
    assert "already on “Урок 3 пройден”" in text and "record 4812, ₽24,900" in text


def test_it_speaks_russian_with_right_plurals(trouble, visitor: Visitor) -> None:
    visitor.language = "ru"
    text = visitor.text("/outbox")
    assert "3 ученика ждут дольше 5 минут, 18 отправок не дошли." in text
    assert "Ждущие уйдут сами через 40 секунд, остальным нужны вы." in text


@pytest.mark.parametrize(
    "query", ["state=dead", "destination=erp", "q=student1@example.com", "when=day", "event=crm/create-deal"]
)
def test_a_filter_on_the_overview_shows_the_list(trouble, visitor: Visitor, query: str) -> None:
    answer = visitor.get(f"/outbox?{query}")
    assert answer.status_code == 200 and "data-bulk" in answer.text and "Coming in" not in answer.text


def test_filters_narrow_and_a_mistyped_one_does_not_hurt(trouble, visitor: Visitor) -> None:
    assert "The ERP did not accept the record" in visitor.text("/outbox?state=dead&destination=erp")
    assert "finished lesson" not in visitor.text("/outbox?state=dead&destination=erp")
    for query in (
        "state=nonsense",
        "after=x",
        "since=never",
        "deal=1e9",
        "max_id=-5",
        "when=aeon",
        "select=x",
        "q=%00",
    ):
        assert visitor.get(f"/outbox/deliveries?{query}").status_code == 200, query


def test_a_list_is_paged_by_key_and_says_what_it_holds(world: seeded.World, visitor: Visitor) -> None:
    world.day(scale=0.25)
    page = visitor.get("/outbox/deliveries")
    older = re.search(r'href="([^"]*after=\d+[^"]*)"', page.text)
    assert older
    seen = set(re.findall(r'href="/outbox/(\d+)"', page.text))
    rest = set(re.findall(r'href="/outbox/(\d+)"', visitor.get(older[1].replace("&amp;", "&")).text))
    assert seen and rest and not seen & rest


def test_nothing_found_repeats_the_filter_and_offers_to_drop_it(trouble, visitor: Visitor) -> None:
    text = visitor.text("/outbox/deliveries?q=nobody@example.org")
    assert "Nothing fits this filter." in text and "Drop the filter" in text


def test_a_delivery_shows_its_attempts_exactly_and_hides_secrets(world: seeded.World, visitor: Visitor) -> None:
    one = world.trying()
    world.house()
    page = visitor.get(f"/outbox/{one}").text
    text = plain(page)
    assert "Attempt 4. amoCRM does not answer (503)" in text and "amoCRM asked to wait 1 min" in text
    assert "it does not count as an attempt" in text and "Attempt 5 — next" in text
    assert f'<span class="value">{seeded.PEOPLE[30][2]}</span>' in page and '<span class="secret">hidden</span>' in page
    assert "https://school.amocrm.ru/leads/detail/" in page


def test_the_preview_says_what_would_change(world: seeded.World, visitor: Visitor) -> None:
    one = world.trying()
    text = visitor.text(f"/outbox/{one}/preview", **{"X-Fragment": "1"})
    assert "now Оплатил" in text and "will be Урок 1 пройден" in text


def test_a_students_way_has_its_stages_and_its_lanes(world: seeded.World, visitor: Visitor) -> None:
    person = seeded.PEOPLE[0]
    world.record(person, seeded.NOON - 3 * seeded.DAY, 4790)
    world.deliver(person, seeded.NOON - seeded.HOUR, 1)
    world.house()
    text = visitor.text(f"/outbox/students/journey?email={person[1]}")
    assert "Everything arrived. The deal is on the stage “Урок 1 пройден” since 13:36." in text
    assert "“Оплатил” → “Урок 1 пройден”" in text
    by_deal = visitor.text(f"/outbox/students/journey?deal={person[2]}")
    assert "Record 4790 was made" in by_deal and "“Новая заявка” → “Оплатил”" in by_deal


def test_only_who_signed_in_sees_anything(trouble, visitor: Visitor) -> None:
    one = first_dead(trouble)
    for auth in (None, ("operator", "wrong")):
        visitor.auth = auth
        for path in (*PAGES, f"/outbox/{one}", f"/outbox/{one}/preview", "/outbox/99"):
            assert visitor.get(path).status_code in (401, 429), path


def test_the_viewer_sees_all_and_changes_nothing(trouble, visitor: Visitor) -> None:
    one = first_dead(trouble)
    visitor.auth = VIEWER
    for path in (*PAGES, f"/outbox/{one}"):
        page = visitor.get(path)
        assert page.status_code == 200, path
        assert "right to change" in page.text
        for form in re.findall(r"<form[^>]*method=\"post\"[^>]*action=\"([^\"]+)\"", page.text):
            assert form.endswith(("/outbox/language", "/outbox/sign-out")), (path, form)
    own = [f"/outbox/{one}/{what}" for what in ("retry", "discard", "correct")]
    shared = [
        f"/outbox/{what}"
        for what in ("pause/amocrm", "resume/amocrm", "do", "connections/stages", "connections/webhook")
    ]
    for path in own + shared:
        assert visitor.press(path).status_code == 403, path
    assert trouble.store.reading.count(Filter(states=(State.DEAD,))) == 18


def test_no_page_holds_a_script_or_a_style_of_its_own(trouble, visitor: Visitor) -> None:
    for path in (*PAGES, f"/outbox/{first_dead(trouble)}"):
        answer = visitor.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy and "default-src 'none'" in policy
        assert not re.search(r"<script(?![^>]*\bsrc=)", answer.text), path
        assert not re.search(r"\sstyle=|\son\w+=|<style|javascript:", answer.text), path
        assert not re.search(r"(?:src|href)=\"(?:https?:)?//(?!school\.amocrm\.ru|erp\.example\.com)", answer.text), (
            path
        )


def test_what_students_write_is_shown_as_text(world: seeded.World, visitor: Visitor) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    one = world.accept("crm/create-deal", (evil, "x@example.com", 7), seeded.NOON, "erp")
    for path in ("/outbox", f"/outbox/{one}", "/outbox/deliveries", "/outbox/students", f"/outbox/deliveries?q={evil}"):
        page = visitor.get(path).text
        assert "<script>alert" not in page and "<img" not in page


@pytest.mark.parametrize("prefix", ["", "/school/post"])
def test_every_address_stays_under_the_prefix(trouble, visitor: Visitor, prefix: str) -> None:
    visitor.prefix = prefix
    for path in (*PAGES, f"/outbox/{first_dead(trouble)}"):
        page = visitor.get(path).text
        addresses = re.findall(r"(?:href|src|action|data-load|data-load-once|data-live|data-help)=\"(/[^\"]*)\"", page)
        assert addresses
        assert all(one.startswith((f"{prefix}/outbox", f"{prefix}/oauth")) for one in addresses), path
    assert visitor.press("/outbox/pause/erp").headers["Location"] == f"{prefix}/outbox"


def test_the_language_is_remembered_and_goes_before_the_setting(world: seeded.World) -> None:
    visitor = Visitor(application(world, LOCALE="ru").test_client(), language="en")
    assert 'lang="ru"' in visitor.get("/outbox/help").text
    answer = visitor.press("/outbox/language", language="en", back="/outbox/log?after=5")
    assert answer.status_code == 303 and answer.headers["Location"] == "/outbox/log?after=5"
    assert 'lang="en"' in visitor.get("/outbox/help").text


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example", "/\\evil.example", "/outbox@evil", "javascript:1"]
)
def test_the_switch_leads_back_to_this_site_only(world: seeded.World, visitor: Visitor, back: str) -> None:
    location = visitor.press("/outbox/language", language="ru", back=back).headers["Location"]
    assert location.startswith("/outbox") and "//" not in location


def test_a_first_visit_names_the_next_step(world: seeded.World) -> None:
    wired = seeded.Wired(
        world.store, {"amocrm": seeded.Out("amocrm", ("AMOCRM_SUBDOMAIN",)), "erp": seeded.Out("erp", ("CRM_API_URL",))}
    )
    text = Visitor(application(world, wired).test_client()).text("/outbox")
    assert "Dealpost is ready to take lessons." in text and "Connect amoCRM" in text
    assert "https://post.example.com/api/tripwire/complete" in text


def test_an_unconfigured_destination_is_named_while_its_rows_wait(world: seeded.World) -> None:
    world.accept("lesson.completed", seeded.PEOPLE[0], seeded.NOON - 30)
    world.clock.now = seeded.NOON
    world.house()
    wired = seeded.Wired(world.store, {"amocrm": seeded.Out("amocrm", ("AMOCRM_SUBDOMAIN",)), "erp": seeded.Out("erp")})
    text = Visitor(application(world, wired).test_client()).text("/outbox")
    assert "amoCRM is not set up yet. 1 delivery waits and goes out by itself after that." in text
    assert "Waits for the connection" in text


def test_lost_access_is_told_also_while_nothing_waits(world: seeded.World) -> None:
    world.house()
    wired = seeded.Wired(world.store)
    wired.token = replace(wired.token, state="reconnect")
    visitor = Visitor(application(world, wired).test_client())
    text = visitor.text("/outbox")
    assert "amoCRM has to be connected again." in text and "Nothing waits so far." in text
    assert "amoCRM has to be connected again." in visitor.text("/outbox/connections")


def test_before_connecting_nobody_is_asked_for_a_token(world: seeded.World) -> None:
    world.house()
    out = {"amocrm": seeded.Out("amocrm", ("AMOCRM_REFRESH_TOKEN",)), "erp": seeded.Out("erp")}
    text = Visitor(application(world, seeded.Wired(world.store, out)).test_client()).text("/outbox/connections")
    assert "They go out by themselves after connecting." in text and "AMOCRM_REFRESH_TOKEN" not in text


def test_a_webhook_that_amocrm_switched_off_is_the_connections_sentence(world: seeded.World, visitor: Visitor) -> None:
    world.house()
    world.store.key_values.put("jobs", "hook", {"detail": "hook_off", "last_at": seeded.NOON - 60, "outcome": "done"})
    for path in ("/outbox", "/outbox/connections"):
        assert "amoCRM has switched its webhook to Dealpost off." in visitor.text(path)


def test_a_silent_worker_is_on_every_page(trouble, visitor: Visitor) -> None:
    trouble.clock.now += 400
    for path in ("/outbox", "/outbox/deliveries", "/outbox/connections"):
        assert "the sending process is silent. Silent for 6 min 42 s." in visitor.text(path)
    assert "Nothing is being sent: the sending process is silent." in visitor.text("/outbox")


def test_practice_mode_is_on_every_page(world: seeded.World) -> None:
    app = application(
        world,
        SANDBOX="1",
        AMOCRM_BASE_URL="http://127.0.0.1:9",
        AMOCRM_SUBDOMAIN="",
        CRM_API_URL="http://127.0.0.1:9/api/rest.php",
    )
    text = Visitor(app.test_client(), language="ru").text("/outbox/log")
    assert "Учебный режим: настоящие сделки не меняются." in text


@pytest.mark.parametrize(
    "path", ["/outbox", "/outbox/deliveries", "/outbox/5", "/outbox/students", "/outbox/connections", "/outbox/log"]
)
def test_a_store_that_cannot_be_read_is_told_in_words(world: seeded.World, path: str) -> None:
    app = application(world, seeded.Wired(world.store), Broken(world))
    answer = Visitor(app.test_client()).get(path)
    text = plain(answer.text)
    assert answer.status_code == 503
    assert "The server's disk is full, the store does not open." in text
    assert "those accepted before are safe" in text and "Traceback" not in answer.text


def test_a_store_without_the_right_to_write_it_says_whose_right_is_missing(
    visitor: Visitor, world: seeded.World, monkeypatch: Any
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        monkeypatch.setattr(os, "access", lambda *_: False)
        Files("/tmp/dealpost.db").check_rights()

    monkeypatch.setattr(type(world.store.reading), "tallies", fails)
    answer = visitor.get("/outbox")
    assert answer.status_code == 503
    for words in ("The store takes no writes.", "has no right to write the store's file or its folder"):
        assert words in plain(answer.text)


def test_a_driver_fault_is_told_in_words_with_the_last_figures(
    trouble, visitor: Visitor, app: Any, monkeypatch: Any
) -> None:
    visitor.get("/outbox")

    def fails(*_: Any, **__: Any) -> Any:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(type(trouble.store.reading), "tallies", fails)
    answer = visitor.get("/outbox")
    assert answer.status_code == 503
    assert "Figures of 14:36:08." in plain(answer.text) and "amoCRM 12 wait" in plain(answer.text)


def test_what_is_not_there_is_told_in_words(world: seeded.World, visitor: Visitor) -> None:
    for path in ("/outbox/999", "/outbox/99999999999999999999999", "/outbox/nothing", "/outbox/999/preview"):
        answer = visitor.get(path)
        assert answer.status_code == 404, path
        assert "/outbox/static" in answer.text or path == "/outbox/nothing"


@pytest.mark.parametrize("path", ["/outbox", "/outbox/connections", "/outbox/setup"])
def test_a_page_asks_for_its_figures_once(
    trouble: seeded.World, visitor: Visitor, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for name in ("tallies", "sources"):
        ask = getattr(trouble.store.reading, name)
        noting = lambda *args, name=name, ask=ask, **named: (asked.append(name), ask(*args, **named))[1]  # noqa: E731
        monkeypatch.setattr(trouble.store.reading, name, noting)
    assert visitor.get(path).status_code == 200
    assert asked.count("tallies") == 1
    assert asked.count("sources") == (1 if path.endswith("setup") else 2), "of four weeks, and of today"


def test_a_fragment_is_the_middle_of_the_same_page(trouble, visitor: Visitor) -> None:
    part = visitor.get("/outbox", **{"X-Fragment": "1"})
    assert part.text.lstrip().startswith("<header") and 'id="main"' in part.text and "<html" not in part.text
    assert "X-Fragment" in part.headers["Vary"]


def test_a_page_refreshes_without_scripts_only_when_asked(trouble, visitor: Visitor) -> None:
    assert "http-equiv" not in visitor.get("/outbox").text
    assert '<meta http-equiv="refresh" content="15">' in visitor.get("/outbox?refresh=15").text
    assert "http-equiv" not in visitor.get("/outbox?refresh=0").text


def test_the_operator_is_asked_with_a_password_that_is_checked(world: seeded.World, visitor: Visitor) -> None:
    visitor.auth = (OPERATOR[0], VIEWER[1])
    assert visitor.get("/outbox").status_code == 401


def test_a_students_way_holds_also_what_only_names_the_deal(world: seeded.World, visitor: Visitor) -> None:
    person = seeded.PEOPLE[0]
    world.deliver(person, seeded.NOON - seeded.HOUR, 1)
    world.record(person, seeded.NOON - 60, 4791)
    text = visitor.text(f"/outbox/students/journey?email={person[1]}")
    assert "Finished lesson 1" in text and "Record 4791 was made" in text


def test_a_students_way_shows_a_change_once_that_two_hooks_tell_of(world: seeded.World, visitor: Visitor) -> None:
    person = seeded.PEOPLE[0]
    first = world.record(person, seeded.NOON - 60, 4791)
    row = world.store.reading.delivery(first)
    assert row is not None
    again = world.accept("amocrm/webhook", person, seeded.NOON - 50, "erp")
    world.end(again, "erp", State.SKIPPED, reason=f"superseded: the same change as event {row.event_id}")
    text = visitor.text(f"/outbox/students/journey?deal={person[2]}")
    assert text.count("Deal changed its stage") == 1 and "Record 4791 was made" in text
    world.accept("amocrm/webhook", person, seeded.NOON - 10, "erp")
    text = visitor.text(f"/outbox/students/journey?deal={person[2]}")
    assert text.count("Deal changed its stage") == 2, "one that nothing is known of yet is another change"


def test_the_students_list_says_that_not_all_who_fit_are_shown(world: seeded.World, visitor: Visitor) -> None:
    for number in range(201):
        world.accept("lesson.completed", ("", f"many{number}@example.com", 0), seeded.NOON)
    for path in ("/outbox/students?q=many", "/outbox/deliveries?q=many"):
        assert "So many fit that only some of them are shown." in visitor.text(path)
    for path in ("/outbox/students?q=many20", "/outbox/deliveries?q=many20", "/outbox/students"):
        assert "So many fit" not in visitor.text(path)


def test_what_failed_a_moment_ago_is_on_its_way_and_no_trouble(world: seeded.World, visitor: Visitor) -> None:
    one = world.accept("lesson.completed", seeded.PEOPLE[0], seeded.NOON - 9)
    world.end(one, "amocrm", State.PENDING, cause="contact_not_found", reason="not_found: no", due_at=seeded.NOON + 20)
    world.clock.now = seeded.NOON
    world.house()
    assert "Passes by itself" not in visitor.text("/outbox")
    world.clock.now += 400
    world.store.key_values.put("process", "worker.1", {"name": "w", "kind": "worker", "heartbeat_at": world.clock.now})
    assert "Passes by itself" in visitor.text("/outbox")


SCRIPT = TEMPLATES.parent / "static" / "app.js"


def test_no_leftover_on_the_body_answers_to_a_hook_of_the_script(trouble, visitor: Visitor) -> None:
    # A click anywhere lies inside the body, so that an attribute of it that is also a hook answers every click.
    script = SCRIPT.read_text()
    hooks = set(re.findall(r"\[(data-[a-z-]+)", script))
    assert {"data-close", "data-dialog", "data-copy"} <= hooks
    for path in ("/outbox", "/outbox/deliveries", "/outbox/connections", "/outbox/log", "/outbox/help"):
        body = re.search(r"<body\b[^>]*>", visitor.get(path).text)
        assert body is not None
        texts = set(re.findall(r"\b(data-[a-z-]+)=", body[0]))
        assert texts and not texts & hooks, path


def test_each_text_on_the_body_is_one_that_the_script_asks_for(trouble, visitor: Visitor) -> None:
    script = SCRIPT.read_text()
    body = re.search(r"<body\b[^>]*>", visitor.get("/outbox").text)
    assert body is not None
    for name in re.findall(r"\bdata-([a-z-]+)=", body[0]):
        camel = re.sub(r"-(\w)", lambda letter: letter[1].upper(), name)
        assert re.search(rf"\btexts\.{camel}\b", script), name


# --- refused at the door ----------------------------------------------------------------------------------------------


def refused(world: seeded.World, times: int) -> None:
    refusals = Refusals(lambda: world.store.key_values, world.store.now)
    for _ in range(times):
        refusals.note("lessons", 401, "", "The key is not one of API_KEYS.")
    refusals.note("events", 422, "site", 'email: got "anna@example.com" (a text), expected an address')
    refusals.flush()


def test_what_is_refused_is_told_with_its_sender_count_and_reason(world: seeded.World, visitor: Visitor) -> None:
    refused(world, 17)
    for path in ("/outbox", "/outbox/connections"):
        text = visitor.text(path)
        assert re.search(r"The platform sends a wrong key or none, since \d\d:\d\d, 17 times", text), text
        assert re.search(r"The platform \(key “site”\) sends data that cannot be taken, once: \d\d:\d\d", text)
        assert "The key is not one of API_KEYS." in text and "anna" not in text


def test_it_is_told_in_russian_and_not_at_all_when_nothing_was_refused(world: seeded.World, visitor: Visitor) -> None:
    visitor.language = "ru"
    assert "Отказано на входе" not in visitor.text("/outbox")
    refused(world, 2)
    assert re.search(r"Платформа шлёт неверный ключ или не шлёт его, с \d\d:\d\d, 2 раза", visitor.text("/outbox"))


# --- in the reader's language -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("not_connected", "amoCRM ещё не подключали"),
        ("expired", "Срок доступа истёк: подключите заново"),
        ("reconnect", "amoCRM больше не принимает этот доступ: подключите заново"),
    ],
)
def test_connections_says_in_the_readers_language_why_there_is_no_access(
    world: seeded.World, state: str, said: str
) -> None:
    world.house()
    wired = seeded.Wired(world.store)
    wired.token = replace(wired.token, state=state, refresh_expires_at=None, detail="the grant was withdrawn")
    visitor = Visitor(application(world, wired).test_client(), language="ru")
    text = visitor.text("/outbox/connections")
    assert said in text and "the grant was withdrawn" not in text


def test_a_reason_and_a_failed_check_are_in_the_readers_language(trouble: seeded.World, visitor: Visitor) -> None:
    visitor.language = "ru"
    row = trouble.store.reading.find(Filter(cause="contact_not_found"), 1).rows[0]
    text = visitor.text(f"/outbox/{row.id}")
    details = text.partition("Подробности")[2]
    assert "не нашли" in details and "not_found" in details and "no contact" not in text
    text = visitor.text("/outbox/connections?look=1")
    assert "amoCRM не отвечает" in text and "does not answer" not in text


def test_what_was_cancelled_keeps_its_cause_in_the_list_and_in_the_log(trouble: seeded.World, visitor: Visitor) -> None:
    trouble.store.operations.discard(Filter(cause="stage_deleted", states=(State.DEAD,)), "operator")
    assert "The stage for lesson 2 is gone from the funnel" in visitor.text("/outbox/deliveries?state=discarded")
    visitor.language = "ru"
    assert "Этап урока удалён из воронки" in visitor.text("/outbox/log")
