"""Many unknown students: the pipeline's pages instead of one search each, bounded, resumable, verified."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.launch_evening import ODD
from sandbox import Sandbox, defaults
from sandbox.amocrm.entities import Deal
from service.destinations.deals import directory as directory_module
from service.destinations.deals import lookup as lookup_module
from service.destinations.deals import prefetch as pages_module
from tests.integration.amocrm.running import NEW, ONE, TWO, Running


def emails(count: int) -> list[str]:
    return [f"learner-{number}@example.com" for number in range(1, count + 1)]


def paths(running: Running) -> Counter[str]:
    return Counter(running.requests())


def older_and_newer_of_one_student(running: Running) -> tuple[Deal, Deal]:
    """Two open deals of anna@example.com, each with a contact of its own, and 600 other students between them."""
    account = running.sandbox.amocrm
    first = account.add_contact("Анна", "anna@example.com")
    older = account.add_deal("старая", 1, NEW, contact_ids=[first.id])
    running.sandbox.seed(students=600, stage=NEW)
    twin = account.add_contact("Анна 2", "anna@example.com")
    return older, account.add_deal("новая", 1, NEW, contact_ids=[twin.id])


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read stays fresh for as long as a busy machine may take."""
    for module in (lookup_module, pages_module):
        monkeypatch.setattr(module, "STALE", 600.0)


@pytest.mark.usefixtures("unhurried")
def test_a_launch_costs_a_fraction_of_a_request_each_and_the_next_lesson_less(running: Running) -> None:
    running.sandbox.seed(contacts=2000, students=1000, stage=NEW)
    running.warm()
    events = running.lessons([(email, 1) for email in emails(1000)])
    running.drain()
    assert running.states(events) == {"delivered": 1000}
    # four pages of deals, four of their contacts, twenty writes: the pages are new enough to be written over, and the
    # fifth (the furnished students) is not read, since nobody waits any more
    assert paths(running) == {
        "GET /api/v4/account": 1,
        "GET /api/v4/leads": 4,
        "GET /api/v4/contacts": 4,
        "PATCH /api/v4/leads": 20,
    }
    running.sandbox.log.clear()
    events = running.lessons([(email, 2) for email in emails(1000)])
    running.drain()
    assert running.states(events) == {"delivered": 1000}
    assert paths(running) == {"GET /api/v4/leads": 4, "PATCH /api/v4/leads": 20}


def in_their_own_order(count: int) -> list[str]:
    found = emails(count)
    random.Random(3).shuffle(found)
    return found


@pytest.mark.usefixtures("unhurried")
def test_students_of_a_page_are_served_before_the_next_one_is_read_in_whatever_order_they_finished(
    running: Running,
) -> None:
    running.sandbox.seed(contacts=2000, students=1000, stage=NEW)
    running.warm()
    events = running.lessons([(email, 1) for email in in_their_own_order(1000)])
    running.drain()
    assert running.states(events) == {"delivered": 1000}
    found = running.requests()
    assert found[1:9] == [
        "GET /api/v4/leads",
        "GET /api/v4/contacts",
        *["PATCH /api/v4/leads"] * 5,
        "GET /api/v4/leads",
    ]
    # each deal is read once; a page may leave a write that is not full
    assert len(found) <= 1 + 5 + 5 + 20 + 4


@pytest.mark.usefixtures("unhurried")
def test_students_of_a_page_who_do_not_fill_a_write_go_with_those_of_the_next(running: Running) -> None:
    running.sandbox.seed(contacts=2000, students=1000, stage=NEW)
    running.warm()
    events = running.lessons([(email, 1) for email in emails(1000)[::2]])  # about half of each page
    running.drain()
    assert running.states(events) == {"delivered": 500}
    assert paths(running)["PATCH /api/v4/leads"] == 10 and paths(running)["GET /api/v4/leads"] == 4


@pytest.mark.usefixtures("unhurried")
def test_what_is_known_of_the_account_is_not_read_again_and_again_for_each_student(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.sandbox.seed(students=300, stage=NEW)
    running.warm()
    events = running.lessons([(email, 1) for email in in_their_own_order(300)])
    read: Counter[str] = Counter()
    get = running.store.key_values.get
    monkeypatch.setattr(running.store.key_values, "get", lambda *of: read.update([of[1]]) or get(*of))
    running.drain()
    assert running.states(events) == {"delivered": 300}
    assert read["pages"] < 100 and read["pipelines"] < 700


@pytest.mark.usefixtures("unhurried")
def test_both_lessons_of_a_student_who_is_not_in_the_batch_go_in_their_order(running: Running) -> None:
    running.sandbox.seed(students=600, stage=NEW)
    events = running.lessons([(email, lesson) for lesson in (1, 2) for email in in_their_own_order(600)])
    running.drain()
    assert running.states(events) == {"delivered": 1200}
    ours = [deal.id for deal in running.sandbox.amocrm.deals.values() if deal.name.startswith("Курс ")]
    for deal in ours[:20]:
        changes = [one.after[1] for one in running.sandbox.amocrm.changes if one.entity_id == deal and one.after]
        assert changes[-2:] == [ONE, TWO]


@pytest.mark.usefixtures("unhurried")
def test_where_amocrm_keeps_no_order_nothing_is_believed_before_the_reading_is_whole(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, latest = older_and_newer_of_one_student(running)
    latest.updated_at = older.updated_at + 50
    monkeypatch.setattr(
        "sandbox.amocrm.leads.order_by", lambda query, rows, allowed: sorted(rows, key=lambda one: one.id)
    )
    older.updated_at -= 50
    events = running.lessons([(email, 1) for email in ["anna@example.com", *emails(600)]])
    running.drain()
    assert running.states(events) == {"delivered": 601}
    assert (older.status_id, latest.status_id) == (NEW, ONE)


@pytest.mark.usefixtures("unhurried")
def test_where_equal_times_have_no_order_the_pages_are_read_by_ids_instead(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.sandbox.seed(students=3000, stage=NEW)
    chance = random.Random(5)

    def unsure(query: Any, rows: list[Any], allowed: Any) -> list[Any]:
        if "id" in query["order"]:
            return sorted(rows, key=lambda one: -one.id)
        return sorted(rows, key=lambda one: (one.status_id == ONE, chance.random()), reverse=True)

    monkeypatch.setattr("sandbox.amocrm.leads.order_by", unsure)
    for deal in running.sandbox.amocrm.deals.values():
        deal.updated_at = 1_700_000_000
    events = running.lessons([(email, 1) for email in in_their_own_order(3000)[:150]])
    running.drain()
    assert running.states(events) == {"delivered": 150}
    asked = [one.query for one in running.sandbox.log.entries()]
    assert any("order%5Bid%5D" in one for one in asked) and not [one for one in asked if "query=" in one]


@pytest.mark.usefixtures("unhurried")
def test_a_lesson_that_closes_deals_does_not_shift_the_pages_under_the_others(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(running.settings.stages, 3, str(defaults.WON))  # type: ignore[arg-type]
    running.sandbox.seed(students=600, stage=NEW)
    closing = running.lessons([(email, 3) for email in emails(600)[::2]])
    others = running.lessons([(email, 1) for email in emails(600)[1::2]])
    running.drain()
    assert running.states([*closing, *others]) == {"delivered": 600}
    assert len([one for one in running.sandbox.log.entries() if "query=" in one.query]) == 0


def test_what_a_page_showed_is_not_written_over_later_without_being_read_again(running: Running) -> None:
    running.sandbox.seed(students=60, stage=NEW)
    running.lessons([(email, 1) for email in emails(60)[:40]])
    running.drain()
    deal = next(one for one in running.sandbox.amocrm.deals.values() if one.name == "Курс 50")
    running.sandbox.amocrm.move_deal(deal.id, defaults.LOST)
    running.offset += 6
    event = running.lesson(emails(60)[49])
    running.sandbox.log.clear()
    running.drain()
    assert (running.state(event), deal.status_id) == ("skipped deal_closed", defaults.LOST)
    assert paths(running)["PATCH /api/v4/leads"] == 0


@pytest.mark.usefixtures("unhurried")
def test_a_page_from_before_our_own_write_counts_no_more(running: Running) -> None:
    running.sandbox.seed(students=40, stage=NEW)
    events = running.lessons([(email, 1) for email in emails(40)])
    running.drain()
    assert running.states(events) == {"delivered": 40}
    assert paths(running)["GET /api/v4/leads"] == 1  # the page alone: new enough to be written over
    deal = next(one for one in running.sandbox.amocrm.deals.values() if one.name == "Курс 7")
    running.sandbox.amocrm.move_deal(deal.id, defaults.LOST)
    running.sandbox.log.clear()
    events = running.lessons([(email, 2) for email in emails(40)])
    running.drain()
    # Read by their ids before they are written once more, though the page is still new.
    assert paths(running)["GET /api/v4/leads"] == 1
    assert running.states(events) == {"delivered": 39, "skipped deal_closed": 1} and deal.status_id == defaults.LOST


@pytest.mark.usefixtures("unhurried")
def test_an_hour_later_their_contacts_are_checked_too(running: Running) -> None:
    running.sandbox.seed(students=500, stage=NEW)
    running.lessons([(email, 1) for email in emails(500)])
    running.drain()
    running.offset += 3000
    running.sandbox.log.clear()
    events = running.lessons([(email, 2) for email in emails(500)])
    running.drain()
    assert running.states(events) == {"delivered": 500}
    assert paths(running)["GET /api/v4/contacts"] == 2 and sum(paths(running).values()) <= 16


@pytest.mark.usefixtures("unhurried")
def test_who_is_not_on_the_pages_is_searched_for(running: Running) -> None:
    account = running.sandbox.amocrm
    running.sandbox.seed(students=60, stage=NEW)
    for deal in list(account.deals.values())[-2:]:
        account.move_deal(deal.id, defaults.WON)
    running.warm()
    events = running.lessons([(email, 1) for email in [*emails(60), "nobody-1@x.ru", "nobody-2@x.ru"]])
    running.drain()
    assert running.states(events) == {"delivered": 58, "skipped deal_closed": 2, "pending not_found": 2}
    assert sum(paths(running).values()) == 1 + 1 + 1 + 4 + 1 + 2  # account, page, contacts, searches, closed, writes


@pytest.mark.usefixtures("unhurried")
def test_a_student_with_deals_on_several_pages_has_the_latest_moved(running: Running) -> None:
    older, newer = older_and_newer_of_one_student(running)
    older.updated_at = newer.updated_at + 50
    running.warm()
    events = running.lessons([(email, 1) for email in ["anna@example.com", *emails(600)]])
    running.drain()
    assert running.states(events) == {"delivered": 601}
    assert (older.status_id, newer.status_id) == (ONE, NEW)
    assert sum(paths(running).values()) < 40


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("told", [True, False])
def test_where_filters_are_ignored_everybody_is_searched_for(running: Running, told: bool) -> None:
    account = running.sandbox.amocrm
    other = account.add_pipeline("Другая", ["Начало"])
    stranger = account.add_contact("Чужой", "stranger@example.com")
    elsewhere = account.add_deal("x", 1, None, other.id, contact_ids=[stranger.id])
    before = elsewhere.status_id
    deals = running.students(30)
    running.sandbox.set(filters_enabled=False)
    if not told:  # amoCRM does not say so, only its rows do
        running.store.key_values.put("account", "filters", {"enabled": True})
    running.warm()
    events = running.lessons([(email, 1) for email in [*deals, "stranger@example.com"]])
    running.drain()
    assert running.states(events) == {"delivered": 30, "pending not_found": 1}
    assert {running.stage(deal) for deal in deals.values()} == {ONE} and elsewhere.status_id == before
    found = paths(running)
    assert found["GET /api/v4/contacts"] == 31
    assert found["GET /api/v4/leads"] == (0 if told else 1)


@pytest.mark.usefixtures("unhurried")
def test_reading_pages_is_bounded_by_what_it_may_save_and_goes_on_where_it_stopped(running: Running) -> None:
    running.sandbox.seed(students=3000, stage=NEW)
    running.warm()
    wanted = emails(3000)[:30]  # they are on the last pages: the newest deals come first
    events = running.lessons([(email, 1) for email in wanted])
    running.drain()
    assert running.states(events) == {"delivered": 30}
    found = paths(running)
    # 15 requests for pages, which did not reach the end; then 30 searches
    assert found["GET /api/v4/contacts"] == 30 + 7 and sum(found.values()) == 1 + 14 + 30 + 1 + 1
    running.sandbox.log.clear()
    events = running.lessons([(email, 1) for email in emails(3000)[1000:1250]])
    running.drain()
    assert running.states(events) == {"delivered": 250}
    found = paths(running)
    assert found["GET /api/v4/leads"] == found["GET /api/v4/contacts"] == 2  # they are on the next two


def test_a_reading_that_was_broken_off_long_ago_begins_anew(running: Running) -> None:
    running.sandbox.seed(students=3000, stage=NEW)
    running.lessons([(email, 1) for email in emails(3000)[:30]])
    running.drain()
    running.offset += 1000
    running.sandbox.log.clear()
    running.lessons([(email, 1) for email in emails(3000)[1000:1250]])
    running.drain()
    page = next(one for one in running.sandbox.log.entries(method="GET") if one.path == "/api/v4/leads")
    assert "&page=1&" in page.query


def test_pages_have_a_limit_a_day(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages_module, "A_DAY", 4)
    running.sandbox.seed(students=3000, stage=NEW)
    running.warm()
    events = running.lessons([(email, 1) for email in emails(3000)[:40]])
    running.drain()
    assert running.states(events) == {"delivered": 40}
    assert paths(running)["GET /api/v4/contacts"] == 2 + 40
    events = running.lessons([(email, 1) for email in emails(3000)[100:140]])
    running.sandbox.log.clear()
    running.drain()
    assert running.states(events) == {"delivered": 40} and paths(running)["GET /api/v4/contacts"] == 40


def test_many_searches_are_spread_over_passes(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_module, "SEARCHES", 10)
    events = running.lessons([(f"nobody-{number}@x.ru", 1) for number in range(25)])
    running.drain()
    assert running.states(events) == {"pending not_found": 25}


def test_searches_that_trickle_in_earn_the_reading_by_pages(running: Running) -> None:
    running.sandbox.seed(students=200, stage=NEW)
    running.warm()
    wanted = emails(200)
    for start in range(0, 60, 3):
        events = running.lessons([(email, 1) for email in wanted[start : start + 3]])
        running.drain()
        assert running.states(events) == {"delivered": 3}
    searches = [entry for entry in running.sandbox.log.entries(path="/api/v4/contacts") if "query=" in entry.query]
    assert len(searches) == 21


SLOW = [
    {"preset": "bulk_slow", "seconds": 30.0},
    {"preset": "bulk_empty", "delay": 30.0},
    {"kind": "status", "status": 504, "query": "filter[statuses]", "count": None},
    {"kind": "status", "status": 403, "html": True, "query": "filter[statuses]", "count": None},
    {"kind": "status", "status": 404, "query": "filter[statuses]", "count": None},
    {"kind": "garbage", "query": "filter[statuses]", "count": None},
]


@pytest.mark.parametrize("odd", SLOW, ids=lambda odd: str(odd.get("preset") or odd.get("status") or odd["kind"]))
def test_a_reading_by_pages_that_fails_or_is_slow_is_given_up_for_a_while_and_nobody_waits(
    running: Running, odd: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if "preset" in odd:  # else each list is answered, however long a busy machine takes
        monkeypatch.setattr(pages_module, "PAGE_WAIT", 1.0)
    running.sandbox.seed(students=100, stage=NEW)
    running.warm()
    options = {name: value for name, value in odd.items() if name not in ("preset", "kind")}
    if "preset" in odd:
        running.sandbox.faults.preset(odd["preset"], **options)
    else:
        running.sandbox.faults.add(odd["kind"], **options)

    def pages_asked(first: int, count: int) -> int:
        running.sandbox.log.clear()
        events = running.lessons([(email, 1) for email in emails(100)[first : first + count]])
        running.drain()
        assert running.states(events) == {"delivered": count} and running.paused() is None and not running.alerts
        return len([one for one in running.sandbox.log.entries() if "filter%5Bstatuses%5D" in one.query])

    assert pages_asked(0, 40) == 1  # once for all its passes
    assert pages_asked(40, 20) == 0
    running.offset += 31
    assert pages_asked(60, 20) == 1
    running.offset += 31
    assert pages_asked(80, 20) == 0  # the second time for longer


IN_PASSING = [
    {"preset": "bulk_slow", "seconds": 30.0, "count": 2},
    {"preset": "unauthorized", "count": 3, "query": "filter[statuses]"},
    {"preset": "deal_204", "skip": 1, "query": "filter[statuses]"},
    {"preset": "deal_204", "query": "filter[statuses]"},
    {"preset": "deal_404", "count": 2, "query": "filter[statuses]"},
    {"preset": "deal_forbidden", "count": 2, "query": "filter[statuses]"},
    {"preset": "unauthorized", "count": 2, "query": "is_api_filter_enabled"},
]


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("odd", IN_PASSING, ids=lambda odd: f"{odd['preset']} {odd.get('skip', '')}{odd.get('query')}")
def test_while_many_wait_a_page_that_is_odd_in_passing_is_asked_for_again_and_nobody_is_searched_for(
    running: Running, odd: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if odd["preset"] == "bulk_slow":
        monkeypatch.setattr(pages_module, "PAGE_WAIT", 1.5)
    running.sandbox.seed(students=400, stage=NEW)
    running.warm()
    running.sandbox.faults.preset(str(odd["preset"]), **{name: odd[name] for name in odd if name != "preset"})
    events = running.lessons([(email, 1) for email in emails(400)])
    running.drain()
    assert running.states(events) == {"delivered": 400} and running.paused() is None and not running.alerts
    assert len([one for one in running.sandbox.log.entries() if "query=" in one.query]) == 0
    assert len(running.requests()) <= 26


@pytest.mark.usefixtures("unhurried")
def test_odd_answers_mixed_into_a_launch_cost_a_request_each_and_no_deal_is_asked_for_singly(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "PAGE_WAIT", 2.0)
    running.sandbox.seed(contacts=2000, students=1000, stage=NEW)
    running.warm()
    for lesson, least in ((1, 1 + 4 + 4 + 20), (2, 4 + 20)):
        running.sandbox.log.clear()
        for preset, options in ODD.items():
            running.sandbox.faults.preset(preset, **{**options, "fraction": 0.25})
        events = running.lessons([(email, lesson) for email in emails(1000)])
        running.drain()
        assert running.states(events) == {"delivered": 1000} and running.paused() is None
        odd = sum(bool(entry.fault) for entry in running.sandbox.log.entries(part="amocrm"))
        assert odd >= 5 and len(running.requests()) <= least + odd + 3  # a list may have to be cut
        assert set(paths(running)) <= {f"GET /api/v4/{name}" for name in ("account", "leads", "contacts")} | {
            "PATCH /api/v4/leads"
        }
        assert not [one for one in running.sandbox.log.entries() if "query=" in one.query]


def test_where_pages_never_come_in_time_many_are_searched_for_all_the_same(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "PAGE_WAIT", 0.5)
    running.sandbox.seed(students=260, stage=NEW)
    running.warm()
    running.sandbox.faults.preset("bulk_slow", seconds=20.0)
    events = running.lessons([(email, 1) for email in emails(260)])
    running.drain()
    assert running.states(events) == {"delivered": 260} and running.paused() is None
    pages = [one for one in running.sandbox.log.entries() if "filter%5Bstatuses%5D" in one.query]
    assert 3 <= len(pages) <= 9


def test_access_that_stays_refused_is_told_by_the_pages_themselves(running: Running) -> None:
    running.sandbox.seed(students=200, stage=NEW)
    running.warm()
    running.sandbox.faults.preset("unauthorized", query="filter[statuses]", count=None)
    running.lessons([(email, 1) for email in emails(200)])
    running.drain()
    paused = running.paused()
    assert paused is not None and (paused.kind, paused.cause) == ("reconnect", "amocrm_reconnect")
    assert len([one for one in running.sandbox.log.entries() if "query=" in one.query]) == 0


def test_a_funnel_without_open_deals_is_asked_for_twice_before_it_counts_as_empty(running: Running) -> None:
    for deal in list(running.sandbox.amocrm.deals.values()):
        running.sandbox.amocrm.move_deal(deal.id, defaults.WON)
    running.warm()
    events = running.lessons([(f"nobody-{number}@x.ru", 1) for number in range(30)])
    running.drain()
    assert running.states(events) == {"pending not_found": 30}
    assert len([one for one in running.sandbox.log.entries() if "filter%5Bstatuses%5D" in one.query]) == 2


def test_pages_that_are_cut_are_followed_to_the_end(running: Running) -> None:
    running.sandbox.seed(students=300, stage=NEW)
    running.sandbox.faults.preset("lists_cut", query="filter[statuses]", rows=50)
    running.warm()
    events = running.lessons([(email, 1) for email in emails(300)])
    running.drain()
    assert running.states(events) == {"delivered": 300}
    assert len([one for one in running.sandbox.log.entries() if "query=" in one.query]) == 0


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Running]:
    with Sandbox() as sandbox:
        running = Running(sandbox, tmp_path, AMOCRM_RPS="6")
        yield running
        running.store.close()


def test_at_real_limits_no_second_has_more_than_six(limited: Running) -> None:
    deals = limited.students(30)
    events = limited.lessons([(email, lesson) for email in list(deals)[:4] for lesson in (1, 2, 3)])
    limited.drain()
    assert limited.states(events) == {"delivered": 12}
    log = limited.sandbox.log
    assert log.max_in_window(1.0, part="amocrm") <= 6 and log.count(status=429) == 0


def test_after_a_wait_a_student_s_lessons_still_go_in_order(running: Running) -> None:
    deals = running.students(3)
    running.sandbox.faults.add("status", status=429, retry_after=5.0)
    names = list(deals)
    running.lessons([(names[0], 1), (names[1], 1), (names[2], 1), (names[0], 2)])
    running.drain()
    running.offset += 10
    running.drain()
    changes = [change.after for change in running.sandbox.amocrm.changes if change.entity_id == deals[names[0]]]
    assert [place[1] for place in changes if place] == [NEW, ONE, defaults.STAGE_LESSON_2]
