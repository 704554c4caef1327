"""What comes of a request, and the limits that it is under."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from service.network.redaction import hide, masked

MAX_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class Reply:
    """An answer that came in whole. seconds: from the call to the last byte. url: as sent, its secrets masked.

    secrets: what the request bore, which the other side may repeat.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)  # case-insensitive
    body: bytes = field(repr=False)  # may hold tokens, which must not reach a log by way of a traceback
    seconds: float
    method: str
    url: str
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def words(self) -> bytes:
        """The body for what is kept of its words: without what the request bore, and other secrets."""
        return masked(hide(self.text, self.secrets), errors=True).encode()

    @property
    def text(self) -> str:
        """The body as UTF-8; what is none becomes U+FFFD."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON, whatever the content type says. Raises Unreadable."""
        try:
            return json_module.loads(self.body)
        except (ValueError, RecursionError):
            kind = self.headers.get("Content-Type", "no content type")
            raise Unreadable(
                f"{self.method} {place_of(self.url)}: expected JSON, got {len(self.body)} bytes ({kind[:80]}) "
                f"with status {self.status}"
            ) from None


class Unreadable(ValueError):
    """An answer came whose body is not what it should be. The message never holds the body."""


class NoAnswer(Exception):
    """No whole answer came.

    kind: connect (no connection, its time limit included), tls (no trust in it), timeout (the total ran out after
        the request began to leave), dropped (the connection ended or what came was no HTTP), too_large.
    acted: whether the other side may have acted: False only when not one byte of the request had left.
    """

    def __init__(self, message: str, *, kind: str, acted: bool, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.kind = kind
        self.acted = acted
        self.seconds = seconds


@dataclass(frozen=True)
class Limits:
    """See Http."""

    connect: float
    total: float
    max_bytes: int = MAX_BYTES
    verify: bool | str = True


def place_of(url: str) -> str:
    """Host and path of a URL: what a message may show."""
    try:
        parts = urlsplit(url)
        return masked(f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}")
    except ValueError:
        return "(no URL)"
