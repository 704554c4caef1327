"""The bracket parser: each rule of it, an independent parser as oracle, random bytes, and work that grows linearly."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any
from urllib.parse import quote_plus, urlencode

import pytest
import qs_codec
from hypothesis import example, given
from hypothesis import strategies as st

from service.sources.bracket_form import MAX_BYTES, MAX_DEPTH, MAX_FIELDS, Form, FormError, encode, parse


def pairs(value: Any, name: str = "") -> list[tuple[str, str]]:
    """A structure as the fields that a PHP sender makes of it."""
    if isinstance(value, str):
        return [(name, value)]
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [pair for key, inner in items for pair in pairs(inner, f"{name}[{key}]" if name else str(key))]


@pytest.mark.parametrize(
    ("body", "form"),
    [
        ("", {}),
        ("a=1&b=2", {"a": "1", "b": "2"}),
        ("a", {"a": ""}),
        ("a=&b[c]=", {"a": "", "b": {"c": ""}}),
        ("a[b][c]=1&a[b][d]=2", {"a": {"b": {"c": "1", "d": "2"}}}),
        ("a%5Bb%5D=%D1%8F+%26", {"a": {"b": "я &"}}),
        ("a[0]=x&a[1]=y", {"a": ["x", "y"]}),
        ("a[1]=y&a[0]=x", {"a": ["x", "y"]}),
        ("a[0][b]=1&a[0][c]=2&a[1][b]=3", {"a": [{"b": "1", "c": "2"}, {"b": "3"}]}),
        ("a[1]=x", {"a": {"1": "x"}}),
        ("a[00]=x", {"a": {"00": "x"}}),
        ("a[-1]=x&a[0]=y", {"a": {"-1": "x", "0": "y"}}),
        ("a[٠]=x", {"a": {"٠": "x"}}),
        ("0=x&1=y", {"0": "x", "1": "y"}),
    ],
)
def test_brackets_nest_and_numbers_from_zero_make_lists(body: str, form: Form) -> None:
    assert parse(body.encode()) == form


def test_ids_as_keys_stay_keys_and_no_list_of_their_size_is_made() -> None:
    body = b"linked_leads_id[999999999][ID]=999999999&linked_leads_id[4294967296123456789012][ID]=1"
    form = parse(body)
    assert form == {
        "linked_leads_id": {"999999999": {"ID": "999999999"}, "4294967296123456789012": {"ID": "1"}},
    }


@pytest.mark.parametrize(
    ("body", "form"),
    [
        ("a[]=x&a[]=y", {"a": ["x", "y"]}),
        ("a[][b]=x&a[][b]=y", {"a": [{"b": "x"}, {"b": "y"}]}),
        ("a[5]=x&a[]=y", {"a": {"5": "x", "6": "y"}}),
        ("a[0]=x&a[]=y", {"a": ["x", "y"]}),
        ("a[x]=1&a[]=y", {"a": {"x": "1", "0": "y"}}),
        ("a[b][]=x&c[b][]=y", {"a": {"b": ["x"]}, "c": {"b": ["y"]}}),
    ],
)
def test_empty_brackets_take_the_next_number_of_their_own_node(body: str, form: Form) -> None:
    assert parse(body.encode()) == form


@pytest.mark.parametrize(
    ("body", "form"),
    [
        ("a=1&a=2", {"a": "2"}),
        ("a[b]=1&a[b]=2", {"a": {"b": "2"}}),
        ("a=1&a[b]=2", {"a": {"": "1", "b": "2"}}),
        ("a[b]=2&a=1", {"a": {"": "1", "b": "2"}}),
        ("a=1&a[0]=2", {"a": {"": "1", "0": "2"}}),
        ("a=1&a[b]=2&a=3", {"a": {"": "3", "b": "2"}}),
        ("v[0]=1725915600&v[0][value]=x", {"v": [{"": "1725915600", "value": "x"}]}),
    ],
)
def test_the_last_of_equal_keys_counts_and_a_value_that_is_a_parent_too_loses_nothing(body: str, form: Form) -> None:
    assert parse(body.encode()) == form


@pytest.mark.parametrize("name", ["a[b", "a]b", "a[b]c", "[a]", "[]", "a[b]]", "a[[b]]", "a[b[c]]", "]", "[", ""])
def test_brackets_that_do_not_pair_are_taken_as_they_stand(name: str) -> None:
    assert parse(f"{name}=1&x=2".encode()) == {name: "1", "x": "2"}


def test_bad_escapes_bad_utf8_and_nul_are_replaced() -> None:
    assert parse(b"a=%zz&b=%&c=%ff&d=\xff&e=%00x\x00&f%00=1") == {
        "a": "%zz",
        "b": "%",
        "c": "\ufffd",
        "d": "\ufffd",
        "e": "\ufffdx\ufffd",
        "f\ufffd": "1",
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"a=" + b"x" * (MAX_BYTES - 1), r"got a form of 1048577 bytes, expected at most 1048576; send"),
        (b"&".join([b"a=1"] * (MAX_FIELDS + 1)), r"got a form of 20001 fields, expected at most 20000; send"),
        (b"a" + b"[b]" * MAX_DEPTH + b"=1", r"got a form key nested 13 deep \('a\[b\].*\), expected at most 12; send"),
    ],
)
def test_a_form_beyond_a_cap_is_refused_in_words(body: bytes, message: str) -> None:
    with pytest.raises(FormError, match=message):
        parse(body)


def test_a_form_at_its_caps_is_read() -> None:
    assert parse(b"a=" + b"x" * (MAX_BYTES - 2)) == {"a": "x" * (MAX_BYTES - 2)}
    assert len(parse(b"&".join(b"a%d=1" % number for number in range(MAX_FIELDS)))) == MAX_FIELDS
    assert parse(b"a" + b"[b]" * (MAX_DEPTH - 1) + b"=1") != {}


# ---- against an oracle ----

NAMES = st.sampled_from(["leads", "status", "id", "custom_fields", "values", "name", "price", "tags", "_links", "self"])
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
IDS = st.integers(min_value=2, max_value=10**10).map(str)
STRUCTURES = st.dictionaries(
    NAMES,
    st.recursive(
        TEXT,
        lambda inner: (
            st.lists(inner, min_size=1, max_size=4)
            | st.dictionaries(NAMES, inner, min_size=1, max_size=4)
            | st.dictionaries(IDS, inner, min_size=1, max_size=3)
        ),
        max_leaves=25,
    ),
    max_size=4,
)


def oracle(body: bytes) -> Any:
    """qs-codec with its limits out of the way and its lists, which pass 20 entries as dicts, left to us."""
    options = qs_codec.DecodeOptions(
        depth=200, parameter_limit=10**6, list_limit=0, parse_lists=False, duplicates=qs_codec.Duplicates.LAST
    )
    return lists(qs_codec.decode(body.decode(), options), top=True)


def lists(value: Any, top: bool = False) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: lists(each) for key, each in value.items()}
    if not top and sorted(inner) == sorted(str(number) for number in range(len(inner))):
        return [inner[str(number)] for number in range(len(inner))]
    return inner


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((depth(each) for each in inner), default=0)


@given(STRUCTURES, st.randoms(use_true_random=False))
@example({"leads": [{"values": "1"}] * 25}, None)  # qs-codec's list limit
def test_what_a_sender_had_is_what_we_read_and_an_independent_parser_agrees(form: Any, random: Any) -> None:
    fields = pairs(form)
    if random is not None:
        random.shuffle(fields)  # no order of fields is promised
    body = urlencode(fields).encode()
    read = parse(body, max_depth=100)
    assert read == form
    assert read == oracle(body)


@given(STRUCTURES)
def test_unescaped_brackets_and_text_are_read_as_well(form: Any) -> None:
    body = "&".join(f"{name}={quote_plus(value)}" for name, value in pairs(form))
    assert parse(body.encode(), max_depth=100) == form


PIECES = st.sampled_from(
    [b"a", b"b", b"0", b"1", b"[", b"]", b"[]", b"[0]", b"=", b"&", b"%5B", b"%5D", b"%", b"\xff", b"\0"]
)


@given(st.binary(max_size=300) | st.lists(PIECES, max_size=40).map(b"".join))
def test_whatever_bytes_come_a_form_is_read_or_refused(body: bytes) -> None:
    try:
        form = parse(body)
    except FormError:
        return
    assert depth(form) <= MAX_DEPTH + 2  # the dict itself and the value below the last key

    def check(value: Any) -> None:
        assert isinstance(value, (str, list, dict))
        if isinstance(value, str):
            assert "\0" not in value
            value.encode()  # no lone surrogates
            return
        for each in value.values() if isinstance(value, dict) else value:
            check(each)

    check(form)


# ---- linear ----


def steps(body: bytes) -> int:
    """The lines of Python that reading a body takes, urllib's included: a measure of work that no clock disturbs."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        parse(body)
    finally:
        sys.settrace(before)
    return count


SHAPES: dict[str, Callable[[int], str]] = {
    "flat": lambda number: f"a{number}=1",
    "one list": lambda number: f"a[{number}][b]=1",
    "a list backwards": lambda number: f"a[{20_000 - number}]=1",
    "empty brackets": lambda number: "a[]=1",
    "nodes in empty brackets": lambda number: "a[][b][]=1",
    "ids as keys": lambda number: f"a[{number * 977 + 5}][ID]=1",
    "one key": lambda number: "a[b]=1",
    "value and parent": lambda number: "a=1" if number % 2 else "a[b]=1",
    "deep": lambda number: f"a{number}[b][c][d][e][f][g][h][i]=1",
    "broken": lambda number: f"a{number}[b=1",
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_ten_times_the_fields_cost_no_more_than_fifteen_times_the_steps(shape: Callable[[int], str]) -> None:
    small, large = ("&".join(map(shape, range(fields))).encode() for fields in (2_000, 20_000))
    parse(b"warm=up")
    assert steps(large) <= 15 * steps(small)


@pytest.mark.parametrize(
    "body",
    [
        "a[0][id]=1&a[0][name]=%D0%9A%D1%83%D1%80%D1%81&a[0][fields][0][values][0]=x",
        "a[3]=1&a[9]=2",
        "a=1&a[b]=2",
        "a=",
        "a[x][y][z]=%26%3D%5B",
    ],
)
def test_what_is_written_again_reads_the_same(body: str) -> None:
    read = parse(body.encode())
    assert parse(encode("a", read["a"]).encode()) == read
