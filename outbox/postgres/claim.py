"""What a lane claims: the newest or oldest due rows a part at a time, then the first rows of all their keys at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from outbox.message import BIGGEST, State
from outbox.sql.database import Row, Transaction
from outbox.sql.lanes import BEHIND

ROWS = 20
"""How many rows a claim takes at most, as a multiple of the keys that were asked for."""

PART = 200
"""How many due rows are looked at in one go, at least."""

DUE = """SELECT id, key FROM deliveries
    WHERE destination = ? AND state = 'pending' AND due_at <= ? AND id {sign} ? ORDER BY id {order} LIMIT ?"""
HEADS = """SELECT k.key, h.id, h.state, h.due_at FROM unnest(?::text[]) WITH ORDINALITY AS k (key, n)
    CROSS JOIN LATERAL (
        SELECT id, state, due_at FROM deliveries
        WHERE destination = ? AND key = k.key AND state IN ('pending', 'sending')
        AND (not_before IS NULL OR not_before <= ?) ORDER BY id LIMIT ?) AS h
    WHERE NOT EXISTS (
        SELECT 1 FROM deliveries s WHERE s.destination = ? AND s.key = k.key AND s.state = 'sending')
    ORDER BY k.n, h.id"""
# An operator who changes a row at this moment has it: the claim goes on without it, and without what is behind it.
TAKE = "SELECT id FROM deliveries WHERE id = ANY(?::bigint[]) AND state = 'pending' ORDER BY id FOR UPDATE SKIP LOCKED"


def choose(
    db: Transaction, destination: str, limit: int, now: float, *, whole_keys: bool, newest_first: bool
) -> list[int]:
    """See outbox.sql.lanes.Choose. A key is as new as its newest due row: who has just done something goes first,
    together with what waited before."""
    seen: set[str] = set()
    groups: list[list[int]] = []
    sign, order, last = ("<", "DESC", BIGGEST) if newest_first else (">", "ASC", 0)
    part = max(PART, limit)
    while len(groups) < limit and sum(map(len, groups)) < limit * ROWS:
        rows = db.rows(DUE.format(sign=sign, order=order), (destination, now, last, part))
        keys = [key for row in rows if (key := row["key"]) is not None and key not in seen]
        seen.update(keys)
        heads = first_of_each(db, destination, list(dict.fromkeys(keys)), now, BEHIND if whole_keys else 1)
        for row in rows:
            group = [row["id"]] if row["key"] is None else heads.pop(row["key"], [])
            if group and len(groups) < limit and sum(map(len, groups)) < limit * ROWS:
                groups.append(group)
        if len(rows) < part:
            break
        last = rows[-1]["id"]
    return taken(db, groups)


def first_of_each(db: Transaction, destination: str, keys: list[Any], now: float, most: int) -> dict[str, list[int]]:
    """By key the rows that may go: none where the first one is not due yet, or where one is on its way."""
    if not keys:
        return {}
    found: dict[str, list[Row]] = {}
    for row in db.rows(HEADS, (keys, destination, now, most, destination)):
        found.setdefault(row["key"], []).append(row)
    return {key: [row["id"] for row in rows] for key, rows in found.items() if may_go(rows, now)}


def may_go(rows: Sequence[Row], now: float) -> bool:
    return bool(rows[0]["state"] == State.PENDING and rows[0]["due_at"] <= now)


def taken(db: Transaction, groups: list[list[int]]) -> list[int]:
    """The rows that nobody else holds; of each group those before the first that somebody does."""
    every = [delivery_id for group in groups for delivery_id in group]
    free = {row["id"] for row in db.rows(TAKE, (every,))} if every else set()
    ids: list[int] = []
    for group in groups:
        for delivery_id in group:
            if delivery_id not in free:
                break
            ids.append(delivery_id)
    return ids
