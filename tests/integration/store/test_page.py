"""What the page, the API and the commands ask."""

import random
from collections import Counter

import pytest

from outbox.message import Result, State
from outbox.queries import Filter
from outbox.store import Store
from tests.integration.store.make import Clock, claim, event, finish, lane, only


@pytest.fixture
def house(store: Store, clock: Clock) -> dict[str, int]:
    """Deliveries of every kind, by name; the clock goes on a minute with each."""
    made: dict[str, int] = {}

    def add(who: str, **fields: object) -> int:
        clock.forward(60)
        (receipt,) = store.intake.accept([event(f"{who}@example.com", at=clock.now, **fields)])  # type: ignore[arg-type]
        made[who] = only(store, receipt.id).id
        return made[who]

    finish(store, State.DELIVERED, add("done"), reference="77", lead_id=77, person="Dora")
    finish(store, State.SKIPPED, add("skip"), reason="already_further: on Won")
    finish(store, State.DEAD, add("dead"), reason="refused: no", cause="deal_refused", counts=True, params={"d": 1})
    finish(store, State.DEAD, add("gone"), reason="refused: no", cause="deal_refused", counts=True, params={"d": 2})
    finish(
        store, State.PENDING, add("slow"), reason="timeout: late", cause="timeout", counts=True, due_at=clock.now + 900
    )
    add("wait")
    add("record", destination="erp", name="crm/create-deal", source="events")
    return made


def names(store: Store, where: Filter, **how: object) -> list[str]:
    page = store.reading.find(where, 100, **how)  # type: ignore[arg-type]
    return [(row.email or "").partition("@")[0] for row in page.rows]


def test_the_list_is_newest_first(store: Store, house: dict[str, int]) -> None:
    assert names(store, Filter()) == ["record", "wait", "slow", "gone", "dead", "skip", "done"]
    assert names(store, Filter(), oldest_first=True)[0] == "done"


def test_filters_narrow_the_list_and_the_count_alike(store: Store, house: dict[str, int], clock: Clock) -> None:
    start = clock.now - 7 * 60
    for where, expected in (
        (Filter(states=(State.DEAD,)), ["gone", "dead"]),
        (Filter(states=(State.DEAD, State.PENDING)), ["record", "wait", "slow", "gone", "dead"]),
        (Filter(destination="erp"), ["record"]),
        (Filter(destination="erp", states=(State.DEAD,)), []),
        (Filter(event_name="lesson.completed", states=(State.DELIVERED,)), ["done"]),
        (Filter(cause="deal_refused"), ["gone", "dead"]),
        (Filter(cause="timeout", event_name="crm/create-deal"), []),
        (Filter(email="dead@example.com"), ["dead"]),
        (Filter(lead_id=77), ["done"]),
        (Filter(lead_id=77, states=(State.DEAD,)), []),
        (Filter(since=start + 150, until=start + 240), ["dead"]),
        (Filter(since=start + 150, until=start + 300, cause="deal_refused"), ["gone", "dead"]),
        (Filter(max_id=house["skip"]), ["skip", "done"]),
        (Filter(overdue_at=clock.now + 1), ["record", "wait"]),
        (Filter(ids=(house["dead"], house["wait"], 999)), ["wait", "dead"]),
        (Filter(ids=(house["dead"], house["wait"]), states=(State.DEAD,)), ["dead"]),
    ):
        assert names(store, where) == expected, where
        assert store.reading.count(where) == len(expected), where
        assert sum(store.reading.count_states(where).values()) >= len(expected), where


def test_search_finds_people_deals_records_and_ids(store: Store, house: dict[str, int]) -> None:
    for text, expected in (
        ("Dead@Example.com", ["dead"]),
        ("ski", ["skip"]),
        ("lip", []),
        ("ecord@ex", ["record"]),
        ("example.com", ["record", "wait", "slow", "gone", "dead", "skip", "done"]),
        ("77", ["done"]),
        (str(house["wait"]), ["wait"]),
        (store.reading.delivery(house["gone"]).event_id.upper(), ["gone"]),  # type: ignore[union-attr]
        ("zz", []),
        ("9" * 40, []),
        ("%", []),
    ):
        assert names(store, Filter(search=text)) == expected, text
        assert store.reading.count(Filter(search=text)) == len(expected), text


def test_search_goes_together_with_other_filters(store: Store, house: dict[str, int]) -> None:
    assert names(store, Filter(search="example.com", states=(State.DEAD,))) == ["gone", "dead"]
    assert store.reading.count_states(Filter(search="example.com", states=(State.DEAD,)))[State.PENDING] == 3


def test_pages_follow_each_other_without_gap_or_repetition(store: Store, clock: Clock) -> None:
    for _ in range(3):
        store.intake.accept([event(f"s{n}@x", destination=("amocrm", "erp")[n % 2]) for n in range(10)])
        clock.forward(1)
    for oldest_first in (False, True):
        seen: list[int] = []
        after = None
        while True:
            page = store.reading.find(Filter(), 7, after, oldest_first=oldest_first)
            seen += [row.id for row in page.rows]
            after = page.after
            if after is None:
                break
        assert seen == sorted(seen, reverse=not oldest_first) and len(set(seen)) == 30
    assert store.reading.find(Filter(), 30).after is None
    assert store.reading.find(Filter(), 5, 999_999).rows == ()


def test_counts_by_state_are_those_of_the_tabs(store: Store, house: dict[str, int]) -> None:
    counts = store.reading.count_states(Filter(states=(State.DEAD,)))
    assert counts == {
        State.PENDING: 3,
        State.SENDING: 0,
        State.DELIVERED: 1,
        State.SKIPPED: 1,
        State.DEAD: 2,
        State.DISCARDED: 0,
    }
    assert store.reading.count_states(Filter(destination="erp"))[State.PENDING] == 1
    assert store.reading.count_states(Filter(since=0))[State.DEAD] == 2


def test_tallies_tell_how_a_destination_does(store: Store, house: dict[str, int], clock: Clock) -> None:
    tallies = store.reading.tallies()
    amocrm, erp = tallies["amocrm"], tallies["erp"]
    assert (amocrm.states[State.DEAD], amocrm.states[State.PENDING], erp.states[State.PENDING]) == (2, 2, 1)
    assert amocrm.oldest_pending == clock.now - 2 * 60 and erp.oldest_pending == clock.now
    assert amocrm.next_due == clock.now - 60
    assert (amocrm.delivered_hour, amocrm.delivered_day, erp.delivered_day) == (1, 1, 0)
    assert (amocrm.seconds_p50, erp.seconds_p50) == (0.0, None)
    clock.forward(3700)
    assert (store.reading.tallies()["amocrm"].delivered_hour, store.reading.tallies()["amocrm"].delivered_day) == (0, 1)


def test_percentiles_are_of_what_was_delivered(store: Store, clock: Clock) -> None:
    store.intake.accept([event(key=None, at=clock.now - n) for n in range(1, 101)])
    lease = lane(store)
    from outbox.message import Result

    store.lanes.record(lease, [Result(row.id, State.DELIVERED, "delivered") for row in claim(store, lease, 200)])
    tally = store.reading.tallies()["amocrm"]
    assert (tally.seconds_p50, tally.seconds_p99) == (50.0, 99.0)
    (bar,) = store.reading.bars(clock.now - 30, 60, 1)
    assert (bar.delivered["amocrm"], bar.dead, bar.seconds_p50, bar.seconds_p99) == (100, 0, 50.0, 99.0)


def test_failures_are_grouped_by_cause(store: Store, house: dict[str, int], clock: Clock) -> None:
    dead, slow = store.reading.causes(Filter())
    assert (dead.cause, dead.state, dead.count, dead.reason) == ("deal_refused", State.DEAD, 2, "refused: no")
    assert (dead.params, dead.max_id) == ({"d": 2}, house["gone"])
    assert [row.id for row in dead.sample] == [house["dead"], house["gone"]]
    assert dead.first_at == clock.now - 4 * 60 and dead.last_at == clock.now - 3 * 60
    assert (slow.cause, slow.state, slow.count) == ("timeout", State.PENDING, 1)
    assert [group.cause for group in store.reading.causes(Filter(states=(State.PENDING,)))] == ["timeout"]
    assert [group.count for group in store.reading.causes(Filter(email="gone@example.com"))] == [1]
    assert store.reading.causes(Filter(destination="erp")) == []
    assert [group.count for group in store.reading.causes(Filter(search="dead@", cause="deal_refused"))] == [1]


def test_bars_count_what_ended_in_each(store: Store, house: dict[str, int], clock: Clock) -> None:
    bars = store.reading.bars(clock.now - 6 * 60, 60, 7)
    assert [bar.delivered["amocrm"] for bar in bars] == [1, 0, 0, 0, 0, 0, 0]
    assert [bar.dead for bar in bars] == [0, 0, 1, 1, 0, 0, 0]
    assert bars[0].seconds_p50 == 0.0 and bars[1].seconds_p50 is None


def test_sources_show_what_came_in_and_when_last(store: Store, house: dict[str, int], clock: Clock) -> None:
    found = {
        (tally.source, tally.event_name): (tally.last_at, tally.count)
        for tally in store.reading.sources(clock.now - 180)
    }
    assert found == {
        ("events", "crm/create-deal"): (clock.now, 1),
        ("lessons", "lesson.completed"): (clock.now - 60, 3),
    }


def test_the_events_of_a_person_or_deal_are_one_story(store: Store, clock: Clock) -> None:
    (first,) = store.intake.accept([event("ann@x", at=clock.now)])
    finish(store, State.DELIVERED, only(store, first.id).id, lead_id=5, person="Ann")
    (second,) = store.intake.accept(
        [event(None, at=clock.now + 1, name="amocrm/webhook", destination="erp", lead_id=5)]
    )
    (third,) = store.intake.accept([event("ann@x", at=clock.now + 2)])
    store.intake.accept([event("bob@x", at=clock.now + 3)])
    assert [found.id for found in store.reading.events_of("ann@x", None)] == [third.id, second.id, first.id]
    assert [found.id for found in store.reading.events_of(None, 5)] == [second.id, first.id]
    assert [found.id for found in store.reading.events_of("ann@x", 5)] == [third.id, second.id, first.id]
    assert [found.id for found in store.reading.events_of("ann@x", 5, 1)] == [third.id]
    assert store.reading.events_of("ann@x", 5)[0].deliveries[0].email == "ann@x"


def test_people_are_listed_by_their_latest_delivery(store: Store, clock: Clock) -> None:
    (first,) = store.intake.accept([event("ann@x", at=clock.now)])
    finish(store, State.DELIVERED, only(store, first.id).id, lead_id=5, person="Ann")
    store.intake.accept([event("bob@x", at=clock.now + 1), event("ann@x", at=clock.now + 2)])
    store.intake.accept(
        [event(None, at=clock.now + 3, key=None, lead_id=5), event(None, at=clock.now + 4, key=None, lead_id=6)]
    )
    people = store.reading.students(Filter(search=""), 10)
    assert [(one.email, one.lead_id, one.name, one.open) for one in people] == [
        (None, 6, None, 1),
        ("ann@x", 5, "Ann", 2),
        ("bob@x", None, None, 1),
    ]
    (first_page,) = store.reading.students(Filter(search=""), 1)
    assert [one.email for one in store.reading.students(Filter(search=""), 10, first_page.after)] == ["ann@x", "bob@x"]
    assert [one.email for one in store.reading.students(Filter(search="bob"), 10)] == ["bob@x"]
    assert store.reading.students(Filter(search="nobody@x"), 10) == []


def test_an_unknown_delivery_is_none(store: Store) -> None:
    assert store.reading.delivery(5) is None
    assert store.reading.attempts([5]) == {5: []}


# --- found by a name, and with the records of an ERP ------------------------------------------------------------------


def test_a_name_or_a_part_of_it_finds_its_student_in_any_letters(store: Store) -> None:
    for email, name in (("a@x", "Тимур Ахметов"), ("b@x", "Анна Белова")):
        (receipt,) = store.intake.accept([event(email)])
        finish(store, State.DELIVERED, only(store, receipt.id).id, person=name, lead_id=len(name))
    (later,) = store.intake.accept([event("a@x", data={"email": "a@x", "lesson": 2})])
    for text in ("Тимур", "тимур", "АХМЕТ"):
        assert {row.email for row in store.reading.find(Filter(search=text), 10).rows} == {"a@x"}
        assert only(store, later.id).id in [row.id for row in store.reading.find(Filter(search=text), 10).rows]
    assert store.reading.find(Filter(search="Борис"), 10).rows == ()


def test_an_e_mail_finds_the_records_of_the_student_s_deal_too(store: Store) -> None:
    (lesson,) = store.intake.accept([event("ann.lee@x")])
    finish(store, State.DELIVERED, only(store, lesson.id).id, lead_id=77)
    (record,) = store.intake.accept([event(None, name="amocrm/webhook", destination="erp", key="lead:77", lead_id=77)])
    (other,) = store.intake.accept([event(None, name="amocrm/webhook", destination="erp", key="lead:78", lead_id=78)])
    for text in ("ann.lee@x", "ann.", "lee@"):
        found = {row.event_id for row in store.reading.find(Filter(search=text), 10).rows}
        assert found == {lesson.id, record.id} and other.id not in found


def test_more_kinds_of_events_than_one_question_can_name_are_listed_and_counted(store: Store, clock: Clock) -> None:
    for start in range(0, 600, 100):
        store.intake.accept([event(None, key=None, name=f"kind {start + n}", at=clock.now) for n in range(100)])
    assert len(store.reading.find(Filter(), 700).rows) == 600
    for where in (Filter(), Filter(since=clock.now - 1), Filter(until=clock.now + 1), Filter(max_id=10**9)):
        assert store.reading.count(where) == 600
    assert store.reading.tallies()["amocrm"].states[State.PENDING] == 600


@pytest.mark.parametrize("folded", [False, True], ids=["as they come", "added up"])
def test_charts_and_tabs_of_any_time_agree_with_the_rows(store: Store, clock: Clock, folded: bool) -> None:
    draw, rows = random.Random(19), list[tuple[float, float, State]]()
    lease = lane(store)
    for _ in range(150):
        clock.forward(draw.choice((0.5, 30.0, 240.25, 900.0, 1800.0, 7000.0)))
        created = clock.now
        store.intake.accept([event("ann@x", key=None, at=clock.now)])
        clock.forward(draw.choice((1.0, 100.5, 1200.0)))
        lease = lane(store)
        state = draw.choice((State.DELIVERED, State.DELIVERED, State.DEAD))
        store.lanes.record(lease, [Result(row.id, state, state.value) for row in claim(store, lease, 1)])
        rows.append((created, clock.now, state))
        if folded and draw.random() < 0.2:
            store.maintenance.checkpoint()
    first, last = rows[0][0], clock.now
    for _ in range(60):
        since = draw.choice((first - 5000.0, draw.uniform(first, last), draw.choice(rows)[0], draw.choice(rows)[1]))
        since = draw.choice((since, since // 900 * 900, since // 3600 * 3600))
        width, count = draw.choice(((60.0, 30), (900.0, 9), (1000.0, 5), (3600.0, 24), (86_400.0, 3), (604_800.0, 1)))
        for bar in store.reading.bars(since, width, count):
            ended = Counter(state for _, at, state in rows if bar.start <= at < bar.start + width)
            assert (bar.delivered["amocrm"], bar.dead) == (ended[State.DELIVERED], ended[State.DEAD]), (since, width)
        for until in (None, since - 1, since + width):
            counts = store.reading.count_states(Filter(since=since, until=until))
            within = [state for at, _, state in rows if at >= since and (until is None or at < until)]
            assert +Counter(counts) == Counter(within), (since, until)
        counts = store.reading.count_states(Filter(until=since))
        assert +Counter(counts) == Counter(state for at, _, state in rows if at < since), since
    assert store.maintenance.verify() == []


@pytest.mark.parametrize("minutes", [0.5, 3.5, 8.5])
def test_counts_since_a_time_and_up_to_a_row_are_those_of_the_list(store: Store, clock: Clock, minutes: float) -> None:
    start = clock.now
    for n in range(10):
        (receipt,) = store.intake.accept([event(f"s{n}@x", at=clock.now)])
        state = (State.DEAD, State.DELIVERED, State.SKIPPED)[n % 3]
        finish(store, state, only(store, receipt.id).id, reason="refused: no" if state == State.DEAD else "")
        clock.forward(60)
    middle = store.reading.find(Filter(since=start + minutes * 60), 20, oldest_first=True).rows[0].id
    for where in (Filter(since=start + minutes * 60), Filter(max_id=middle), Filter(destination="erp", max_id=middle)):
        listed = Counter(row.state for row in store.reading.find(where, 20).rows)
        assert +Counter(store.reading.count_states(where)) == listed
