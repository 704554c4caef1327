"""When a request is handed to a thread: exactly when all of it is there, however it was cut into pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.serving.arrival import BODY_MAX, HEAD_MAX, Arrival, HeadTooLong

bodies = st.binary(max_size=300)


def with_length(body: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\ncontent-LENGTH: %d\r\nX: y\r\n\r\n" % len(body) + body


def in_chunks(parts: list[bytes], trailer: bytes) -> bytes:
    chunks = b"".join(b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in parts if part)
    return b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n" + trailer + b"\r\n"


requests = st.one_of(
    bodies.map(with_length),
    st.builds(in_chunks, st.lists(bodies, max_size=4), st.sampled_from([b"", b"X: y\r\n"])),
    st.just(b"GET / HTTP/1.0\r\n\r\n"),
    st.just(b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
)


@given(requests, requests, st.data())
def test_a_request_is_complete_with_its_last_byte_and_not_before(one: bytes, after: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(one) - 1), max_size=6)))
    arrival, received = Arrival(), bytearray()
    for begin, end in zip([0, *cuts], [*cuts, len(one) - 1], strict=True):
        received += one[begin:end]
        assert not arrival.complete(received)
    received += one[-1:] + after
    assert arrival.complete(received)
    assert (arrival.whole, arrival.cut) == (len(one), False)


@given(st.binary(max_size=400), st.sampled_from([b"", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"]))
def test_no_bytes_make_it_stumble(noise: bytes, head: bytes) -> None:
    arrival, received = Arrival(), bytearray(head)
    for byte in noise:
        received.append(byte)
        if arrival.complete(received):
            assert arrival.cut or arrival.whole <= len(received)
            break


def test_a_body_beyond_all_limits_is_not_waited_for() -> None:
    arrival = Arrival()
    assert arrival.complete(bytearray(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (BODY_MAX + 1)))
    assert arrival.cut


def test_chunks_beyond_all_limits_are_not_waited_for() -> None:
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    for rest in (b"ffffffff\r\n", b"1" * 9000, b"-1\r\n", b"5" * 5000 + b"\r\n", b"0\r\n" + b"X: y\r\n" * 20_000):
        arrival = Arrival()
        assert arrival.complete(bytearray(head + rest)), rest[:20]
        assert arrival.cut


def test_a_head_without_an_end_is_refused() -> None:
    with pytest.raises(HeadTooLong):
        Arrival().complete(bytearray(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * (HEAD_MAX // 6)))
