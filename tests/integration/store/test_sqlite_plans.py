"""Every question of the page walks an index: with a million deliveries nothing may read them all."""

import re
from collections.abc import Callable

import pytest

from outbox.message import State
from outbox.queries import Filter
from outbox.sqlite import SqliteStore
from outbox.store import Store
from tests.integration.store.make import claim, event, finish, lane, only

SCAN = re.compile(r"^SCAN (d|e|deliveries|events|attempts)\b")
FAILED_ONLY = ("SCAN d USING COVERING INDEX deliveries_cause",)
"""An index that holds the rows that failed and no others."""

QUESTIONS: dict[str, Callable[[Store], object]] = {
    "the list": lambda store: store.reading.find(Filter(), 50),
    "the list's next page": lambda store: store.reading.find(Filter(), 2, store.reading.find(Filter(), 1).after),
    "the list, oldest first": lambda store: store.reading.find(Filter(), 50, oldest_first=True),
    "the list of some states": lambda store: store.reading.find(Filter(states=(State.DEAD, State.PENDING)), 50),
    "the list of a day": lambda store: store.reading.find(Filter(since=1.0, until=9e9), 50),
    "the list of a cause": lambda store: store.reading.find(Filter(cause="deal_refused", since=1.0), 50),
    "the list of overdue ones": lambda store: store.reading.find(Filter(overdue_at=9e9), 50),
    "the list of an e-mail": lambda store: store.reading.find(Filter(email="ann@x"), 50),
    "the list of a deal": lambda store: store.reading.find(Filter(lead_id=5), 50),
    "the list of ticked rows": lambda store: store.reading.find(Filter(ids=(1, 2)), 50),
    "a search by e-mail": lambda store: store.reading.find(Filter(search="ann@x"), 50),
    "a search by number": lambda store: store.reading.find(Filter(search="77"), 50),
    "a count": lambda store: store.reading.count(Filter(states=(State.DEAD,))),
    "a count of what was shown": lambda store: store.reading.count(Filter(states=(State.DEAD,), max_id=3)),
    "the tabs": lambda store: store.reading.count_states(Filter(destination="amocrm", since=5.0)),
    "the tabs of a search": lambda store: store.reading.count_states(Filter(search="ann@x")),
    "the tallies": lambda store: store.reading.tallies(),
    "the causes": lambda store: store.reading.causes(Filter()),
    "the causes of a day": lambda store: store.reading.causes(Filter(since=5.0, destination="amocrm")),
    "the causes of a search": lambda store: store.reading.causes(Filter(search="ann@x")),
    "the chart": lambda store: store.reading.bars(1_800_000_000.0, 60.0, 3),
    "what comes in": lambda store: store.reading.sources(5.0),
    "a delivery": lambda store: (store.reading.delivery(1), store.reading.attempts([1, 2])),
    "an event": lambda store: store.reading.event("0193"),
    "a journey": lambda store: store.reading.events_of("ann@x", 5),
    "a student's journey": lambda store: store.reading.events_of("ann@x", None),
    "the people": lambda store: store.reading.people("", 10),
    "the people that match": lambda store: store.reading.people("ann", 10),
    "the next due": lambda store: store.lanes.next_due("amocrm"),
    "making due": lambda store: store.lanes.make_due("amocrm"),
    "a claim": lambda store: claim(store, lane(store), whole_keys=True, newest_first=True),
    "a prune": lambda store: store.maintenance.prune(9e9),
    "a bulk retry": lambda store: store.operations.retry(Filter(states=(State.DEAD,)), "olga"),
}


@pytest.fixture
def filled(store: Store) -> SqliteStore:
    assert isinstance(store, SqliteStore)
    for name in ("ann", "bob", "cid", "dan"):
        (receipt,) = store.intake.accept([event(f"{name}@x", lead_id=5)])
        if name in ("ann", "bob"):
            finish(store, State.DEAD, only(store, receipt.id).id, reason="refused: no", cause="deal_refused")
        if name == "cid":
            finish(store, State.DELIVERED, only(store, receipt.id).id, reference="77")
    return store


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_question_reads_all_deliveries(filled: SqliteStore, question: str) -> None:
    asked: list[tuple[str, object]] = []
    with filled.database.db().tracer(lambda sql, params: asked.append((sql, params or ()))):
        QUESTIONS[question](filled)
    assert asked
    for sql, params in asked:
        if not re.match(r"\s*(SELECT|UPDATE|DELETE)", sql):
            continue
        plan = filled.database.db().execute(f"EXPLAIN QUERY PLAN {sql}", params).fetchall()  # type: ignore[arg-type]
        steps = [str(row["detail"]) for row in plan]
        assert not [step for step in steps if SCAN.match(step) and step not in FAILED_ONLY], (sql, steps)
        if "INDEXED BY deliveries_list" in sql or "d INDEXED BY deliveries_cause" in sql:
            assert "USE TEMP B-TREE FOR ORDER BY" not in steps, (sql, steps)


def test_a_part_of_an_e_mail_is_looked_for_in_a_bounded_number_of_them(filled: SqliteStore) -> None:
    asked: list[str] = []
    with filled.database.db().tracer(lambda sql, params: asked.append(sql)):
        assert len(filled.reading.find(Filter(search="nn@"), 10).rows) == 1
    (fallback,) = (sql for sql in asked if "instr(" in sql)
    assert "LIMIT 1000000)" in fallback and "INDEXED BY deliveries_email" in fallback


def test_a_wide_beginning_of_an_e_mail_finds_a_bounded_number(filled: SqliteStore) -> None:
    asked: list[str] = []
    with filled.database.db().tracer(lambda sql, params: asked.append(sql)):
        filled.reading.find(Filter(search="stu"), 10)
    assert any("email < ? LIMIT 10000)" in sql for sql in asked)
