"""Requests of one kind that wait at the same time are answered together: they share a commit, and no thread is woken
for each of them. What cannot be answered so goes to the application as any other request.

All of it runs in the loop but the commit: while a thread waits for the disk, the loop reads the next ones.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gunicorn import SERVER, http, util
from gunicorn.http import wsgi

from outbox.message import Receipt
from service.serving.connection import Connection
from service.serving.plain_head import read_head
from service.sources.intake import REFUSED
from service.sources.together import EXTENSION, WAYS, Taken, Together


@dataclass
class Asked:
    """A request that was read."""

    conn: Connection
    taken: Taken


class Batches:
    def __init__(self, worker: Any, together: Together) -> None:
        self._worker, self._together = worker, together
        self._waiting: list[Asked] = []
        self._storing = False
        self._second, self._date = 0, ""

    @classmethod
    def of(cls, worker: Any) -> Batches | None:
        """For a worker whose application takes requests together."""
        together = getattr(worker.wsgi, "extensions", {}).get(EXTENSION)
        usual = not worker.cfg.max_requests and worker.cfg.proxy_protocol == "off" and worker.cfg.keepalive
        return cls(worker, together) if together and usual else None

    def take(self, conn: Connection) -> bool:
        """Whether the request is of that kind: then it is answered after the next `store`."""
        # The application does what it has to do at its first request.
        if conn.arrival.cut or not self._worker.nr:
            return False
        request = conn.sock.request
        line = request[: request.find(b"\n") + 1]
        way = WAYS.get(line)
        headers = read_head(request[: conn.arrival.head], line) if way else None
        if way is None or headers is None:
            return False
        environ = {**headers, "REMOTE_ADDR": conn.client[0] if isinstance(conn.client, tuple) else conn.client}
        taken = self._together.read(way, environ, request[conn.arrival.head :])
        if taken is None:
            return False
        self._waiting.append(Asked(conn, taken))
        return True

    def store(self) -> None:
        """All that wait, in one commit, unless one is under way: then after that."""
        if self._waiting and not self._storing:
            self._storing = True
            asked, self._waiting = self._waiting, []
            stored = self._worker.tpool.submit(self._together.store, [one.taken for one in asked])
            stored.add_done_callback(partial(self._worker.method_queue.defer, self._answer, asked))

    def _answer(self, asked: Sequence[Asked], stored: Any) -> None:
        self._storing = False
        if error := stored.exception():
            self._worker.log.error("Requests could not be answered", exc_info=error)
        for one in asked:
            self._worker.nr += 1
            if isinstance(one.taken.stored, Exception):
                told = self._worker.tpool.submit(self._by_route, one.conn, one.taken.stored)
                told.add_done_callback(partial(self._worker.method_queue.defer, self._worker.finish_request, one.conn))
            elif one.taken.stored is None:
                one.conn.keep = False
                self._worker.send(one.conn)
            else:
                self._accept(one.conn, one.taken, one.taken.stored)

    def _accept(self, conn: Connection, taken: Taken, receipts: Sequence[Receipt]) -> None:
        asked_to_close = taken.environ.get("HTTP_CONNECTION", "").lower() == "close"
        conn.keep = self._worker.alive and not asked_to_close
        lines, body = self._together.answer(taken, receipts)
        connection = "keep-alive" if conn.keep else "close"
        head = (
            f"HTTP/1.1 {self._together.status}\r\nServer: {SERVER}\r\nDate: {self._now()}\r\nConnection: {connection}"
        )
        conn.sock.end_turn()
        conn.sock.sendall(f"{head}\r\n{lines}\r\n".encode("ascii") + body)
        self._worker.send(conn)

    def _now(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second, self._date = second, util.http_date(second)
        return self._date

    def _by_route(self, conn: Connection, refused: Exception) -> bool:
        """What the store refused is told by their own route. -> whether the connection stays open."""
        worker = self._worker
        conn.parser = http.get_parser(worker.cfg, conn.sock, conn.client)
        response, environ = wsgi.create(next(conn.parser), conn.sock, conn.client, conn.server, worker.cfg)
        if not worker.alive:
            response.force_close()
        for part in worker.wsgi({**environ, "wsgi.multithread": True, REFUSED: refused}, response.start_response):
            response.write(part)
        response.close()
        return not response.should_close()
