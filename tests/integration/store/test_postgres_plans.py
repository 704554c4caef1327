"""Every question of the page and of the lanes walks an index, with rows in place that make it worth while."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest

from outbox.postgres import PostgresStore
from outbox.postgres.connection import Statements, numbered
from outbox.queries import Filter
from outbox.sql.figures import causes_sql
from tests.integration.store.make import Clock
from tests.integration.store.questions import QUESTIONS
from workshop.postgres import new_database

ROWS = 40_000
READ = ("deliveries", "events", "attempts")

# A school after some months: nearly all was delivered, some waits, some is dead.
FILL = f"""
INSERT INTO events (id, name, data, source, sender, received_at, email, lead_id, dedupe)
SELECT 'e' || n, CASE n % 3 WHEN 0 THEN 'amocrm/webhook' ELSE 'lesson.completed' END, '{{}}',
    CASE n % 3 WHEN 0 THEN 'webhook' ELSE 'lessons' END, 'platform', 1799000000 + n * 20, 's' || n / 4 || '@x', n / 4,
    'k' || n
FROM generate_series(1, {ROWS}) n;
INSERT INTO deliveries (event_id, event_name, destination, key, state, reason, cause, due_at, created_at, changed_at,
    ended_at, received_at, email, lead_id, reference)
SELECT id, name, CASE seq % 3 WHEN 0 THEN 'erp' ELSE 'amocrm' END, 'email:' || email, state, '',
    CASE state WHEN 'dead' THEN 'deal_refused' ELSE '' END, received_at, received_at, received_at,
    CASE state WHEN 'pending' THEN NULL ELSE received_at + 1 END, received_at, email, lead_id,
    CASE state WHEN 'delivered' THEN seq::text ELSE '' END
FROM (SELECT *, CASE WHEN seq > {ROWS} - 300 THEN 'pending' WHEN seq % 500 = 0 THEN 'dead' ELSE 'delivered' END AS state
    FROM events) e;
INSERT INTO attempts (delivery_id, at, finished_at, outcome) SELECT id, created_at, ended_at, state FROM deliveries
WHERE state <> 'pending';
"""


@pytest.fixture(scope="module")
def address(postgres_server: str) -> Iterator[str]:
    with new_database(postgres_server) as url:
        store = PostgresStore(url)
        store.maintenance.migrate()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(FILL.encode())
            connection.execute("VACUUM ANALYZE")
        store.close()
        yield url


@pytest.fixture
def filled(address: str, engine: str) -> Iterator[PostgresStore]:
    store = PostgresStore(address, Clock())
    yield store
    store.close()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def reads_all(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The steps that go through a table from end to end, or through an index of all events: where a limit stands above
    one, it stops early."""
    for node in nodes({"Node Type": "Query", "Plans": [plan]}):
        for inner in node.get("Plans", ()):
            kind, table = inner["Node Type"], inner.get("Relation Name")
            bounded = "Index Cond" in inner or node["Node Type"] == "Limit"
            walked = kind in ("Index Scan", "Index Only Scan") and table == "events" and not bounded
            if walked or (kind == "Seq Scan" and table in READ):
                yield inner


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_question_reads_all_deliveries(
    filled: PostgresStore, question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Sequence[Any]]] = []
    with monkeypatch.context() as patch:
        for name in ("rows", "row", "execute"):
            inner = getattr(Statements, name)

            def noting(self: Any, sql: str, params: Sequence[Any] = (), inner: Any = inner) -> Any:
                asked.append((sql, params))
                return inner(self, sql, params)

            patch.setattr(Statements, name, noting)
        QUESTIONS[question](filled)
    assert asked
    with filled.database.write() as db:
        for sql, params in asked:
            if not sql.lstrip().startswith(("SELECT", "WITH", "UPDATE", "DELETE")):
                continue
            row = db.connection.execute(b"EXPLAIN (FORMAT JSON) " + numbered(sql), params).fetchone()
            assert row is not None
            plan = row["QUERY PLAN"][0]["Plan"]
            whole = list(reads_all(plan))
            assert not whole, (sql, json.dumps(plan, indent=1))


def test_failures_are_grouped_from_an_index_alone(filled: PostgresStore) -> None:
    with filled.database.read() as db:
        sql, params = causes_sql(db, Filter())
        row = db.connection.execute(b"EXPLAIN (FORMAT JSON) " + numbered(sql), params).fetchone()
    assert row is not None
    (read,) = [node for node in nodes(row["QUERY PLAN"][0]["Plan"]) if node.get("Relation Name") == "deliveries"]
    assert (read["Node Type"], read["Index Name"]) == ("Index Only Scan", "deliveries_causes")
