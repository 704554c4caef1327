"""Taking a deed back: how its rows were before it, kept for a moment beside its line in the action log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from outbox.sql import people
from outbox.sql.database import Row, Transaction
from outbox.sql.rows import chunks, encode, marks

NAMESPACE = "undo"
MOST = 1000
"""Rows of a deed that can be taken back; one with more cannot."""

KEPT = 60.0
"""Seconds after which what was kept is cleared with the next deed."""

ROW = (
    "state", "reason", "cause", "failures", "due_at", "not_before", "changed_at", "ended_at", "key", "email", "person",
    "lead_id", "facts",
)  # fmt: skip
ENTRY = "WHERE namespace = ? AND key = ?"
RESTORE = f"UPDATE deliveries SET {', '.join(f'{name} = ?' for name in ROW)}"


def snapshot(db: Transaction, ids: Sequence[int], with_data: bool = False) -> dict[str, Any] | None:
    """The rows as they are now, before a deed; with_data: their events' data too. None: too many."""
    if len(ids) > MOST:
        return None
    kept: dict[str, Any] = {"rows": [], "events": []}
    for part in chunks(list(ids)):
        rows = db.rows(f"SELECT id, event_id, {', '.join(ROW)} FROM deliveries WHERE id IN ({marks(part)})", part)
        kept["rows"] += [[row["id"], row["event_id"], *(row[name] for name in ROW)] for row in rows]
        if with_data and rows:
            events = sorted({row["event_id"] for row in rows})
            sql = f"SELECT id, data, email FROM events WHERE id IN ({marks(events)})"
            kept["events"] += [[row["id"], row["data"], row["email"]] for row in db.rows(sql, events)]
    return kept


def keep(db: Transaction, now: float, action_id: int, before: Mapping[str, Any] | None) -> None:
    """Beside the action that was just written; what older deeds left is cleared."""
    clear(db, now)
    if before is not None:
        sql = "INSERT INTO key_values (namespace, key, value, version, updated_at) VALUES (?, ?, ?, 1, ?)"
        db.execute(sql, (NAMESPACE, str(action_id), encode(before), now))


def clear(db: Transaction, now: float) -> None:
    db.execute("DELETE FROM key_values WHERE namespace = ? AND updated_at < ?", (NAMESPACE, now - KEPT))


def clear_all(db: Transaction) -> None:
    """A person is erased: what is kept may hold their data."""
    db.execute("DELETE FROM key_values WHERE namespace = ?", (NAMESPACE,))


def can(db: Transaction, action_id: int) -> bool:
    sql = "SELECT 1 FROM key_values WHERE namespace = ? AND key = ?"
    return db.row(sql, (NAMESPACE, str(action_id))) is not None


def kept(db: Transaction, action_id: int) -> dict[str, Any] | None:
    """What was kept beside this action; it is given once."""
    key = (NAMESPACE, str(action_id))
    found = db.value("SELECT value FROM key_values WHERE namespace = ? AND key = ?", key)
    if found is None:
        return None
    db.execute("DELETE FROM key_values WHERE namespace = ? AND key = ?", key)
    return dict(json.loads(found))


def last_attempt(db: Transaction) -> int:
    return int(db.value("SELECT max(id) FROM attempts") or 0)


def take_back_pause(db: Transaction, action: Row, before: Mapping[str, Any], now: float) -> bool:
    """Puts a destination's pause and the times of what waits there back, unless somebody has changed the pause since,
    or something has begun to leave. before: see outbox.pauses."""
    destination = before["destination"]
    found = db.value(f"SELECT value FROM key_values {ENTRY}", ("pause", destination))
    if (None if found is None else json.loads(found)) != before["left"]:
        return False
    if before["pause"] is not None and before["left"] is None:  # a pause comes back that was ended
        sql = "SELECT 1 FROM deliveries WHERE destination = ? AND state = 'sending' LIMIT 1"
        begun = (
            "SELECT 1 FROM attempts a JOIN deliveries d ON d.id = a.delivery_id WHERE a.id > ? AND d.destination = ?"
        )
        if db.row(sql, (destination,)) or db.row(f"{begun} LIMIT 1", (before["attempt"], destination)):
            return False
    for namespace in ("pause", "run"):
        if before[namespace] is None:
            db.execute(f"DELETE FROM key_values {ENTRY}", (namespace, destination))
            continue
        value = encode(before[namespace])
        sql = f"UPDATE key_values SET value = ?, version = version + 1, updated_at = ? {ENTRY}"
        if not db.execute(sql, (value, now, namespace, destination)):
            sql = "INSERT INTO key_values (namespace, key, value, version, updated_at) VALUES (?, ?, ?, 1, ?)"
            db.execute(sql, (namespace, destination, value, now))
    for delivery_id, due_at in before["due"]:
        sql = "UPDATE deliveries SET due_at = ? WHERE id = ? AND state = 'pending' AND due_at <= ?"
        db.execute(sql, (due_at, delivery_id, action["at"]))
    db.wake()
    return True


def take_back(db: Transaction, action: Row, before: Mapping[str, Any]) -> list[int]:
    """Puts back the rows that nothing has happened to since the deed. -> their ids."""
    events = {event[0]: event for event in before["events"]}
    done = []
    for delivery_id, event_id, *columns in before["rows"]:
        untouched = (
            "WHERE id = ? AND changed_at = ? AND state IN ('pending', 'discarded') AND NOT EXISTS "
            "(SELECT 1 FROM attempts WHERE delivery_id = ? AND at > ?)"
        )
        params = (*columns, delivery_id, action["at"], delivery_id, action["at"])
        if not db.execute(f"{RESTORE} {untouched}", params):
            continue
        done.append(delivery_id)
        if event_id in events:
            _, data, email = events[event_id]
            db.execute("UPDATE events SET data = ?, email = ? WHERE id = ?", (data, email, event_id))
            db.execute("UPDATE deliveries SET email = ? WHERE event_id = ?", (email, event_id))
    people.meet(db, done)
    return done


def ranges(ids: Iterable[int]) -> list[list[int]]:
    """Ids as first and last of each run: most deeds concern rows that came one after the other."""
    found: list[list[int]] = []
    for one in sorted(ids):
        if found and one == found[-1][1] + 1:
            found[-1][1] = one
        else:
            found.append([one, one])
    return found


def within(found: Any, delivery_id: int) -> bool:
    """Whether the ranges of an action hold this delivery."""
    return isinstance(found, list) and any(first <= delivery_id <= last for first, last in found)
