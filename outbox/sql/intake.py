"""Events as rows: checked and encoded, written many at a time, recognised when they come again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from outbox.clock import was_before
from outbox.message import (
    BIGGEST,
    GONE,
    NOWHERE,
    Conflict,
    Dedupe,
    Known,
    NewDelivery,
    NewEvent,
    Reason,
    Receipt,
    State,
    StoreUnavailable,
)
from outbox.sql import people
from outbox.sql.database import Database, Transaction
from outbox.sql.rows import encode, marks

VALUES = 250
"""How many rows one INSERT takes at most: an engine allows 32,766 parameters and more."""

EVENT = "INSERT INTO events (id, name, data, source, sender, received_at, email, lead_id, dedupe, fingerprint, raw)"
DEDUPE = 8
"""Where the key stands in a row of events."""

KNOWN = "ON CONFLICT (dedupe) WHERE dedupe IS NOT NULL DO NOTHING"
# OR IGNORE would swallow a NOT NULL or CHECK fault as well, and a row would vanish without an error.
DELIVERY = """INSERT INTO deliveries (event_id, event_name, destination, key, state, reason, cause, due_at, not_before,
    created_at, changed_at, ended_at, received_at, email, lead_id)"""
REOPEN = """UPDATE deliveries SET state = 'pending', failures = 0, reason = '', cause = '', ended_at = NULL, due_at = ?,
    changed_at = ? WHERE lead_id IN ({leads}) AND state = 'skipped' AND reason LIKE ?"""


@dataclass
class Ready:
    """An event as rows, made in its request's own thread."""

    id: str
    row: tuple[Any, ...]
    deliveries: list[tuple[Any, ...]]
    dedupe: Dedupe | None
    received_at: float
    may_go_at: float
    keys: set[tuple[str, str]]  # destination and key of those that wake others
    lead_id: int | None
    known: tuple[Known, ...]


class Intake:
    """Each request in a transaction of its own. See outbox.store.Intake."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def accept(self, events: Sequence[NewEvent], timeout: float = 5.0) -> list[Receipt]:
        now = self.database.now()
        rows = [ready(event, now) for event in events]
        if not rows:
            return []
        with self.database.write(timeout) as db:
            return add(db, rows, now)

    def accept_each(
        self, requests: Sequence[Sequence[NewEvent]], timeout: float = 5.0
    ) -> list[list[Receipt] | Exception]:
        return [self._answer(events, timeout) for events in requests]

    def _answer(self, events: Sequence[NewEvent], timeout: float) -> list[Receipt] | Exception:
        try:
            return self.accept(events, timeout)
        except (Conflict, StoreUnavailable, ValueError) as error:
            return error


def ready(event: NewEvent, now: float) -> Ready:
    """Raises ValueError for what cannot be stored: no JSON, no text, a number beyond 64 bits, no delivery."""
    if not event.deliveries:
        raise ValueError(f"event {event.id} has no delivery, not even one to {NOWHERE!r}")
    dedupe = event.dedupe
    row = (
        event.id,
        event.name,
        encode(event.data),
        event.source,
        event.sender,
        event.received_at,
        event.email,
        event.lead_id,
        dedupe and dedupe.key,
        dedupe and dedupe.fingerprint,
        event.raw,
    )
    deliveries = [delivery_row(event, delivery, now) for delivery in event.deliveries]
    for columns in (row, *deliveries):
        for value in columns:
            if isinstance(value, str):
                if not value.isascii():
                    value.encode()
            elif isinstance(value, int) and abs(value) > BIGGEST:
                raise ValueError(f"{value} is beyond 64 bits")
    waits = event.not_before is not None and event.not_before > now
    keys = {(one.destination, str(one.key)) for one in event.deliveries if one.key and one.state == State.PENDING}
    may_go_at = max(event.received_at, event.not_before or 0.0)
    return Ready(
        event.id,
        row,
        deliveries,
        dedupe,
        event.received_at,
        may_go_at,
        set() if waits else keys,
        event.lead_id,
        event.known,
    )


def delivery_row(event: NewEvent, delivery: NewDelivery, now: float) -> tuple[Any, ...]:
    ended = delivery.state != State.PENDING
    cause = delivery.cause
    if delivery.state == State.DEAD and not cause:
        cause = Reason(delivery.reason).code
    return (
        event.id,
        event.name,
        delivery.destination,
        delivery.key,
        delivery.state.value,
        str(delivery.reason),
        cause,
        max(now, event.not_before or now),
        event.not_before,
        now,
        now,
        now if ended else None,
        event.received_at,
        event.email,
        event.lead_id,
    )


def insert(db: Transaction, into: str, rows: Sequence[tuple[Any, ...]], end: str = "") -> int:
    """One INSERT with many VALUES. -> how many rows were inserted."""
    count = 0
    for start in range(0, len(rows), VALUES):
        part = rows[start : start + VALUES]
        values = ",".join([f"({marks(list(part[0]))})"] * len(part))
        count += db.execute(f"{into} VALUES {values} {end}", [value for row in part for value in row])
    return count


def add_deliveries(db: Transaction, events: Sequence[Ready], now: float) -> None:
    reopen(db, sorted({event.lead_id for event in events if event.lead_id is not None}), now)
    insert(db, DELIVERY, [row for event in events for row in event.deliveries])
    if known := [one for event in events for one in event.known]:
        people.learn(db, known)
    db.wake()
    keys: dict[str, set[str]] = {}
    for event in events:
        for destination, key in event.keys:
            keys.setdefault(destination, set()).add(key)
    for destination, those in keys.items():
        every = sorted(those)
        for start in range(0, len(every), VALUES):
            db.make_due(destination, every[start : start + VALUES], now)


def reopen(db: Transaction, leads: Sequence[int], now: float) -> int:
    """Somebody tells of these deals: what was skipped since one of them counted as gone waits again. -> how many."""
    count = 0
    for start in range(0, len(leads), VALUES):
        about = list(leads[start : start + VALUES])
        count += db.execute(REOPEN.format(leads=marks(about)), (now, now, *about, f"{GONE}%"))
    return count


def add(db: Transaction, events: Sequence[Ready], now: float) -> list[Receipt]:
    """Store the events of one request, each as its dedupe says. Raises Conflict, naming all that are in conflict."""
    receipts: list[Receipt] = []
    conflicts: list[int] = []
    for index, event in enumerate(events):
        first = find(db, event.dedupe, event.received_at, event.may_go_at)
        while first is None and not insert(db, EVENT, [event.row], KNOWN):
            # Another transaction was quicker, and is over now.
            first = find(db, event.dedupe, event.received_at, event.may_go_at)
        if first is None:
            add_deliveries(db, [event], now)
            receipts.append(Receipt(event.id, False))
        elif first[1]:
            conflicts.append(index)
        else:
            receipts.append(Receipt(first[0], True))
    if conflicts:
        raise Conflict(tuple(conflicts))
    return receipts


def find(db: Transaction, dedupe: Dedupe | None, at: float, may_go_at: float) -> tuple[str, bool] | None:
    """The event that this key stands for: its id, and whether its data differ. A key that has lapsed is freed."""
    if dedupe is None:
        return None
    row = db.row("SELECT id, fingerprint, received_at FROM events WHERE dedupe = ?", (dedupe.key,))
    if row is None:
        return None
    if dedupe.window is None:
        differs = dedupe.fingerprint is not None and row["fingerprint"] not in (None, dedupe.fingerprint)
        return row["id"], differs
    # One that may only go later does not stand for one that may go sooner.
    sql = """SELECT 1 FROM deliveries WHERE event_id = ? AND state IN ('pending', 'sending', 'delivered')
        AND (state != 'pending' OR not_before IS NULL OR not_before <= ?)"""
    if was_before(row["received_at"], at, dedupe.window) and db.row(sql, (row["id"], may_go_at)):
        return row["id"], False
    db.execute("UPDATE events SET dedupe = NULL WHERE id = ?", (row["id"],))
    return None
