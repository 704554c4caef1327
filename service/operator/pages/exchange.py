"""A request and its answer as a person reads them: pretty JSON with whole numbers exact, secrets named. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from service.network.redaction import HIDDEN

TOKEN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*")(?=\s*:)|(?P<text>"(?:[^"\\]|\\.)*")'
    r"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<word>\btrue\b|\bfalse\b|\bnull\b)"
)
QUIET = (
    "accept",
    "accept-encoding",
    "connection",
    "user-agent",
    "date",
    "server",
    "content-length",
    "vary",
    "transfer-encoding",
)
"""Headers that tell nobody anything."""


MARK = "\N{NULL}"
"""Before a number with a point, while it passes as a text, so that 1500.10 stays 1500.10."""

SECRET = re.compile(f'"{re.escape(HIDDEN)}"|{re.escape(HIDDEN)}')


@dataclass(frozen=True)
class Piece:
    """A part of a text. kind: key, value or secret (in whose place a word is shown), "" for what has no colour."""

    text: str
    kind: str = ""


Pieces = tuple[Piece, ...]


@dataclass(frozen=True)
class Shown:
    """One exchange, ready for the template. status: "" where no answer came."""

    method: str
    path: str
    request_headers: tuple[tuple[str, Pieces], ...]
    request: Pieces
    status: str
    response_headers: tuple[tuple[str, Pieces], ...]
    response: Pieces
    fault: str


def show(exchange: Mapping[str, Any]) -> Shown:
    parts = urlsplit(str(exchange.get("url") or ""))
    path = parts.path + (f"?{unquote_plus(parts.query)}" if parts.query else "")
    status = exchange.get("status")
    return Shown(
        method=str(exchange.get("method") or ""),
        path=path,
        request_headers=_headers(exchange.get("request_headers")),
        request=body(str(exchange.get("request_body") or "")),
        status="" if status is None else str(status),
        response_headers=_headers(exchange.get("response_headers")),
        response=body(str(exchange.get("response_body") or "")),
        fault=str(exchange.get("fault") or ""),
    )


def _headers(headers: Any) -> tuple[tuple[str, Pieces], ...]:
    if not isinstance(headers, Mapping):
        return ()
    kept = [(str(name), str(value)) for name, value in headers.items() if str(name).lower() not in QUIET]
    return tuple((name, _secrets([Piece(value)])) for name, value in kept[:12])


def body(text: str) -> Pieces:
    """A body: JSON with indents and colours, a form one field a line, anything else as it is."""
    text = pretty(text)
    if text.lstrip().startswith(("{", "[")):
        return _secrets(_coloured(text))
    if re.fullmatch(r"[\w\[\]%.*+-]+=[^\s]*", text) and "&" in text:
        return _secrets(_fields(text))
    return _secrets([Piece(text)])


def pretty(text: str) -> str:
    """JSON with indents, its numbers as they came; what is not whole JSON stays as it is."""
    try:
        value = json.loads(text, parse_float=lambda figure: MARK + figure)
    except (ValueError, RecursionError):
        return text
    if not isinstance(value, dict | list):
        return text
    return re.sub(r'"\\u0000([-+.0-9eE]+)"', r"\1", json.dumps(value, ensure_ascii=False, indent=2))


def _coloured(text: str) -> Iterator[Piece]:
    done = 0
    for match in TOKEN.finditer(text):
        yield Piece(text[done : match.start()])
        yield Piece(match[0], {"key": "key", "text": ""}.get(str(match.lastgroup), "value"))
        done = match.end()
    yield Piece(text[done:])


def _fields(text: str) -> Iterator[Piece]:
    for index, pair in enumerate(text.split("&")):
        name, _, value = pair.partition("=")
        yield Piece("\n" if index else "")
        yield Piece(unquote_plus(name), "key")
        yield Piece(f" = {unquote_plus(value)}")


def _secrets(pieces: Iterable[Piece]) -> Pieces:
    """A hidden value becomes a piece of its own, so that it is never shown as dots that suggest a length."""
    found = []
    for piece in pieces:
        for index, part in enumerate(SECRET.split(piece.text)):
            found += [Piece("", "secret")] if index else []
            found += [Piece(part, piece.kind)] if part else []
    return tuple(found)
