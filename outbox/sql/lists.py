"""What the page lists: deliveries by filter, people, and all events of one person or deal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from outbox.message import BIGGEST, Attempt, Delivery, Event, State
from outbox.queries import Action, Filter, Page, Student
from outbox.sql import filters, undo
from outbox.sql.database import Database, Row, Transaction
from outbox.sql.rows import COLUMNS, DELIVERY, JOINS, attempt, by_ids, chunks, delivery, earlier, event, marks

STEP, STEPS = 100, 200
"""How many deliveries are looked at in one go, to find the people behind them, and how often."""

FOUND = 500
"""How many deliveries of a deal, a record or an event are looked at for the people behind them."""

DEEDS = 1000
"""How many of the newest deeds are looked through for those that concern one delivery."""

SHOWN = 20
"""How many of a person's newest deliveries are listed with them."""

UNFINISHED = "state IN ('pending', 'sending', 'dead')"

Who = tuple[str | None, int | None]
"""An e-mail, or a deal of which none is known."""

DEALS = 20
"""How many of a person's deals are followed at most."""


class Lists:
    """The lists of outbox.store.Reading."""

    database: Database

    def event(self, event_id: str) -> Event | None:
        with self.database.read() as db:
            found = events(db, [event_id])
        return found[0] if found else None

    def delivery(self, delivery_id: int) -> Delivery | None:
        found = by_ids(self.database, [delivery_id])
        return found[0] if found else None

    def attempts(self, delivery_ids: Sequence[int]) -> dict[int, list[Attempt]]:
        found: dict[int, list[Attempt]] = {one: [] for one in delivery_ids}
        for part in chunks(list(found)):
            sql = f"SELECT * FROM attempts WHERE delivery_id IN ({marks(part)}) ORDER BY id"
            for row in self.database.rows(sql, part):
                found[row["delivery_id"]].append(attempt(row))
        return found

    def ahead(self, delivery_ids: Sequence[int]) -> dict[int, Delivery]:
        with self.database.read() as db:
            now, first = self.database.now(), dict[int, int]()
            for part in chunks(list(delivery_ids)):
                sql = (
                    f"SELECT d.id, ({earlier(db, 'min(e.id)')}) AS first FROM deliveries d "
                    f"WHERE d.id IN ({marks(part)}) AND d.state = 'pending' AND d.key IS NOT NULL"
                )
                first |= {row["id"]: row["first"] for row in db.rows(sql, (now, *part)) if row["first"] is not None}
            rows = {row.id: row for row in by_ids(db, sorted(set(first.values())))}
        return {one: rows[other] for one, other in first.items() if other in rows}

    def count(self, where: Filter) -> int:
        with self.database.read() as db:
            return filters.count(db, where)

    def count_states(self, where: Filter) -> dict[State, int]:
        with self.database.read() as db:
            return filters.by_state(db, replace(where, states=()))

    def events_of(self, email: str | None, lead_id: int | None, limit: int = 200) -> list[Event]:
        with self.database.read() as db:
            newest: dict[str, float] = {}
            wanted = [("email", email), ("lead_id", lead_id), *(("lead_id", one) for one in deals(db, email))]
            for name, value in dict.fromkeys(wanted):
                if value is not None:
                    index = "deliveries_email" if name == "email" else "deliveries_lead"
                    sql = (
                        f"SELECT event_id, max(received_at) AS latest FROM deliveries {db.index(index)} "
                        f"WHERE {name} = ? GROUP BY event_id ORDER BY latest DESC LIMIT ?"
                    )
                    newest.update((row["event_id"], row["latest"]) for row in db.rows(sql, (value, limit)))
            ids = sorted(newest, key=lambda event_id: (newest[event_id], event_id), reverse=True)[:limit]
            return events(db, ids)

    def look_up(self, where: Filter) -> Filter:
        if not where.search.strip() or where.people is not None:
            return where
        with self.database.read() as db:
            return replace(where, people=filters.meant(db, where.search.strip()))

    def students(self, where: Filter, limit: int, after: int | None = None) -> list[Student]:
        with self.database.read() as db:
            if where.search.strip():
                last = BIGGEST if after is None else after
                found = [pair for pair in found_people(db, where) if pair[0] < last][:limit]
            else:
                found = walk(db, after, limit)
            return students(db, found)

    def actions(self, limit: int, after: int | None = None) -> list[Action]:
        sql = "SELECT * FROM actions WHERE id < ? ORDER BY id DESC LIMIT ?"
        return [action(row) for row in self.database.rows(sql, (BIGGEST if after is None else after, limit))]

    def actions_on(self, delivery_id: int, limit: int = 50) -> list[Action]:
        rows = self.database.rows(f"SELECT * FROM actions ORDER BY id DESC LIMIT {DEEDS}")
        found = (action(row) for row in rows)
        return [
            one
            for one in found
            if one.detail.get("delivery") == delivery_id or undo.within(one.detail.get("ids"), delivery_id)
        ][:limit]

    # The last one: in a class, its name hides the builtin from all annotations that follow.
    def find(self, where: Filter, limit: int, after: int | None = None, oldest_first: bool = False) -> Page:
        with self.database.read() as db:
            ids = filters.matching(db, where, limit + 1, after, oldest_first=oldest_first)
            rows = by_ids(db, ids[:limit])
        return Page(tuple(rows), ids[limit - 1] if len(ids) > limit else None)


def action(row: Row) -> Action:
    return Action(row["id"], row["at"], row["who"], row["what"], row["count"], json.loads(row["detail"]))


def events(db: Transaction, ids: list[str]) -> list[Event]:
    rows: dict[str, Row] = {}
    deliveries: dict[str, list[Delivery]] = {id: [] for id in ids}
    for part in chunks(ids):
        rows.update((row["id"], row) for row in db.rows(f"SELECT * FROM events WHERE id IN ({marks(part)})", part))
        sql = f"SELECT {DELIVERY} WHERE d.event_id IN ({marks(part)}) ORDER BY d.id"
        for row in db.rows(sql, part):
            deliveries[row["event_id"]].append(delivery(row))
    return [event(rows[id], deliveries[id]) for id in ids if id in rows]


def walk(db: Transaction, after: int | None, limit: int) -> list[tuple[int, Who]]:
    """The newest deliveries behind this one, each of another person, who has none before it."""
    found: list[tuple[int, Who]] = []
    seen: set[Who] = set()
    last = BIGGEST if after is None else after
    for _ in range(STEPS):
        rows = newest(db, last)
        latest_of = {} if after is None else latest(db, {who(row) for row in rows} - seen)
        for row in rows:
            last = row["id"]
            if who(row) not in seen and latest_of.get(who(row), last) == last:
                found.append((last, who(row)))
                if len(found) == limit:
                    return found
            seen |= {who(row), (None, row["lead_id"])}
        if len(rows) < STEP:
            break
    return found


def newest(db: Transaction, before: int) -> Sequence[Row]:
    """The next deliveries that belong to somebody, newest first, with the e-mail that is known of their deal."""
    sql = (
        "SELECT d.id, coalesce(d.email, l.email) AS email, d.lead_id FROM deliveries d "
        "LEFT JOIN deals l ON l.lead_id = d.lead_id AND d.email IS NULL "
        f"WHERE d.id < ? AND (d.email IS NOT NULL OR d.lead_id IS NOT NULL) ORDER BY d.id DESC LIMIT {STEP}"
    )
    return db.rows(sql, (before,))


def found_people(db: Transaction, where: Filter) -> list[tuple[int, Who]]:
    """Those whom a search finds, latest first: students, and deals of whom no e-mail is known."""
    text = where.search.strip()
    known = filters.meant(db, text) if where.people is None else where.people
    ids, params = filters.exact(db, text)
    sql = (
        "SELECT d.email, d.lead_id FROM deliveries d "
        f"WHERE d.id IN ({ids}) AND (d.email IS NOT NULL OR d.lead_id IS NOT NULL) LIMIT {FOUND}"
    )
    rows_named = db.rows(sql, params)
    emails = {*known.emails, *(row["email"] for row in rows_named if row["email"] is not None)}
    leads = {*known.lead_ids, *(row["lead_id"] for row in rows_named if row["email"] is None)}
    for part in chunks(sorted(leads)):
        rows = db.rows(f"SELECT lead_id, email FROM deals WHERE email IS NOT NULL AND lead_id IN ({marks(part)})", part)
        emails |= {row["email"] for row in rows}
        leads -= {row["lead_id"] for row in rows}
    people: list[Who] = [*((email, None) for email in sorted(emails)), *((None, lead_id) for lead_id in sorted(leads))]
    last = {one: number for part in chunks(people) for one, number in latest(db, part).items() if number}
    return sorted(((number, one) for one, number in last.items()), key=lambda pair: pair[0], reverse=True)


def who(row: Row) -> Who:
    return row["email"], None if row["email"] is not None else row["lead_id"]


def among(people: Sequence[Who]) -> tuple[str, list[Any]]:
    """`WITH ...`: these people as a table `w`, their place, their e-mail or deal. A union of a question for each would
    keep PostgreSQL planning for longer than it takes to answer."""
    row = "(CAST(? AS bigint), CAST(? AS text), CAST(? AS bigint))"
    params = [value for place, one in enumerate(people) for value in (place, *one)]
    return f"WITH w (place, email, lead_id) AS (VALUES {', '.join([row] * len(people))})", params


def theirs(db: Transaction) -> tuple[str, str, str]:
    """FROM clauses up to and with WHERE: together they are all deliveries `d` of one `w`. Those of an e-mail, those of
    the deals known to be its own, or those of a deal."""
    return (
        f"deliveries d {db.index('deliveries_email')} WHERE d.email = w.email",
        f"deals l {db.index('deals_email')} CROSS JOIN deliveries d {db.index('deliveries_deal')} "
        "WHERE l.email = w.email AND d.lead_id = l.lead_id AND d.email IS NULL",
        f"deliveries d {db.index('deliveries_lead')} WHERE d.lead_id = w.lead_id",
    )


def latest(db: Transaction, people: Iterable[Who]) -> dict[Who, int]:
    """The newest delivery of each; 0 without one."""
    asked = list(people)
    if not asked:
        return {}
    table, params = among(asked)
    by = [f"(SELECT max(d.id) FROM {one}) AS by_{number}" for number, one in enumerate(theirs(db))]
    rows = db.rows(f"{table} SELECT w.place, {', '.join(by)} FROM w", params)
    return {asked[row["place"]]: max(row["by_0"] or 0, row["by_1"] or 0, row["by_2"] or 0) for row in rows}


def shown_of(db: Transaction, people: Sequence[Who]) -> list[list[Delivery]]:
    """The newest deliveries of each, newest first."""
    table, params = among(people)
    parts = []
    for one in theirs(db):
        # No LATERAL: SQLite has none. From the last one that is shown on, along the same index.
        first = f"SELECT d.id FROM {one} ORDER BY d.id DESC LIMIT 1 OFFSET {SHOWN - 1}"
        parts.append(f"SELECT w.place, d.id FROM w CROSS JOIN {one} AND d.id >= coalesce(({first}), 0)")
    number = "row_number() OVER (PARTITION BY place ORDER BY id DESC) AS number"
    numbered = f"(SELECT place, id, {number} FROM ({' UNION ALL '.join(parts)}) AS every) AS n"
    joined = f"{numbered} JOIN deliveries d ON d.id = n.id {JOINS} WHERE n.number <= {SHOWN}"
    found: list[list[Delivery]] = [[] for _ in people]
    for row in db.rows(f"{table} SELECT {COLUMNS}, n.place FROM {joined} ORDER BY n.place, n.number", params):
        found[row["place"]].append(delivery(row))
    return found


def unfinished_of(db: Transaction, people: Sequence[Who]) -> list[int]:
    """How many deliveries of each are not at their end."""
    table, params = among(people)
    counts = " + ".join(f"(SELECT count(*) FROM {one} AND d.{UNFINISHED})" for one in theirs(db))
    return [int(row["n"]) for row in db.rows(f"{table} SELECT {counts} AS n FROM w ORDER BY w.place", params)]


def students(db: Transaction, found: Sequence[tuple[int, Who]]) -> list[Student]:
    if not found:
        return []
    people = [one for _, one in found]
    made = []
    for (last, (email, lead_id)), own, unfinished in zip(
        found, shown_of(db, people), unfinished_of(db, people), strict=True
    ):
        deal = next((row.lead_id for row in own if row.lead_id is not None), lead_id)
        name = next((row.person for row in own if row.person), None)
        phones = next((row.phones for row in own if row.phones), "")
        made.append(Student(email, deal, name, phones, own[0].received_at, unfinished, tuple(own), last))
    return made


def deals(db: Transaction, email: str | None) -> list[int]:
    """The deals that are known to be this person's, latest first."""
    sql = (
        f"SELECT lead_id, max(id) AS latest FROM deliveries {db.index('deliveries_email')} "
        "WHERE email = ? AND lead_id IS NOT NULL GROUP BY lead_id ORDER BY latest DESC LIMIT ?"
    )
    named = f"SELECT lead_id FROM deals {db.index('deals_email')} WHERE email = ? ORDER BY lead_id DESC LIMIT ?"
    rows = [*db.rows(sql, (email, DEALS)), *db.rows(named, (email, DEALS))] if email else []
    return list(dict.fromkeys(row["lead_id"] for row in rows))
