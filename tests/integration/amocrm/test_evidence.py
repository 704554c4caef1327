"""One odd answer decides nothing: what is not there is asked for by itself, while others answer, and again later."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox import defaults
from service.amocrm.absences import NAMESPACE
from tests.integration.amocrm.running import NEW, ONE, TWO, Running


class TestAccountThatIsNotThere:
    @pytest.mark.parametrize("preset", ["account_gone", "account_gone_html"])
    @pytest.mark.parametrize("known", [True, False])
    def test_everything_waits_and_goes_out_as_soon_as_it_is_back(
        self, running: Running, preset: str, known: bool
    ) -> None:
        deals = running.students(3)
        if known:
            running.lessons([(email, 1) for email in deals])
            running.drain()
        running.sandbox.faults.preset(preset)
        events = running.lessons([(email, 2) for email in deals])
        running.drain()
        running.later(40, 3)
        paused = running.paused()
        assert paused is not None and (paused.kind, paused.cause) == ("outage", "amocrm_moved")
        assert {running.state(one).split()[0] for one in events} == {"pending"}
        assert all(running.row(one).failures == 0 for one in events)
        running.sandbox.faults.clear()
        running.later(700)
        assert running.states(events) == {"delivered": 3} and running.paused() is None
        assert {running.stage(deal) for deal in deals.values()} == {TWO}

    def test_while_pairs_are_renewed_too(self, running: Running) -> None:
        deals = running.students(3)
        running.sandbox.faults.preset("account_gone")  # nothing was ever asked: the token endpoint is the first
        events = running.lessons([(email, 1) for email in deals])
        running.drain()
        assert running.paused() is not None
        running.sandbox.faults.clear()
        running.later(10)
        assert running.states(events) == {"delivered": 3}


class TestDealThatIsNotThere:
    @pytest.mark.parametrize("preset", ["deal_404", "deal_204", "deal_404_html"])
    @pytest.mark.parametrize("others", [0, 12])
    def test_one_answer_is_no_proof(self, running: Running, preset: str, others: int) -> None:
        deals = running.students(others + 1)
        running.lessons([(email, 1) for email in deals])
        running.drain()
        odd = deals["s0@example.com"]
        running.sandbox.faults.preset(preset, entity=odd)
        if others:
            running.sandbox.faults.preset("row_left_out", entity=odd, count=1, query="filter[id]")
        events = running.lessons([(email, 2) for email in deals])
        running.drain()
        assert running.states(events[1:]) in ({}, {"delivered": others})
        running.later(6)
        assert running.states(events) == {"delivered": others + 1} and running.stage(odd) == TWO

    def test_a_deal_that_cannot_be_read_in_the_second_after_its_hook(self, running: Running) -> None:
        deal = running.student()
        running.lesson()
        running.drain()
        running.sandbox.set(read_lag_seconds=3600.0)
        running.sandbox.world.hooks.told[deal] = running.sandbox.world.clock.monotonic()
        event = running.lesson(lesson=2)
        running.drain()
        running.later(31)
        assert running.row(event).cause == "deal_missing" and running.state(event) == "pending not_found"
        running.sandbox.set(read_lag_seconds=0.0)
        running.later(40)
        assert running.state(event) == "delivered" and running.stage(deal) == TWO

    def test_an_absence_from_long_ago_makes_no_proof_of_one_answer_more(self, running: Running) -> None:
        deal = running.student()
        first = running.lesson()
        running.sandbox.faults.preset("deal_204", entity=deal, count=1)
        running.sandbox.faults.preset("row_left_out", entity=deal, query="filter[id]", count=1)
        running.drain()
        assert running.row(first).cause == "deal_missing"
        # It is found and moved by a process that dies before it has forgotten the absence.
        places = {"directory": "anna@example.com", NAMESPACE: str(deal)}
        remembered = {space: running.store.key_values.get(space, key) for space, key in places.items()}
        running.later(40)
        assert running.state(first) == "delivered"
        for space, entry in remembered.items():
            assert entry
            running.store.key_values.put(space, places[space], entry.value, None)
        second = running.lesson(lesson=2)
        running.sandbox.faults.preset("deal_204", entity=deal, count=1)
        running.sandbox.faults.preset("row_left_out", entity=deal, query="filter[id]", count=1)
        running.later(200)
        assert running.state(second) == "pending not_found" and running.row(second).cause == "deal_missing"
        running.later(40, 3)
        assert running.state(second) == "delivered" and running.stage(deal) == TWO

    def test_it_is_not_closed_for_the_closed_deals_beside_it(self, running: Running) -> None:
        deal = running.student()
        contact = running.sandbox.amocrm.deals[deal].contact_ids[0]
        running.sandbox.amocrm.add_deal("прошлый курс", 1, defaults.WON, contact_ids=[contact])
        running.sandbox.faults.preset("deal_204", entity=deal, count=3)
        running.sandbox.faults.preset("row_left_out", entity=deal, query="filter[id]", count=3)
        event = running.lesson()
        running.drain()
        assert running.state(event) == "pending not_found" and running.row(event).cause == "deal_missing"
        running.later(40, 2)
        running.later(130)
        assert running.state(event) == "delivered" and running.stage(deal) == ONE

    def test_another_deal_is_not_moved_in_its_place_while_the_contact_still_bears_it(self, running: Running) -> None:
        newer = running.student()
        contact = running.sandbox.amocrm.deals[newer].contact_ids[0]
        older = running.sandbox.amocrm.add_deal("старая", 1, NEW, contact_ids=[contact])
        older.updated_at -= 1000
        running.sandbox.faults.preset("deal_404", entity=newer, count=2)
        running.sandbox.faults.preset("row_left_out", entity=newer, query="filter[id]", count=2)
        event = running.lesson()
        running.drain()
        running.later(40, 2)
        assert running.state(event) == "delivered" and (running.stage(newer), older.status_id) == (ONE, NEW)


def test_a_deal_that_is_shown_as_deleted_in_passing_is_moved(running: Running) -> None:
    deal = running.student()
    odd = running.sandbox.faults.preset("row_of_nulls", entity=deal)
    event = running.lesson()
    running.drain()
    running.later(40)
    assert running.state(event) == "pending not_found" and running.row(event).cause == "deal_missing"
    running.sandbox.faults.clear(odd.id)
    running.later(130)
    assert running.state(event) == "delivered" and running.stage(deal) == ONE


def test_the_next_lesson_that_finds_the_deal_lets_the_one_go_first_that_was_skipped_as_gone(running: Running) -> None:
    deal = running.student()
    faults = running.sandbox.faults
    denied = [
        faults.preset("deal_204", entity=deal, count=None),
        faults.preset("row_left_out", entity=deal, query="filter[id]", count=None),
    ]
    first = running.lesson()
    running.drain()
    running.later(130, 3)
    assert running.state(first) == "skipped deal_gone"
    for one in denied:
        faults.clear(one.id)
    second = running.lesson(lesson=2)
    running.drain()
    running.later(10)
    assert running.states([first, second]) == {"delivered": 2}
    moves = [one.after[1] for one in running.sandbox.amocrm.changes if one.type == "lead_status_changed" and one.after]
    assert moves == [ONE, TWO]


def test_a_lesson_that_was_skipped_as_gone_goes_out_when_a_hook_tells_of_the_deal(running: Running) -> None:
    deal = running.student()
    running.lesson()
    running.drain()
    running.sandbox.set(not_found_status=404)
    running.sandbox.amocrm.delete_deal(deal)
    event = running.lesson(lesson=2)
    running.drain()
    running.later(130, 3)
    assert running.state(event) == "skipped deal_gone"
    running.sandbox.amocrm.deals[deal].is_deleted = False  # brought back from the bin
    running.hook(deal)
    running.drain()
    assert running.state(event) == "delivered" and running.stage(deal) == TWO


def test_lists_that_are_cut_lose_nobody(running: Running) -> None:
    running.sandbox.faults.preset("lists_cut")
    deals = running.students(120)
    events = running.lessons([(email, lesson) for lesson in (1, 2) for email in deals])
    running.drain()
    assert running.states(events) == {"delivered": 240}
    singles = [one for one in running.requests() if one.rpartition("/")[2].isdigit()]
    assert not singles


NULLS = {"name": None, "status_id": None, "pipeline_id": None}


class TestUnreadableRow:
    @pytest.mark.parametrize(
        "odd", [("row_unreadable", {}), ("row_of_nulls", {"values": NULLS}), ("row_unreadable", {"replace": 7})]
    )
    def test_it_waits_alone(self, running: Running, odd: tuple[str, dict[str, Any]]) -> None:
        deals = running.students(12)
        running.lessons([(email, 1) for email in deals])
        running.drain()
        bad = deals["s3@example.com"]
        running.sandbox.faults.preset(odd[0], entity=bad, **odd[1])
        events = running.lessons([(email, 2) for email in deals])
        running.drain()
        assert running.paused() is None
        assert running.states(events) == {"delivered": 11, "pending amocrm_unreadable": 1}
        assert {running.row(one).lead_id for one in events if running.state(one).startswith("pending")} == {bad}
        running.later(40)
        following = running.lessons([(email, 3) for email in deals])
        running.drain()
        assert running.states(following) == {"delivered": 11, "pending": 1}
        running.sandbox.faults.clear()
        running.later(3600)
        assert running.states([*events, *following]) == {"delivered": 24}

    def test_a_deal_that_only_the_list_calls_deleted_is_asked_for_by_itself(self, running: Running) -> None:
        deals = running.students(5)
        running.sandbox.faults.preset("row_of_nulls", entity=deals["s2@example.com"], query="filter[")
        events = running.lessons([(email, 1) for email in deals])
        running.drain()
        assert running.states(events) == {"delivered": 5}

    def test_after_some_minutes_the_student_s_other_deal_is_moved(self, running: Running) -> None:
        deal = running.student()
        contact = running.sandbox.amocrm.deals[deal].contact_ids[0]
        other = running.sandbox.amocrm.add_deal("нечитаемая", 1, NEW, contact_ids=[contact])
        running.sandbox.faults.preset("row_of_nulls", entity=other.id, values=NULLS)
        event = running.lesson()
        running.drain()
        running.later(40, 1)
        assert running.state(event) == "pending amocrm_unreadable" and running.row(event).lead_id == other.id
        running.later(130, 2)
        assert running.state(event) == "delivered" and running.stage(deal) == ONE


def test_a_deal_that_may_not_be_read_waits_alone(running: Running) -> None:
    deals = running.students(3)
    contact = running.sandbox.amocrm.deals[deals["s1@example.com"]].contact_ids[0]
    running.sandbox.amocrm.add_deal("прошлый курс", 1, defaults.WON, contact_ids=[contact])
    running.sandbox.faults.preset("row_left_out", entity=deals["s1@example.com"], query="filter[id]")
    running.sandbox.faults.preset("deal_forbidden", entity=deals["s1@example.com"])
    events = running.lessons([(email, 1) for email in deals])
    running.drain()
    running.later(40, 3)
    running.later(130, 2)
    assert running.states(events) == {"delivered": 2, "pending amocrm_rights": 1} and running.paused() is None
    assert not running.alerts
    running.sandbox.faults.clear()
    running.later(3600)
    assert running.states(events) == {"delivered": 3}


def test_a_list_that_is_refused_for_want_of_a_right_is_read_deal_by_deal(running: Running) -> None:
    deals = running.students(6)
    running.lessons([(email, 1) for email in deals])
    running.drain()
    running.sandbox.faults.preset("deal_forbidden", method="GET", query="filter[id]")
    running.sandbox.faults.preset("deal_forbidden", entity=deals["s1@example.com"], method="GET")
    events = running.lessons([(email, 2) for email in deals])
    running.drain()
    assert running.states(events) == {"delivered": 5, "pending amocrm_rights": 1} and running.paused() is None


@pytest.mark.parametrize("preset", ["deal_204", "deal_404", "deal_forbidden"])
def test_a_list_that_tells_nothing_once_is_asked_for_once_more_and_not_deal_by_deal(
    running: Running, preset: str
) -> None:
    deals = running.students(60)
    running.lessons([(email, 1) for email in deals])
    running.drain()
    running.sandbox.faults.preset(preset, method="GET", query="filter[id]", count=1)
    running.sandbox.log.clear()
    events = running.lessons([(email, 2) for email in deals])
    running.drain()
    assert running.states(events) == {"delivered": 60} and running.paused() is None
    assert running.requests() == ["GET /api/v4/leads"] * 2 + ["PATCH /api/v4/leads"] * 2


def test_of_a_list_that_is_refused_for_one_deal_only_the_deals_next_to_it_are_asked_for_singly(
    running: Running,
) -> None:
    deals = running.students(100)
    running.lessons([(email, 1) for email in deals])
    running.drain()
    odd = deals["s70@example.com"]
    running.sandbox.faults.preset("deal_forbidden", method="GET", query=f"filter[id][]={odd}")
    running.sandbox.faults.preset("deal_forbidden", entity=odd, method="GET")
    running.sandbox.log.clear()
    events = running.lessons([(email, 2) for email in deals])
    running.drain()
    assert running.states(events) == {"delivered": 99, "pending amocrm_rights": 1} and running.paused() is None
    assert len(running.requests()) <= 25


def test_deals_that_are_all_gone_are_each_asked_for_after_few_lists(running: Running) -> None:
    deals = running.students(40)
    running.lessons([(email, 1) for email in deals])
    running.drain()
    for deal in list(deals.values())[:30]:
        running.sandbox.amocrm.delete_deal(deal)
    since = running.sandbox.log.entries()[-1].number
    events = running.lessons([(email, 2) for email in deals])
    running.drain()
    lists = [one for one in running.sandbox.log.entries(path="/api/v4/leads", since=since) if "filter" in one.query]
    singly = [one for one in running.requests(since) if one.startswith("GET /api/v4/leads/4")]
    assert running.states(events) == {"delivered": 10, "pending not_found": 30}
    assert len(set(singly)) == 30 and len(lists) <= 20


def test_where_no_deal_may_be_read_the_destination_rests(running: Running) -> None:
    deals = running.students(12)
    running.lessons([(email, 1) for email in deals])
    running.drain()
    running.sandbox.faults.preset("deal_forbidden", method="GET")
    events = running.lessons([(email, 2) for email in deals])
    running.drain()
    paused = running.paused()
    assert paused is not None and (paused.kind, paused.cause) == ("forbidden", "amocrm_rights")
    assert all(running.row(one).failures == 0 for one in events) and len(running.alerts) == 1


def test_a_right_to_no_deal_at_all_is_found_out_with_few_requests(running: Running) -> None:
    deals = running.students(200)
    running.lessons([(email, 1) for email in deals])
    running.drain()
    running.sandbox.faults.preset("deal_forbidden", method="GET")
    running.sandbox.log.clear()
    running.lessons([(email, 2) for email in deals])
    running.drain()
    paused = running.paused()
    assert paused is not None and paused.kind == "forbidden"
    assert len(running.requests()) <= 10


class TestGatewayPageToAWrite:
    @pytest.mark.parametrize("preset", ["patch_400_html", "patch_404_html"])
    @pytest.mark.parametrize("count", [1, 12])
    def test_it_kills_nobody(self, running: Running, preset: str, count: int) -> None:
        deals = running.students(count)
        running.warm()
        running.sandbox.faults.preset(preset, count=3)
        events = running.lessons([(email, 1) for email in deals])
        running.drain()
        running.later(40, 3)
        running.later(130, 2)
        assert running.states(events) == {"delivered": count}

    def test_a_404_in_words_to_a_write_while_the_deal_is_there_is_tried_again(self, running: Running) -> None:
        deal = running.student()
        running.warm()
        running.sandbox.faults.add("status", status=404, method="PATCH", count=2)
        event = running.lesson()
        running.drain()
        running.later(40, 2)
        assert running.state(event) == "delivered" and running.stage(deal) == ONE


class TestLogOfEvents:
    @pytest.mark.parametrize("odd", [{"status": 402}, {"status": 403}, {"status": 403, "html": True}, {"status": 404}])
    def test_closed_it_holds_up_nobody(self, running: Running, odd: dict[str, Any]) -> None:
        [waiting] = self.moved_back(running)
        running.sandbox.faults.preset("events_closed", **odd)
        running.drain()
        assert running.state(waiting) == "skipped superseded" and running.paused() is None and not running.alerts

    def test_without_an_answer_it_is_asked_again_and_nobody_is_judged_without_it(self, running: Running) -> None:
        waiting = self.moved_back(running, "anna@example.com", "boris@example.com")
        running.sandbox.faults.add("status", status=502, path="/api/v4/events")
        running.drain()
        assert [running.state(one).split()[0] for one in waiting] == ["pending"] * 2 and running.paused() is None
        assert running.sandbox.log.count(path="/api/v4/events") == 1
        running.later(6)
        assert running.states(waiting) == {"delivered": 2}

    def test_a_401_of_the_log_is_a_401(self, running: Running) -> None:
        [waiting] = self.moved_back(running)
        running.sandbox.faults.add("status", status=401, path="/api/v4/events", count=2)
        running.drain()
        assert running.state(waiting) == "pending" and running.paused() is not None
        running.later(20)
        assert running.state(waiting) == "delivered"

    def moved_back(self, running: Running, *emails: str) -> list[str]:
        """Lessons whose deals a manager moved back before them; only the log tells that. -> their events' ids."""
        deals = {email: running.student(email) for email in emails or ("anna@example.com",)}
        running.lessons([(email, 2) for email in deals])
        running.drain()
        running.sandbox.set(clock_offset=60.0)
        for deal in deals.values():
            running.sandbox.amocrm.move_deal(deal, NEW)
        running.offset += 120
        waiting = running.lessons([(email, 3) for email in deals])
        running.sandbox.set(clock_offset=180.0)
        for deal in deals.values():
            running.sandbox.amocrm.edit_deal(deal, name="новое имя")
        running.offset += 120
        return waiting
