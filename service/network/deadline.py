"""Connections whose every wait ends with the deadline of their request: a server that drips bytes is cut."""

from __future__ import annotations

import queue
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.client import RemoteDisconnected
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.ssl_ import create_urllib3_context

IDLE_SECONDS = 4.0
"""Apache closes an idle connection after 5 s by default: not to write into its closing is worth a handshake."""


@dataclass
class Call:
    """How far one try of a request has come. Its thread's sockets look here before they wait."""

    monotonic: Callable[[], float]
    connect: float
    end: float
    limit: float | None = None  # while the connection opens: the end of that
    seen: bool = False  # it went through our connections (not so under a mock)
    reused: bool = False
    sent: bool = False
    received: bool = False
    ended: bool = False  # the other side closed the connection

    def left(self) -> float:
        return (self.end if self.limit is None else self.limit) - self.monotonic()

    def left_or_raise(self) -> float:
        left = self.left()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


class _Thread(threading.local):
    call: Call | None = None


thread = _Thread()


def _left(sock: socket.socket) -> None:
    """Give a socket no more time than its request has left: a server that drips bytes is cut, in headers too."""
    if thread.call is not None:
        sock.settimeout(thread.call.left_or_raise())


def _received(count: int) -> None:
    if thread.call is not None:
        thread.call.received |= count > 0
        thread.call.ended |= count == 0


class _Socket(socket.socket):
    """A socket whose every wait ends with its request's deadline. (In sendall the time limit covers the whole.)"""

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        _left(self)
        got = super().recv(bufsize, flags)
        _received(len(got))
        return got

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0, /) -> int:
        _left(self)
        count = super().recv_into(buffer, nbytes, flags)
        _received(count)
        return count

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        _left(self)
        super().sendall(data, flags)


class _TlsSocket(ssl.SSLSocket):
    """The same under TLS; its sendall is a loop over send."""

    def do_handshake(self, block: bool = False) -> None:
        _left(self)
        super().do_handshake(block)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        _left(self)
        got = super().recv(buflen, flags)
        _received(len(got))
        return got

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        _left(self)
        count = super().recv_into(buffer, nbytes, flags)
        _received(count)
        return count

    def send(self, data: Any, flags: int = 0) -> int:
        _left(self)
        return super().send(data, flags)


class _Connection(HTTPConnection):
    idle_since = 0.0

    def _new_conn(self) -> socket.socket:
        call = _call()
        addresses = _addresses(self._dns_host, self.port, call.left_or_raise())
        error = OSError("no address")
        for place, (family, kind, protocol, _, address) in enumerate(addresses):
            left = call.left_or_raise()
            sock = _Socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                # A dead address must leave time for the next.
                sock.settimeout(max(left / (len(addresses) - place), min(left, 1.0)))
                sock.connect(address)
                return sock
            except OSError as fault:
                sock.close()
                error = fault
        try:
            raise error
        finally:
            del error  # its traceback holds this frame: a cycle that would keep sockets until the collector comes

    def connect(self) -> None:
        call = _call()
        call.seen = True
        call.limit = min(call.end, call.monotonic() + call.connect)
        super().connect()
        call.limit = None

    def send(self, data: Any) -> None:
        call = _call()
        if self.sock is None:
            self.connect()
        if call.limit is None:  # else it is the CONNECT to a proxy
            call.seen = call.sent = True
            call.received = call.ended = False
        super().send(data)

    def getresponse(self) -> Any:
        response: Any = super().getresponse()
        if _call().ended:  # http.client takes the end of the connection for the end of the head
            response.close()
            raise RemoteDisconnected("the connection ended within the head of the answer")
        return response


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class Pool(HTTPConnectionPool):
    ConnectionCls = _Connection

    def _get_conn(self, timeout: float | None = None) -> Any:
        conn: Any = super()._get_conn(timeout)
        call = _call()
        if conn.sock is not None and call.monotonic() - conn.idle_since > IDLE_SECONDS:
            conn.close()
        call.reused = conn.sock is not None
        return conn

    def _put_conn(self, conn: Any) -> None:
        if conn is not None and thread.call is not None:
            conn.idle_since = thread.call.monotonic()
        super()._put_conn(conn)


class TlsPool(Pool, HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def tls_context() -> ssl.SSLContext:
    context = create_urllib3_context()
    context.sslsocket_class = _TlsSocket
    return context


def _call() -> Call:
    if thread.call is None:
        raise RuntimeError("a connection was used outside of Http.request")
    return thread.call


def _addresses(host: str, port: int | None, seconds: float) -> list[Any]:
    """getaddrinfo under a time limit: it has none of its own, so it is left behind in its thread."""
    answer: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answer.put(error)

    threading.Thread(target=ask, daemon=True, name="getaddrinfo").start()
    try:
        got = answer.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError("the name was not resolved in time") from None
    if isinstance(got, UnicodeError):
        raise OSError("the name is no host name")
    if isinstance(got, OSError):
        raise got
    return list(got)
