"""What the page lists: deliveries by filter, people, and all events of one person or deal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from outbox.message import BIGGEST, Attempt, Delivery, Event, Json, State
from outbox.queries import Action, Filter, Page
from outbox.sql import filters, undo
from outbox.sql.database import Database, Row, Transaction
from outbox.sql.rows import DELIVERY, attempt, by_ids, chunks, delivery, earlier, event, marks
from outbox.whole_numbers import whole_number

STEP = 500
"""How many deliveries are looked at in one go, to find the people behind them."""

STEPS = 40

DEEDS = 1000
"""How many of the newest deeds are looked through for those that concern one delivery."""

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

    def people(self, search: str, limit: int, after: str | None = None) -> list[Mapping[str, Json]]:
        """Who there is, latest first. `after`: the "after" of the last one of the page before."""
        found: list[Mapping[str, Json]] = []
        last = whole_number(after)
        with self.database.read() as db:
            where = Filter(search=search) if search.strip() else None
            for _ in range(STEPS):
                rows = newest(db, where, last)
                for row in rows:
                    last = row["id"]
                    if latest(db, row):
                        found.append(person(db, row))
                    if len(found) >= limit:
                        return found
                if len(rows) < STEP:
                    break
        return found

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
        sql = (
            f"SELECT {DELIVERY} FROM deliveries d JOIN events e ON e.id = d.event_id "
            f"WHERE d.event_id IN ({marks(part)}) ORDER BY d.id"
        )
        for row in db.rows(sql, part):
            deliveries[row["event_id"]].append(delivery(row))
    return [event(rows[id], deliveries[id]) for id in ids if id in rows]


NAMED = "SELECT id, email, lead_id, person, created_at FROM deliveries"


def newest(db: Transaction, where: Filter | None, before: int | None) -> Sequence[Row]:
    """The next deliveries that belong to somebody, newest first."""
    last = BIGGEST if before is None else before
    if where is None:
        sql = f"{NAMED} WHERE id < ? AND (email IS NOT NULL OR lead_id IS NOT NULL) ORDER BY id DESC LIMIT {STEP}"
        return db.rows(sql, (last,))
    ids, params = filters.search(db, where.search.strip())
    sql = (
        f"{NAMED} WHERE id IN ({ids}) AND id < ? AND (email IS NOT NULL OR lead_id IS NOT NULL) "
        f"ORDER BY id DESC LIMIT {STEP}"
    )
    return db.rows(sql, (*params, last))


def latest(db: Transaction, row: Row) -> bool:
    """Whether this is the newest delivery of its person. One that is known by the deal only is nobody of their own
    when the same deal is known with an e-mail."""
    if row["email"] is not None:
        sql = f"SELECT 1 FROM deliveries {db.index('deliveries_email')} WHERE email = ? AND id > ? LIMIT 1"
        return db.row(sql, (row["email"], row["id"])) is None
    sql = (
        f"SELECT 1 FROM deliveries {db.index('deliveries_lead')} "
        "WHERE lead_id = ? AND (email IS NOT NULL OR id > ?) LIMIT 1"
    )
    return db.row(sql, (row["lead_id"], row["id"])) is None


def person(db: Transaction, row: Row) -> Mapping[str, Json]:
    name, value = ("email", row["email"]) if row["email"] is not None else ("lead_id", row["lead_id"])
    index = db.index("deliveries_email" if name == "email" else "deliveries_lead")
    sql = (
        "SELECT count(CASE WHEN state IN ('pending', 'sending', 'dead') THEN 1 END) AS open, "
        f"max(received_at) AS last_at FROM deliveries {index} WHERE {name} = ?"
    )
    (total,) = db.rows(sql, (value,))
    known = {}
    for column in ("lead_id", "person"):
        sql = (
            f"SELECT {column} FROM deliveries {index} WHERE {name} = ? AND {column} IS NOT NULL "
            "ORDER BY id DESC LIMIT 1"
        )
        known[column] = db.value(sql, (value,))
    return {
        "email": row["email"],
        **known,
        "last_at": total["last_at"],
        "open": total["open"],
        "after": str(row["id"]),
    }


def deals(db: Transaction, email: str | None) -> list[int]:
    """The deals that are known to be this person's, latest first."""
    sql = (
        f"SELECT lead_id, max(id) AS latest FROM deliveries {db.index('deliveries_email')} "
        "WHERE email = ? AND lead_id IS NOT NULL GROUP BY lead_id ORDER BY latest DESC LIMIT ?"
    )
    return [row["lead_id"] for row in db.rows(sql, (email, DEALS))] if email else []
