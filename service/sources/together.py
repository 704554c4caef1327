"""Lessons and events that arrive at the same time, taken in together and without Flask, as long as all is right with
them.

A request is answered here byte for byte as its route in `lessons` or `events` answers it, or not at all: what is not
plainly good goes to that route.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

from outbox.message import NewEvent, Receipt
from service.problem_json import Refusal
from service.sources import events, intake, lessons
from service.sources.context import SourceContext

EXTENSION = "dealpost.together"

EVENTS_MAX = 16 * 1024
"""Bytes of events that the loop reads itself: about two milliseconds for which it does nothing else."""

Environ = dict[str, Any]
Headers = Sequence[tuple[str, str]]
Wsgi = Callable[[Environ, Any], Iterable[bytes]]


class Access(Protocol):
    """As service.logs.AccessLog."""

    def write(self, method: str, route: str, status: int, seconds: float, address: str | None) -> None: ...


class Reads(Protocol):
    def __call__(
        self, context: SourceContext, key: Any, body: Any, environ: Environ, now: float, name_longest: Callable[[], int]
    ) -> tuple[list[NewEvent], list[str]]: ...


@dataclass(frozen=True)
class Way:
    """A way in. longest: bytes of a body that is read here. read: -> the events, and where the ids stood by which they
    are known; raises Refusal. accepted: the answer's body."""

    path: str
    longest: int
    read: Reads
    accepted: Callable[[Sequence[Receipt]], bytes]


WAYS = {
    f"POST {way.path} HTTP/1.1\r\n".encode(): way
    for way in (
        Way(lessons.PATH, intake.EVENT_MAX, lessons.read_lesson, lessons.accepted),
        Way(events.PATH, EVENTS_MAX, events.read_events, events.accepted),
    )
}
"""By the line that a request begins with."""


@dataclass
class Taken:
    """A request that was read. paths: where the ids stood by which its events are known. began: on the performance
    counter. stored: the receipts, or why there are none."""

    environ: Environ
    way: Way
    events: list[NewEvent]
    paths: list[str]
    began: float
    stored: list[Receipt] | Exception | None = None


class Together:
    """headers: of every answer. believing: puts into an environ what a proxy in front says of its request."""

    status = f"{intake.ACCEPTED} ACCEPTED"

    def __init__(self, context: SourceContext, headers: Headers, access: Access, believing: Wsgi) -> None:
        self._context, self._access, self._believing = context, access, believing
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers)

    def read(self, way: Way, environ: Environ, body: bytes) -> Taken | None:
        """environ: as by WSGI, at least its headers and REMOTE_ADDR. Never waits. None: its route has to see it."""
        began = perf_counter()
        context = self._context
        key, now = context.keys.of(environ), context.now_at_once()
        kind = environ.get("CONTENT_TYPE", "").partition(";")[0].rstrip().lower()
        if key is None or now is None or kind != intake.KIND or len(body) > way.longest:
            return None
        try:
            made, paths = way.read(context, key, intake.parse_json(body), environ, now, self._name_longest)
        except (Refusal, _WouldWait):
            return None
        self._believing(environ, None)
        return Taken(environ, way, made, paths, began)

    def store(self, taken: Sequence[Taken]) -> None:
        """Returns when it is known of each what became of it."""
        answers = self._context.accept_each([one.events for one in taken], intake.API_TIMEOUT)
        for one, answer in zip(taken, answers, strict=True):
            one.stored = _refusal(answer, one.paths) if isinstance(answer, Exception) else answer

    def answer(self, taken: Taken, receipts: Sequence[Receipt]) -> tuple[str, bytes]:
        """The lines of the answer's head that the application makes, and its body."""
        body = taken.way.accepted(receipts)
        took = perf_counter() - taken.began
        self._access.write("POST", taken.way.path, intake.ACCEPTED, took, taken.environ.get("REMOTE_ADDR"))
        return f"Content-Type: {intake.KIND}\r\nContent-Length: {len(body)}\r\n{self._headers}", body

    def _name_longest(self) -> int:
        longest = self._context.name_longest_at_once()
        if longest is None:
            raise _WouldWait
        return longest


class _WouldWait(Exception):
    """The store would have to be asked."""


def _refusal(error: Exception, paths: Sequence[str]) -> Exception:
    try:
        with intake.as_refusals(paths):
            raise error
    except Exception as told:
        return told
