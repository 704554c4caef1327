"""What one request reads of the key-value store: each entry once, and what such a request read before in one statement.

A page asks dozens of small questions through objects that know nothing of each other. Within a snapshot they share
what was read. It is good for a second, and ends with the first write of this process: whoever changes something, takes
a lease for it, or has let another thread do it, sees what is stored.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from outbox.shared import Entry

LASTS = 1.0
"""Seconds after which everything is read anew."""

MOST = 200
"""Questions of one request that are remembered for the next one of its kind."""

Question = tuple[str, str | None]
"""A namespace and a key, or all of the namespace."""

Answers = dict[str, dict[str, Entry]]


class Snapshot:
    """ask: all questions -> the entries, by namespace and key. writes: how many there had been before it."""

    def __init__(
        self, expected: Sequence[Question], ask: Callable[[Sequence[Question]], Answers], writes: int = 0
    ) -> None:
        self._expected, self._ask, self._writes = expected, ask, writes
        self._end = time.monotonic() + LASTS
        self._known: set[Question] = set()
        self._found: Answers = {}
        self.asked: dict[Question, None] = {}

    def holds(self, writes: int = 0) -> bool:
        return writes == self._writes and time.monotonic() < self._end

    def read(self, namespace: str, keys: Sequence[str]) -> dict[str, Entry]:
        self._need([(namespace, key) for key in keys])
        found = self._found.get(namespace, {})
        return {key: found[key] for key in keys if key in found}

    def read_all(self, namespace: str) -> dict[str, Entry]:
        self._need([(namespace, None)])
        return dict(sorted(self._found.get(namespace, {}).items()))

    def _need(self, questions: Sequence[Question]) -> None:
        self.asked |= dict.fromkeys(questions)
        lacking = [one for one in questions if one not in self._known and (one[0], None) not in self._known]
        if not lacking:
            return
        lacking = list(dict.fromkeys([*lacking, *self._expected]))
        self._expected = ()
        for namespace, entries in self._ask(lacking).items():
            # What was read first stays, so that all of it is of one moment as far as it can be.
            self._found[namespace] = {**entries, **self._found.get(namespace, {})}
        self._known.update(lacking)


class Snapshots:
    """The snapshot of each thread, and what requests of a kind asked for the last time."""

    def __init__(self, ask: Callable[[Sequence[Question]], Answers]) -> None:
        self._ask = ask
        self._asked: dict[str, tuple[Question, ...]] = {}
        self._local = threading.local()
        self._writes = 0

    @contextmanager
    def of(self, kind: str) -> Iterator[None]:
        snapshot = Snapshot(self._asked.get(kind, ()), self._ask, self._writes)
        self._local.now = snapshot
        try:
            yield
        finally:
            self._local.now = None
            if len(snapshot.asked) <= MOST:
                self._asked[kind] = tuple(snapshot.asked)

    def now(self) -> Snapshot | None:
        """That of this thread, while there is one that holds."""
        snapshot: Snapshot | None = getattr(self._local, "now", None)
        return snapshot if snapshot is not None and snapshot.holds(self._writes) else None

    def end(self) -> None:
        """All of them: something is about to be written."""
        self._writes += 1
