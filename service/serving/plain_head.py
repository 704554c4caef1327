"""The head of a request of the plainest kind, read at a tenth of a parser's cost. Pure.

Whatever could be read in two ways is none of that kind, and is gunicorn's to read.
"""

from __future__ import annotations

import re
from functools import lru_cache

LONGEST = 4096
_LINES = re.compile(rb"(?:[A-Za-z][A-Za-z0-9-]*: (?:[\x21-\x7e]+ )*[\x21-\x7e]+\r\n)+")
_NEVER = {"HTTP_TRANSFER_ENCODING", "HTTP_EXPECT", "HTTP_UPGRADE", "HTTP_HTTP2_SETTINGS", "HTTP_TRAILER"}
_CONNECTION = ("keep-alive", "close")


def read_head(head: bytes, request_line: bytes) -> dict[str, str] | None:
    """The headers of a request that begins with this line, named as by WSGI, or None for gunicorn's parser.

    Each header stands there once, in visible ASCII, and the body has a length. head: with the empty line at its end.
    """
    if len(head) > LONGEST or not head.startswith(request_line):
        return None
    lines = head[len(request_line) : -2]
    if not _LINES.fullmatch(lines):
        return None
    headers = {}
    texts = lines.decode("ascii").split("\r\n")[:-1]
    for text in texts:
        name, _, value = text.partition(": ")
        headers[_key(name)] = value
    if len(headers) < len(texts) or not headers.keys().isdisjoint(_NEVER) or "CONTENT_LENGTH" not in headers:
        return None
    return headers if headers.get("HTTP_CONNECTION", "close").lower() in _CONNECTION else None


@lru_cache(256)
def _key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
