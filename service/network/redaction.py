"""Hiding what is secret in texts that are kept: the values of secret names in JSON, forms, queries and headers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

BODY_KEPT = 4096
HIDDEN = "[hidden]"

_NAMES = "key|password|username|client_secret|refresh_token|access_token|api_key|secret|code"
_IN_JSON = re.compile(rf'(?<![A-Za-z0-9_])(?:{_NAMES})(?P<quote>\\*")\s*:\s*', re.IGNORECASE)
_IN_FORM = re.compile(rf"((?:^|[?&;])(?:{_NAMES})=)[^&#\"'\s\\<]*", re.IGNORECASE)
_IN_PATH = re.compile(r"(webhooks\\?/amocrm\\?/)[^\s\"'\\/?&#<]+")  # our own hook's address, as amoCRM is told it
_JWT = re.compile(r"\beyJ[\w-]{10,}(?:\.[\w-]*){0,2}")  # any access token, also one that is not ours any more
_SCHEME = re.compile(r"\b(Basic|Bearer)(\s+)[\w+/.=~-]{6,}", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^\s/?#\"'<>@\\]+@")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_NESTED = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[{}\[\]]', re.DOTALL)
_SCALAR = re.compile(r'[^\s,}\]"\\]*')
SECRET_HEADERS = {"authorization", "proxy-authorization", "x-refresh-token", "x-api-key", "cookie", "set-cookie"}
SECRET_KEYS = frozenset(_NAMES.split("|"))


def masked(text: str, *, errors: bool = False) -> str:
    """A text with the values of secret names hidden: in JSON (also cut or quoted in a string), forms and queries.

    errors: the text is an answer, where `code` names an error.
    """
    # Most texts hold none of it, and a plain search for the words costs a tenth of an expression's.
    folded = text.casefold()
    named = any(name in folded for name in SECRET_KEYS)
    if named:
        text = _without_json_values(text, errors)
    text = without_users(_IN_PATH.sub(rf"\1{HIDDEN}", text))
    if "basic" in folded or "bearer" in folded:
        text = _SCHEME.sub(rf"\1\2{HIDDEN}", text)
    if "eyJ" in text:
        text = _JWT.sub(HIDDEN, text)
    if not named:
        return text
    return _IN_FORM.sub(lambda m: m[0] if errors and "code=" in m[1].lower() else m[1] + HIDDEN, text)


def _without_json_values(text: str, errors: bool) -> str:
    out = []
    done = 0
    while match := _IN_JSON.search(text, done):
        out.append(text[done : match.end()])
        done = match.end()
        if errors and match[0].lower().startswith("code"):
            continue
        quote = match["quote"]
        done = _end_of_value(text, done, quote)
        out.append(f"{quote}{HIDDEN}{quote}")
    return "".join([*out, text[done:]])


def without_users(text: str) -> str:
    """A text whose addresses name no user and no password: https://user:password@host as https://[hidden]@host."""
    return _USER.sub(f"{HIDDEN}@", text) if "://" in text else text


def masked_url(url: str) -> str:
    """A URL without its user and password, the values of secret names hidden."""
    try:
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
        return masked(urlunsplit((parts.scheme, place, parts.path, parts.query, "")))
    except ValueError:
        return HIDDEN


def _end_of_value(text: str, start: int, quote: str) -> int:
    """Where a JSON value ends, or a cut text. quote: as the key bore it, with backslashes inside a string."""
    if text.startswith(quote, start):
        if quote == '"':
            found = _STRING.match(text, start)
            return found.end() if found else len(text)
        inner = re.compile(r"(?<!\\)" + re.escape(quote)).search(text, start + len(quote))
        return inner.end() if inner else len(text)
    if text.startswith(("{", "["), start):
        depth = 0
        for token in _NESTED.finditer(text, start):
            depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
            if depth == 0:
                return token.end()
        return len(text)
    scalar = _SCALAR.match(text, start)
    return scalar.end() if scalar else start


def secrets_in(value: Any) -> Iterator[str]:
    """The values that a request sends under secret names, to be hidden where an answer repeats them."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if str(name).lower() in SECRET_KEYS - {"username"} and isinstance(inner, str):
                yield inner
            else:
                yield from secrets_in(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from secrets_in(inner)


def sent_secrets(url: str, headers: Mapping[str, str] | None, json: Any, data: Any) -> tuple[str, ...]:
    """The secrets that a request bears, in its body, its headers and its address."""
    found = [*secrets_in(json), *secrets_in(data if isinstance(data, Mapping) else None)]
    found += [value.rpartition(" ")[2] for name, value in (headers or {}).items() if name.lower() in SECRET_HEADERS]
    try:
        password = urlsplit(url).netloc.rpartition("@")[0].partition(":")[2]
    except ValueError:
        password = ""
    found += [password, unquote(password)]
    return tuple(dict.fromkeys(one for one in found if one))


def hide(text: str, secrets: tuple[str, ...]) -> str:
    """A text without these secrets, as they are or as JSON and addresses write them."""
    for secret in secrets:
        for form in dict.fromkeys((secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1],
                                   quote(secret, safe=""))):  # fmt: skip
            if len(form) >= 6:
                text = text.replace(form, HIDDEN)
            elif len(form) >= 4:  # a short one could tear innocent words and figures apart
                text = re.sub(rf"(?<![^\W_]){re.escape(form)}(?![^\W_])", HIDDEN, text)
    return text


def kept(text: str, secrets: tuple[str, ...], *, errors: bool = False) -> str:
    size = len(text.encode("utf-8", "replace"))
    # Cut first, since masking all of a long answer is wasted; far enough for masked text to fill what is kept.
    text = masked(hide(text[: BODY_KEPT * 8], secrets), errors=errors)
    if size <= BODY_KEPT:
        return text
    return text.encode("utf-8", "replace")[:BODY_KEPT].decode("utf-8", "ignore") + f"… ({size} bytes in all)"


def masked_headers(headers: Mapping[str, str], secrets: tuple[str, ...]) -> dict[str, str]:
    return {
        name: HIDDEN if name.lower() in SECRET_HEADERS else masked(hide(value, secrets))[:512]
        for name, value in list(headers.items())[:50]
    }
