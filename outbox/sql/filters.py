"""Filters as SQL that walks an index: which deliveries match, how many, in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from outbox.message import State
from outbox.queries import Filter, People
from outbox.sql import counters, people
from outbox.sql.counters import Group, every_group
from outbox.sql.database import Transaction
from outbox.sql.rows import marks, together
from outbox.whole_numbers import whole_number

Where = tuple[str, list[Any]]


def matching(
    db: Transaction, where: Filter, limit: int | None = None, after: int | None = None, *, oldest_first: bool = False
) -> list[int]:
    """Ids in order of created_at, then id. after: begin behind this delivery. limit: None for all."""
    return matching_each(db, [where], limit, after, oldest_first=oldest_first)[0]


def matching_each(
    db: Transaction,
    wheres: Sequence[Filter],
    limit: int | None = None,
    after: int | None = None,
    *,
    oldest_first: bool = False,
) -> list[list[int]]:
    """`matching` for each of these, asked at once."""
    order = "ASC" if oldest_first else "DESC"
    end = "" if limit is None else f" LIMIT {limit}"
    behind, behind_params = "", list[Any]()
    if after is not None:
        row = db.row("SELECT created_at FROM deliveries WHERE id = ?", (after,))
        if row is None:
            return [[] for _ in wheres]
        sign = ">" if oldest_first else "<"
        behind = f" AND d.created_at {sign}= ? AND (d.created_at, d.id) {sign} (?, ?)"
        behind_params = [row["created_at"], row["created_at"], after]
    there = None if all(map(narrow, wheres)) else every_group(db)
    parts = []
    for place, where in enumerate(wheres):
        rest, rest_params = residual(where)
        for source, params in sources(db, where, there):
            sql = (
                f"SELECT d.created_at, d.id FROM {source}{rest}{behind} "
                f"ORDER BY d.created_at {order}, d.id {order}{end}"
            )
            part = f"SELECT {place} AS place, created_at, id FROM ({sql}) AS part"
            parts.append((part, [*params, *rest_params, *behind_params]))
    found: list[list[tuple[float, int]]] = [[] for _ in wheres]
    for row in together(db, parts):
        found[row["place"]].append((row["created_at"], row["id"]))
    for rows in found:
        rows.sort(reverse=not oldest_first)
    return [[delivery_id for _, delivery_id in rows[:limit]] for rows in found]


def count(db: Transaction, where: Filter) -> int:
    return sum(by_state(db, where).values())


def by_state(db: Transaction, where: Filter) -> dict[State, int]:
    counts = dict.fromkeys(State, 0)
    rest, rest_params = residual(where)
    if not rest and not narrow(where) and not where.cause:
        for _, _, state, n in groups(db, where):
            counts[State(state)] += n
        return counts
    alone = replace(where, states=(), destination="", event_name="")
    if where.max_id is not None and alone == Filter(max_id=where.max_id):
        added = (db.value("SELECT max(id) FROM deliveries") or 0) - where.max_id
        if added < sum(group[3] for group in groups(db, where)):
            return shown(db, where)
    if alone == Filter(since=where.since, until=where.until):
        return between(db, where)
    if alone == Filter(overdue_at=where.overdue_at) and not where.event_name:
        return overdue(db, where)
    parts = [
        (f"SELECT d.state, count(*) AS n FROM {source}{rest} GROUP BY d.state", [*params, *rest_params])
        for source, params in sources(db, where)
    ]
    for row in together(db, parts):
        counts[State(row["state"])] += row["n"]
    return counts


def shown(db: Transaction, where: Filter) -> dict[State, int]:
    """What there is without those that came after where.max_id: few, where little time has passed."""
    counts = dict.fromkeys(State, 0)
    for _, _, state, n in groups(db, where):
        counts[State(state)] += n
    sql = f"SELECT d.state, count(*) AS n FROM deliveries d WHERE d.id > ?{columns(where)[0]} GROUP BY d.state"
    for row in db.rows(sql, (where.max_id, *columns(where)[1])):
        counts[State(row["state"])] -= row["n"]
    return counts


def between(db: Transaction, where: Filter) -> dict[State, int]:
    """What was created since a time, or before one."""
    there = groups(db, where)
    found = [group[3] for group in there] if where.since is None else counters.created_since(db, there, where.since)
    if where.until is not None:
        later = counters.created_since(db, there, max(where.until, where.since or where.until))
        found = [n - after for n, after in zip(found, later, strict=True)]
    counts = dict.fromkeys(State, 0)
    for (_, _, state, _), n in zip(there, found, strict=True):
        counts[State(state)] += n
    return counts


def overdue(db: Transaction, where: Filter) -> dict[State, int]:
    """By the index of what waits."""
    sql = (
        f"SELECT count(*) AS n FROM deliveries {db.index('deliveries_due')} WHERE destination = ? "
        "AND state = 'pending' AND due_at < ?"
    )
    names = sorted({group[0] for group in groups(db, where)})
    counts = dict.fromkeys(State, 0)
    counts[State.PENDING] = sum(row["n"] for row in together(db, [(sql, [name, where.overdue_at]) for name in names]))
    return counts


def narrow(where: Filter) -> bool:
    """Whether the filter names rows, a person, a deal or a record: few rows, found by an index of their own."""
    return bool(where.search.strip() or where.email or where.lead_id is not None or where.ids)


def groups(db: Transaction, where: Filter, there: Sequence[Group] | None = None) -> list[Group]:
    """What there is at all, of what the filter allows."""
    return [
        (destination, event_name, state, n)
        for destination, event_name, state, n in (every_group(db) if there is None else there)
        if (not where.states or state in where.states)
        and where.destination in ("", destination)
        and where.event_name in ("", event_name)
        and (where.overdue_at is None or state == State.PENDING)
    ]


def sources(db: Transaction, where: Filter, there: Sequence[Group] | None = None) -> Iterator[Where]:
    """FROM clauses up to and with WHERE: each walks one index, together they are all rows that may match."""
    if narrow(where):
        yield by_ids(db, where)
    elif where.cause:
        for destination, state in sorted({(group[0], group[2]) for group in groups(db, where, there)}):
            sql = "d.destination = ? AND d.cause = ? AND d.cause <> '' AND d.state = ?"
            params = [destination, where.cause, state]
            if where.event_name:
                sql += " AND d.event_name = ?"
                params.append(where.event_name)
            yield f"deliveries d {db.index('deliveries_cause')} WHERE {sql}", params
    else:
        for group in groups(db, where, there):
            sql = "d.destination = ? AND d.event_name = ? AND d.state = ?"
            yield f"deliveries d {db.index('deliveries_list')} WHERE {sql}", list(group[:3])


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


def by_ids(db: Transaction, where: Filter) -> Where:
    # By their numbers: an index of states would be walked from end to end.
    rows, params = f"deliveries d {db.index('')}", list[Any]()
    conditions = ["true"]
    if where.search.strip():
        sql, params = search(db, where)
        rows = f"({sql}) AS d"
    if where.email:
        conditions.append(f"d.id IN (SELECT id FROM deliveries {db.index('deliveries_email')} WHERE email = ?)")
        params.append(where.email)
    if where.lead_id is not None:
        conditions.append(f"d.id IN (SELECT id FROM deliveries {db.index('deliveries_lead')} WHERE lead_id = ?)")
        params.append(where.lead_id)
    if where.ids:
        conditions.append(f"d.id IN ({marks(list(where.ids))})")
        params += where.ids
    sql, more = columns(where)
    return f"{rows} WHERE {' AND '.join(conditions)}{sql}", params + more


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


SEARCHED = "id, created_at, due_at, destination, event_name, cause, state"
"""What is asked of a delivery that is searched for."""


def search(db: Transaction, where: Filter) -> Where:
    """A subquery of SEARCHED: by deal, record, event or delivery, and by what `people.find` knows of students and
    deals. Whoever is found is found with what was done to the deals that are known to be theirs or were named, as
    records of an ERP are."""
    text = where.search.strip()
    found = meant(db, text) if where.people is None else where.people
    sql, params = exact(db, text, SEARCHED)
    if found.emails:
        given = marks(list(found.emails))
        theirs = (
            "SELECT lead_id FROM own WHERE lead_id IS NOT NULL UNION "
            f"SELECT lead_id FROM deals {db.index('deals_email')} WHERE email IN ({given})"
        )
        # Read once, though they are asked twice.
        sql = (
            f"WITH own AS (SELECT {SEARCHED}, lead_id FROM deliveries {db.index('deliveries_email')} "
            f"WHERE email IS NOT NULL AND email IN ({given})) {sql} UNION SELECT {SEARCHED} FROM own "
            f"UNION SELECT {SEARCHED} FROM deliveries {db.index('deliveries_deal')} WHERE email IS NULL "
            f"AND {db.within('lead_id', theirs)}"
        )
        params = [*found.emails, *params, *found.emails]
    if found.lead_ids:
        by_lead = f"FROM deliveries {db.index('deliveries_lead')} WHERE lead_id IN"
        sql += f" UNION SELECT {SEARCHED} {by_lead} ({marks(list(found.lead_ids))})"
        params += found.lead_ids
    return sql, params


def exact(db: Transaction, text: str, columns: str = "id") -> Where:
    parts = [
        f"SELECT {columns} FROM deliveries {db.index('deliveries_reference')} WHERE reference <> '' AND reference = ?",
        f"SELECT {columns} FROM deliveries {db.index('deliveries_event')} WHERE event_id = ?",
    ]
    params: list[Any] = [text, text.lower()]
    if (number := whole_number(text)) is not None:
        parts.append(f"SELECT {columns} FROM deliveries {db.index('deliveries_lead')} WHERE lead_id = ?")
        parts.append(f"SELECT {columns} FROM deliveries WHERE id = ?")
        params += [number, number]
    return " UNION ".join(parts), params


def meant(db: Transaction, text: str) -> People:
    """Whom a text means. A number that is one of a deal, a record or a delivery is no part of an address."""
    if whole_number(text) is None:
        return people.find(db, text)
    sql, params = exact(db, text)
    return people.find(db, text, wide=db.row(f"SELECT 1 FROM ({sql}) AS found LIMIT 1", params) is None)
