"""What an operator does: send again, discard, correct; each in one transaction with its line in the action log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from outbox.failpoints import failpoint
from outbox.message import DISCARDABLE, NOWHERE, RESENDABLE, Json, Known, NewEvent, Reason, State
from outbox.queries import Action, Changed, Filter
from outbox.sql import filters, people, undo
from outbox.sql.database import Database, Transaction
from outbox.sql.intake import add, ready, reopen
from outbox.sql.rows import chunks, encode, marks

SEND = f"""UPDATE deliveries SET state = 'pending', failures = 0, reason = '', cause = '', ended_at = NULL,
    due_at = CASE WHEN not_before > ? THEN not_before ELSE ? END, changed_at = ? WHERE destination <> '{NOWHERE}' AND"""
DISCARD = "UPDATE deliveries SET state = 'discarded', changed_at = ?, ended_at = ? WHERE"
REPLACE = "UPDATE deliveries SET state = 'skipped', cause = '', changed_at = ?, ended_at = ? WHERE"
FORGET_TIME = "UPDATE deliveries SET not_before = NULL WHERE"


class Operations:
    """See outbox.store.Operations."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def retry(self, where: Filter, who: str, expected: int | None = None, *, at_once: bool = False) -> int:
        return self._all("retry", where, RESENDABLE, (FORGET_TIME, SEND) if at_once else (SEND,), who, expected)

    def discard(self, where: Filter, who: str, expected: int | None = None) -> int:
        return self._all("discard", where, DISCARDABLE, (DISCARD,), who, expected)

    def _all(
        self, what: str, where: Filter, states: Sequence[State], steps: Sequence[str], who: str, expected: int | None
    ) -> int:
        allowed = tuple(state for state in states if not where.states or state in where.states)
        with self.database.write() as db:
            now = self.database.now()
            ids = filters.matching(db, replace(where, states=allowed)) if allowed else []
            if expected is not None and expected != len(ids):
                raise Changed(expected, len(ids))
            before = undo.snapshot(db, ids)
            count = 0
            db.wake()
            for sql in steps:
                count = sum(change(db, sql, part, states, now) for part in chunks(ids))
            failpoint("bulk-before-commit")
            if count or not where.ids:
                action = write_action(db, now, who, what, count, concerned(shown(where), ids))
                undo.keep(db, now, action, before if count else None)
        return count

    def reopen(self, lead_id: int) -> int:
        with self.database.write() as db:
            db.wake()
            return reopen(db, [lead_id], self.database.now())

    def replace_nowhere(self, delivery_id: int, events: Sequence[NewEvent], who: str) -> list[str]:
        with self.database.write() as db:
            now = self.database.now()
            rows = [ready(event, now) for event in events]
            for key in sorted({row.dedupe.key for row in rows if row.dedupe}):
                db.lock(f"dedupe:{key}")
            db.wake()
            sql = f"{REPLACE} id = ? AND destination = ? AND state IN ({marks(list(RESENDABLE))})"
            if not db.execute(sql, (now, now, delivery_id, NOWHERE, *RESENDABLE)):
                return []
            ids = [receipt.id for receipt in add(db, rows, now)]
            reason = Reason.of(
                "superseded", f"routed anew as {'event' if len(ids) == 1 else 'events'} {', '.join(ids[:5])}"
            )
            db.execute("UPDATE deliveries SET reason = ? WHERE id = ?", (str(reason), delivery_id))
            write_action(db, now, who, "retry", 1, {"delivery": delivery_id, "events": ids[:20]})
        return ids

    def correct_all(
        self, delivery_ids: Sequence[int], data: Mapping[str, Json], email: str, key: str | None, who: str
    ) -> int:
        """What was learnt about the person before the correction is forgotten, as with `correct`."""
        with self.database.write() as db:
            now = self.database.now()
            ids = [row["id"] for part in chunks(list(delivery_ids)) for row in db.rows(
                f"SELECT id FROM deliveries WHERE id IN ({marks(part)}) AND state IN ({marks(list(RESENDABLE))})",
                (*part, *RESENDABLE),
            )]  # fmt: skip
            if not ids:
                return 0
            before = undo.snapshot(db, ids, with_data=True)
            old = ""
            for part in chunks(ids):
                rows = db.rows(
                    "SELECT DISTINCT e.id, e.data, e.email FROM events e JOIN deliveries d ON d.event_id = e.id "
                    f"WHERE d.id IN ({marks(part)})",
                    part,
                )
                for row in rows:
                    old = old or row["email"] or ""
                    text = encode({**json.loads(row["data"]), **data})
                    db.execute("UPDATE events SET data = ?, email = ? WHERE id = ?", (text, email, row["id"]))
                    db.execute("UPDATE deliveries SET email = ? WHERE event_id = ?", (email, row["id"]))
                sql = "UPDATE deliveries SET person = NULL, lead_id = NULL, facts = '{}', key = "
                sql += f"CASE WHEN key IS NULL THEN NULL ELSE CAST(? AS TEXT) END WHERE id IN ({marks(part)})"
                db.execute(sql, (key, *part))
                change(db, SEND, part, RESENDABLE, now)
            people.meet(db, ids)
            people.drop(db, [old], [])
            db.wake()
            detail = {"before": old, "after": email}
            one = {"delivery": ids[0]} if len(ids) == 1 else {}
            action = write_action(db, now, who, "correct", len(ids), concerned({**one, **detail}, ids))
            undo.keep(db, now, action, before)
        return len(ids)

    def undoable(self, who: str, within: float) -> Action | None:
        """See outbox.store.Operations."""
        with self.database.read() as db:
            sql = "SELECT * FROM actions WHERE at >= ? ORDER BY id DESC LIMIT 20"
            for row in db.rows(sql, (self.database.now() - within,)):
                if row["who"] == who and undo.can(db, row["id"]):
                    return Action(row["id"], row["at"], who, row["what"], row["count"], json.loads(row["detail"]))
        return None

    def undo(self, action_id: int, who: str, within: float) -> int:
        """See outbox.store.Operations."""
        with self.database.write() as db:
            now = self.database.now()
            row = db.row("SELECT * FROM actions WHERE id = ?", (action_id,))
            if row is None or row["who"] != who or now - row["at"] > within:
                return 0
            before = undo.kept(db, action_id)
            if before is None:
                return 0
            if "pause" in before:
                done = undo.take_back_pause(db, row, before, now)
                if done:
                    detail = {"what": row["what"], "destination": before["destination"]}
                    write_action(db, now, who, "undo", 1, detail)
                return int(done)
            ids = undo.take_back(db, row, before)
            if ids:
                write_action(db, now, who, "undo", len(ids), concerned({"what": row["what"]}, ids))
        return len(ids)

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
                f"WHERE id = ? AND state IN ({marks(list(RESENDABLE))})"
            )
            kept = undo.snapshot(db, [delivery_id], with_data=True)
            if row is None or not db.execute(sql, (key, delivery_id, *RESENDABLE)):
                return False
            db.execute("UPDATE events SET data = ?, email = ? WHERE id = ?", (text, email, row["event_id"]))
            db.execute("UPDATE deliveries SET email = ? WHERE event_id = ?", (email, row["event_id"]))
            people.meet(db, [delivery_id])
            people.drop(db, [row["email"]], [])
            db.wake()
            change(db, SEND, [delivery_id], RESENDABLE, now)
            before = {"data": json.loads(row["data"]), "email": row["email"], "key": row["key"]}
            action = write_action(db, now, who, "correct", 1, {"delivery": delivery_id, "before": before})
            undo.keep(db, now, action, kept)
        return True

    def learn(self, known: Sequence[Known]) -> None:
        """Nothing is written where all is known already, as it mostly is."""
        with self.database.read() as db:
            if not people.is_new(db, known):
                return
        with self.database.write() as db:
            people.learn(db, known)

    def log_action(
        self,
        who: str,
        what: str,
        count: int = 1,
        detail: Mapping[str, Json] | None = None,
        before: Mapping[str, Json] | None = None,
    ) -> None:
        with self.database.write() as db:
            now = self.database.now()
            action = write_action(db, now, who, what, count, detail or {})
            undo.keep(db, now, action, {**before, "attempt": undo.last_attempt(db)} if before else None)


def change(db: Transaction, sql: str, ids: list[int], states: Sequence[State], now: float) -> int:
    """The states are asked again: where another transaction may write at the same time, a worker may be quicker."""
    times = [now] * sql.count("?")
    return db.execute(f"{sql} id IN ({marks(ids)}) AND state IN ({marks(list(states))})", (*times, *ids, *states))


def write_action(db: Transaction, now: float, who: str, what: str, count: int, detail: Mapping[str, Json]) -> int:
    """-> its id."""
    sql = "INSERT INTO actions (at, who, what, count, detail) VALUES (?, ?, ?, ?, ?) RETURNING id"
    return int(db.value(sql, (now, who, what, count, encode(detail))))


def concerned(detail: Mapping[str, Any], ids: Sequence[int]) -> dict[str, Any]:
    """The detail with the deliveries that a deed was done to, for their own timelines."""
    return dict(detail) if "delivery" in detail else {**detail, "ids": undo.ranges(ids)}


def shown(where: Filter) -> dict[str, Any]:
    """For the action log: the one delivery, or the filter's fields that narrow."""
    if len(where.ids) == 1 and where == Filter(ids=where.ids):
        return {"delivery": where.ids[0]}
    found = {name: value for name, value in vars(where).items() if name != "people" and value not in ("", None, ())}
    states = {"states": [state.value for state in where.states]} if where.states else {}
    return {"filter": {**found, **states}}
