"""What a reply of Rukovoditel says: its body decides, its status alone nothing, and its type is always text/html.

Reference: https://docs.rukovoditel.net.ru/index.php?p=57
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ANSWER = re.compile(r'\{\s*"status"\s*:')
"""How each of its answers begins, wherever in the page that is."""

SHOWN = 120
"""Characters that are shown of what PHP wrote before an answer."""


class Garbled(Exception):
    """A reply that is neither a success nor a refusal: the ERP may or may not have acted.

    ended: its script came to an end, well or badly, so that what it did not do until now it will not do.
    """

    def __init__(self, message: str, status: int, *, ended: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.ended = ended
        self.retry_after: float | None = None

    @property
    def is_empty_500(self) -> bool:
        """What a wrong user, password or right gets."""
        return self.status == 500 and self.ended


class Refused(Exception):
    """The ERP says no, in words of its own. Nothing was changed."""

    def __init__(self, words: str, code: str, status: int) -> None:
        super().__init__(words)
        self.words = words
        self.code = code
        self.status = status


class Moved(Refused):
    """Not the ERP's script answers, but a redirect to another address."""

    def __init__(self, location: str, status: int) -> None:
        super().__init__(f"a redirect ({status}) to {location or 'nowhere'}", "moved", status)
        self.location = location


@dataclass(frozen=True)
class Success:
    """A reply that says success. data: whatever the action gives; beside: the fields next to it. before: what PHP wrote
    in front of it, where errors are displayed; "" as it should be."""

    data: Any
    beside: Mapping[str, Any]
    before: str = ""


def read_reply(status: int, body: str, location: str = "") -> Success:
    """What a reply says. location: where a redirect leads.

    Raises Refused, Garbled.
    """
    if 300 <= status < 400:
        raise Moved(location, status)
    text = body.lstrip("\ufeff").strip()
    node, before = _answer(text)
    if isinstance(node, dict) and node.get("status") == "success":
        beside = {name: value for name, value in node.items() if name not in ("status", "data")}
        return Success(node.get("data"), beside, before)
    if isinstance(node, dict) and node.get("status") == "error":
        code = _text(node.get("error_code"))
        raise Refused(_text(node.get("error_message")) or code or "no reason given", code, status)
    raise _unreadable(text, status, is_json=node is not None)


def inserted_id(data: Any) -> str:
    """The id of the one row that an insert or update names; "" for none."""
    found = data.get("id") if isinstance(data, Mapping) else None
    text = _text(found)
    return "" if text == "0" else text


def taken_fields(data: Any) -> list[str]:
    """The bare numbers of the unique fields whose value was there already."""
    listed = data.get("unique_fields_warning") if isinstance(data, Mapping) else None
    if isinstance(listed, Mapping):
        listed = list(listed.values())
    if not isinstance(listed, list):
        return []
    return [_text(one.get("id")).removeprefix("field_") for one in listed if isinstance(one, Mapping)]


def rows_of(data: Any) -> list[Mapping[str, Any]]:
    """The rows of a select; PHP writes a list with gaps as an object."""
    listed = list(data.values()) if isinstance(data, Mapping) else data
    return [row for row in listed if isinstance(row, Mapping)] if isinstance(listed, list) else []


def _answer(text: str) -> tuple[Any, str]:
    """The page's JSON, None for none, and what stood before it."""
    try:
        return json.loads(text), ""
    except (ValueError, RecursionError):
        pass
    for match in reversed(list(ANSWER.finditer(text))):
        try:
            node, _ = json.JSONDecoder().raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        words = " ".join(re.sub(r"<[^>]*>", " ", text[: match.start()]).split())
        return node, words[:SHOWN] or "a page"
    return None, ""


def _unreadable(text: str, status: int, is_json: bool) -> Garbled:
    # What PHP itself says, or leaves unsaid, comes when its script has ended; a gateway's page tells nothing of it.
    if not text:
        words = "an empty page, which usually means a wrong user, password or right"
        return Garbled(words, status, ended=status in (200, 500))
    if "<app_db_error" in text[:2000]:
        return Garbled("a page that tells of a fault of its database", status, ended=True)
    if "Fatal error" in text[:2000]:
        words = "a page of a PHP error, which usually means a wrong user, password or right"
        return Garbled(words, status, ended=True)
    if is_json:
        return Garbled("JSON that says neither success nor error", status, ended=True)
    return Garbled(f"a page of {len(text)} characters", status)


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool | Mapping | list):
        return ""
    return str(value).strip()
