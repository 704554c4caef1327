"""The file .env: what is read literally, and what is a fault instead of a setting that is silently unset."""

import codecs

import pytest

from service.env_file import parse


def values(text: str) -> dict[str, str]:
    found, faults = parse(text.encode(), ".env")
    assert faults == []
    return found


def fault(data: bytes) -> str:
    _values, faults = parse(data, ".env")
    (one,) = faults
    assert "hunter2" not in one
    return one


def test_lines_are_read_as_they_stand() -> None:
    text = """
# a remark
A=1
export B = 'two words'
C="x # y"   # a remark

D=
E=p$s${HOME}$(id)\\n
F='${A}'
"""
    assert values(text) == {
        "A": "1",
        "B": "two words",
        "C": "x # y",
        "D": "",
        "E": "p$s${HOME}$(id)\\n",
        "F": "${A}",
    }


def test_a_mark_at_the_beginning_and_line_ends_of_windows_do_not_matter() -> None:
    assert parse(codecs.BOM_UTF8 + b"A=1\r\nB=2\r\n", ".env") == ({"A": "1", "B": "2"}, [])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("CRM_API_PASSWORD='hunter2", "CRM_API_PASSWORD: the quote is not closed"),
        ('CRM_API_PASSWORD="hunter2', "CRM_API_PASSWORD: the quote is not closed"),
        ("CRM_API_PASSWORD='hunter2' too", "the quote is not closed, or something follows"),
        ("CRM_API_PASSWORD: hunter2", "CRM_API_PASSWORD: a colon stands where = should"),
        ("CRM_API_PASSWORD:hunter2", "CRM_API_PASSWORD: a colon stands where = should"),
        ("CRM_API_URL:https://x/?key=hunter2", "CRM_API_URL: a colon stands where = should"),
        ("export CRM_API_KEY: hunter2", "CRM_API_KEY: a colon stands where = should"),
        ("CRM_API_PASSWORD hunter2", "cannot be read"),
        ("hunter2", "cannot be read"),
        ("set CRM_API_PASSWORD=hunter2", "cannot be read"),
        ("=hunter2", "cannot be read"),
        ("CRM_API_USERNAME=ann CRM_API_PASSWORD=hunter2", "CRM_API_USERNAME: another setting follows"),
        ("LOCALE=ru; export CRM_API_PASSWORD=hunter2", "LOCALE: another setting follows"),
        ("CRM-API-PASSWORD=hunter2", "no name of a setting"),
        ("\u200bCRM_API_PASSWORD=hunter2", "no name of a setting"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_with_its_number(line: str, words: str) -> None:
    said = fault(f"A=1\n\n# remark\n\n{line}\n".encode())
    assert said.startswith(".env, line 5: ")
    assert words in said


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_quote_that_swallows_the_settings_after_it_is_a_fault(quote: str) -> None:
    said = fault(f"A=1\nB={quote}hunter2\nC=3\nD=it{quote}\nE=5\n".encode())
    assert said.startswith((".env, line 2: the quote", ".env, line 2: B"))
    assert "in one line" in said


def test_a_quoted_value_may_hold_what_looks_like_a_setting() -> None:
    assert values("A='one; TWO=three'\n") == {"A": "one; TWO=three"}


def test_a_list_over_several_lines_is_read() -> None:
    assert values('API_KEYS="shop:one,\n  crm:two"\n') == {"API_KEYS": "shop:one,\n  crm:two"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("A=1\nB=hunter2\n".encode("utf-16"), ".env, line 1: it is UTF-16"),
        ("A=1\nB=hunter2\n".encode("utf-16-be"), ".env, line 1: it holds zero bytes"),
        ("A=1\nB=hunter2\n# Урок пройден\n".encode("cp1251"), ".env, line 3: it is no UTF-8 text"),
    ],
)
def test_a_file_in_another_encoding_is_a_fault(data: bytes, words: str) -> None:
    assert fault(data).startswith(words)


def test_a_setting_with_two_values_is_a_fault() -> None:
    said = fault(b"PORT=1\nCRM_API_KEY=hunter2\nCRM_API_KEY=hunter22\n")
    assert said == ".env, line 3: CRM_API_KEY has another value than in line 2; expected it once"


def test_the_same_value_twice_an_empty_one_and_an_example_do_no_harm() -> None:
    assert values("A=1\nA=1\n") == {"A": "1"}
    assert values("A=\nA=1\n") == values("A=1\nA=\n") == values("A=your_a\nA=1\n") == {"A": "1"}
