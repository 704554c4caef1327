"""Many clients at once in one thread, each waiting for its answer before it sends the next request."""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import quantiles

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@dataclass
class Load:
    """What came of a round. seconds: how long it took. waits: seconds from each request to its answer. refused: other
    answers than 2xx, by status."""

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    refused: dict[int, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.waits) / self.seconds

    @property
    def p99(self) -> float:
        """Seconds."""
        return quantiles(self.waits, n=100)[-1]


class Client:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self.received = b""

    def send(self, request: bytes) -> None:
        self.received = b""
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def answer(self) -> int:
        """The status, once the whole answer is here; 0 before."""
        self.received += (part := self.socket.recv(65536))
        head, end, body = self.received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n") if end else None
        if not part:
            raise ConnectionError(f"the server closed the connection after {self.received!r}")
        return int(head[9:12]) if length and len(body) >= int(length[1]) else 0


def post(path: str, body: bytes, headers: str = "") -> bytes:
    """A request; headers: lines that end with CRLF."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def load(ports: Sequence[int], clients: int, requests: Iterator[bytes], until: Callable[[Load, float], bool]) -> Load:
    """Send `requests` with so many clients, spread over the ports, until `until(so far, seconds)` or none is left."""
    result, open_clients = Load(), [Client(ports[number % len(ports)]) for number in range(clients)]
    with selectors.DefaultSelector() as selector:
        began, busy = time.perf_counter(), 0
        for client in open_clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
            if (request := next(requests, None)) is not None:
                client.send(request)
                busy += 1
        while busy:
            for key, _ in selector.select():
                client = key.data
                if not (status := client.answer()):
                    continue
                now = time.perf_counter()
                if 200 <= status < 300:
                    result.waits.append(now - client.sent_at)
                else:
                    result.refused[status] = result.refused.get(status, 0) + 1
                request = None if until(result, now - began) else next(requests, None)
                if request is None:
                    busy -= 1
                else:
                    client.send(request)
        result.seconds = time.perf_counter() - began
    for client in open_clients:
        client.socket.close()
    return result
