"""Between rows of the tables and the outbox's messages."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from outbox.message import Attempt, Delivery, Event, Json, Reason, State
from outbox.sql.database import Reader, Row, Transaction

COLUMNS = """
    d.id, d.event_id, d.event_name, d.destination, d.key, d.state, d.reason, d.cause, d.reference, d.due_at, d.failures,
    d.created_at, d.changed_at, e.data, e.source, d.received_at, d.email, d.lead_id,
    coalesce(s.name, l.name, d.person) AS person, d.interrupted, d.facts, coalesce(s.phones, l.phones, '') AS phones
"""
"""Those of a Delivery, in its order."""

JOINS = """
    JOIN events e ON e.id = d.event_id
    LEFT JOIN deals l ON l.lead_id = d.lead_id AND d.email IS NULL
    LEFT JOIN students s ON s.email = coalesce(d.email, l.email)
"""
"""Where they are from, beside the deliveries `d`."""

DELIVERY = f"{COLUMNS} FROM deliveries d {JOINS}"


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def encode(value: Json) -> str:
    """Canonical JSON. Raises ValueError for what is not JSON (NaN) or no text (a lone surrogate)."""
    text = _CANONICAL.encode(value)
    if not text.isascii():
        text.encode()
    return text


def delivery(row: Row) -> Delivery:
    """Of a row that begins with COLUMNS."""
    # fmt: off
    # By place: to look twenty names up in each row takes as long as the rest.
    (id, event_id, event_name, destination, key, state, reason, cause, reference, due_at, failures, created_at,
     changed_at, data, source, received_at, email, lead_id, person, interrupted, facts, phones, *_) = row.values()
    return Delivery(
        id, event_id, event_name, destination, key, State(state), Reason(reason), cause, reference, due_at, failures,
        created_at, changed_at, json.loads(data), source, received_at, email, lead_id, person, bool(interrupted),
        json.loads(facts), phones,
    )
    # fmt: on


def event(row: Row, deliveries: Iterable[Delivery]) -> Event:
    return Event(
        id=row["id"],
        name=row["name"],
        data=json.loads(row["data"]),
        source=row["source"],
        sender=row["sender"],
        received_at=row["received_at"],
        email=row["email"],
        lead_id=row["lead_id"],
        raw=row["raw"],
        deliveries=tuple(deliveries),
    )


def attempt(row: Row) -> Attempt:
    return Attempt(
        id=row["id"],
        delivery_id=row["delivery_id"],
        at=row["at"],
        outcome=row["outcome"],
        finished_at=row["finished_at"],
        status=row["status"],
        detail=row["detail"],
        cause=row["cause"],
        params=json.loads(row["params"]),
        exchanges=tuple(json.loads(row["exchanges"])),
    )


def by_ids(db: Reader, ids: Iterable[int]) -> list[Delivery]:
    """Deliveries in the order of these ids; those that are gone are left out."""
    wanted = list(ids)
    found: dict[int, Delivery] = {}
    for part in chunks(wanted):
        sql = f"SELECT {DELIVERY} WHERE d.id IN ({marks(part)})"
        found.update((row["id"], delivery(row)) for row in db.rows(sql, part))
    return [found[id] for id in wanted if id in found]


def earlier(db: Transaction, what: str = "1") -> str:
    """A subquery of the open rows that a delivery `d` must not overtake. Its one mark: the time now."""
    return (
        f"SELECT {what} FROM deliveries e {db.index('deliveries_key')} WHERE e.destination = d.destination "
        "AND e.key = d.key AND e.state IN ('pending', 'sending') AND e.id < d.id "
        "AND (e.not_before IS NULL OR e.not_before <= ?)"
    )


def marks(values: list[Any]) -> str:
    return ",".join("?" * len(values))


def chunks(values: list[Any], size: int = 500) -> Iterable[list[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def together(db: Reader, parts: Iterable[tuple[str, list[Any]]], size: int = 100) -> list[Row]:
    """The rows of several questions, asked at once: so many as an engine takes in one."""
    found: list[Row] = []
    for some in chunks(list(parts), size):
        found += db.rows(" UNION ALL ".join(sql for sql, _ in some), [value for _, params in some for value in params])
    return found
