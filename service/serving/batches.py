"""Requests of one kind that wait at the same time are answered by one thread together: they share a commit, and no
thread is woken for each of them. What cannot be answered so goes to the application as any other request."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gunicorn import http
from gunicorn.http import wsgi

from service.serving.connection import Connection
from service.sources.lessons_together import BEGINNING, EXTENSION, Lesson, Together

MOST = 64
"""Requests of one batch: the answers of a larger one would come late."""

THREADS = 2
"""While one waits for the disk, the other reads the next."""


@dataclass
class Asked:
    """A request that was read. response: gunicorn's."""

    conn: Connection
    response: Any
    lesson: Lesson


class Batches:
    def __init__(self, worker: Any, together: Together) -> None:
        self._worker, self._together = worker, together
        self._guard = threading.Lock()
        self._waiting: deque[Connection] = deque()
        self._running = 0

    @classmethod
    def of(cls, worker: Any) -> Batches | None:
        """For a worker whose application takes requests together."""
        together = getattr(worker.wsgi, "extensions", {}).get(EXTENSION)
        return cls(worker, together) if together and not worker.cfg.max_requests else None

    def take(self, conn: Connection) -> bool:
        """Whether the request is of that kind: then it is answered."""
        # The application does what it has to do at its first request.
        if conn.arrival.cut or not self._worker.nr or not conn.sock.begins(BEGINNING):
            return False
        with self._guard:
            self._waiting.append(conn)
            starts = self._running < THREADS
            self._running += starts
        if starts:
            self._worker.tpool.submit(self._run)
        return True

    def _run(self) -> None:
        while conns := self._next():
            self._worker.method_queue.defer(self._finish, self._answer(conns))

    def _next(self) -> list[Connection]:
        with self._guard:
            conns = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
            self._running -= not conns
        return conns

    def _answer(self, conns: Sequence[Connection]) -> list[tuple[Connection, bool]]:
        """-> those that were answered here, and whether each stays open."""
        asked = [request for conn in conns if (request := self._read(conn))]
        try:
            self._together.store([request.lesson for request in asked])
        except Exception:
            self._worker.log.exception("Requests could not be answered")
            return [(request.conn, False) for request in asked]
        return [(request.conn, self._send(request)) for request in asked]

    def _read(self, conn: Connection) -> Asked | None:
        """None: the application has it."""
        worker = self._worker
        try:
            conn.parser = http.get_parser(worker.cfg, conn.sock, conn.client)
            request = next(conn.parser)
            response, environ = wsgi.create(request, conn.sock, conn.client, conn.server, worker.cfg)
            environ["wsgi.multithread"] = True
            if lesson := self._together.read(environ):
                if not worker.alive or not worker.cfg.keepalive:
                    response.force_close()
                return Asked(conn, response, lesson)
        except Exception as error:  # the application's way says what is wrong with it
            worker.log.debug("Not read together: %s", type(error).__name__)
        conn.sock.begin_again()
        worker.enqueue_req(conn)
        return None

    def _send(self, request: Asked) -> bool:
        """-> whether the connection stays open."""
        response, lesson = request.response, request.lesson
        try:
            if lesson.receipt:
                response.write(self._together.answer(lesson, lesson.receipt, response.start_response))
            else:
                for part in self._worker.wsgi(lesson.environ, response.start_response):
                    response.write(part)
            response.close()
            request.conn.sock.flush()
        except OSError:  # the client is gone
            return False
        except Exception:
            self._worker.log.exception("Error handling request")
            return False
        self._worker.nr += 1
        return not response.should_close()

    def _finish(self, done: Sequence[tuple[Connection, bool]]) -> None:
        """In the loop."""
        for conn, keep in done:
            conn.sock.end_turn()
            conn.keep = keep
            self._worker.send(conn)
