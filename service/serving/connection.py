"""A connection whose bytes wait in memory: a thread never waits for its client."""

from __future__ import annotations

import errno
import socket
from typing import Any

from gunicorn.workers.gthread import TConn

from service.serving.arrival import Arrival

TOGETHER = 64 * 1024
"""Bytes of an answer that are sent together."""


class BufferedSocket:
    """What gunicorn takes for a socket. `recv` gives only the request whose turn it is; `sendall` never waits.

    `raw` is the real one, and only the loop closes it. request: the bytes of the request whose turn it is.
    """

    def __init__(self, raw: socket.socket) -> None:
        raw.setblocking(False)
        self.raw = raw
        self.received = bytearray()
        self.unsent = bytearray()
        self.request = b""
        self._turn = memoryview(b"")

    def begin_turn(self, length: int) -> None:
        """The first `length` bytes are the request that is answered next."""
        self.request = bytes(self.received[:length])
        del self.received[:length]
        self._turn = memoryview(self.request)

    def end_turn(self) -> None:
        """Forget what the application did not read of its request."""
        self.request = b""
        self._turn = memoryview(self.request)

    def recv(self, size: int) -> bytes:
        given, self._turn = bytes(self._turn[:size]), self._turn[size:]
        return given

    def sendall(self, data: bytes) -> None:
        """Keep it for `flush`: an answer's head and body go out together."""
        self.unsent += data
        if len(self.unsent) > TOGETHER:
            self.flush()

    def flush(self) -> bool:
        """Send on. -> whether nothing is left. Raises OSError when the client is gone."""
        if self.unsent:
            try:
                sent = self.raw.send(self.unsent)
            except BlockingIOError:
                return False
            del self.unsent[:sent]
        return not self.unsent

    def send(self, data: bytes) -> int:
        """Gunicorn's own "100 Continue", which the loop has said before."""
        return len(data)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        file.seek(offset)
        data = file.read(-1 if count is None else count)
        self.sendall(data)
        return len(data)

    def fileno(self) -> int:
        return self.raw.fileno()

    def gettimeout(self) -> float:
        return 0.0

    def setblocking(self, flag: bool) -> None:
        """It never blocks, whatever is asked."""

    def settimeout(self, seconds: float | None) -> None:
        """As setblocking."""

    def shutdown(self, how: int) -> None:
        """The loop ends a connection, once everything is sent."""
        raise OSError(errno.EOPNOTSUPP, "the loop ends this connection")

    def close(self) -> None:
        """As shutdown."""


class Connection(TConn):  # type: ignore[misc]
    """gunicorn's connection on a BufferedSocket.

    until: when the loop stops waiting, on the monotonic clock. callback: what the loop waits to do, None while a
    thread has it. keep: whether another request may follow.
    """

    def __init__(self, cfg: Any, raw: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, BufferedSocket(raw), client, server)
        self.initialized = True
        self.arrival = Arrival()
        self.until = 0.0
        self.asked = False
        self.keep = True

    @property
    def held(self) -> int:
        """Bytes in memory."""
        return len(self.sock.received) + len(self.sock.unsent)
