"""Ids that sort by time, and the states of a delivery."""

import pathlib
import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.message import OPEN_STATES, Reason, State, new_id

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"


@given(st.floats(0, 2**38), st.binary(min_size=10, max_size=10))
def test_an_id_is_a_uuid_of_version_seven_that_bears_its_time(now: float, entropy: bytes) -> None:
    found = uuid.UUID(new_id(now, entropy))
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert found.int >> 80 == int(now * 1000)
    assert str(found) == new_id(now, entropy)


def test_ids_sort_by_their_time() -> None:
    ids = [new_id(1_800_000_000 + n / 1000) for n in range(100)]
    assert ids == sorted(ids) and len({new_id() for _ in range(1000)}) == 1000


def test_only_what_waits_or_is_being_sent_holds_its_key() -> None:
    assert set(OPEN_STATES) == {State.PENDING, State.SENDING}


@pytest.mark.parametrize("path", ["states.md", "ru/states.md"])
def test_every_state_is_drawn_and_explained(path: str) -> None:
    text = (DOCS / path).read_text()
    drawing = re.search(r"```mermaid\n(.*?)```", text, re.DOTALL)
    assert drawing is not None
    for state in State:
        assert state.value in drawing[1], state
        assert re.search(rf"^\| `{state.value}` \|", text, re.MULTILINE), state


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("already_further: the deal is on Won", "already_further", "the deal is on Won"),
        ("not_routed", "not_routed", ""),
        ("refused: 400: no such stage", "refused", "400: no such stage"),
        ("", "", ""),
    ],
)
def test_a_reason_is_a_code_and_words_in_one_text(text: str, code: str, words: str) -> None:
    reason = Reason(text)
    assert (reason.code, reason.words) == (code, words)
    assert reason == text == Reason.of(code, words)
