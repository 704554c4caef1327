"""Accepting events: the group commit. One thread of a process commits the rows of all that wait with it."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlite_utils import Database

from outbox.message import NOWHERE, Conflict, Dedupe, NewDelivery, NewEvent, Receipt, State, StoreUnavailable
from outbox.sql.rows import BIGGEST, encode, marks
from outbox.sqlite.connection import PROGRAMMING, Files, unavailable

GROUP = 256
"""How many events one commit takes at most, as long as they are of more than one request."""

VALUES = 250
"""How many rows one INSERT takes at most: SQLite allows 32,766 parameters."""

EVENT = "INSERT INTO events (id, name, data, source, sender, received_at, email, lead_id, dedupe, fingerprint, raw)"
KNOWN = "ON CONFLICT (dedupe) WHERE dedupe IS NOT NULL DO NOTHING"
# OR IGNORE would swallow a NOT NULL or CHECK fault as well, and a row would vanish without an error.
DELIVERY = """INSERT INTO deliveries (event_id, event_name, destination, key, state, reason, cause, due_at, not_before,
    created_at, changed_at, ended_at, received_at, email, lead_id)"""
WAKE = """UPDATE deliveries INDEXED BY deliveries_key SET due_at = ? WHERE destination = ? AND key IN ({})
    AND state IN ('pending', 'sending') AND state = 'pending' AND due_at > ?
    AND (not_before IS NULL OR not_before <= ?)"""


@dataclass
class Ready:
    """An event as rows, made in its request's own thread."""

    id: str
    row: tuple[Any, ...]
    deliveries: list[tuple[Any, ...]]
    dedupe: Dedupe | None
    received_at: float
    keys: set[tuple[str, str]]  # destination and key of those that wake others


@dataclass(eq=False)
class Item:
    """What one request brought: all of it or nothing."""

    events: list[Ready]
    deadline: float
    gate: threading.Lock | None = None  # locked while a follower waits
    leads: bool = False
    taken: bool = False
    done: bool = False
    receipts: list[Receipt] | None = None
    error: Exception | None = None


@dataclass
class Queue:
    pid: int = field(default_factory=os.getpid)
    mutex: threading.Lock = field(default_factory=threading.Lock)
    waiting: list[Item] = field(default_factory=list)
    busy: bool = False


class Intake:
    """Leader and followers: whoever finds nobody at work leads, all others wait at a gate of their own."""

    files: Files
    clock: Callable[[], float]

    def __init__(self) -> None:
        self.queue = Queue()

    def accept(self, events: Sequence[NewEvent], timeout: float = 5.0) -> list[Receipt]:
        now = self.clock()
        item = Item([ready(event, now) for event in events], time.monotonic() + timeout)
        if not item.events:
            return []
        if self.queue.pid != os.getpid():
            self.queue = Queue()  # a fork in the middle of a commit would leave the child a leader that it has not
        queue = self.queue
        with queue.mutex:
            queue.waiting.append(item)
            if queue.busy:
                item.gate = threading.Lock()
                item.gate.acquire()
            else:
                queue.busy = item.leads = True
        if not item.leads:
            self._follow(queue, item)
        if not item.done:
            self._lead(queue, item)
        if item.error is not None:
            raise item.error
        assert item.receipts is not None
        return item.receipts

    def _follow(self, queue: Queue, item: Item) -> None:
        assert item.gate is not None
        if item.gate.acquire(timeout=max(0.0, item.deadline - time.monotonic())):
            return
        with queue.mutex:
            if not item.taken and not item.leads:
                queue.waiting.remove(item)
                item.error, item.done = late(), True
                return
        if item.taken:
            item.gate.acquire()  # its group is being committed: only the end of that tells what became of it

    def _lead(self, queue: Queue, item: Item) -> None:
        group: list[Item] = []
        try:
            # The lock comes before the queue is emptied, so that waiting for another process makes the group bigger.
            left = max(0.0, item.deadline - time.monotonic())
            with self.files.lock.held(left):
                with queue.mutex:
                    group = take(queue, time.monotonic())
                if group:
                    self._commit(group)
        except BaseException as error:
            with queue.mutex:
                if not item.taken:
                    queue.waiting.remove(item)
                    group.append(item)
            fault = error if isinstance(error, StoreUnavailable) else StoreUnavailable(f"the commit failed: {error!r}")
            for one in group:
                one.receipts, one.error = None, fault
            if not isinstance(error, Exception):
                raise
        finally:
            following = self._finish(queue, group)
            # The next leader first: it begins while the followers of this group are still being woken.
            for one in ([following] if following else []) + [other for other in group if other is not item]:
                if one.gate is not None:
                    one.gate.release()
        self.files.ring()

    def _finish(self, queue: Queue, group: list[Item]) -> Item | None:
        with queue.mutex:
            for one in group:
                one.done = True
            if not queue.waiting:
                queue.busy = False
                return None
            queue.waiting[0].leads = True
            return queue.waiting[0]

    def _commit(self, group: list[Item]) -> None:
        db = self.files.db(max(0.0, min(item.deadline for item in group) - time.monotonic()))
        now = self.clock()
        with unavailable(self.files.path):
            if not self._together(db, group, now):
                self._one_by_one(db, group, now)

    def _together(self, db: Database, group: list[Item], now: float) -> bool:
        """The fast path: all are new. False: something else is among them, and nothing was stored."""
        events = [event for item in group for event in item.events]
        db.execute("BEGIN IMMEDIATE")
        try:
            if insert(db, EVENT, [event.row for event in events], KNOWN) != len(events):
                db.rollback()
                return False
            add_deliveries(db, events, now)
            db.execute("COMMIT")
        except sqlite3.OperationalError:
            db.rollback()
            raise
        except sqlite3.Error:
            db.rollback()
            return False
        except BaseException:
            db.rollback()
            raise
        for item in group:
            item.receipts = [Receipt(event.id, False) for event in item.events]
        return True

    def _one_by_one(self, db: Database, group: list[Item], now: float) -> None:
        """Each request in a savepoint of its own, so that each has its own answer."""
        answers: list[list[Receipt] | Exception] = []
        db.execute("BEGIN IMMEDIATE")
        try:
            for item in group:
                db.execute("SAVEPOINT request")
                try:
                    answers.append(add(db, item.events, now))
                except (Conflict, *PROGRAMMING, OverflowError) as error:
                    db.execute("ROLLBACK TO request")
                    answers.append(error)
                db.execute("RELEASE request")
            db.execute("COMMIT")
        except BaseException:
            db.rollback()
            raise
        for item, answer in zip(group, answers, strict=True):
            if isinstance(answer, Exception):
                item.error = answer
            else:
                item.receipts = answer


def late() -> StoreUnavailable:
    return StoreUnavailable("the write had no turn in time; nothing was stored")


def take(queue: Queue, now: float) -> list[Item]:
    """The next group out of the queue. Those whose time is over stay out of it: they are told so by themselves."""
    group: list[Item] = []
    size = 0
    for item in queue.waiting:
        if group and size + len(item.events) > GROUP:
            break
        if item.deadline >= now or item.leads:
            group.append(item)
            size += len(item.events)
    for item in group:
        item.taken = True
        queue.waiting.remove(item)
    return group


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
    for value in (*row, *(value for one in deliveries for value in one)):
        if isinstance(value, str):
            value.encode()
        elif isinstance(value, int) and abs(value) > BIGGEST:
            raise ValueError(f"{value} is beyond 64 bits")
    waits = event.not_before is not None and event.not_before > now
    keys = {(one.destination, one.key) for one in event.deliveries if one.key and one.state == State.PENDING}
    return Ready(event.id, row, deliveries, dedupe, event.received_at, set() if waits else keys)


def delivery_row(event: NewEvent, delivery: NewDelivery, now: float) -> tuple[Any, ...]:
    ended = delivery.state != State.PENDING
    cause = delivery.cause
    if delivery.state == State.DEAD and not cause:
        cause = delivery.reason.partition(":")[0]
    return (
        event.id,
        event.name,
        delivery.destination,
        delivery.key,
        delivery.state.value,
        delivery.reason,
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


def insert(db: Database, into: str, rows: Sequence[tuple[Any, ...]], end: str = "") -> int:
    """One INSERT with many VALUES. -> how many rows were inserted."""
    count = 0
    for start in range(0, len(rows), VALUES):
        part = rows[start : start + VALUES]
        one = f"({marks(list(part[0]))})"
        flat = [value for row in part for value in row]
        count += db.execute(f"{into} VALUES {','.join([one] * len(part))} {end}", flat).rowcount
    return count


def add_deliveries(db: Database, events: Sequence[Ready], now: float) -> None:
    insert(db, DELIVERY, [row for event in events for row in event.deliveries])
    keys: dict[str, set[str]] = {}
    for event in events:
        for destination, key in event.keys:
            keys.setdefault(destination, set()).add(key)
    for destination, those in keys.items():
        every = sorted(those)
        for start in range(0, len(every), VALUES):
            part = every[start : start + VALUES]
            db.execute(WAKE.format(marks(part)), (now, destination, *part, now, now))


def add(db: Database, events: Sequence[Ready], now: float) -> list[Receipt]:
    """Store the events of one request, each as its dedupe says. Raises Conflict, naming all that are in conflict."""
    receipts: list[Receipt] = []
    conflicts: list[int] = []
    for index, event in enumerate(events):
        first = find(db, event.dedupe, event.received_at)
        if first is None:
            insert(db, EVENT, [event.row])
            add_deliveries(db, [event], now)
            receipts.append(Receipt(event.id, False))
        elif first[1]:
            conflicts.append(index)
        else:
            receipts.append(Receipt(first[0], True))
    if conflicts:
        raise Conflict(tuple(conflicts))
    return receipts


def find(db: Database, dedupe: Dedupe | None, at: float) -> tuple[str, bool] | None:
    """The event that this key stands for: its id, and whether its data differ. A key that has lapsed is freed."""
    if dedupe is None:
        return None
    row = db.execute("SELECT id, fingerprint, received_at FROM events WHERE dedupe = ?", (dedupe.key,)).fetchone()
    if row is None:
        return None
    if dedupe.window is None:
        differs = dedupe.fingerprint is not None and row["fingerprint"] not in (None, dedupe.fingerprint)
        return row["id"], differs
    sql = "SELECT 1 FROM deliveries WHERE event_id = ? AND state IN ('pending', 'sending', 'delivered')"
    if at - row["received_at"] < dedupe.window and db.execute(sql, (row["id"],)).fetchone():
        return row["id"], False
    db.execute("UPDATE events SET dedupe = NULL WHERE id = ?", (row["id"],))
    return None
