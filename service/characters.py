"""Kinds of characters, for the inside of a pattern's brackets, and texts without those that do something.

Written out one by one, since \\s and \\w are other characters in Python than in JavaScript or Rust, and the patterns
that are built of these are published in the API's description. Pure.
"""

from __future__ import annotations

import re

SPACES = r"\x09-\x0d\x1c-\x20" + "\x85\xa0\u1680\u2000-\u200a\u2028-\u2029\u202f\u205f\u3000"
"""Exactly what str.strip drops."""

INVISIBLE = (
    "\xad\u0600-\u0605\u061c\u06dd\u070f\u0890-\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001"
    "\U000e0020-\U000e007f"  # category Cf up to here
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u2800\u3164\ufe00-\ufe0f\uffa0"
)
"""Formats, fillers and joiners: nobody sees them in a text that was copied."""

_ACTING = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, but: str = "") -> str:
    """The text with what would end a line, steer a terminal or turn the writing's direction written out: ESC as \\x1b.

    but: such characters that stay.
    """
    if text.isprintable():
        return text
    return _ACTING.sub(lambda found: found[0] if found[0] in but else ascii(found[0])[1:-1], text)
