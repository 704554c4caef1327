"""How names and telephones are compared: however they are written."""

import pytest

from outbox.sql.people import digits_of, fold, words_of


@pytest.mark.parametrize(
    "text",
    ["+7 912 345-67-89", "8 (912) 345 67 89", "89123456789", "79123456789", "9123456789", "+7\u00a0912\u2013345.67.89"],
)
def test_a_telephone_is_one_number_however_it_is_typed(text: str) -> None:
    assert digits_of(text) == "9123456789"


@pytest.mark.parametrize(
    ("text", "digits"), [("67-89", "6789"), ("+380 67 123 45 67", "380671234567"), (" 4711 ", "4711")]
)
def test_a_part_and_a_number_of_another_country_keep_all_their_digits(text: str, digits: str) -> None:
    assert digits_of(text) == digits


@pytest.mark.parametrize("text", ["", "Анна", "ann77@x", "0193-aa", "+-", "٠١٢٣٤"])
def test_what_is_no_telephone_has_no_digits(text: str) -> None:
    assert digits_of(text) == ""


def test_names_are_compared_without_their_spelling() -> None:
    assert fold("  Алёна\tСЁМИНА ") == "алена семина"


def test_what_is_searched_has_a_line_for_each_telephone_and_none_for_its_extension() -> None:
    assert words_of(["a@x"], "Анна Ли", "+7 912 345-67-89 доб. 12345, 8 (495) 000-00-01; 77") == (
        "a@x\nанна ли\n9123456789\n12345\n4950000001\n"
    )
    assert words_of([], None, "") == ""
