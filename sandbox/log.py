"""The request log: every request to the fake services, with secrets masked, and the figures that tests judge by."""

import hashlib
import threading
from dataclasses import asdict, dataclass, field
from typing import Any

from sandbox.clock import Clock
from sandbox.wire import Request

SECRET_NAMES = {"password", "client_secret", "access_token", "refresh_token", "code", "key"}
MAX_ENTRIES = 500_000


def short_hash(secret: str) -> str:
    """Enough to see that two requests carried the same secret, too little to use it."""
    return hashlib.sha256(secret.encode("utf-8")).hexdigest()[:12]


def masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: f"***{short_hash(child)}" if name in SECRET_NAMES and isinstance(child, str) else masked(child)
            for name, child in value.items()
        }
    if isinstance(value, list):
        return [masked(child) for child in value]
    return value


@dataclass
class Entry:
    """One request. `status` is None while it is in hand and 0 when the connection was dropped without an answer;
    `acted` tells whether the service carried it out, whatever the caller was told."""

    number: int
    part: str
    method: str
    path: str
    query: str
    ts: float
    mono: float
    body: Any = None
    bearer: str = ""
    agent: str = ""
    status: int | None = None
    acted: bool = False
    ms: float = 0.0
    fault: str = ""
    retry_after: float | None = None
    refresh: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class RequestLog:
    """A list in memory, oldest first; the oldest half goes when it is full."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._number = 0

    def begin(self, part: str, request: Request) -> Entry:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        body = masked(request.parsed())
        with self._lock:
            self._number += 1
            entry = Entry(
                self._number,
                part,
                request.method,
                request.path,
                request.raw_query,
                self._clock.real(),
                self._clock.monotonic(),
                body,
                short_hash(bearer) if bearer else "",
                request.headers.get("user-agent", ""),
            )
            self._entries.append(entry)
            if len(self._entries) > MAX_ENTRIES:
                del self._entries[: MAX_ENTRIES // 2]
        return entry

    def finish(self, entry: Entry, status: int, acted: bool) -> None:
        entry.ms = round((self._clock.monotonic() - entry.mono) * 1000, 3)
        entry.acted = acted
        entry.status = status

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def entries(
        self,
        part: str | None = None,
        method: str | None = None,
        path: str | None = None,
        status: int | None = None,
        acted: bool | None = None,
        since: int = 0,
    ) -> list[Entry]:
        """The entries that fit all of what is given; `path` is a prefix, `since` an entry's number (exclusive)."""
        with self._lock:
            found = list(self._entries)
        return [
            entry
            for entry in found
            if entry.number > since
            and (part is None or entry.part == part)
            and (method is None or entry.method == method)
            and (path is None or entry.path.startswith(path))
            and (status is None or entry.status == status)
            and (acted is None or entry.acted == acted)
        ]

    def count(self, **filters: Any) -> int:
        return len(self.entries(**filters))

    def max_in_window(self, seconds: float = 1.0, **filters: Any) -> int:
        """The most requests that arrived within any window of that length."""
        times = sorted(entry.mono for entry in self.entries(**filters))
        most = first = 0
        for last, moment in enumerate(times):
            while moment - times[first] >= seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    def dead_refreshes(self) -> list[Entry]:
        """Requests that sent a refresh token again after its successor had been used: a client must never do it."""
        return [entry for entry in self.entries(part="amocrm") if entry.refresh.get("successor_used")]

    def undercut_waits(self) -> int:
        """Requests to amoCRM that came before a `retry_after` told in an earlier answer had passed."""
        until, undercut = float("-inf"), 0
        for entry in self.entries(part="amocrm"):
            undercut += entry.mono < until
            if entry.retry_after:
                until = max(until, entry.mono + entry.ms / 1000 + entry.retry_after)
        return undercut

    def figures(self, **filters: Any) -> dict[str, Any]:
        chosen = self.entries(**filters)
        statuses: dict[str, int] = {}
        paths: dict[str, int] = {}
        for entry in chosen:
            statuses[str(entry.status)] = statuses.get(str(entry.status), 0) + 1
            name = f"{entry.method} {entry.path}"
            paths[name] = paths.get(name, 0) + 1
        top = sorted(paths.items(), key=lambda item: -item[1])[:100]
        return {
            "count": len(chosen),
            "acted": sum(entry.acted for entry in chosen),
            "statuses": statuses,
            "paths": dict(top),
            "max_per_second": self.max_in_window(1.0, **filters),
            "dead_refreshes": len(self.dead_refreshes()),
            "undercut_waits": self.undercut_waits(),
        }
