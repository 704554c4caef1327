"""What was refused at the door, by way, status and key: how often, since when, and the newest reasons."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from outbox.message import Json
from outbox.shared import KeyValues
from service.logs import mask_emails

NAMESPACE = "refusals"
MOST = 60
"""Entries that are kept at most. There are few ways, statuses and keys; more come only with names that left the
settings."""

REASONS = 3
LONGEST = 240
QUIET = 24 * 3600.0
"""Seconds without a refusal after which the next one begins a new run."""

TRIES = 20

WAYS: Mapping[str, str] = {"lessons": "lessons", "events": "events", "inngest": "inngest", "amocrm_webhook": "webhook"}
"""The way in, as events name it in their source, by the blueprint that serves it."""


@dataclass(frozen=True)
class Reason:
    """Why one request was refused, without anybody's data. at: seconds since the epoch."""

    at: float
    words: str


@dataclass(frozen=True)
class RefusalRun:
    """Refusals of one kind that followed each other within a day.

    way: lessons, events, inngest or webhook. status: as HTTP has it. key: the name of the API key; "" where none was
    known, as with each 401. Times: seconds since the epoch. reasons: newest first.
    """

    way: str
    status: int
    key: str
    count: int
    first_at: float
    last_at: float
    reasons: tuple[Reason, ...] = ()

    @property
    def place(self) -> str:
        """Its key in the store."""
        return f"{self.way}|{self.status}|{self.key}"

    def then(self, later: RefusalRun) -> RefusalRun:
        """This run with another one behind it; after a quiet day only that one."""
        if later.first_at - self.last_at > QUIET:
            return later
        return replace(
            self,
            count=self.count + later.count,
            first_at=min(self.first_at, later.first_at),
            last_at=max(self.last_at, later.last_at),
            reasons=(*later.reasons, *self.reasons)[:REASONS],
        )


class Refusals:
    """What this process refused waits in memory until `flush` adds it to what the store has.

    told: called after each note, so that somebody flushes soon.
    """

    def __init__(
        self, key_values: Callable[[], KeyValues], now: Callable[[], float], told: Callable[[], None] = lambda: None
    ) -> None:
        self._key_values, self._now, self._told = key_values, now, told
        self._lock = threading.Lock()
        self._waiting: dict[str, RefusalRun] = {}

    def note(self, way: str, status: int, key: str, words: str) -> None:
        """One request was refused. words: they are masked here."""
        now = self._now()
        with self._lock:
            self._merge(RefusalRun(way, status, key, 1, now, now, (Reason(now, masked(words)),)))
        self._told()

    def all(self) -> list[RefusalRun]:
        """Those of the last day, newest first."""
        now = self._now()
        found = [run_of(entry.value) for entry in self._key_values().items(NAMESPACE).values()]
        return sorted((run for run in found if now - run.last_at <= QUIET), key=lambda run: -run.last_at)

    def flush(self) -> None:
        """Raises what the store raises; what was not written waits for the next time."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        try:
            for place, run in list(waiting.items()):
                if any(self._write(run) for _ in range(TRIES)):
                    del waiting[place]
        finally:
            with self._lock:
                newer, self._waiting = self._waiting, waiting
                for run in newer.values():
                    self._merge(run)

    def _merge(self, run: RefusalRun) -> None:
        known = self._waiting.get(run.place)
        if known is not None or len(self._waiting) < MOST:
            self._waiting[run.place] = known.then(run) if known else run

    def _write(self, run: RefusalRun) -> bool:
        entry = self._key_values().get(NAMESPACE, run.place)
        whole = run_of(entry.value).then(run) if entry else run
        if self._key_values().put(NAMESPACE, run.place, asdict(whole), entry.version if entry else 0) is None:
            return False
        if entry is None:
            self._tidy()
        return True

    def _tidy(self) -> None:
        entries = self._key_values().items(NAMESPACE)
        oldest = sorted(entries, key=lambda place: entries[place].updated_at)[: max(0, len(entries) - MOST)]
        self._key_values().delete(NAMESPACE, oldest)


def run_of(value: Json) -> RefusalRun:
    kept: dict[str, Any] = dict(value)
    reasons = tuple(Reason(**one) for one in kept.pop("reasons", ()))
    return RefusalRun(**kept, reasons=reasons)


_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*(?:\"|\.\.\.|$)|(?<!\w)'[^']*'")
_DIGITS = re.compile(r"\d{6,}")


def masked(words: str) -> str:
    """Words of a refusal without what a sender put in: no quoted value, no address, no long number."""
    return mask_emails(_DIGITS.sub("…", _QUOTED.sub("…", words)))[:LONGEST]


def words_of(detail: str, faults: Sequence[tuple[str, str]]) -> str:
    """A refusal in one line. faults: (path, message)."""
    return "; ".join([detail, *(f"{path}: {message}" for path, message in faults[:3])])
