"""Each situation that the page once got wrong, and what a manager reads now, in both languages."""

import dataclasses
from typing import Any

import pytest

from outbox import pauses
from outbox.message import NewDelivery, NewEvent, State
from outbox.outcome import PauseKind
from outbox.queries import Filter
from service.amocrm.oauth.tokens import TokenStatus
from service.destinations.records.rukovoditel.refusals import settings_refused
from service.destinations.records.rukovoditel.replies import Refused
from service.operator.words.numbers import ngettext
from tests.integration.pages.conftest import Visitor
from tests.support import seeded
from tests.support.seeded import NOON, PEOPLE
from tests.support.site import VIEWER, application

CALM = ("All delivered", "Nothing has to be done", "Everything is connected. Nothing", "Nobody waits")
CALM_RU = ("Всё доставлено", "Ничего делать не нужно", "Никто не ждёт")
PLACES = ("/outbox", "/outbox/connections")


def pause(world: seeded.World, kind: PauseKind, cause: str, until: float | None = None, /, **params: Any) -> None:
    one = pauses.Paused(
        kind, until, f"{cause}: words", cause, NOON - 600, params=params, who=str(params.get("who", ""))
    )
    assert pauses.begin(world.store.key_values, str(params.get("at", "amocrm")), one)


def waiting(world: seeded.World, place: int = 0, age: float = 400.0, lesson: int = 1) -> int:
    found = world.accept("lesson.completed", PEOPLE[place], NOON - age, lesson=lesson)
    world.clock.now = NOON
    return found


def failing(world: seeded.World, cause: str, destination: str = "amocrm", due: float = 480.0, **fields: Any) -> int:
    event = "lesson.completed" if destination == "amocrm" else "crm/create-deal"
    one = world.accept(event, PEOPLE[5], NOON - 400, destination)
    world.end(
        one, destination, State.PENDING, cause=cause, reason=f"{cause}: words", due_at=NOON + due, params={}, **fields
    )
    world.clock.now = NOON
    return one


def never_calm(visitor: Visitor, *more: str) -> str:
    """No screen says that all is well. -> the overview's text."""
    for language, calm in (("ru", CALM_RU), ("en", CALM)):
        visitor.language = language
        for path in ("/outbox", *more):
            text = visitor.text(path)
            assert not [one for one in calm if one in text], (path, language)
    return visitor.text("/outbox")


@pytest.fixture
def lively(world: seeded.World) -> seeded.World:
    """A day on which all is well so far."""
    world.day(scale=0.05)
    world.latest()
    world.house()
    return world


def test_three_lessons_of_one_student_each_bear_their_own_number(lively: seeded.World, visitor: Visitor) -> None:
    for lesson in (1, 2, 3):
        one = lively.accept("lesson.completed", PEOPLE[7], NOON, lesson=lesson)
        lively.end(one, "amocrm", State.SKIPPED, 0.1, reason="deal_closed: x", facts=lively.moved(3))
    lively.clock.now = NOON
    text = visitor.text(f"/outbox/deliveries?email={PEOPLE[7][1]}")
    assert all(f"finished lesson {lesson}" in text for lesson in (1, 2, 3))
    assert "the deal is closed" in text


def test_five_alike_name_the_stage_and_the_deals_and_offer_a_choice(lively: seeded.World, visitor: Visitor) -> None:
    rows = [waiting(lively, place, lesson=2) for place in range(14)]
    inner = {"lesson": 2, "stage": "Урок 2 пройден", "pipeline": "Продажи"}
    pause(lively, PauseKind.CAUSE, "same_cause", cause="stage_deleted", params=inner, rows=rows[:5])
    text = never_calm(visitor, "/outbox/connections", f"/outbox/{rows[0]}")
    assert "The stage “Урок 2 пройден” is gone from the funnel “Продажи”." in text
    assert any(name in text for name in PEOPLE[0][:2]) and "and 9 more" in text  # by name, once that is known
    assert "Save and try one" in text and "a manager or an administrator of amoCRM" in text
    assert "five" not in text.lower() and "for one cause" not in text
    one = visitor.text(f"/outbox/{rows[0]}")
    assert "Choose another stage" in one and "Nothing has to be done" not in one


def test_one_is_tried_and_the_others_follow_on_a_word(lively: seeded.World, visitor: Visitor) -> None:
    rows = [waiting(lively, place, lesson=2) for place in range(6)]
    pause(lively, PauseKind.CAUSE, "same_cause", cause="amocrm_rights", params={}, rows=rows[:5])
    assert "Try one" in visitor.text("/outbox")
    assert visitor.press("/outbox/try/amocrm").status_code == 303
    kept = pauses.read(lively.store.key_values, "amocrm")
    assert kept is not None and kept.until == NOON and kept.params["try"] == rows[0]
    assert "One is being tried right now." in visitor.text("/outbox")
    lively.end(rows[0], "amocrm", State.DELIVERED, 0.5, person=PEOPLE[0][0], facts=lively.moved(2))
    pauses.begin(lively.store.key_values, "amocrm", pauses.tried(kept, rows[0], None))
    text = visitor.text("/outbox")
    assert f"{PEOPLE[0][0]} went through: stage “Урок 2 пройден”." in text and "Send the other 5" in text
    visitor.press("/outbox/resume/amocrm")
    assert pauses.read(lively.store.key_values, "amocrm") is None


def test_choosing_a_stage_there_tries_one_and_holds_the_others(lively: seeded.World, visitor: Visitor) -> None:
    rows = [waiting(lively, place, lesson=2) for place in range(6)]
    inner = {"lesson": 2, "stage": "Урок 2 пройден"}
    pause(lively, PauseKind.CAUSE, "same_cause", cause="stage_deleted", params=inner, rows=rows[:5])
    answer = visitor.press("/outbox/connections/stages", **{"stage:2": "61530117", "then_retry": "try"})
    assert answer.status_code == 303
    kept = pauses.read(lively.store.key_values, "amocrm")
    assert kept is not None and kept.params["held"] and kept.params["try"] == rows[0] and kept.until == NOON


def test_a_person_s_pause_is_never_called_trying(lively: seeded.World, visitor: Visitor) -> None:
    one = waiting(lively)
    pause(lively, PauseKind.OPERATOR, "operator", who="Irina")
    text = never_calm(visitor, "/outbox/connections", f"/outbox/{one}")
    assert "Sending to amoCRM is paused. 1 delivery waits until somebody resumes." in text
    assert "We keep trying" not in text and "try again" not in text
    assert "It goes out when somebody resumes." in visitor.text(f"/outbox/{one}")
    visitor.language = "ru"
    assert "Отправка в amoCRM приостановлена." in visitor.text("/outbox")


def test_sent_now_in_a_pause_says_when_it_goes(lively: seeded.World, visitor: Visitor) -> None:
    one = waiting(lively)
    pause(lively, PauseKind.RATE, "amocrm_slow_down", NOON + 40, seconds=60)
    visitor.press(f"/outbox/{one}/retry")
    assert "It goes out after the pause of amoCRM, in 40 seconds." in visitor.text(f"/outbox/{one}")
    assert "It goes out now." not in visitor.text(f"/outbox/{one}")


@pytest.mark.parametrize("found", ["hook_off", "hook_unknown"])
def test_a_webhook_that_is_off_is_told_and_bears_no_tick(lively: seeded.World, visitor: Visitor, found: str) -> None:
    lively.store.key_values.put(
        "jobs", "hook", {"detail": found, "last_at": NOON - 60, "outcome": "done", "every": 600, "next_at": NOON + 540}
    )
    text = never_calm(visitor, "/outbox/connections")
    assert "webhook" in text.partition("Coming in")[0] and "Subscribe" in text
    page = visitor.get("/outbox").text
    line = page[page.index("Webhook check") : page.index("Webhook check") + 300]
    assert "chip-bad" in line and "chip-ok" not in line


def test_a_lesson_without_a_stage_is_told_until_it_was_sent_again(lively: seeded.World, visitor: Visitor) -> None:
    one = lively.accept("lesson.completed", PEOPLE[3], NOON, lesson=4)
    lively.end(one, "amocrm", State.SKIPPED, 0.1, reason="no_stage: x", cause="lesson_unmapped")
    lively.clock.now = NOON
    text = never_calm(visitor, "/outbox/connections", f"/outbox/{one}")
    assert "No stage is chosen for lesson 4." in text and "Where to move deals after lesson 4" in text
    visitor.language = "ru"
    assert "для этого урока не выбран этап" in visitor.text("/outbox/deliveries?state=skipped")
    lively.store.operations.discard(Filter(ids=(one,)), "olga")
    visitor.language = "en"
    assert "All delivered." in visitor.text("/outbox")


def test_an_e_mail_that_is_not_in_amocrm_needs_somebody(lively: seeded.World, visitor: Visitor) -> None:
    one = failing(lively, "contact_not_found")
    text = never_calm(visitor, f"/outbox/{one}", f"/outbox/students/journey?email={PEOPLE[5][1]}")
    assert "No student with this e-mail in amoCRM. We try again in 8 minutes, but it may not pass by itself." in text
    assert "Needs your decision" in text and "Passes by itself" not in text
    own = visitor.text(f"/outbox/{one}")
    assert "correct the e-mail" in own and "We go on trying for" in own and "Nothing has to be done" not in own


def test_an_erp_that_answers_an_empty_500_needs_somebody(lively: seeded.World, visitor: Visitor) -> None:
    failing(lively, "erp_unreadable", "erp", 5)
    text = never_calm(visitor)
    assert "Passes by itself" not in text and "an administrator of the ERP" in text
    failing(lively, "erp_down", "erp", 5)
    assert "password" not in visitor.text("/outbox?x=1").partition("The ERP does not answer")[2][:300]


def test_reconnecting_is_said_on_the_delivery_s_own_page(lively: seeded.World, visitor: Visitor) -> None:
    one = waiting(lively)
    pause(lively, PauseKind.RECONNECT, "amocrm_reconnect", NOON + 3600)
    own = never_calm(visitor, f"/outbox/{one}") and visitor.text(f"/outbox/{one}")
    assert "Press Connect" in own and "an administrator of amoCRM" in own and "Nothing has to be done" not in own
    assert "We ask again in 1 hour." in own


def test_what_waits_behind_an_earlier_lesson_says_so(lively: seeded.World, visitor: Visitor) -> None:
    first = lively.accept("lesson.completed", PEOPLE[5], NOON - 400)
    second = lively.accept("lesson.completed", PEOPLE[5], NOON - 10, lesson=2)
    cause = "contact_not_found"
    lively.end(first, "amocrm", State.PENDING, 0.1, cause=cause, reason="not_found: x", due_at=NOON + 480)
    lively.clock.now = NOON
    own = visitor.text(f"/outbox/{second}")
    assert f"It waits for this student's earlier delivery, No. {first}." in own
    assert "That one is tried again in 8 minutes" in own and "next in line" not in own
    listed = visitor.text("/outbox/deliveries?state=pending")
    assert "Waits for an earlier one" in listed and f"after No. {first}" in listed
    visitor.language = "ru"
    assert f"Ждёт прежнюю отправку этого ученика, №\N{NO-BREAK SPACE}{first}." in visitor.get(f"/outbox/{second}").text


def test_the_pace_is_that_of_now(lively: seeded.World, visitor: Visitor) -> None:
    lively.store.key_values.put("pace", "amocrm", {"factor": 0.5, "since": NOON - 2400, "until": NOON - 2400})
    text = visitor.text("/outbox")
    assert "of 6 requests per second" in text and "usually" not in text


def test_a_closed_deal_is_called_closed(lively: seeded.World, visitor: Visitor) -> None:
    one = lively.accept("lesson.completed", PEOPLE[9], NOON - 50, lesson=2)
    facts = {**lively.moved(2), "from_status": 143, "from_name": "Не реализовано"}
    lively.end(one, "amocrm", State.SKIPPED, 0.1, reason="deal_closed: x", facts=facts, lead_id=PEOPLE[9][2])
    lively.clock.now = NOON
    text = visitor.text(f"/outbox/students/journey?email={PEOPLE[9][1]}")
    assert "The deal is closed: “Не реализовано”" in text and "still ahead" not in text
    assert "Everything arrived" not in text


def test_one_move_is_shown_once(lively: seeded.World, visitor: Visitor) -> None:
    person = ("Гость", "guest@example.com", 31999999)
    lively.deliver(person, NOON - 40, 1)
    hook = lively.accept("amocrm/webhook", person, NOON - 35, "erp")
    data = dict(lively.store.reading.delivery(hook).data)  # type: ignore[union-attr]
    assert data["status_id"] == 61530105
    lively.record(person, NOON - 30, 5000)
    lively.clock.now = NOON
    text = visitor.text("/outbox/students/journey?email=guest@example.com")
    assert text.count("The deal moved") == 1


@pytest.mark.parametrize("path", PLACES)
def test_connections_are_not_called_well_while_something_rests(
    lively: seeded.World, visitor: Visitor, path: str
) -> None:
    pause(lively, PauseKind.UNPAID, "amocrm_unpaid", NOON + 3600)
    text = visitor.text(path)
    assert "The amoCRM account is not paid." in text and "the owner of the amoCRM account" in text
    assert "Nothing has to be done here" not in text


def test_an_event_that_could_not_be_read_is_told_and_offers_nothing_that_does_nothing(
    lively: seeded.World, visitor: Visitor
) -> None:
    one = lively.accept("amocrm/webhook", PEOPLE[1], NOON, "-", state=State.DEAD, reason="unreadable: x")
    lively.clock.now = NOON
    text = never_calm(visitor)
    assert "1 delivery did not arrive." in text and "nowhere does not know" not in text
    own = visitor.text(f"/outbox/{one}")
    assert "An event could not be read." in own and "Send now" not in own


def test_a_silent_worker_s_cards_do_not_say_working(lively: seeded.World, visitor: Visitor) -> None:
    one = waiting(lively)
    lively.clock.now = NOON + 200
    text = never_calm(visitor, f"/outbox/{one}", "/outbox/connections")
    assert "Working" not in text and "Nothing is sent" in text
    assert "once that runs" in visitor.text(f"/outbox/{one}") or "process is silent" in visitor.text(f"/outbox/{one}")


def test_five_different_refusals_are_not_called_one_cause(lively: seeded.World, visitor: Visitor) -> None:
    rows = []
    for place in range(5):
        one = lively.accept("lesson.completed", PEOPLE[place], lively.clock.now)
        lively.end(one, "amocrm", State.PENDING, 0.1, cause="deal_refused", reason=f"refused: field {place} is wrong")
        rows.append(one)
    lively.clock.now = NOON
    pause(lively, PauseKind.CAUSE, "same_cause", cause="deal_refused", params={"detail": "field 4"}, rows=rows)
    text = never_calm(visitor)
    assert "not all for the same reason." in text and "field 0 is wrong" in text and "field 4 is wrong" in text


def test_the_accounts_own_refusal_is_told_in_its_words(lively: seeded.World, visitor: Visitor) -> None:
    words = "Доступ запрещён с Вашего IP адреса"
    pause(lively, PauseKind.FORBIDDEN, "amocrm_ip_refused", NOON + 3600, detail=words)
    text = never_calm(visitor)
    assert words in text and "Write to amoCRM's support" not in text and "an administrator of amoCRM" in text


def test_access_that_ends_soon_is_told(lively: seeded.World) -> None:
    token = TokenStatus("long_lived", expires_at=NOON + 3 * 86400, host="school.amocrm.ru")
    wired = dataclasses.replace(seeded.Wired(lively.store), token=token)
    visitor = Visitor(application(lively, wired).test_client())
    assert "The access to amoCRM ends on" in visitor.text("/outbox").partition("Coming in")[0]


def test_a_late_job_bears_no_tick(lively: seeded.World, visitor: Visitor) -> None:
    lively.store.key_values.put(
        "jobs", "tokens", {"last_at": NOON - 9000, "outcome": "done", "every": 60, "next_at": NOON - 8940}
    )
    text = never_calm(visitor, "/outbox/connections")
    assert "A scheduled job has not run in time: Renewing access to amoCRM." in text


def test_counts_over_a_thousand_are_grouped_alike_everywhere(world: seeded.World, visitor: Visitor) -> None:
    world.house()
    visitor.language = "ru"
    text = visitor.text("/outbox")
    assert "9989" not in text
    with visitor.client.application.test_request_context(headers={"Accept-Language": "ru"}):
        assert ngettext("%(num)s delivery waits.", "%(num)s deliveries wait.", 9989) == "9\xa0989 отправок ждут."


def test_a_correction_stands_in_the_timeline_and_the_log_names_whom(lively: seeded.World, visitor: Visitor) -> None:
    one = failing(lively, "contact_not_found")
    visitor.press(f"/outbox/{one}/correct", email="right@example.com")
    own = visitor.text(f"/outbox/{one}")
    assert "operator: corrected and sent" in own and f"before: {PEOPLE[5][1]}" in own
    assert "right@example.com, finished lesson 1" in visitor.text("/outbox/log")


def test_a_viewer_who_presses_reads_why_it_was_refused(lively: seeded.World, visitor: Visitor) -> None:
    one = waiting(lively)
    visitor.auth = VIEWER
    answer = visitor.client.post(
        f"/outbox/{one}/retry", auth=VIEWER, headers={"Accept": "text/html", "Accept-Language": "en"}
    )
    assert answer.status_code == 403 and "You may look, but not change anything." in answer.text
    assert "app.css" in answer.text


def test_an_unknown_address_is_a_quiet_page_for_a_browser_and_bare_for_a_program(
    lively: seeded.World, visitor: Visitor
) -> None:
    answer = visitor.get("/nothing-here", Accept="text/html")
    assert answer.status_code == 404 and "There is nothing here." in answer.text and "app.css" in answer.text
    assert "Школа" not in answer.text  # nobody has signed in


def test_a_process_that_died_shows_once(lively: seeded.World, visitor: Visitor) -> None:
    for number in (2, 3, 4):
        lively.store.key_values.put(
            "process",
            f"worker.{number}",
            {
                "name": f"worker.{number}",
                "kind": "worker",
                "started_at": NOON - 900,
                "heartbeat_at": NOON - 100 * number,
            },
        )
    text = visitor.text("/outbox")
    assert text.count("died, another runs") == 1 and "worker.2" in text and "worker.4" not in text
    assert "All delivered." in text


def test_what_the_erp_refuses_names_the_settings_and_where_they_are_set(world: seeded.World) -> None:
    world.day(scale=0.05)
    world.house()
    app = application(world, CRM_API_KEY="", ERP_API_KEY="erp-key-1")
    visitor = Visitor(app.test_client())
    one = world.accept("crm/create-deal", PEOPLE[5], NOON - 400, "erp")
    error = settings_refused(Refused("API Key mismatch", "key_mismatch", 500))
    pause(world, PauseKind.SETTINGS, "erp_settings", NOON + 3600, at="erp", **error.params)
    world.clock.now = NOON
    text = never_calm(visitor)
    assert "Correct what is wrong of CRM_API_KEY;" in text and "Where it is set ERP_API_KEY (environment)" in text
    assert "CRM_API_USERNAME" not in text
    assert "Correct what is wrong of CRM_API_KEY;" in visitor.text(f"/outbox/{one}")
    visitor.language = "ru"
    assert "Исправьте, что неверно в CRM_API_KEY" in visitor.text("/outbox")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("No match for Username and/or Password.", "CRM_API_USERNAME, CRM_API_PASSWORD"),
        ("Entity 71 not found", "ERP_ENTITY_ID"),
        ("Field field_9 is unknown", "ERP_FIELD_NAME, ERP_FIELD_AMOUNT, ERP_FIELD_KEY, ERP_FIELDS"),
    ],
)
def test_a_refusal_of_the_erp_means_the_settings_that_it_speaks_of(said: str, meant: str) -> None:
    assert settings_refused(Refused(said, "", 500)).params["settings"] == meant


def test_many_that_are_sent_in_a_pause_are_told_when_they_go(trouble: seeded.World, visitor: Visitor) -> None:
    dead = trouble.store.reading.find(Filter(states=(State.DEAD,), cause="stage_deleted"), 50).rows
    answer = visitor.press(
        "/outbox/do", act="retry", state="dead", cause="stage_deleted", max_id=str(dead[0].id), expected="14"
    )
    said = visitor.text(answer.headers["Location"])
    assert "0 of 14 They go out after the pause of amoCRM, in 40 seconds." in said and "one after another" not in said
    pause_by_person = pauses.Paused(PauseKind.OPERATOR, None, "operator", "operator", NOON, who="Irina")
    trouble.store.key_values.put("pause", "amocrm", pauses.stored(pause_by_person))
    assert "They go out when somebody resumes sending to amoCRM." in visitor.text(answer.headers["Location"])
    pauses.resume(trouble.store, "amocrm", "Irina")
    assert "The others go out one after another." in visitor.text(answer.headers["Location"])


@pytest.mark.parametrize("kind", [PauseKind.OPERATOR, PauseKind.RECONNECT])
def test_what_a_dead_process_left_in_hand_is_not_called_sending_while_its_destination_rests(
    lively: seeded.World, visitor: Visitor, kind: PauseKind
) -> None:
    one = waiting(lively)
    lease = lively.store.leases.acquire("lane:amocrm", "worker", 30.0)
    assert lease is not None
    lively.store.lanes.claim(lease, "amocrm", 10, whole_keys=True, newest_first=False)
    assert "It is being sent right now." in visitor.text(f"/outbox/{one}")
    lively.clock.now = NOON + 120
    lively.house()
    pause(lively, kind, "operator" if kind is PauseKind.OPERATOR else "amocrm_reconnect")
    own = visitor.text(f"/outbox/{one}")
    assert "Sending broke off in the middle" in own and "It is being sent right now." not in own
    assert "Sending broke off" in visitor.text("/outbox/deliveries?state=sending")


def test_names_beyond_those_that_are_told_have_a_line_of_their_own(lively: seeded.World, visitor: Visitor) -> None:
    assert "Others, under further names" not in visitor.text("/outbox")
    for number in range(60):
        event = NewEvent(
            id=f"01936a2f-1111-7000-8000-{number:012d}", name=f"made/up-{number:02d}", data={}, source="inngest",
            sender="platform", received_at=NOON,
            deliveries=(NewDelivery("-", None, state=State.SKIPPED, reason="not_routed"),),
        )  # fmt: skip
        lively.store.intake.accept([event])
    assert "Others, under further names" in visitor.text("/outbox")


def test_the_chart_says_what_is_so_of_all_that_arrived(world: seeded.World, visitor: Visitor) -> None:
    """99 quick ones in some hours, a slow one in another: 99 % within the quick time, whatever the worst hour was."""
    for place in range(99):
        world.deliver(PEOPLE[place % 40], NOON - 7200 + place * 5, 1, after=1.5)
    world.deliver(PEOPLE[41], NOON - 1800, 1, after=25)
    world.clock.now = NOON
    text = visitor.text("/outbox")
    told = text[text.index("Time to arrive") :]
    assert "99% within 1.5 s" in told[:80] and "50% within 1.5 s" in told[:80]
