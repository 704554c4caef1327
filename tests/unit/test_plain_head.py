"""A head that is read without gunicorn's parser means what gunicorn's parser makes of it."""

from typing import Any

import pytest
from gunicorn import http
from gunicorn.config import Config
from gunicorn.http import wsgi
from hypothesis import given
from hypothesis import strategies as st

from service.serving.plain_head import read_head

LINE = b"POST /api/tripwire/complete HTTP/1.1\r\n"
PLAIN = LINE + b"Host: school.example:8000\r\nContent-Length: 2\r\n\r\n"
CONFIG = Config()
CLIENT, SERVER = ("192.0.2.1", 40000), ("127.0.0.1", 8000)


class Socket:
    """What a parser reads from."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def recv(self, size: int) -> bytes:
        given, self.data = self.data[:size], self.data[size:]
        return given


def by_gunicorn(head: bytes) -> dict[str, Any]:
    sock = Socket(head + b"{}")
    request = next(http.get_parser(CONFIG, sock, CLIENT))
    environ: dict[str, Any] = wsgi.create(request, sock, CLIENT, SERVER, CONFIG)[1]
    return environ


def headers_of(environ: dict[str, Any]) -> dict[str, str]:
    return {key: value for key, value in environ.items() if key.startswith(("HTTP_", "CONTENT_"))}


names = st.sampled_from(
    ["Host", "host", "Content-Type", "content-length", "Content-Length", "Authorization", "X-API-Key", "X_API_Key",
     "Transfer-Encoding", "Expect", "Connection", "Upgrade", "Idempotency-Key", "X-Forwarded-For", "Script-Name", "A"]
) | st.text("Aa-_: \t1é", max_size=6)  # fmt: skip
values = st.sampled_from(
    ["2", "02", "+2", "2, 2", "", "chunked", "100-continue", "keep-alive", "close", "Bearer a-key", "a\tb", " 2", "2 "]
) | st.text('a\x00\x0b\x7f\xa0é ,;"', max_size=6)
colons = st.sampled_from([": ", ":", ":  ", ":\t", " : ", ""])
ends = st.sampled_from(["\r\n"] * 8 + ["\n", "\r", "\r\n ", "\r\n\t"])
lines = st.builds(lambda name, colon, value, end: f"{name}{colon}{value}{end}", names, colons, values, ends)
heads = st.lists(lines, max_size=6).map(lambda those: LINE + "".join(those).encode("latin-1", "replace") + b"\r\n")


@given(heads)
def test_it_is_read_as_gunicorn_reads_it_or_not_at_all(head: bytes) -> None:
    read = read_head(head, LINE)
    if read is not None:
        environ = by_gunicorn(head)
        assert headers_of(environ) == read
        assert (environ["REQUEST_METHOD"], environ["PATH_INFO"]) == ("POST", "/api/tripwire/complete")


@given(st.binary(max_size=200))
def test_no_bytes_make_it_stumble(noise: bytes) -> None:
    read_head(noise, LINE)
    read_head(LINE + noise + b"\r\n\r\n", LINE)


def test_a_plain_one_is_read() -> None:
    assert read_head(PLAIN, LINE) == headers_of(by_gunicorn(PLAIN)) != {}


@pytest.mark.parametrize(
    "more",
    ["Host: other", "Content-Length: 3", "Transfer-Encoding: chunked", "Expect: 100-continue", "Connection: upgrade",
     "A:no space", "A:  two", "A: ends ", "A: tab\there", "A: caf\xe9", "A : b", "A_B: c", "A: b\r\n folded",
     "A: b\nC: d", "A: b\rC: d", "A: nul\x00", ": nameless", "A", "A: " + "b" * 4096],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_left_to_the_parser(more: str) -> None:
    head = PLAIN.replace(b"\r\n\r\n", b"\r\n" + more.encode("latin-1") + b"\r\n\r\n")
    assert read_head(head, LINE) is None


@pytest.mark.parametrize("line", [b"POST /api/tripwire/complete?a=b HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n"])
def test_another_request_is_left_to_the_parser(line: bytes) -> None:
    assert read_head(PLAIN.replace(LINE, line), LINE) is None
