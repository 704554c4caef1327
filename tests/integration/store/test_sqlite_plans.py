"""Every question of the page walks an index: with a million deliveries nothing may read them all."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from outbox.message import State
from outbox.queries import Filter
from outbox.sqlite import SqliteStore
from outbox.sqlite.connection import Connection
from outbox.store import Store
from tests.integration.store.make import event, finish, only
from tests.integration.store.questions import QUESTIONS

SCAN = re.compile(r"^SCAN (d|e|deliveries|events|attempts)\b")
FAILED_ONLY = ("SCAN d USING COVERING INDEX deliveries_cause",)
"""An index that holds the rows that failed and no others."""

FIRST_ONLY = "SCAN e USING COVERING INDEX events_source"
"""How the first name of all is found, which is one step along the index: the plan does not tell of the limit."""


@contextmanager
def traced(store: SqliteStore, hear: Callable[[str, Sequence[Any]], None]) -> Iterator[None]:
    """Tells each question that the store asks, and its params."""

    class Traced:
        def __init__(self, own: Any) -> None:
            self.own = own

        def execute(self, sql: str, params: Sequence[Any] = ()) -> Any:
            hear(sql, params)
            return self.own.execute(sql, params)

    def init(connection: Connection, db: Any) -> None:
        connection.db, connection.rollback = Traced(db), db.rollback  # type: ignore[assignment]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "__init__", init)
        yield


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
    with traced(filled, lambda sql, params: asked.append((sql, params))):
        QUESTIONS[question](filled)
    assert asked
    for sql, params in asked:
        if not re.match(r"\s*(SELECT|WITH|UPDATE|DELETE)", sql):
            continue
        plan = filled.database.db().execute(f"EXPLAIN QUERY PLAN {sql}", params).fetchall()  # type: ignore[arg-type]
        steps = [str(row["detail"]) for row in plan]
        if sql.startswith("WITH RECURSIVE pairs") and FIRST_ONLY in steps:
            steps.remove(FIRST_ONLY)
        # What a search found is named as the rows are: its own steps are in the plan, too.
        found = [f"SCAN {step.split()[1]}" for step in steps if step.startswith(("CO-ROUTINE", "MATERIALIZE"))]
        assert not [step for step in steps if SCAN.match(step) and step not in (*FAILED_ONLY, *found)], (sql, steps)
        if " d NOT INDEXED " in sql or "FROM deliveries d WHERE d.id IN (" in sql:
            assert [step for step in steps if step.startswith("SEARCH d USING INTEGER PRIMARY KEY")], (sql, steps)
        if "INDEXED BY deliveries_list" in sql or "d INDEXED BY deliveries_cause" in sql:
            assert "USE TEMP B-TREE FOR ORDER BY" not in steps, (sql, steps)


def test_a_part_of_an_e_mail_or_a_name_is_looked_for_among_people_and_not_among_deliveries(
    filled: SqliteStore,
) -> None:
    asked: list[str] = []
    with traced(filled, lambda sql, params: asked.append(sql)):
        assert len(filled.reading.find(Filter(search="nn@"), 10).rows) == 1
    looked = [sql for sql in asked if "instr(" in sql]
    assert [sql.split()[:4] for sql in looked] == [
        ["SELECT", "email", "FROM", "students"],
        ["SELECT", "lead_id", "FROM", "deals"],
    ]
    assert all(sql.endswith(" LIMIT 100") for sql in looked)


def test_a_whole_e_mail_is_not_looked_for_in_parts(filled: SqliteStore) -> None:
    asked: list[str] = []
    with traced(filled, lambda sql, params: asked.append(sql)):
        assert len(filled.reading.find(Filter(search="Ann@X"), 10).rows) == 1
    assert not [sql for sql in asked if "instr(" in sql]


@pytest.mark.parametrize("question", ["a count of what was shown", "the chart", "the tallies", "the tabs", "the list"])
def test_however_many_groups_there_are_a_page_asks_few_questions(filled: SqliteStore, question: str) -> None:
    """Percentiles apart, which this engine takes bar by bar: a server would be asked over the network each time."""

    def count() -> int:
        asked: list[str] = []
        with traced(filled, lambda sql, params: asked.append(sql)):
            QUESTIONS[question](filled)
        return len([sql for sql in asked if sql.startswith("SELECT") and "AS took" not in sql])

    before = count()
    for number in range(20):
        filled.intake.accept([event(f"more{number}@x", name=f"event {number}")])
    assert count() == before
