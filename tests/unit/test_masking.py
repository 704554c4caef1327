"""An address that nobody may read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.masking import masked_email
from service.logs import mask_emails


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("student@example.com", "s***t@example.com"),
        ("abc@x.ru", "a***c@x.ru"),
        ("ab@x.ru", "a***@x.ru"),
        ("a@x.ru", "***@x.ru"),
        ("@x.ru", "***@x.ru"),
        ("иван@почта.рф", "и***н@почта.рф"),
    ],
)
def test_an_address_shows_its_first_and_last_letter_at_most(address: str, shown: str) -> None:
    assert masked_email(address) == shown


@given(st.text(st.characters(exclude_characters="*@"), min_size=1, max_size=80))
def test_no_name_is_shown_whole(name: str) -> None:
    shown, _, domain = masked_email(f"{name}@example.com").rpartition("@")
    first, _, last = shown.partition("***")
    assert domain == "example.com" and len(first) <= 1 and len(last) <= 1
    assert len(first + last) < len(name) and name.startswith(first) and name.endswith(last)


@given(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.+%'-]{1,30}", fullmatch=True))
def test_the_log_masks_as_the_store_does(name: str) -> None:
    address = f"{name}@example.com"
    assert mask_emails(f"for <{address}>, failed") == f"for <{masked_email(address)}>, failed"
