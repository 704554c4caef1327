"""What a lane claims, found along the indexes of waiting rows and of keys."""

from __future__ import annotations

from outbox.message import State
from outbox.sql.database import Transaction
from outbox.sql.lanes import BEHIND

ROWS = 20
"""How many rows a claim takes at most, as a multiple of the keys that were asked for."""

DUE = """SELECT id, key FROM deliveries {index}
    WHERE destination = ? AND state = 'pending' AND due_at <= ? ORDER BY id {order}"""
HEAD = """SELECT id, state, due_at FROM deliveries {index}
    WHERE destination = ? AND key = ? AND state IN ('pending', 'sending') AND (not_before IS NULL OR not_before <= ?)
    ORDER BY id LIMIT ?"""


def choose(
    db: Transaction, destination: str, limit: int, now: float, *, whole_keys: bool, newest_first: bool
) -> list[int]:
    """The ids to claim: the first of each key, or with all that wait behind it, in the order of their arrival.

    A key is as new as its newest due row: who has just done something goes first, together with what waited before.
    """
    seen: set[str] = set()
    ids: list[int] = []
    heads = 0
    due = DUE.format(index=db.index("deliveries_due"), order="DESC" if newest_first else "ASC")
    head = HEAD.format(index=db.index("deliveries_key"))
    for row in db.each(due, (destination, now)):
        if heads >= limit or len(ids) >= limit * ROWS:
            break
        if row["key"] is None:
            ids.append(row["id"])
            heads += 1
        elif row["key"] not in seen:
            seen.add(row["key"])
            params = (destination, row["key"], now, BEHIND if whole_keys else 1)
            rows = db.rows(head, params)
            if rows and rows[0]["state"] == State.PENDING and rows[0]["due_at"] <= now:
                ids += [behind["id"] for behind in rows]
                heads += 1
    return ids
