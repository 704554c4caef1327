"""What an operator does: send again, discard, correct; each in one transaction with its line in the action log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from outbox.message import NOWHERE, Json, State
from outbox.queries import Changed, Filter
from outbox.sql import filters
from outbox.sql.database import Database, Transaction
from outbox.sql.rows import chunks, encode, marks

AGAIN = (State.DEAD, State.SKIPPED, State.DISCARDED, State.PENDING)
"""What can be sent again (or sooner)."""

UNSENT = (State.DEAD, State.SKIPPED, State.PENDING)
"""What can be discarded."""

SEND = f"""UPDATE deliveries SET state = 'pending', failures = 0, reason = '', cause = '', ended_at = NULL,
    due_at = CASE WHEN not_before > ? THEN not_before ELSE ? END, changed_at = ? WHERE destination <> '{NOWHERE}'"""
DISCARD = "UPDATE deliveries SET state = 'discarded', changed_at = ?, ended_at = ? WHERE id > 0"


class Operations:
    """See outbox.store.Operations."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def retry(self, where: Filter, who: str, expected: int | None = None) -> int:
        return self._all("retry", where, AGAIN, SEND, who, expected)

    def discard(self, where: Filter, who: str, expected: int | None = None) -> int:
        return self._all("discard", where, UNSENT, DISCARD, who, expected)

    def _all(self, what: str, where: Filter, states: Sequence[State], sql: str, who: str, expected: int | None) -> int:
        allowed = tuple(state for state in states if not where.states or state in where.states)
        with self.database.write() as db:
            now = self.database.now()
            ids = filters.matching(db, replace(where, states=allowed)) if allowed else []
            if expected is not None and expected != len(ids):
                raise Changed(expected, len(ids))
            count = sum(change(db, sql, part, states, now) for part in chunks(ids))
            write_action(db, now, who, what, count, {"filter": shown(where)})
        return count

    def retry_one(self, delivery_id: int, who: str) -> bool:
        """An operator's "send now" also goes before the time that the event itself asked for."""
        with self.database.write() as db:
            now = self.database.now()
            sql = f"UPDATE deliveries SET not_before = NULL WHERE id = ? AND state IN ({marks(list(AGAIN))})"
            db.execute(sql, (delivery_id, *AGAIN))
            done = bool(change(db, SEND, [delivery_id], AGAIN, now))
            if done:
                write_action(db, now, who, "retry", 1, {"delivery": delivery_id})
        return done

    def discard_one(self, delivery_id: int, who: str) -> bool:
        with self.database.write() as db:
            now = self.database.now()
            done = bool(change(db, DISCARD, [delivery_id], UNSENT, now))
            if done:
                write_action(db, now, who, "discard", 1, {"delivery": delivery_id})
        return done

    def correct(self, delivery_id: int, data: Mapping[str, Json], email: str | None, key: str | None, who: str) -> bool:
        """What was learnt about the person before the correction is forgotten: it may be somebody else's."""
        text = encode(data)
        with self.database.write() as db:
            now = self.database.now()
            row = db.row(
                "SELECT d.event_id, d.key, d.email, e.data FROM deliveries d "
                "JOIN events e ON e.id = d.event_id WHERE d.id = ?",
                (delivery_id,),
            )
            sql = (
                "UPDATE deliveries SET key = ?, person = NULL, lead_id = NULL, facts = '{}' "
                f"WHERE id = ? AND state IN ({marks(list(AGAIN))})"
            )
            if row is None or not db.execute(sql, (key, delivery_id, *AGAIN)):
                return False
            db.execute("UPDATE events SET data = ?, email = ? WHERE id = ?", (text, email, row["event_id"]))
            db.execute("UPDATE deliveries SET email = ? WHERE event_id = ?", (email, row["event_id"]))
            change(db, SEND, [delivery_id], AGAIN, now)
            before = {"data": json.loads(row["data"]), "email": row["email"], "key": row["key"]}
            write_action(db, now, who, "correct", 1, {"delivery": delivery_id, "before": before})
        return True

    def log_action(self, who: str, what: str, count: int = 1, detail: Mapping[str, Json] | None = None) -> None:
        with self.database.write() as db:
            write_action(db, self.database.now(), who, what, count, detail or {})


def change(db: Transaction, sql: str, ids: list[int], states: Sequence[State], now: float) -> int:
    """The states are asked again: where another transaction may write at the same time, a worker may be quicker."""
    times = [now] * sql.count("?")
    return db.execute(f"{sql} AND id IN ({marks(ids)}) AND state IN ({marks(list(states))})", (*times, *ids, *states))


def write_action(db: Transaction, now: float, who: str, what: str, count: int, detail: Mapping[str, Json]) -> None:
    sql = "INSERT INTO actions (at, who, what, count, detail) VALUES (?, ?, ?, ?, ?)"
    db.execute(sql, (now, who, what, count, encode(detail)))


def shown(where: Filter) -> dict[str, Any]:
    """The filter's fields that narrow."""
    found = {name: value for name, value in vars(where).items() if value not in ("", None, ())}
    return {**found, **({"states": [state.value for state in where.states]} if where.states else {})}
