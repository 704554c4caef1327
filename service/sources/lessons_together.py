"""Lessons that arrive at the same time, taken in together and without Flask, as long as all is right with them.

A request is answered here byte for byte as its route in `lessons` answers it, or not at all: what is not plainly a good
lesson goes to that route.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

from outbox.message import NewEvent, Receipt
from service.problem_json import Refusal
from service.sources import intake
from service.sources.context import SourceContext
from service.sources.lessons import KIND, PATH, STATUS, accepted, read_lesson

EXTENSION = "dealpost.together"

Environ = dict[str, Any]
Headers = Sequence[tuple[str, str]]
Wsgi = Callable[[Environ, Any], Iterable[bytes]]


class Access(Protocol):
    """As service.logs.AccessLog."""

    def write(self, method: str, route: str, status: int, seconds: float, address: str | None) -> None: ...


@dataclass
class Lesson:
    """One that was read. named: where the id stood by which it is known. began: on the performance counter. stored:
    its receipt, or why there is none."""

    environ: Environ
    event: NewEvent
    named: str
    began: float
    stored: Receipt | Exception | None = None


class Together:
    """headers: of every answer. believing: puts into an environ what a proxy in front says of its request."""

    request_line = f"POST {PATH} HTTP/1.1\r\n".encode()
    status = f"{STATUS} ACCEPTED"

    def __init__(self, context: SourceContext, headers: Headers, access: Access, believing: Wsgi) -> None:
        self._context, self._access, self._believing = context, access, believing
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers)

    def read(self, environ: Environ, body: bytes) -> Lesson | None:
        """environ: as by WSGI, at least its headers and REMOTE_ADDR. Never waits. None: its route has to see it."""
        began = perf_counter()
        key, now = self._context.keys.of(environ), self._context.now_at_once()
        kind = environ.get("CONTENT_TYPE", "").partition(";")[0].rstrip().lower()
        if key is None or now is None or kind != KIND or len(body) > intake.EVENT_MAX:
            return None
        try:
            event, named = read_lesson(self._context, key, intake.parse_json(body), environ, now)
        except Refusal:
            return None
        self._believing(environ, None)
        return Lesson(environ, event, named, began)

    def store(self, lessons: Sequence[Lesson]) -> None:
        """Returns when it is known of each what became of it."""
        answers = self._context.accept_each([[lesson.event] for lesson in lessons], intake.API_TIMEOUT)
        for lesson, answer in zip(lessons, answers, strict=True):
            lesson.stored = _refusal(answer, lesson.named) if isinstance(answer, Exception) else answer[0]

    def answer(self, lesson: Lesson, receipt: Receipt) -> tuple[str, bytes]:
        """The lines of the answer's head that the application makes, and its body."""
        body = accepted(receipt)
        took = perf_counter() - lesson.began
        self._access.write("POST", PATH, STATUS, took, lesson.environ.get("REMOTE_ADDR"))
        return f"Content-Type: {KIND}\r\nContent-Length: {len(body)}\r\n{self._headers}", body


def _refusal(error: Exception, named: str) -> Exception:
    try:
        with intake.as_refusals([named]):
            raise error
    except Exception as told:
        return told
