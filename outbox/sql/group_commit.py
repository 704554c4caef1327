"""Accepting events: the group commit. One thread of a process commits the rows of all that wait with it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from outbox.failpoints import failpoint
from outbox.message import Conflict, NewEvent, Receipt, StoreUnavailable
from outbox.sql.database import Contended, Transaction
from outbox.sql.intake import DEDUPE, EVENT, KNOWN, Ready, add, add_deliveries, insert, ready

GROUP = 1000
"""How many events one commit takes at most, as long as they are of more than one request."""

ATTEMPTS = 3
"""How often a group is tried that was in the way of another process's."""


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


class GroupDatabase(Protocol):
    """What the group commit needs of an engine."""

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """What an engine raises when a row breaks a rule of the tables: it concerns one request, not the group."""

    def now(self) -> float: ...

    def turn(self, timeout: float) -> AbstractContextManager[None]:
        """The right to write, where one writes at a time. Raises StoreUnavailable when it did not come in time."""

    def transaction(self, timeout: float) -> AbstractContextManager[Transaction]:
        """As outbox.sql.database.Database.write, for one whose turn it is."""

    def ring(self) -> None:
        """Wake those who wait in this process."""


class GroupCommit:
    """Leader and followers: whoever finds nobody at work leads, all others wait at a gate of their own.

    See outbox.store.Intake.
    """

    def __init__(self, database: GroupDatabase) -> None:
        self.database = database
        self.queue = Queue()

    def accept(self, events: Sequence[NewEvent], timeout: float = 5.0) -> list[Receipt]:
        now = self.database.now()
        item = Item([ready(event, now) for event in events], time.monotonic() + timeout)
        if item.events:
            self._through([item])
        return outcome(item)

    def accept_each(
        self, requests: Sequence[Sequence[NewEvent]], timeout: float = 5.0
    ) -> list[list[Receipt] | Exception]:
        now, deadline = self.database.now(), time.monotonic() + timeout
        items = [Item([], deadline) for _ in requests]
        for item, events in zip(items, requests, strict=True):
            try:
                item.events = [ready(event, now) for event in events]
            except ValueError as error:
                item.error = error
        self._through([item for item in items if item.events])
        return [item.error or outcome(item) for item in items]

    def _through(self, items: Sequence[Item]) -> None:
        """All of them are done when this returns, whoever led."""
        if self.queue.pid != os.getpid():
            self.queue = Queue()  # a fork in the middle of a commit would leave the child a leader that it has not
        queue = self.queue
        with queue.mutex:
            for item in items:
                queue.waiting.append(item)
                if queue.busy:
                    item.gate = threading.Lock()
                    item.gate.acquire()
                else:
                    queue.busy = item.leads = True
        for item in items:
            if item.gate is not None:
                self._follow(queue, item)
            if not item.done:
                self._lead(queue, item)

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
            with self.database.turn(left):
                with queue.mutex:
                    group = take(queue, time.monotonic())
                if group:
                    failpoint("intake-before-insert")
                    self._commit(group)
                    failpoint("intake-after-commit")
        except BaseException as error:
            with queue.mutex:
                if not item.taken:
                    queue.waiting.remove(item)
                    group.append(item)
            fault = error if isinstance(error, StoreUnavailable) else StoreUnavailable(f"the commit failed: {error!r}")
            for failed in group:
                failed.receipts, failed.error = None, fault
            if not isinstance(error, Exception):
                raise
        finally:
            following = self._finish(queue, group)
            # The next leader first: it begins while the followers of this group are still being woken.
            for waiting in ([following] if following else []) + [other for other in group if other is not item]:
                if waiting.gate is not None:
                    waiting.gate.release()
        self.database.ring()

    def _finish(self, queue: Queue, group: list[Item]) -> Item | None:
        with queue.mutex:
            for item in group:
                item.done = True
            if not queue.waiting:
                queue.busy = False
                return None
            queue.waiting[0].leads = True
            return queue.waiting[0]

    def _commit(self, group: list[Item]) -> None:
        for attempt in range(ATTEMPTS):
            left = max(0.0, min(item.deadline for item in group) - time.monotonic())
            now = self.database.now()
            try:
                if not self._together(group, now, left):
                    self._one_by_one(group, now, left)
                return
            except Contended:
                if attempt == ATTEMPTS - 1:
                    raise

    def _together(self, group: list[Item], now: float, timeout: float) -> bool:
        """The fast path: all are new. False: something else is among them, and nothing was stored."""
        events = [event for item in group for event in item.events]
        not_together: tuple[type[Exception], ...] = (_Known, *self.database.refusals)
        # In the order of their dedupe keys: two processes that store the same ones must not wait for each other.
        rows = sorted((event.row for event in events), key=lambda row: row[DEDUPE] or "")
        try:
            with self.database.transaction(timeout) as db:
                if insert(db, EVENT, rows, KNOWN) != len(events):
                    raise _Known
                add_deliveries(db, events, now)
                failpoint("intake-before-commit")
        except not_together:
            return False
        for item in group:
            item.receipts = [Receipt(event.id, False) for event in item.events]
        return True

    def _one_by_one(self, group: list[Item], now: float, timeout: float) -> None:
        """Each request in a savepoint of its own, so that each has its own answer."""
        answers: list[list[Receipt] | Exception] = []
        of_one: tuple[type[Exception], ...] = (Conflict, *self.database.refusals)
        with self.database.transaction(timeout) as db:
            for item in group:
                db.execute("SAVEPOINT request")
                try:
                    answers.append(add(db, item.events, now))
                except of_one as error:
                    db.execute("ROLLBACK TO request")
                    answers.append(error)
                db.execute("RELEASE request")
        for item, answer in zip(group, answers, strict=True):
            if isinstance(answer, Exception):
                item.error = answer
            else:
                item.receipts = answer


def outcome(item: Item) -> list[Receipt]:
    """The receipts of one that is done. Raises what became of it instead."""
    if item.error is not None:
        raise item.error
    return item.receipts or []


class _Known(Exception):
    """Not all events of a group are new."""


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
