"""How far a request has arrived, told from its bytes alone. Pure.

What is told here decides only when a request is handed on, never what it means: gunicorn's own parser reads it again.
"""

from __future__ import annotations

import re

HEAD_MAX = 64 * 1024
BODY_MAX = 8 * 1024 * 1024
"""Bytes of the longest body that any way in takes. A longer one is not waited for: it is refused by its head."""

CHUNKED_MAX = BODY_MAX + 1024 * 1024
"""The same for one that comes in chunks, each of which adds a line."""

_CHUNK_LINE_MAX = 8190
_BARE_LF = re.compile(rb"(?<!\r)\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
_ENCODING = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)


class HeadTooLong(Exception):
    """More than HEAD_MAX bytes, and the head has no end yet."""


class Arrival:
    """One request on its way.

    head, whole: bytes of its head and of all of it, 0 while not known. cut: the rest is not waited for, so that after
    the answer the connection has to be closed. expects: the client sends no body before it is told to.
    """

    def __init__(self) -> None:
        self.head = self.whole = 0
        self.cut = self.expects = False
        self._looked = 0
        self._chunk = 0

    def complete(self, received: bytearray) -> bool:
        """Whether it can be handed on. received: everything from its first byte on. Raises HeadTooLong."""
        if not self.head:
            self._find_head(received)
        if self._chunk:
            self._find_last_chunk(received)
        return self.cut or 0 < self.whole <= len(received)

    @property
    def body(self) -> int:
        """Bytes of the body; as many as there may be while its length is not known."""
        return self.whole - self.head if self.whole else BODY_MAX

    def _find_head(self, received: bytearray) -> None:
        # One empty line before the request line is passed over by the parser.
        end = received.find(b"\r\n\r\n", max(2 if received.startswith(b"\r\n") else 0, self._looked - 3))
        self._looked = len(received)
        if end < 0:
            if _BARE_LF.search(received):
                self.cut = True  # no head ends so, and the parser says why
            elif len(received) > HEAD_MAX:
                raise HeadTooLong
            return
        self.head = end + 4
        head = received[: end + 2]
        self.expects = bool(_EXPECTS.search(head))
        if _ENCODING.search(head):
            self._chunk = self.head
        else:
            length = _LENGTH.search(head)
            self.whole = self.head + (int(length[1]) if length else 0)
            self.cut = self.whole > self.head + BODY_MAX

    def _find_last_chunk(self, received: bytearray) -> None:
        """Follows the chunks' size lines. What is no chunk is the parser's to refuse."""
        while True:
            end = received.find(b"\r\n", self._chunk)
            if end < 0:
                self.cut = len(received) > min(self._chunk + _CHUNK_LINE_MAX, self.head + CHUNKED_MAX)
                return
            try:
                size = int(received[self._chunk : end].partition(b";")[0], 16)
            except ValueError:
                size = -1
            if size < 0:
                self.cut = True
                return
            if size == 0:
                last = received.find(b"\r\n\r\n", end)
                self.whole = last + 4 if last >= 0 else 0
                self.cut = last < 0 and len(received) > end + HEAD_MAX
                return
            if self._chunk + size > self.head + CHUNKED_MAX:
                self.cut = True
                return
            if end + 2 + size + 2 > len(received):
                return
            self._chunk = end + 2 + size + 2
