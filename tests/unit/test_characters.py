import re
import sys
import unicodedata

from service.characters import INVISIBLE, SPACES


def every(*categories: str) -> list[str]:
    return [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in categories]


def test_spaces_are_exactly_what_python_strips() -> None:
    spaces = re.compile(f"[{SPACES}]")
    assert [one for one in map(chr, range(0x20000)) if bool(spaces.match(one)) == bool(one.strip())] == []


def test_no_format_of_this_python_s_unicode_is_missing_among_the_invisible_ones() -> None:
    assert [one for one in every("Cf") if not re.match(f"[{INVISIBLE}]", one)] == []
