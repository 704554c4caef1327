"""The one reader of whole numbers that come as text. Pure."""

from __future__ import annotations

import re

from outbox.message import BIGGEST

_DIGITS = re.compile(r"[0-9]{1,19}")


def whole_number(text: str | None, most: int = BIGGEST) -> int | None:
    """The number that these ASCII digits are, zero to `most`; None for anything else.

    str.isdigit is no help: "²" is a digit for it and none for int(), and int() of a very long text raises as well.
    """
    if text is None or not _DIGITS.fullmatch(text):
        return None
    number = int(text)
    return number if number <= most else None
