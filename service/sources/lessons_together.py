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
from service.sources.lessons import KIND, PATH, REFUSED, STATUS, accepted, read_lesson

EXTENSION = "dealpost.together"
BEGINNING = f"POST {PATH} HTTP/1.".encode()
"""Of a request that may be a lesson."""

Environ = dict[str, Any]
Headers = Sequence[tuple[str, str]]
Wsgi = Callable[[Environ, Any], Iterable[bytes]]


class Access(Protocol):
    """As service.logs.AccessLog."""

    def write(self, method: str, route: str, status: int, seconds: float, address: str | None) -> None: ...


@dataclass
class Lesson:
    """One that was read. began: on the performance counter. receipt: None when it is not stored."""

    environ: Environ
    event: NewEvent
    began: float
    receipt: Receipt | None = None


class Together:
    """headers: of every answer. believing: puts into an environ what a proxy in front says of its request."""

    def __init__(self, context: SourceContext, headers: Headers, access: Access, believing: Wsgi) -> None:
        self._context, self._headers, self._access, self._believing = context, list(headers), access, believing

    def read(self, environ: Environ) -> Lesson | None:
        """None: its route has to see it, from the beginning."""
        began = perf_counter()
        key, length = self._context.keys.of(environ), _length(environ)
        if key is None or length is None or not _plain(environ):
            return None
        body = environ["wsgi.input"].read(length)
        if len(body) < length:
            return None
        try:
            event, _ = read_lesson(self._context, key, intake.parse_json(body), environ)
        except Refusal:
            return None
        self._believing(environ, None)
        return Lesson(environ, event, began)

    def store(self, lessons: Sequence[Lesson]) -> None:
        """Returns when each has its receipt, or is refused: its environ says so to its route."""
        answers = self._context.accept_each([[lesson.event] for lesson in lessons], intake.API_TIMEOUT)
        for lesson, answer in zip(lessons, answers, strict=True):
            if isinstance(answer, Exception):
                lesson.environ[REFUSED] = answer
            else:
                lesson.receipt = answer[0]

    def answer(self, lesson: Lesson, receipt: Receipt, start_response: Callable[[str, Headers], Any]) -> bytes:
        body = accepted(receipt)
        head = [("Content-Type", KIND), ("Content-Length", str(len(body))), *self._headers]
        start_response(f"{STATUS} ACCEPTED", head)
        took = perf_counter() - lesson.began
        self._access.write("POST", PATH, STATUS, took, lesson.environ.get("REMOTE_ADDR"))
        return body


def _plain(environ: Environ) -> bool:
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    return bool(
        kind == KIND
        and environ["REQUEST_METHOD"] == "POST"
        and environ["PATH_INFO"] == PATH
        and "HTTP_TRANSFER_ENCODING" not in environ
    )


def _length(environ: Environ) -> int | None:
    """Bytes of a body that is no longer than an event may be."""
    text = environ.get("CONTENT_LENGTH", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 and int(text) <= intake.EVENT_MAX else None
