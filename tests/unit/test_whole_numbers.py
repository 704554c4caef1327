import pytest

from outbox.message import BIGGEST
from outbox.whole_numbers import whole_number


@pytest.mark.parametrize("text", ["0", "7", "007", str(BIGGEST)])
def test_ascii_digits_are_a_number(text):
    assert whole_number(text) == int(text)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "²",
        "٣",
        "१",
        "1_0",
        " 1",
        "1\n",
        "+1",
        "-1",
        "1.0",
        "1e3",
        "0x1",
        str(BIGGEST + 1),
        "9" * 25,
        "9" * 5000,
    ],
)
def test_nothing_else_is(text):
    assert whole_number(text) is None


def test_a_number_beyond_what_is_asked_for_is_none():
    assert whole_number("3601", most=3600) is None
