"""Fuzzy contact search: a case-insensitive substring over every field, quick at a hundred thousand contacts.

One long text with a line per field is searched by `str.find`, which costs a millisecond or two per 100,000 contacts. An
index of whole words would be quicker and wrong: amoCRM also finds `joanna@example.com` for `anna@example.com`.
"""

from bisect import bisect_right
from collections.abc import Iterable

PHONE_SIGNS = set("+()- 0123456789")


def phone_digits(text: str) -> str:
    """The digits, if the text is a phone number written in any way; else an empty text."""
    if not text or not set(text) <= PHONE_SIGNS:
        return ""
    digits = "".join(sign for sign in text if sign.isdigit())
    return digits if len(digits) >= 5 else ""


def matches(query: str, texts: Iterable[str]) -> bool:
    """Whether one of the texts holds the query, in any case; phone numbers are compared by their digits."""
    needle, digits = query.casefold().strip(), phone_digits(query.strip())
    return any(needle in text.casefold() or (digits and digits in phone_digits(text)) for text in texts)


class _Text:
    """Lines with their owners; ASCII apart from the rest, since Python keeps the one in a byte per sign."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._owners: list[int] = []
        self._joined = ""
        self._starts: list[int] = []
        self._built = 0

    def add(self, line: str, owner: int) -> None:
        self._lines.append(line)
        self._owners.append(owner)

    def _build(self) -> None:
        position = len(self._joined)
        fresh = self._lines[self._built :]
        for line in fresh:
            self._starts.append(position)
            position += len(line) + 1
        self._joined += "".join(f"{line}\n" for line in fresh)
        self._built = len(self._lines)

    def find(self, needle: str) -> set[int]:
        if self._built < len(self._lines):
            self._build()
        found: set[int] = set()
        position = self._joined.find(needle)
        while position >= 0:
            line = bisect_right(self._starts, position) - 1
            found.add(self._owners[line])
            if line + 1 == len(self._starts):
                break
            position = self._joined.find(needle, self._starts[line + 1])
        return found


class SearchIndex:
    """Texts by owner. Owners that changed or went are the caller's to check: a hit is only a candidate."""

    def __init__(self) -> None:
        self._ascii = _Text()
        self._other = _Text()

    def add(self, owner: int, texts: Iterable[str]) -> None:
        for text in texts:
            line = text.casefold().replace("\n", " ")
            (self._ascii if line.isascii() else self._other).add(line, owner)
            digits = phone_digits(text)
            if digits and digits != line:
                self._ascii.add(digits, owner)

    def find(self, query: str) -> set[int]:
        needle = query.casefold().strip().replace("\n", " ")
        if not needle:
            return set()
        found = self._other.find(needle)
        if needle.isascii():
            found |= self._ascii.find(needle)
        digits = phone_digits(query.strip())
        if digits and digits != needle:
            found |= self._ascii.find(digits)
        return found
