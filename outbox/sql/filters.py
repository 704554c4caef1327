"""Filters as SQL that walks an index: which deliveries match, how many, in which order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlite_utils import Database

from outbox.message import State
from outbox.queries import Filter
from outbox.sql.rows import BIGGEST, marks

PREFIX = 3
"""How many letters a search needs before it means the beginning (or a part) of an e-mail."""

FOUND = 10_000
"""How many deliveries a beginning of an e-mail finds at most, and how many e-mails are looked through for a part."""

LOOKED_THROUGH = 1_000_000
PEOPLE = 200
"""How many e-mails with a part in common are taken at most."""

Where = tuple[str, list[Any]]


def matching(
    db: Database, where: Filter, limit: int = -1, after: int | None = None, *, oldest_first: bool = False
) -> list[int]:
    """Ids in order of created_at, then id. after: begin behind this delivery. limit: -1 for all."""
    order = "ASC" if oldest_first else "DESC"
    rest, rest_params = residual(where)
    if after is not None:
        row = db.execute("SELECT created_at FROM deliveries WHERE id = ?", (after,)).fetchone()
        if row is None:
            return []
        sign = ">" if oldest_first else "<"
        rest += f" AND d.created_at {sign}= ? AND (d.created_at, d.id) {sign} (?, ?)"
        rest_params += [row["created_at"], row["created_at"], after]
    found: list[tuple[float, int]] = []
    for source, params in sources(db, where):
        sql = f"SELECT d.created_at, d.id FROM {source}{rest} ORDER BY d.created_at {order}, d.id {order} LIMIT {limit}"
        found += [(row[0], row[1]) for row in db.execute(sql, (*params, *rest_params))]
    found.sort(reverse=not oldest_first)
    return [one for _, one in (found if limit < 0 else found[:limit])]


def count(db: Database, where: Filter) -> int:
    return sum(by_state(db, where).values())


def by_state(db: Database, where: Filter) -> dict[State, int]:
    counts = dict.fromkeys(State, 0)
    rest, rest_params = residual(where)
    if not rest and not narrow(where) and not where.cause:
        for _, _, state, n in groups(db, where):
            counts[State(state)] += n
        return counts
    for source, params in sources(db, where):
        sql = f"SELECT d.state, count(*) FROM {source}{rest} GROUP BY d.state"
        for state, n in db.execute(sql, (*params, *rest_params)):
            counts[State(state)] += n
    return counts


def narrow(where: Filter) -> bool:
    """Whether the filter names rows, a person, a deal or a record: few rows, found by an index of their own."""
    return bool(where.search.strip() or where.email or where.lead_id is not None or where.ids)


def groups(db: Database, where: Filter) -> list[tuple[str, str, str, int]]:
    """What there is at all: destination, event name, state and how many, of those that the filter allows."""
    found = db.execute("SELECT destination, event_name, state, n FROM counters WHERE n > 0").fetchall()
    return [
        (row["destination"], row["event_name"], row["state"], row["n"])
        for row in found
        if (not where.states or row["state"] in where.states)
        and where.destination in ("", row["destination"])
        and where.event_name in ("", row["event_name"])
        and (where.overdue_at is None or row["state"] == State.PENDING)
    ]


def sources(db: Database, where: Filter) -> Iterator[Where]:
    """FROM clauses up to and with WHERE: each walks one index, together they are all rows that may match."""
    if narrow(where):
        yield by_ids(db, where)
    elif where.cause:
        for destination, state in sorted({(group[0], group[2]) for group in groups(db, where)}):
            sql = "d.destination = ? AND d.cause = ? AND d.cause <> '' AND d.state = ?"
            params = [destination, where.cause, state]
            if where.event_name:
                sql += " AND d.event_name = ?"
                params.append(where.event_name)
            yield f"deliveries d INDEXED BY deliveries_cause WHERE {sql}", params
    else:
        for group in groups(db, where):
            sql = "d.destination = ? AND d.event_name = ? AND d.state = ?"
            yield f"deliveries d INDEXED BY deliveries_list WHERE {sql}", list(group[:3])


def residual(where: Filter) -> Where:
    """What no index of `sources` has taken care of, as `AND ...`."""
    sql, params = "", []
    for condition, value in (
        ("d.created_at >= ?", where.since),
        ("d.created_at < ?", where.until),
        ("d.id <= ?", where.max_id),
    ):
        if value is not None:
            sql += f" AND {condition}"
            params.append(value)
    if where.overdue_at is not None:
        sql += " AND d.state = 'pending' AND d.due_at < ?"
        params.append(where.overdue_at)
    return sql, params


def by_ids(db: Database, where: Filter) -> Where:
    conditions: list[str] = []
    params: list[Any] = []
    if where.search.strip():
        sql, more = search(db, where.search.strip())
        conditions.append(f"d.id IN ({sql})")
        params += more
    if where.email:
        conditions.append("d.id IN (SELECT id FROM deliveries INDEXED BY deliveries_email WHERE email = ?)")
        params.append(where.email)
    if where.lead_id is not None:
        conditions.append("d.id IN (SELECT id FROM deliveries INDEXED BY deliveries_lead WHERE lead_id = ?)")
        params.append(where.lead_id)
    if where.ids:
        conditions.append(f"d.id IN ({marks(list(where.ids))})")
        params += where.ids
    sql, more = columns(where)
    return f"deliveries d WHERE {' AND '.join(conditions)}{sql}", params + more


def columns(where: Filter) -> Where:
    """The plain columns of a filter, as `AND ...`."""
    sql, params = "", []
    for name, value in (
        ("destination", where.destination),
        ("event_name", where.event_name),
        ("cause", where.cause),
    ):
        if value:
            sql += f" AND d.{name} = ?"
            params.append(value)
    if where.states:
        sql += f" AND d.state IN ({marks(list(where.states))})"
        params += [state.value for state in where.states]
    return sql, params


def search(db: Database, text: str) -> Where:
    """A subquery of ids: by e-mail or its beginning, deal, record, event or delivery; else by a part of an e-mail."""
    email = text.casefold()
    parts = [
        "SELECT id FROM deliveries INDEXED BY deliveries_reference WHERE reference <> '' AND reference = ?",
        "SELECT id FROM deliveries INDEXED BY deliveries_event WHERE event_id = ?",
    ]
    params: list[Any] = [text, email]
    if len(email) >= PREFIX:
        parts.append(
            "SELECT id FROM (SELECT id FROM deliveries INDEXED BY deliveries_email "
            f"WHERE email >= ? AND email < ? LIMIT {FOUND})"
        )
        params += [email, email + "\U0010ffff"]
    if text.isascii() and text.isdigit() and int(text) <= BIGGEST:
        parts.append("SELECT id FROM deliveries INDEXED BY deliveries_lead WHERE lead_id = ?")
        parts.append("SELECT id FROM deliveries WHERE id = ?")
        params += [int(text), int(text)]
    sql = " UNION ".join(parts)
    if len(email) < PREFIX or db.execute(f"SELECT 1 FROM ({sql}) LIMIT 1", params).fetchone():
        return sql, params
    emails = containing(db, email)
    if not emails:
        return sql, params
    sql = (
        f"SELECT id FROM deliveries INDEXED BY deliveries_email WHERE email IS NOT NULL AND email IN ({marks(emails)})"
    )
    return sql, emails


def containing(db: Database, part: str) -> list[Any]:
    sql = (
        "SELECT DISTINCT email FROM (SELECT email FROM deliveries INDEXED BY deliveries_email "
        f"WHERE email IS NOT NULL LIMIT {LOOKED_THROUGH}) WHERE instr(email, ?) LIMIT {PEOPLE}"
    )
    return [row["email"] for row in db.execute(sql, (part,))]
