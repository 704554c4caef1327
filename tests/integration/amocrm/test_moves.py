"""Which deal is moved where, by whom, in which order, and with how many requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from outbox import failpoints, pauses
from outbox.outcome import LeaseLost
from outbox.queries import Filter
from sandbox import Sandbox, defaults
from tests.integration.amocrm.running import NEW, ONE, PAID, THREE, TWO, Running


def test_a_single_unknown_student_costs_exactly_three_requests(running: Running) -> None:
    deal = running.student()
    running.warm()
    event = running.lesson()
    running.drain()
    assert running.state(event) == "delivered" and running.stage(deal) == ONE
    assert running.requests() == ["GET /api/v4/contacts", f"GET /api/v4/leads/{deal}", "PATCH /api/v4/leads"]
    [patch] = running.sandbox.log.entries(method="PATCH")
    row = running.row(event)
    place = {"status_id": ONE, "pipeline_id": defaults.PIPELINE_ID}
    assert patch.body == [{"id": deal, **place, "request_id": str(row.id)}]
    assert row.reference == str(deal) and row.lead_id == deal and row.person == "Студент anna@example.com"
    assert row.facts == {
        "lesson": 1,
        "lead_id": deal,
        "contact_name": "Студент anna@example.com",
        "pipeline_id": defaults.PIPELINE_ID,
        "pipeline_name": "Продажи",
        "from_status": NEW,
        "from_name": "Новая заявка",
        "to_status": ONE,
        "to_name": "Урок 1 пройден",
    }
    assert [one["method"] for one in running.exchanges(event)] == ["GET", "GET", "PATCH"]


def test_the_next_lesson_of_a_known_student_costs_two(running: Running) -> None:
    deal = running.student()
    running.lesson()
    running.drain()
    running.sandbox.log.clear()
    event = running.lesson(lesson=2)
    running.drain()
    assert running.state(event) == "delivered" and running.stage(deal) == TWO
    assert running.requests() == [f"GET /api/v4/leads/{deal}", "PATCH /api/v4/leads"]


def test_every_stage_counts_in_order_one_round_per_stage(running: Running) -> None:
    deals = running.students(7)
    running.warm()
    events = running.lessons([(email, lesson) for lesson in (1, 2, 3) for email in deals])
    running.drain()
    assert running.states(events) == {"delivered": 21}
    assert {running.stage(deal) for deal in deals.values()} == {THREE}
    bodies = [entry.body for entry in running.sandbox.log.entries(method="PATCH")]
    assert [{row["status_id"] for row in body} for body in bodies] == [{ONE}, {TWO}, {THREE}]
    assert [
        change.after[1]
        for change in running.sandbox.amocrm.changes
        if change.entity_id == deals["s3@example.com"] and change.after
    ] == [NEW, ONE, TWO, THREE]


def test_coalescing_sends_only_the_furthest(run: Callable[..., Running]) -> None:
    running = run(AMOCRM_COALESCE="1")
    deal = running.student()
    events = running.lessons([("anna@example.com", 1), ("anna@example.com", 3), ("anna@example.com", 2)])
    running.drain()
    assert [running.state(one) for one in events] == ["skipped superseded", "delivered", "skipped superseded"]
    assert running.stage(deal) == THREE and running.sandbox.log.count(method="PATCH") == 1


def test_coalescing_settles_nobody_when_the_furthest_is_refused(run: Callable[..., Running]) -> None:
    running = run(AMOCRM_COALESCE="1")
    deal = running.student()
    events = running.lessons([("anna@example.com", 1), ("anna@example.com", 3)])
    running.account.pipelines.all()
    running.sandbox.amocrm.delete_stage(defaults.PIPELINE_ID, THREE)
    running.drain()
    assert [running.state(one) for one in events] == ["delivered", "dead refused"]
    assert running.stage(deal) == ONE


def test_never_backwards_never_out_of_a_closed_deal(running: Running) -> None:
    further, won = running.student("f@x.ru", TWO), running.student("w@x.ru", defaults.WON)
    same = running.student("s@x.ru", ONE)
    events = running.lessons([("f@x.ru", 1), ("w@x.ru", 1), ("s@x.ru", 1)])
    running.drain()
    assert [running.state(one) for one in events] == [
        "skipped already_further",
        "skipped deal_closed",
        "skipped already_further",
    ]
    assert [running.stage(one) for one in (further, won, same)] == [TWO, defaults.WON, ONE]
    assert running.sandbox.log.count(method="PATCH") == 0


def test_the_fuzzy_search_moves_no_stranger(running: Running) -> None:
    stranger = running.student("anna@example.com.ru")
    named = running.sandbox.amocrm.add_contact("anna@example.com", "other@example.com")
    other = running.sandbox.amocrm.add_deal("x", 1, NEW, contact_ids=[named.id])
    event = running.lesson()
    running.drain()
    assert running.state(event) == "pending not_found" and running.row(event).cause == "contact_not_found"
    assert running.stage(stranger) == NEW and running.stage(other.id) == NEW
    mine = running.student("  Anna@EXAMPLE.com ")
    running.offset += 6
    running.drain()
    assert running.state(event) == "delivered" and running.stage(mine) == ONE


def test_over_all_contacts_the_open_deal_that_was_changed_last(running: Running) -> None:
    account = running.sandbox.amocrm
    first, second = (account.add_contact(name, "anna@example.com") for name in ("Анна", "Анна 2"))
    old = account.add_deal("старая", 1, NEW, contact_ids=[second.id])
    won = account.add_deal("успех", 1, defaults.WON, contact_ids=[first.id])
    other = account.add_pipeline("Другая", ["Начало"])
    elsewhere = account.add_deal("в другой", 1, None, other.id, contact_ids=[first.id])
    touched = account.add_deal("свежая", 1, PAID, contact_ids=[first.id])
    for deal, at in ((old, 900), (won, 999), (elsewhere, 999), (touched, 950)):
        deal.updated_at = 1_790_000_000 + at
    event = running.lesson()
    running.drain()
    assert running.state(event) == "delivered" and running.row(event).reference == str(touched.id)
    assert [one.status_id for one in (old, won, touched)] == [NEW, defaults.WON, ONE]
    assert running.row(event).person == "Анна"
    found = running.deals.previewer.find_lead("Anna@example.com")
    assert found.chosen == touched.id and len(found.contacts) == 2 and len(found.leads) == 4
    assert {(one.lead.id, one.pipeline_name, one.stage_name) for one in found.leads} >= {
        (elsewhere.id, "Другая", "Начало")
    }


def test_a_contact_without_a_deal_in_the_pipeline_is_looked_for_again(running: Running) -> None:
    contact = running.sandbox.amocrm.add_contact("Анна", "anna@example.com")
    event = running.lesson()
    running.drain()
    row = running.row(event)
    assert (running.state(event), row.cause, row.person) == ("pending not_found", "deal_not_found", "Анна")
    assert row.due_at - running.store.now() == pytest.approx(5, abs=1)
    running.sandbox.amocrm.add_deal("x", 1, NEW, contact_ids=[contact.id])
    running.offset += 6
    running.drain()
    assert running.state(event) == "delivered"


def test_a_lesson_without_a_stage(run: Callable[..., Running]) -> None:
    running = run(AMOCRM_STAGE_LESSON_2="")
    running.student()
    events = running.lessons([("anna@example.com", 2), ("anna@example.com", 1)])
    running.drain()
    assert [running.state(one) for one in events] == ["skipped no_stage", "delivered"]


def test_lessons_wait_until_the_first_stage_is_chosen(run: Callable[..., Running]) -> None:
    running = run(**{f"AMOCRM_STAGE_LESSON_{lesson}": "" for lesson in (1, 2, 3)})
    deal = running.student()
    event = running.lesson()
    running.drain()
    paused = pauses.read(running.store.key_values, "amocrm")
    assert running.state(event).split()[0] == "pending" and paused is not None and paused.cause == "amocrm_not_set_up"
    running.store.key_values.put("choices", "stage:1", {"status_id": ONE, "pipeline_id": defaults.PIPELINE_ID})
    running.drain()
    assert running.state(event) == "delivered" and running.stage(deal) == ONE


def test_stages_by_name(run: Callable[..., Running]) -> None:
    running = run(AMOCRM_STAGE_LESSON_1="  урок 1  ПРОЙДЕН ")
    deal = running.student()
    running.lesson()
    running.drain()
    assert running.stage(deal) == ONE


def test_a_name_that_two_stages_bear_waits_for_the_settings(run: Callable[..., Running]) -> None:
    running = run(AMOCRM_STAGE_LESSON_1="Урок 2 пройден")
    running.sandbox.amocrm.add_stage(defaults.PIPELINE_ID, "урок 2 пройден")
    running.student()
    event = running.lesson()
    running.drain()
    paused = running.paused()
    assert paused is not None and (paused.kind, paused.cause) == ("settings", "stage_ambiguous")
    assert str(TWO) in str(paused.params["stages"]) and running.row(event).failures == 0


def test_an_operator_s_choice_goes_before_the_setting(running: Running) -> None:
    deal = running.student()
    before = running.deals.destination.fingerprint
    choice = {"status_id": TWO, "pipeline_id": defaults.PIPELINE_ID, "who": "Olga", "at": 1}
    running.store.key_values.put("choices", "stage:1", choice)
    assert running.deals.destination.fingerprint != before
    running.lesson()
    running.drain()
    target = running.account.pipelines.target(1)
    assert running.stage(deal) == TWO and target is not None and target.by == "Olga"


def test_a_choice_may_lie_in_another_pipeline(running: Running) -> None:
    account = running.sandbox.amocrm
    other = account.add_pipeline("Вторая", ["Начало", "Дальше"])
    start, further = (stage.id for stage in other.in_order()[1:3])
    deal = running.student()
    contact = account.deals[deal].contact_ids[0]
    second = account.add_deal("x", 1, start, other.id, contact_ids=[contact])
    running.store.key_values.put(
        "choices", "stage:2", {"status_id": further, "pipeline_id": other.id, "who": "O", "at": 1}
    )
    events = running.lessons([("anna@example.com", 1), ("anna@example.com", 2)])
    running.drain()
    assert running.states(events) == {"delivered": 2}
    assert running.stage(deal) == ONE and running.stage(second.id) == further


def test_two_emails_of_one_deal_move_it_one_after_the_other(running: Running) -> None:
    account = running.sandbox.amocrm
    parents = [account.add_contact(f"P{number}", f"p{number}@x.ru") for number in (1, 2)]
    deal = account.add_deal("x", 1, NEW, contact_ids=[parent.id for parent in parents])
    events = running.lessons([("p1@x.ru", 1), ("p2@x.ru", 2)])
    running.drain()
    assert running.states(events) == {"delivered": 2} and deal.status_id == TWO
    for entry in running.sandbox.log.entries(method="PATCH"):
        assert len(entry.body) == 1


def test_a_stage_that_somebody_adds_is_learnt(running: Running) -> None:
    running.warm()
    late = running.sandbox.amocrm.add_stage(defaults.PIPELINE_ID, "После урока 1", sort=45)
    deal = running.student(stage=late.id)
    running.offset += 10
    event = running.lesson()
    running.drain()
    assert running.state(event) in ("delivered", "skipped already_further")
    stages = running.sandbox.amocrm.pipelines[defaults.PIPELINE_ID]
    place = {stage.id: stage.sort for stage in stages.stages}
    assert (running.stage(deal) == ONE) == (place[late.id] < place[ONE])


def test_a_stage_is_read_again_when_it_is_older_than_five_seconds(running: Running) -> None:
    """A manager moves deals while a slow pass is on its way: what was read at its start is not written over."""
    deals = running.students(3)
    running.warm()
    patch = running.account.client.patch_leads

    def slow(changes: Any) -> Any:
        found = patch(changes)
        running.offset += 6
        for row in changes:
            running.sandbox.amocrm.move_deal(row["id"], defaults.WON)
        return found

    running.account.client.patch_leads = slow  # type: ignore[method-assign]
    events = running.lessons([(email, lesson) for email in deals for lesson in (1, 2)])
    running.drain()
    assert running.states(events) == {"delivered": 3, "skipped deal_closed": 3}
    assert {running.stage(deal) for deal in deals.values()} == {defaults.WON}


class TestMovedBack:
    def test_an_old_event_that_is_sent_again_does_not_undo_a_manager(self, running: Running) -> None:
        deal = running.student()
        events = running.lessons([("anna@example.com", 3), ("anna@example.com", 2)])
        running.drain()
        assert [running.state(one) for one in events] == ["delivered", "skipped already_further"]
        running.sandbox.amocrm.move_deal(deal, NEW)
        running.store.operations.retry(Filter(ids=(running.row(events[1]).id,)), "Olga", at_once=True)
        running.drain()
        assert running.state(events[1]) == "skipped superseded" and running.stage(deal) == NEW

    def test_an_event_that_waited_is_older_than_the_move_back(self, running: Running) -> None:
        deal = running.student()
        running.lesson(lesson=2)
        running.drain()
        running.offset += 60
        waiting = running.lesson(lesson=3)  # received now, delivered only after the manager's move
        running.sandbox.set(clock_offset=120.0)
        running.sandbox.amocrm.move_deal(deal, NEW)
        running.offset += 120
        running.drain()
        assert running.state(waiting) == "skipped superseded" and running.stage(deal) == NEW
        running.offset += 60
        following = running.lesson(lesson=3)
        running.drain()
        assert running.state(following) == "delivered" and running.stage(deal) == THREE

    def test_a_later_edit_of_the_deal_does_not_hold_the_next_lesson_up(self, running: Running) -> None:
        deal = running.student()
        running.lesson(lesson=2)
        running.drain()
        running.sandbox.set(clock_offset=60.0)
        running.sandbox.amocrm.move_deal(deal, NEW)
        running.offset += 120
        waiting = running.lesson(lesson=3)
        running.sandbox.set(clock_offset=180.0)
        running.sandbox.amocrm.edit_deal(deal, name="новое имя")
        running.offset += 120
        running.sandbox.log.clear()
        running.drain()
        assert running.state(waiting) == "delivered" and running.stage(deal) == THREE
        assert "GET /api/v4/events" in running.requests()  # only there the time of the move is told


class TestStale:
    """What was remembered of an e-mail heals."""

    def test_a_deleted_deal_and_a_new_one(self, running: Running) -> None:
        deal = running.student()
        running.lesson()
        running.drain()
        contact = running.sandbox.amocrm.deals[deal].contact_ids[0]
        running.sandbox.amocrm.delete_deal(deal)
        fresh = running.sandbox.amocrm.add_deal("x", 1, NEW, contact_ids=[contact])
        event = running.lesson(lesson=2)
        running.drain()
        assert running.state(event) == "delivered" and fresh.status_id == TWO

    def test_a_deleted_deal_and_none_else(self, running: Running) -> None:
        deal = running.student()
        running.lesson()
        running.drain()
        running.sandbox.amocrm.delete_deal(deal)
        event = running.lesson(lesson=2)
        running.drain()
        row = running.row(event)
        assert (running.state(event), row.cause, row.lead_id) == ("pending not_found", "deal_missing", deal)
        running.later(40, 3)
        assert running.state(event) == "pending not_found"
        running.later(130)
        assert running.state(event) == "skipped deal_gone" and running.row(event).lead_id == deal
        assert running.store.key_values.get("directory", "anna@example.com") is None

    @pytest.mark.parametrize("rows", ["nulls", "whole"])
    def test_a_deal_that_is_shown_as_deleted_as_often_as_one_that_is_not_shown(
        self, running: Running, rows: str
    ) -> None:
        running.sandbox.set(deleted_deals="shown", deleted_rows=rows)
        deal = running.student()
        running.lesson()
        running.drain()
        running.sandbox.amocrm.delete_deal(deal)
        event = running.lesson(lesson=2)
        running.drain()
        assert running.state(event) == "pending not_found" and running.row(event).cause == "deal_missing"
        running.later(130, 3)
        assert running.state(event) == "skipped deal_gone"
        assert running.store.key_values.get("directory", "anna@example.com") is None

    def test_a_closed_deal_and_a_new_one(self, running: Running) -> None:
        deal = running.student()
        running.lesson()
        running.drain()
        contact = running.sandbox.amocrm.deals[deal].contact_ids[0]
        running.sandbox.amocrm.move_deal(deal, defaults.WON)
        fresh = running.sandbox.amocrm.add_deal("x", 1, NEW, contact_ids=[contact])
        event = running.lesson(lesson=2)
        running.drain()
        assert running.state(event) == "delivered" and fresh.status_id == TWO

    def test_a_deal_that_went_to_another_pipeline(self, running: Running) -> None:
        deal = running.student()
        running.lesson()
        running.drain()
        other = running.sandbox.amocrm.add_pipeline("Другая", ["Начало"])
        running.sandbox.amocrm.move_deal(deal, other.in_order()[1].id, other.id)
        event = running.lesson(lesson=2)
        running.drain()
        assert running.state(event) == "pending not_found" and running.row(event).cause == "deal_not_found"

    def test_an_old_entry_of_a_single_student_is_searched_for_again(self, running: Running) -> None:
        deal = running.student()
        running.lesson()
        running.drain()
        second = running.sandbox.amocrm.add_contact("Анна 2", "anna@example.com")
        running.sandbox.set(clock_offset=3600.0)
        newer = running.sandbox.amocrm.add_deal("x", 1, NEW, contact_ids=[second.id])
        running.offset += 3600
        running.lesson(lesson=2)
        running.drain()
        assert (running.stage(deal), newer.status_id) == (ONE, TWO)

    def test_old_entries_of_many_are_checked_by_their_contacts(self, running: Running) -> None:
        deals = running.students(30)
        running.lessons([(email, 1) for email in deals])
        running.drain()
        moved = running.sandbox.amocrm.deals[deals["s3@example.com"]].contact_ids[0]
        running.sandbox.amocrm.edit_contact(moved, emails=["else@example.com"])
        running.offset += 3600
        running.sandbox.log.clear()
        events = running.lessons([(email, 2) for email in deals])
        running.drain()
        assert running.states(events) == {"delivered": 29, "pending not_found": 1}
        assert running.stage(deals["s3@example.com"]) == ONE
        assert len(running.requests()) <= 8


def test_preview_changes_nothing(running: Running) -> None:
    deal = running.student()
    row = running.row(running.lesson())
    found = running.deals.previewer.preview(row)
    assert (found.verdict, found.lead_id, found.from_name, found.to_name) == (
        "move",
        deal,
        "Новая заявка",
        "Урок 1 пройден",
    )
    assert running.stage(deal) == NEW and running.sandbox.log.count(method="PATCH") == 0
    running.sandbox.amocrm.move_deal(deal, THREE)
    assert running.deals.previewer.preview(row).verdict == "already_further"
    nobody = running.deals.previewer.preview(running.row(running.lesson("nobody@x.ru")))
    assert (nobody.verdict, nobody.lead_id) == ("not_found", None)


def test_a_preview_of_many_reads_them_together(running: Running) -> None:
    deals = running.students(40)
    running.sandbox.amocrm.move_deal(deals["s3@example.com"], THREE)
    rows = [running.row(one) for one in running.lessons([(email, 1) for email in [*deals, "nobody@x.ru"]])]
    running.sandbox.log.clear()
    found = running.deals.previewer.previews(rows)
    verdicts = [found[row.id].verdict for row in rows]
    assert (verdicts.count("move"), verdicts.count("already_further"), verdicts.count("not_found")) == (39, 1, 1)
    assert running.sandbox.log.count(method="PATCH") == 0 and len(running.requests()) <= 50


def test_kommo_is_as_strict(sandbox: Sandbox, run: Callable[..., Running]) -> None:
    sandbox.set(flavour="kommo")
    running = run()
    deals = running.students(260)
    events = running.lessons([(email, 1) for email in deals])
    running.drain()
    assert running.states(events) == {"delivered": 260}
    assert not [entry for entry in sandbox.log.entries(part="amocrm") if entry.status and entry.status >= 400]


def test_a_change_that_slept_past_its_lease_does_not_leave(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is frozen between its note and its request: another has moved the deal on meanwhile."""
    deal = running.student()
    event = running.lesson()

    def sleeps(step: str) -> None:
        if step == "amocrm-after-begin":
            running.offset += 60
            assert running.store.leases.acquire("lane:amocrm", "another", 30)

    monkeypatch.setattr(failpoints._Listener, "hear", staticmethod(sleeps))
    with pytest.raises(LeaseLost):
        running.drain()
    monkeypatch.undo()
    assert running.stage(deal) == NEW and not running.sandbox.log.count(part="amocrm", method="PATCH")
    running.later(60)
    assert running.state(event) == "delivered" and running.stage(deal) == ONE
