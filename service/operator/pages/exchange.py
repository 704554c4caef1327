"""A request and its answer as a person reads them: pretty JSON with whole numbers exact, secrets as a chip. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from markupsafe import Markup, escape

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


@dataclass(frozen=True)
class Shown:
    """One exchange, ready for the template. status: "" where no answer came."""

    method: str
    path: str
    request_headers: tuple[tuple[str, Markup], ...]
    request: Markup
    status: str
    response_headers: tuple[tuple[str, Markup], ...]
    response: Markup
    fault: str
    seconds: float
    raw_request: str
    raw_response: str


def show(exchange: Mapping[str, Any], secret: str) -> Shown:
    """secret: the word on the chip in a hidden value's place."""
    parts = urlsplit(str(exchange.get("url") or ""))
    path = parts.path + (f"?{unquote_plus(parts.query)}" if parts.query else "")
    request, response = str(exchange.get("request_body") or ""), str(exchange.get("response_body") or "")
    status = exchange.get("status")
    return Shown(
        method=str(exchange.get("method") or ""),
        path=path,
        request_headers=_headers(exchange.get("request_headers"), secret),
        request=body(request, secret),
        status="" if status is None else str(status),
        response_headers=_headers(exchange.get("response_headers"), secret),
        response=body(response, secret),
        fault=str(exchange.get("fault") or ""),
        seconds=float(exchange.get("seconds") or 0.0),
        raw_request=request,
        raw_response=response,
    )


def _headers(headers: Any, secret: str) -> tuple[tuple[str, Markup], ...]:
    if not isinstance(headers, Mapping):
        return ()
    kept = [(str(name), str(value)) for name, value in headers.items() if str(name).lower() not in QUIET]
    return tuple((name, chip(Markup(escape(value)), secret)) for name, value in kept[:12])


def body(text: str, secret: str) -> Markup:
    """A body: JSON with indents and colours, a form one field a line, anything else as it is."""
    text = pretty(text)
    if text.lstrip().startswith(("{", "[")):
        return chip(_coloured(text), secret)
    if re.fullmatch(r"[\w\[\]%.*+-]+=[^\s]*", text) and "&" in text:
        return chip(Markup("\n").join(_field(pair) for pair in text.split("&")), secret)
    return chip(Markup(escape(text)), secret)


def pretty(text: str) -> str:
    """JSON with indents, its numbers as they came; what is not whole JSON stays as it is."""
    try:
        found = json.loads(text, parse_float=lambda figure: MARK + figure)
    except (ValueError, RecursionError):
        return text
    if not isinstance(found, dict | list):
        return text
    return re.sub(r'"\\u0000([-+.0-9eE]+)"', r"\1", json.dumps(found, ensure_ascii=False, indent=2))


def _coloured(text: str) -> Markup:
    out, done = [], 0
    for match in TOKEN.finditer(text):
        out.append(escape(text[done : match.start()]))
        kind = match.lastgroup
        inner = escape(match[0])
        out.append(Markup('<span class="{}">{}</span>').format("k" if kind == "key" else "n", inner)
                   if kind in ("key", "number", "word") else inner)  # fmt: skip
        done = match.end()
    out.append(escape(text[done:]))
    return Markup("").join(out)


def _field(pair: str) -> Markup:
    name, _, value = pair.partition("=")
    return Markup('<span class="k">{}</span> = {}').format(unquote_plus(name), unquote_plus(value))


def chip(text: Markup, secret: str) -> Markup:
    """A hidden value as a chip, never as dots that suggest a length."""
    label = Markup('<span class="secret">{}</span>').format(secret)
    return Markup(str(text).replace(f"&#34;{HIDDEN}&#34;", str(label)).replace(HIDDEN, str(label)))
