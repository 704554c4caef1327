"""Kinds of characters, for the inside of a pattern's brackets, and texts without those that do something.

Written out one by one, since \\s and \\w are other characters in Python than in JavaScript or Rust, and the patterns
that are built of these are published in the API's description. Pure.
"""

from __future__ import annotations

import re
import unicodedata


def _members(*wanted: str) -> str:
    ranges: list[list[int]] = []
    for code in (*range(0x80, 0x20000), *range(0xE0000, 0xE1000)):  # the planes that hold any
        if unicodedata.category(chr(code)) in wanted:
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(chr(low) if low == high else f"{chr(low)}-{chr(high)}" for low, high in ranges)


SPACES = r"\x09-\x0d\x1c-\x20" + "\x85" + _members("Zs", "Zl", "Zp")
"""Exactly what str.strip drops."""

INVISIBLE = _members("Cf") + "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u2800\u3164\ufe00-\ufe0f\uffa0"
"""Formats, fillers and joiners: nobody sees them in a text that was copied."""

_ACTING = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, but: str = "") -> str:
    """The text with what would end a line, steer a terminal or turn the writing's direction written out: ESC as \\x1b.

    but: such characters that stay.
    """
    if text.isprintable():
        return text
    return _ACTING.sub(lambda found: found[0] if found[0] in but else ascii(found[0])[1:-1], text)
