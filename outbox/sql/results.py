"""Writing down what became of deliveries: their new columns, and the ends of their attempts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from outbox.message import Known, Result, State
from outbox.shared import Lease
from outbox.sql import people
from outbox.sql.database import Row, Transaction
from outbox.sql.rows import encode, marks


def record_some(db: Transaction, lease: Lease, results: Sequence[Result], now: float) -> None:
    """All in a few statements, however many there are: to a server each statement is a journey."""
    of = {result.delivery_id: result for result in reversed(results)}
    ids = sorted(of)
    sql = (
        "SELECT d.id, d.facts, d.email, d.lead_id, "
        "(SELECT 1 FROM attempts a WHERE a.delivery_id = d.id AND a.outcome = 'open' LIMIT 1) AS begun "
        f"FROM deliveries d WHERE d.id IN ({marks(ids)}) AND d.state = 'sending' AND d.fence = ? "
        f"ORDER BY d.id {db.for_update('d')}"
    )
    rows = db.rows(sql, (*ids, lease.fence))  # without those that were erased meanwhile
    if not rows:
        return
    changes = [changed(of[row["id"]], row, now) for row in rows]
    db.execute(
        f"""UPDATE deliveries SET state = r.column2, changed_at = ?, fence = NULL,
            ended_at = CAST(r.column3 AS double precision), due_at = CAST(r.column4 AS double precision),
            reason = coalesce(r.column5, reason), cause = coalesce(r.column6, cause),
            interrupted = coalesce(CAST(r.column7 AS bigint), interrupted),
            reference = coalesce(r.column8, reference), facts = coalesce(r.column9, facts),
            person = coalesce(r.column10, person), lead_id = coalesce(CAST(r.column11 AS bigint), lead_id),
            failures = failures + r.column12
            FROM ({values(changes)}) AS r WHERE deliveries.id = r.column1""",
        [now, *flat(changes)],
    )
    people.meet(db, [row["id"] for row in rows if of[row["id"]].lead_id not in (None, row["lead_id"])])
    people.learn(db, [told for row in rows if (told := known(of[row["id"]], row)) is not None])
    unsent = [row["id"] for row in rows if row["begun"] and of[row["id"]].unsent]
    if unsent:
        db.execute(f"DELETE FROM attempts WHERE outcome = 'open' AND delivery_id IN ({marks(unsent)})", unsent)
    begun = [ending(of[row["id"]]) for row in rows if row["begun"] and not of[row["id"]].unsent]
    if begun:
        db.execute(
            f"""UPDATE attempts SET finished_at = ?, outcome = r.column2, status = CAST(r.column3 AS bigint),
                detail = r.column4, cause = r.column5, params = r.column6, exchanges = r.column7
                FROM ({values(begun)}) AS r WHERE attempts.delivery_id = r.column1 AND attempts.outcome = 'open'""",
            [now, *flat(begun)],
        )
    # Without one that was begun, and with something to tell, a closed one is written.
    closed = [(*ending(of[row["id"]]), now, now) for row in rows if not row["begun"] and of[row["id"]].outcome]
    if closed:
        db.execute(
            "INSERT INTO attempts (delivery_id, outcome, status, detail, cause, params, exchanges, at, finished_at) "
            + values(closed),
            flat(closed),
        )


def changed(result: Result, row: Row, now: float) -> tuple[Any, ...]:
    """The delivery's new columns; None: as it is."""
    waits = result.state == State.PENDING
    tells = result.outcome not in (None, "paused")
    interrupted = None
    if tells:
        interrupted = int(result.interrupted)
    elif result.interrupted or (result.outcome is None and row["begun"] and not result.unsent):
        interrupted = 1  # it goes back, and nobody knows what became of what was sent
    return (
        result.delivery_id,
        result.state.value,
        None if waits else now,
        now if result.due_at is None else result.due_at,
        str(result.reason) if tells else None,
        result.cause if tells else None,
        interrupted,
        result.reference or None,
        encode({**json.loads(row["facts"]), **result.facts}) if result.facts else None,
        result.person,
        result.lead_id,
        int(result.counts),
    )


def known(result: Result, row: Row) -> Known | None:
    """What a result tells of the person. Of a deal that bears no e-mail it is known by the deal."""
    lead_id = row["lead_id"] if result.lead_id is None else result.lead_id
    if not result.person or (row["email"] is None and lead_id is None):
        return None
    emails, leads = ((row["email"],), ()) if row["email"] is not None else ((), (lead_id,))
    return Known(result.person, emails=emails, lead_ids=leads)


def ending(result: Result) -> tuple[Any, ...]:
    """How its attempt ends."""
    return (
        result.delivery_id,
        result.outcome or "interrupted",
        result.status,
        result.detail,
        result.cause,
        encode(result.params),
        encode(list(result.exchanges)),
    )


def values(rows: Sequence[Sequence[Any]]) -> str:
    """VALUES with marks for these rows. As a table its columns are column1, column2 ... to every engine. One may be all
    NULL, so that a column which is no text needs a CAST where it is used."""
    return "VALUES " + ",".join([f"({marks(list(rows[0]))})"] * len(rows))


def flat(rows: Sequence[Sequence[Any]]) -> list[Any]:
    return [column for row in rows for column in row]
