"""Reads form bodies whose keys are written as PHP reads them: a[b][0][c]=1."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode

MAX_BYTES = 1024 * 1024
MAX_FIELDS = 20_000
MAX_DEPTH = 12

Value: TypeAlias = "str | list[Value] | dict[str, Value]"
Form: TypeAlias = dict[str, Value]

_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")
_INDEX = re.compile(r"0|[1-9][0-9]{0,17}")  # longer ones are not counted on: int() of a long text is slow


class FormError(ValueError):
    """A form beyond the caps. The message says what was got, what is expected and what to do; it quotes no values."""


def parse(body: bytes, *, max_bytes: int = MAX_BYTES, max_fields: int = MAX_FIELDS, max_depth: int = MAX_DEPTH) -> Form:
    """The form as nested dicts, lists and strings. Raises FormError only for a body beyond the caps.

    A node whose keys are exactly 0 to n-1 is a list, any other a dict: ids as keys (linked_leads_id[12345]) stay keys.
    `a[]` takes the number after the highest one so far. Of equal keys the last counts. A key that is a value and a
    parent at once keeps its value under "". Brackets that do not pair are part of the name. Bytes that are no UTF-8,
    and NUL, which no PostgreSQL text can hold, become U+FFFD. The work grows linearly with the body.

    Reference: https://www.php.net/manual/en/language.variables.external.php
    """
    if len(body) > max_bytes:
        raise FormError(f"got a form of {len(body)} bytes, expected at most {max_bytes}; send fewer changes in one")
    fields = body.count(b"&") + 1
    if fields > max_fields:
        raise FormError(f"got a form of {fields} fields, expected at most {max_fields}; send fewer changes in one")
    root = _Node()
    for name, value in parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, errors="replace"):
        path = _path(name.replace("\0", "\ufffd"))
        if len(path) > max_depth:
            raise FormError(
                f"got a form key nested {len(path)} deep ({name[:60]!r}), expected at most {max_depth}; "
                "send fewer levels of brackets"
            )
        node = root
        for part in path[:-1]:
            node = node.child(part)
        node.put(path[-1], value.replace("\0", "\ufffd"))
    return {name: _plain(value) for name, value in root.items()}


def encode(name: str, value: Value) -> str:
    """The form that `parse` reads as this value under that name."""
    return urlencode(list(_pairs(name, value)))


def _pairs(name: str, value: Value) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _pairs(f"{name}[{key}]" if key != "" else name, inner)


class _Node(dict[str, Any]):
    """Strings and nodes by key. following: the number that the next `[]` stands for."""

    following = 0

    def key(self, part: str | None) -> str:
        part = str(self.following) if part is None else part
        if _INDEX.fullmatch(part):
            self.following = max(self.following, int(part) + 1)
        return part

    def child(self, part: str | None) -> _Node:
        key = self.key(part)
        found = self.get(key)
        if isinstance(found, _Node):
            return found
        self[key] = made = _Node() if found is None else _Node({"": found})
        return made

    def put(self, part: str | None, value: str) -> None:
        key = self.key(part)
        found = self.get(key)
        if isinstance(found, _Node):
            found[""] = value
        else:
            self[key] = value


def _path(name: str) -> list[str | None]:
    """The parts of a key; None is `[]`."""
    match = _KEY.fullmatch(name)
    return [match[1], *(part or None for part in _PART.findall(match[2]))] if match else [name]


def _plain(value: Any) -> Value:
    if not isinstance(value, _Node):
        return str(value)
    if all(str(index) in value for index in range(len(value))):
        return [_plain(value[str(index)]) for index in range(len(value))]
    return {key: _plain(inner) for key, inner in value.items()}
