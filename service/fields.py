"""The kinds of values that events hold. Each kind tells by itself what it takes (`schema`) and takes it (`read`), so
that the API's description and the service cannot differ. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from service import email_address
from service.characters import SPACES

Schema = dict[str, Any]
"""A JSON Schema of the dialect of OpenAPI 3.1. Reference: https://spec.openapis.org/oas/v3.1.0#schema-object"""

TEXT_MAX = 255
"""Characters that the ERP keeps of a text; what is longer it would cut without a word."""

NOTHING: Schema = {"type": "null"}


class Wrong(ValueError):
    """A value that cannot be taken. The message says what was got and what is expected."""


def got(value: Any) -> str:
    """A value as an error may show it: short, and with its kind."""
    if value is None:
        return "nothing"
    kind = (
        "true or false" if isinstance(value, bool)
        else "a number" if isinstance(value, (int, float))
        else "a text" if isinstance(value, str)
        else "an object" if isinstance(value, Mapping)
        else "an array"
    )  # fmt: skip
    if isinstance(value, (Mapping, list)):
        return kind
    shown = json.dumps(value, ensure_ascii=True)
    return f"{shown if len(shown) <= 60 else shown[:57] + '...'} ({kind})"


def _around(pattern: str) -> str:
    """The pattern with spaces allowed on both sides."""
    return f"^[{SPACES}]*{pattern}[{SPACES}]*$"


@dataclass(frozen=True)
class Email:
    """An address of e-mail."""

    @property
    def schema(self) -> Schema:
        return {"type": "string", "maxLength": email_address.LONGEST, "pattern": email_address.PATTERN}

    def read(self, value: Any) -> str:
        """Its one form. Raises Wrong."""
        if value is None:
            raise Wrong("it is missing; expected an address such as student@example.com")
        email = email_address.normal_email(value) if isinstance(value, str) else None
        if email is not None:
            return email
        if isinstance(value, str) and (unseen := email_address.invisible(value)):
            raise Wrong(f"got {got(value)} with an invisible character, {unseen}; expected the address without it")
        raise Wrong(f"got {got(value)}, expected an address such as student@example.com")


@dataclass(frozen=True)
class Text:
    """A text with something in it beside spaces."""

    longest: int = TEXT_MAX
    cut_by: str = ""

    @property
    def schema(self) -> Schema:
        return {"type": "string", "maxLength": self.longest, "pattern": f"[^{SPACES}]"}

    def read(self, value: Any) -> str:
        """As it was sent. Raises Wrong."""
        if not isinstance(value, str) or not value.strip():
            raise Wrong(f"got {got(value)}, expected a text of 1 to {self.longest} characters")
        if len(value) > self.longest:
            why = f": {self.cut_by} would cut the rest" if self.cut_by else ""
            raise Wrong(f"got {len(value)} characters, expected at most {self.longest}{why}")
        return value


@dataclass(frozen=True)
class Whole:
    """A whole number of so many digits at most, also as text or as 67.0; a bool is none."""

    low: int = 1
    digits: int = 15
    empty_is_none: bool = False

    @property
    def high(self) -> int:
        return int(10**self.digits) - 1

    @property
    def _pattern(self) -> str:
        number = f"0{{0,9}}[1-9][0-9]{{0,{self.digits - 1}}}" if self.low else f"[0-9]{{1,{self.digits}}}"
        return _around(f"(?:{number})?" if self.empty_is_none else number)

    @property
    def schema(self) -> Schema:
        return {
            "anyOf": [
                {"type": "integer", "minimum": self.low, "maximum": self.high},
                {"type": "string", "pattern": self._pattern},
                NOTHING,
            ]
        }

    def exactly(self, values: Iterable[int]) -> Schema:
        """The schema of these numbers alone, however they are written."""
        numbers = sorted(set(values))
        text = _around(f"0{{0,9}}(?:{'|'.join(map(str, numbers))})")
        return {"anyOf": [{"enum": numbers}, {"type": "string", "pattern": text}]}

    def read(self, value: Any) -> int | None:
        """The number, or None for nothing. Raises Wrong."""
        number = None
        if value is None or (self.empty_is_none and isinstance(value, str) and not value.strip()):
            return None
        if isinstance(value, float) and value.is_integer():
            number = int(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            number = value
        elif isinstance(value, str) and re.search(self._pattern, value):
            number = int(value.strip())
        if number is None or not self.low <= number <= self.high:
            raise Wrong(f"got {got(value)}, expected a whole number from {self.low} to {self.high}")
        return number


_CENT = Decimal("0.01")
_AMOUNT = _around(r"[0-9]{1,31}(?:\.[0-9]{1,2}(?:(?:0{7}|9{7})[0-9]{1,24})?)?")


@dataclass(frozen=True)
class Amount:
    """A number or numeric text from zero with two decimals at most.

    What floating point made of such a number (0.1 + 0.2 is 0.30000000000000004) is rounded to it, where it is less than
    1e-9 away, or, of a number too large for that, two steps.
    """

    largest: float = 1e30

    @property
    def schema(self) -> Schema:
        return {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": self.largest, "multipleOf": 0.01},
                {"type": "string", "pattern": _AMOUNT},
                NOTHING,
            ],
            "description": "At most two decimals. A number that floating point has put less than 1e-9 beside one, as "
            "0.1 + 0.2 does, is rounded to it.",
        }

    def read(self, value: Any) -> int | float | str | None:
        """As it was sent, or rounded. Raises Wrong."""
        if value is None:
            return None
        if isinstance(value, str) and re.search(_AMOUNT, value):
            text = value.strip()
            return text if len(text.partition(".")[2]) <= 2 else str(Decimal(text).quantize(_CENT, ROUND_HALF_UP))
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= self.largest:
            if isinstance(value, int):
                return value
            rounded = round(value, 2)
            if rounded == value:
                return abs(value)  # -0.0 is zero
            if abs(rounded - value) < max(1e-9, min(2 * math.ulp(value), 1e-3)):
                return rounded
        raise Wrong(f"got {got(value)}, expected a number from zero with at most two decimals, as 1500.50")


@dataclass(frozen=True)
class SenderId:
    """A sender's own id of an event; none is allowed."""

    empty_is_none: bool = False

    @property
    def schema(self) -> Schema:
        some = f"[^{SPACES}]"
        return {
            "type": ["string", "null"],
            "maxLength": TEXT_MAX,
            "pattern": f"^$|{some}" if self.empty_is_none else some,
            "description": "The sender's own; the same event sent again under it counts once",
        }

    def read(self, value: Any) -> str | None:
        """As it was sent. Raises Wrong."""
        if value is None or (self.empty_is_none and value == ""):
            return None
        if not isinstance(value, str) or not value.strip() or len(value) > TEXT_MAX:
            raise Wrong(f"expected a text of 1 to {TEXT_MAX} characters, or none")
        return value


@dataclass(frozen=True)
class Millis:
    """A time in milliseconds since 1970. ahead: seconds that it may lie in the future."""

    ahead: float

    def schema(self, now: float) -> Schema:
        """What `read` takes at that time."""
        return {
            "anyOf": [{"type": "number", "minimum": 0, "maximum": (now + self.ahead) * 1000}, NOTHING],
            "description": f"Milliseconds since 1970; a later time delays, by {self.ahead / 86400:g} days at most",
        }

    def read(self, value: Any, now: float) -> float | None:
        """Seconds since 1970. Raises Wrong."""
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise Wrong(f"got {got(value)}, expected milliseconds since 1970")
        if value > (now + self.ahead) * 1000:
            days = f"{self.ahead / 86400:g} days"
            raise Wrong(f"got {got(value)}, expected milliseconds since 1970, at most {days} from now")
        return value / 1000
