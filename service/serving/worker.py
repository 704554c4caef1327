"""The class of the web's workers: gunicorn's threads, each given only requests that have arrived whole.

gunicorn's own gthread lets a thread wait for its client without an end, so that a few dozen connections that send half
a request stop the service. Here one loop collects each request, head and body, within a deadline, and sends on what a
client is slow to take; a thread has a request only while the application works on it.
"""

from __future__ import annotations

import errno
import json
import resource
import selectors
import socket
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from gunicorn import http
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from service.serving.arrival import HEAD_MAX, Arrival, HeadTooLong
from service.serving.batches import Batches
from service.serving.connection import Connection

HEAD_SECONDS = 10.0
"""From a connection's beginning, or a request's first byte on a kept one, to the end of its head."""

BODY_SECONDS = 10.0
SEND_SECONDS = 10.0
RATE = 256 * 1024
"""Bytes a second: so much longer than these seconds may a long body, or a long answer, take."""

LINGER = 2.0
"""Seconds for which a closed connection is still listened to, else the client could lose the end of its answer."""

READ_AT_ONCE = 256 * 1024
SMALL = 64 * 1024
HELD_MAX = 96 * 1024 * 1024
"""Bytes that all connections of a process may hold beyond SMALL each. The slowest are dropped first."""

SWEEP_EVERY = 0.5


class BufferingWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's ThreadWorker, with its own loop in front of the threads."""

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        if cfg.is_ssl:
            raise RuntimeError("Got a certificate for gunicorn; expected a proxy in front that speaks TLS: see docs.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.worker_connections: int = self.cfg.worker_connections
        self.waiting: dict[Connection, Callable[[Connection], None]] = {}
        self.batches: Batches | None = None
        self._sweep_at = 0.0

    def init_process(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        # One for each connection, and as many again for the store and the threads.
        wanted = 2 * self.worker_connections + 256
        if soft != resource.RLIM_INFINITY and soft < wanted:
            wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            self.worker_connections = min(self.worker_connections, max(1, (wanted - 128) // 2))
        super().init_process()

    def run(self) -> None:
        self.batches = Batches.of(self)
        super().run()

    # --- requests come in ---------------------------------------------------------------------------------------------

    def accept(self, listener: socket.socket) -> None:
        try:
            raw, client = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._drop_the_first_due()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        self.nr_conns += 1
        conn = Connection(self.cfg, raw, client, listener.getsockname())
        self._collect(conn, HEAD_SECONDS)
        if self.nr_conns >= self.worker_connections:
            self._drop_the_first_due()

    def _collect(self, conn: Connection, seconds: float) -> None:
        """Wait for a request, of which a part may be there already."""
        conn.arrival, conn.asked = Arrival(), False
        if conn.sock.received:
            conn.until = time.monotonic() + HEAD_SECONDS
            self._look(conn)
        else:
            self._wait(conn, selectors.EVENT_READ, seconds, self._receive)

    def _receive(self, conn: Connection) -> None:
        data = read(conn)
        if data is None:
            return
        if not data:
            self._stopped_sending(conn)
            return
        if not conn.sock.received:
            conn.until = min(conn.until, time.monotonic() + HEAD_SECONDS)
        conn.sock.received += data
        self._look(conn)

    def _stopped_sending(self, conn: Connection) -> None:
        if conn.arrival.head:
            conn.arrival.cut = True  # the application says how much was missing
            self._hand_on(conn)
        else:
            self._drop(conn)

    def _look(self, conn: Connection) -> None:
        try:
            complete = conn.arrival.complete(conn.sock.received)
        except HeadTooLong:
            self._refuse(conn, 431, f"The request's head is longer than {HEAD_MAX} bytes. Send shorter headers.")
            return
        if complete:
            self._hand_on(conn)
            return
        if conn.arrival.head and not conn.asked:
            conn.asked = True
            conn.until = time.monotonic() + BODY_SECONDS + conn.arrival.body / RATE
            if conn.arrival.expects:
                conn.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                sent(conn)
        if conn not in self.waiting:
            self._wait(conn, selectors.EVENT_READ, conn.until - time.monotonic(), self._receive)
        if conn.held > SMALL:
            self._bound()

    def _hand_on(self, conn: Connection) -> None:
        self._leave(conn)
        whole = conn.arrival.whole
        conn.sock.begin_turn(len(conn.sock.received) if conn.arrival.cut else whole)
        if self.batches is None or not self.batches.take(conn):
            self.enqueue_req(conn)

    # --- a thread answers ---------------------------------------------------------------------------------------------

    def handle(self, conn: Connection) -> bool:
        conn.parser = http.get_parser(self.cfg, conn.sock, conn.client)
        keep = bool(super().handle(conn)) and not conn.arrival.cut
        return sent(conn) and keep

    def handle_request(self, req: Any, conn: Connection) -> bool:
        if conn.arrival.cut:
            req.force_close()
        return bool(super().handle_request(req, conn))

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        # What was not read of the body is all in memory, and forgotten with the turn.
        return keepalive and not conn.parser.mesg.body.failed

    # --- answers go out -----------------------------------------------------------------------------------------------

    def finish_request(self, conn: Connection, fs: Any) -> None:
        conn.sock.end_turn()
        conn.keep = not fs.cancelled() and fs.exception() is None and fs.result()
        self.send(conn)

    def send(self, conn: Connection) -> None:
        try:
            done = conn.sock.flush()
        except OSError:
            self._drop(conn)
            return
        if not done:
            if conn not in self.waiting:
                seconds = SEND_SECONDS + len(conn.sock.unsent) / RATE
                self._wait(conn, selectors.EVENT_WRITE, seconds, self.send)
                self._bound()
            return
        self._leave(conn)
        if conn.keep:
            self._collect(conn, self.cfg.keepalive if self.alive else STOP_KEEPALIVE_LINGER)
            return
        try:
            conn.sock.raw.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
            return
        self._wait(conn, selectors.EVENT_READ, LINGER, self._drain)

    def _drain(self, conn: Connection) -> None:
        data = read(conn)
        if data is None:
            return
        if not data:
            self._drop(conn)

    def _refuse(self, conn: Connection, status: int, detail: str) -> None:
        """An answer without a thread, and the end of the connection."""
        title = HTTPStatus(status).phrase
        body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail, "errors": []})
        head = (
            f"HTTP/1.1 {status} {title}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._leave(conn)
        conn.sock.received.clear()
        conn.keep = False
        try:
            conn.sock.sendall((head + body).encode())
        except OSError:
            self._drop(conn)
            return
        self.send(conn)

    # --- the loop's waiting list --------------------------------------------------------------------------------------

    def _wait(self, conn: Connection, event: int, seconds: float, then: Callable[[Connection], None]) -> None:
        conn.until = time.monotonic() + seconds
        self.waiting[conn] = then
        self.poller.register(conn.sock, event, partial(self._ready, conn, then))

    def _ready(self, conn: Connection, then: Callable[[Connection], None], _socket: Any) -> None:
        # An event of before the same turn of the loop dropped the connection, or made it wait for something else.
        if self.waiting.get(conn) == then:
            then(conn)

    def _leave(self, conn: Connection) -> None:
        if self.waiting.pop(conn, None) is not None:
            self.poller.unregister(conn.sock)

    def _drop(self, conn: Connection) -> None:
        self._leave(conn)
        self.nr_conns -= 1
        conn.sock.raw.close()

    def _drop_the_first_due(self) -> None:
        """Make room: the connection whose time is up first, which no thread has, is nearest to its end anyhow."""
        if self.waiting:
            self._drop(min(self.waiting, key=lambda conn: conn.until))

    def _bound(self) -> None:
        """Keep what all connections hold in memory within HELD_MAX."""
        large = [conn for conn in self.waiting if conn.held > SMALL]
        held = sum(conn.held for conn in large)
        for conn in sorted(large, key=lambda conn: conn.until):
            if held <= HELD_MAX:
                return
            held -= conn.held
            self._drop(conn)

    def murder_keepalived(self, force: bool = False) -> None:
        """End what has waited for too long. Called by the loop of gunicorn at each of its turns."""
        now = time.monotonic()
        if now < self._sweep_at and self.alive:
            return
        self._sweep_at = now + SWEEP_EVERY
        for conn, then in list(self.waiting.items()):
            if force:
                self._drop(conn)
            elif conn.until <= now:
                if then == self._receive and conn.sock.received:
                    self._refuse(conn, 408, "The request did not arrive whole in time. Send it again, and faster.")
                else:
                    self._drop(conn)

    def murder_pending(self) -> None:
        """There are none: what waits is in one list."""

    def _cap_keepalive(self, deadline: float) -> None:
        for conn, then in self.waiting.items():
            if then == self._receive and not conn.sock.received:
                conn.until = min(conn.until, deadline)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        if not self.alive and self.waiting:
            first = min(conn.until for conn in self.waiting)
            timeout = min(timeout, max(0.0, first - time.monotonic()))
        super().wait_for_and_dispatch_events(timeout)
        if self.batches is not None:
            self.batches.store()


def sent(conn: Connection) -> bool:
    """Send what the client takes now. -> False: it is gone."""
    try:
        conn.sock.flush()
    except OSError:
        return False
    return True


def read(conn: Connection) -> bytes | None:
    """What has come: b"" once the other side has ended or broken off, None while there is nothing."""
    try:
        data: bytes = conn.sock.raw.recv(READ_AT_ONCE)
    except BlockingIOError:
        return None
    except OSError:
        return b""
    return data
