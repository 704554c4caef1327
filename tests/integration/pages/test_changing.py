"""What the buttons do: exactly what was shown, by whom it is allowed, and with a line in the log."""

import re
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest
from flask import Flask

from outbox import pauses
from outbox.message import State
from outbox.outcome import DeliveryError
from outbox.queries import Filter
from service.operator import turns
from service.operator.pages import people_search
from service.setup import alert_test
from service.setup.notes import SetupNotes
from tests.integration.pages.conftest import Visitor
from tests.support import seeded
from tests.support.site import VIEWER
from tests.support.text import plain

DEAD = Filter(states=(State.DEAD,), cause="stage_deleted")


def dead(world: seeded.World) -> list[int]:
    return [one.id for one in world.store.reading.find(DEAD, 100).rows]


def form_of(page: str, action: str) -> dict[str, str | list[str]]:
    """The hidden fields of the form with this action."""
    found = re.search(rf'<form[^>]*action="[^"]*{action}"[^>]*>(.*?)</form>', page, re.DOTALL)
    assert found, action
    fields: dict[str, str | list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', found[1]):
        if name in fields:
            before = fields[name]
            fields[name] = [*([before] if isinstance(before, str) else before), value]
        else:
            fields[name] = value
    fields.pop("csrf_token", None)
    return fields


def test_a_form_without_its_token_changes_nothing(trouble, visitor: Visitor) -> None:
    one = dead(trouble)[0]
    answer = visitor.press(f"/outbox/{one}/retry", token=False)
    assert answer.status_code == 400 and "no longer valid" in plain(answer.text)
    assert trouble.store.reading.delivery(one).state == State.DEAD


def test_retry_and_discard_answer_with_a_redirect_and_leave_a_line(trouble, visitor: Visitor) -> None:
    first, second = dead(trouble)[:2]
    answer = visitor.press(f"/outbox/{first}/retry")
    assert answer.status_code == 303 and answer.headers["Location"] == f"/outbox/{first}"
    assert trouble.store.reading.delivery(first).state == State.PENDING
    assert visitor.press(f"/outbox/{second}/discard").status_code == 303
    assert trouble.store.reading.delivery(second).state == State.DISCARDED
    text = visitor.text("/outbox/log")
    assert "operator sent again 1" in text and "operator cancelled 1" in text


def test_what_was_delivered_cannot_be_cancelled_and_is_told_so(world: seeded.World, visitor: Visitor) -> None:
    one = world.deliver(seeded.PEOPLE[0], seeded.NOON - 60, 1)
    visitor.press(f"/outbox/{one}/discard")
    found = world.store.reading.delivery(one)
    assert found and found.state == State.DELIVERED
    assert "It cannot be cancelled: it is delivered." in visitor.text(f"/outbox/{one}")


def test_pause_and_resume_hold_and_let_go(world: seeded.World, visitor: Visitor) -> None:
    world.house()
    assert visitor.press("/outbox/pause/erp").status_code == 303
    paused = pauses.read(world.store.key_values, "erp")
    assert paused is not None and paused.who == "operator"
    assert "Paused by operator" in visitor.text("/outbox/connections")
    assert visitor.press("/outbox/resume/erp").status_code == 303
    assert pauses.read(world.store.key_values, "erp") is None
    assert visitor.press("/outbox/pause/nothing").status_code == 404


def test_many_are_sent_only_after_a_question_with_the_number(trouble, visitor: Visitor) -> None:
    page = visitor.get("/outbox/deliveries?state=dead&cause=stage_deleted").text
    link = re.search(r'href="([^"]*/outbox/confirm\?[^"]*cause=stage_deleted[^"]*)"', page)
    assert link
    question = visitor.get(link[1].replace("&amp;", "&")).text
    assert "Send 14 deliveries again?" in plain(question)
    assert len(dead(trouble)) == 14, "asking changes nothing"
    answer = visitor.press("/outbox/do", **form_of(question, "/outbox/do"))
    assert answer.status_code == 303
    assert dead(trouble) == [] and trouble.store.reading.count(Filter(states=(State.DEAD,))) == 4
    assert "0 of 14" in visitor.text(answer.headers["Location"])
    assert "operator sent again 14" in visitor.text("/outbox/log")


def test_the_question_looks_up_which_deals_move_and_which_stay(trouble, visitor: Visitor, app: Flask) -> None:
    page = visitor.get("/outbox/confirm?act=retry&state=dead").text
    link = re.search(r'data-load-once="([^"]*/outbox/confirm/preview\?[^"]*)"', page)
    assert link
    text = visitor.text(link[1].replace("&amp;", "&"))
    assert "12 deals move to the stage “Урок 2 пройден”" in text
    assert "2 deals stay where they are Студент 11 and Студент 4: already on “Урок 3 пройден”" in text
    assert "3 students have no deal in amoCRM yet" in text and "1 ERP: new deal" in text
    visitor.language = "ru"
    assert "2 сделки трогать не нужно" in visitor.text(link[1].replace("&amp;", "&"))
    assert len(dead(trouble)) == 14, "looking changes nothing"
    assert "confirm/preview" not in visitor.get("/outbox/confirm?act=discard&state=dead").text

    def fails(deliveries: object) -> None:
        raise DeliveryError("no answer", cause="amocrm_down", outage=True)

    app.extensions["dealpost"].wiring.previewer.previews = fails
    visitor.language = "en"
    assert "It could not be looked up: amoCRM does not answer" in visitor.text(link[1].replace("&amp;", "&"))


def test_of_many_only_a_sample_is_looked_up(world: seeded.World, visitor: Visitor) -> None:
    for place in range(52):
        world.lose(place, seeded.NOON - 100 + place)
    text = visitor.text("/outbox/confirm/preview?act=retry&state=dead")
    assert "2 more were not looked up Only the first 50 are looked up." in text


def test_what_came_after_the_question_is_not_touched(trouble, visitor: Visitor) -> None:
    question = visitor.get("/outbox/confirm?act=retry&state=dead&cause=stage_deleted").text
    late = trouble.lose(40, trouble.clock.now)
    visitor.press("/outbox/do", **form_of(question, "/outbox/do"))
    assert dead(trouble) == [late]


def test_when_the_set_has_changed_nothing_is_done_and_the_question_comes_anew(trouble, visitor: Visitor) -> None:
    question = visitor.get("/outbox/confirm?act=discard&state=dead&cause=stage_deleted").text
    trouble.store.operations.retry(Filter(ids=(dead(trouble)[0],)), "somebody else", at_once=True)
    answer = visitor.press("/outbox/do", **form_of(question, "/outbox/do"))
    assert answer.status_code == 409
    assert "nothing was done" in plain(answer.text) and "Cancel 13 deliveries?" in plain(answer.text)
    assert len(dead(trouble)) == 13


def test_only_the_ticked_ones_are_meant(trouble, visitor: Visitor) -> None:
    ticked = dead(trouble)[:3]
    page = visitor.get("/outbox/deliveries?state=dead&cause=stage_deleted").text
    fields = form_of(page, "/outbox/confirm")
    assert fields["mode"] == "all" and fields["shown"] == "14"
    query = "&".join(f"{name}={value}" for name, value in fields.items()) + "".join(f"&id={one}" for one in ticked)
    question = visitor.get(f"/outbox/confirm?act=discard&{query}").text
    assert "Cancel 3 deliveries?" in plain(question)
    visitor.press("/outbox/do", **form_of(question, "/outbox/do"))
    assert {trouble.store.reading.delivery(one).state for one in ticked} == {State.DISCARDED}
    assert len(dead(trouble)) == 11


def test_nothing_ticked_means_nothing(trouble, visitor: Visitor) -> None:
    text = visitor.text("/outbox/confirm?act=discard&state=dead&mode=ids&shown=18")
    assert "Nothing is selected" in text
    visitor.press("/outbox/do", act="discard", state="dead", mode="ids", max_id="999999", expected="0")
    visitor.press("/outbox/do", act="discard", state="dead")
    assert trouble.store.reading.count(Filter(states=(State.DEAD,))) == 18


@pytest.mark.parametrize("state", ["delivered", "sending"])
def test_what_is_delivered_or_on_its_way_is_never_among_many(trouble, visitor: Visitor, state: str) -> None:
    before = trouble.store.reading.count_states(Filter())
    assert "Nothing is selected" in visitor.text(f"/outbox/confirm?act=discard&state={state}")
    visitor.press("/outbox/do", act="discard", state=state, max_id="999999", expected="400")
    assert trouble.store.reading.count_states(Filter()) == before


def test_a_corrected_address_is_sent_and_the_old_one_stays_in_the_log(trouble, visitor: Visitor) -> None:
    one = trouble.store.reading.find(Filter(states=(State.DEAD,), cause="contact_not_found"), 1).rows[0]
    bad = visitor.press(f"/outbox/{one.id}/correct", email="nothing like it")
    assert bad.status_code == 422 and "This is no e-mail address." in plain(bad.text)
    assert visitor.press(f"/outbox/{one.id}/correct", email=" Right@Example.com ").status_code == 303
    after = trouble.store.reading.delivery(one.id)
    assert after.email == "right@example.com" and after.state == State.PENDING
    assert after.data["lesson"] == one.data["lesson"]
    assert one.email in visitor.text("/outbox/log")


def test_a_records_name_and_amount_are_corrected_by_the_rules_of_the_way_in(trouble, visitor: Visitor) -> None:
    one = trouble.store.reading.find(Filter(states=(State.DEAD,), cause="erp_refused"), 1).rows[0]
    assert f"/outbox/{one.id}/correct" in visitor.get("/outbox/deliveries?state=dead").text
    assert 'value="Студент 51"' in visitor.get(f"/outbox/{one.id}/correct").text
    bad = visitor.press(f"/outbox/{one.id}/correct", dealName=" ", amount="by agreement")
    assert bad.status_code == 422 and 'value="by agreement"' in bad.text
    assert "The name must not be empty" in plain(bad.text) and "This is no amount." in plain(bad.text)
    assert trouble.store.reading.delivery(one.id).state == State.DEAD
    answer = visitor.press(f"/outbox/{one.id}/correct", dealName="Полина Жукова", amount="24 900,50")
    assert answer.status_code == 303
    after = trouble.store.reading.delivery(one.id)
    assert after.state == State.PENDING
    assert (after.data["dealName"], after.data["amount"]) == ("Полина Жукова", "24900.50")
    assert "before: Студент 51, ₽24,900" in visitor.text("/outbox/log")


def test_a_stage_is_chosen_from_the_funnel_and_goes_before_the_setting(trouble, visitor: Visitor) -> None:
    answer = visitor.press("/outbox/connections/stages", **{"stage:2": "61530117", "then_retry": "stage_deleted"})
    to = urlsplit(answer.headers["Location"])
    assert to.path == "/outbox/confirm" and dict(parse_qsl(to.query))["cause"] == "stage_deleted"
    entry = trouble.store.key_values.get("choices", "stage:2")
    assert entry.value["status_id"] == 61530117 and entry.value["who"] == "operator"
    text = visitor.text("/outbox/connections")
    assert "chosen here by operator" in text and "the setting says 61530114" in text
    visitor.press("/outbox/connections/stages", **{"stage:2": "setting"})
    assert trouble.store.key_values.get("choices", "stage:2") is None


def test_a_stage_that_the_funnel_lacks_is_refused(trouble, visitor: Visitor) -> None:
    for wrong in ("999", "143"):
        visitor.press("/outbox/connections/stages", **{"stage:1": wrong})
        assert trouble.store.key_values.get("choices", "stage:1") is None


@pytest.mark.parametrize(
    ("code", "said"),
    [("hook_on", "Switched on"), ("hook_off", "Switched off by amoCRM"), ("hook_unknown", "Not registered in amoCRM")],
)
def test_the_webhooks_card_says_what_the_last_check_found(trouble, visitor: Visitor, code: str, said: str) -> None:
    kept = trouble.store.key_values.get("jobs", "hook").value
    trouble.store.key_values.put("jobs", "hook", {**kept, "detail": code})
    text = visitor.text("/outbox/connections")
    assert f"amoCRM's webhook {said}" in text and "Checked 6 min ago" in text
    visitor.press("/outbox/connections/webhook")
    assert "amoCRM's webhook Switched on" in visitor.text("/outbox/connections")


def test_a_closed_side_door_is_told_in_words_and_is_no_trouble(trouble, visitor: Visitor) -> None:
    headline = visitor.text("/outbox")[:300]
    kept = trouble.store.key_values.get("jobs", "hook").value
    reason = "webhooks_closed: amoCRM answered 402 to GET /api/v4/webhooks"
    trouble.store.key_values.put("jobs", "hook", {**kept, "outcome": "waits", "detail": reason})
    text = visitor.text("/outbox")
    assert "amoCRM does not let us look after its webhooks" in text and text[:300] == headline


def test_the_webhook_is_subscribed_by_a_button(trouble, visitor: Visitor) -> None:
    assert visitor.press("/outbox/connections/webhook").status_code == 303
    assert "The webhook is subscribed" in visitor.text("/outbox/connections")


# --- taken back, and by whom ------------------------------------------------------------------------------------------


def undo_address(page: str) -> str:
    found = re.search(r'action="(/outbox/undo/\d+)"', page)
    return found[1] if found else ""


def test_a_bulk_deed_is_taken_back_within_ten_seconds(trouble, visitor: Visitor) -> None:
    ids = dead(trouble)
    page = visitor.get("/outbox/confirm?act=discard&state=dead&cause=stage_deleted").text
    fields = form_of(page, "/outbox/do")
    visitor.press("/outbox/do", **{**fields, "act": "discard"})
    assert dead(trouble) == []
    page = visitor.get("/outbox/log").text
    assert "14 deliveries: cancelled" in plain(page)
    answer = visitor.press(undo_address(page))
    assert answer.status_code == 303
    assert dead(trouble) == ids
    assert "Taken back: 14 deliveries are as they were." in visitor.text("/outbox/log")


def test_after_that_and_to_others_it_is_offered_no_more(trouble, app: Flask, visitor: Visitor) -> None:
    one = dead(trouble)[0]
    visitor.press(f"/outbox/{one}/discard")
    page = visitor.get("/outbox").text
    looker = Visitor(app.test_client(), auth=VIEWER)
    assert undo_address(page) and not undo_address(looker.get("/outbox").text)
    trouble.clock.now += 11
    assert not undo_address(visitor.get("/outbox").text)
    trouble.clock.now += 5
    visitor.press(undo_address(page))
    assert "There is nothing to take back any more" in visitor.text("/outbox")
    assert trouble.store.reading.delivery(one).state == State.DISCARDED


def test_the_log_and_the_timeline_tell_who_did_what_with_whom(trouble, visitor: Visitor) -> None:
    rows = trouble.store.reading.find(DEAD, 100).rows
    trouble.store.operations.retry(DEAD, "Irina")
    trouble.store.operations.discard(Filter(ids=(rows[0].id,)), "Oleg")
    log = visitor.text("/outbox/log")
    assert re.search(rf"Oleg cancelled 1 {rows[0].person or rows[0].email}, finished lesson", log)
    assert "Irina sent again 14" in log and "and others" in log
    timeline = visitor.text(f"/outbox/{rows[0].id}")
    assert "Irina: sent again" in timeline and "Oleg: cancelled" in timeline, timeline
    assert timeline.index("Irina: sent again") < timeline.index("Oleg: cancelled")
    assert "Oleg: cancelled" not in visitor.text(f"/outbox/{rows[1].id}")


# --- correcting with amoCRM's help ------------------------------------------------------------------------------------


def unknown(world: seeded.World, lessons: int = 3) -> list[int]:
    """A student with a mistyped address: the first lesson did not arrive, the others wait; and one that did."""
    person = ("Анна", "anna@exmaple.com", 0)
    ids = [world.accept("lesson.completed", person, world.clock.now, lesson=number + 1) for number in range(lessons)]
    world.end(ids[0], "amocrm", State.DEAD, 0.4, reason="not_found: no contact", cause="contact_not_found")
    return [row.id for row in world.store.reading.find(Filter(email=person[1]), 10, oldest_first=True).rows]


def test_amocrm_is_searched_by_a_name_or_a_part_of_an_address(world: seeded.World, visitor: Visitor) -> None:
    one = unknown(world)[0]
    assert "student17@example.com" in visitor.text(f"/outbox/{one}/correct/people?q=dent17@")
    text = visitor.text(f"/outbox/{one}/correct/people?q=студент 17")
    assert "Студент 17 student17@example.com deal 31240629, stage “Оплатил”" in text, text
    assert "It will move the deal" in visitor.text(f"/outbox/{one}/correct/people?q=student17@example.com")
    assert "finds nobody" in visitor.text(f"/outbox/{one}/correct/people?q=nobody at all")


def test_a_silent_amocrm_and_many_who_search_at_once_are_told(world, app: Flask, visitor: Visitor, monkeypatch) -> None:
    one = unknown(world)[0]

    def silent(text: str) -> None:
        raise DeliveryError("no answer", cause="amocrm_outage", outage=True)

    monkeypatch.setattr(app.extensions["dealpost"].wiring, "find_people", silent)
    assert "It cannot be looked up now" in visitor.text(f"/outbox/{one}/correct/people?q=anna")
    for _ in range(turns.AT_ONCE):
        people_search.SEARCHES.acquire()
    try:
        assert "Others are searching too" in visitor.text(f"/outbox/{one}/correct/people?q=anna")
    finally:
        for _ in range(turns.AT_ONCE):
            people_search.SEARCHES.release()


def test_one_correction_mends_all_lessons_of_the_student_that_have_not_arrived(
    world: seeded.World, visitor: Visitor
) -> None:
    ids = unknown(world)
    page = visitor.text(f"/outbox/{ids[0]}/correct")
    assert "2 more lessons of this student have not arrived: they are corrected and sent too." in page
    assert visitor.press(f"/outbox/{ids[0]}/correct", email="anna@example.com").status_code == 303
    rows = world.store.reading.find(Filter(ids=tuple(ids)), 10).rows
    assert {(row.state, row.email, row.key, row.data["email"]) for row in rows} == {
        (State.PENDING, "anna@example.com", "email:anna@example.com", "anna@example.com")
    }
    assert {row.data["lesson"] for row in rows} == {1, 2, 3}
    assert "Corrected: 3 deliveries go out now to anna@example.com." in visitor.text(f"/outbox/{ids[0]}")


# --- trying the set-up out --------------------------------------------------------------------------------------------


def test_a_trial_lesson_is_accepted_as_any_other_and_leads_to_its_delivery(world, visitor: Visitor) -> None:
    answer = visitor.press("/outbox/connections/trial", email="Student7@example.com", lesson="2")
    row = world.store.reading.find(Filter(email="student7@example.com"), 5).rows[0]
    assert answer.headers["Location"] == f"/outbox/{row.id}"
    assert (row.state, row.data["lesson"], row.source) == (State.PENDING, 2, "operator")
    assert "operator sent a trial lesson" in visitor.text("/outbox/log")
    for wrong in ({"email": "nobody", "lesson": "2"}, {"email": "a@example.com", "lesson": "x"}):
        visitor.press("/outbox/connections/trial", **wrong)
        assert "Nothing was sent: expected an address" in visitor.text("/outbox/connections")
    assert world.store.reading.count(Filter()) == 1


def test_a_test_alert_says_whether_anybody_heard_it(world, app: Flask, visitor: Visitor, monkeypatch) -> None:
    visitor.press("/outbox/connections/alert")
    assert "There is nobody to tell" in visitor.text("/outbox/connections")
    dealpost = app.extensions["dealpost"]
    dealpost.settings = replace(dealpost.settings, alert_urls=("json://first", "json://second"))
    for reached, said, heard in (
        ({"json://first", "json://second"}, "The test alert was sent.", True),
        ({"json://first"}, "these took nothing: 2 (counted from 1)", True),
        (set(), "The test alert reached nobody", False),
    ):
        monkeypatch.setattr(
            alert_test,
            "by_apprise",
            lambda settings, reached=reached: lambda title, text: set(settings.alert_urls) <= reached,
        )
        visitor.press("/outbox/connections/alert")
        assert said in visitor.text("/outbox/connections")
        noted = SetupNotes(world.store.key_values).alert()
        assert noted is not None and noted.heard == heard
