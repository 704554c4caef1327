"""The network seam against real sockets: how it is cut, what it says of it, and what it keeps."""

from __future__ import annotations

import gc
import gzip
import json
import os
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import requests_mock
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from service.network.exchange import Exchange, exchange_of
from service.network.http import Http, NoAnswer, Reply, Unreadable
from service.network.redaction import BODY_KEPT, HIDDEN, masked, masked_url
from service.version import VERSION


class Server:
    """A server that does with each connection whatever a test says. talk(conn, number) runs in a thread of its own."""

    def __init__(self, talk: Callable[[Server, socket.socket, int], None], tls: ssl.SSLContext | None = None) -> None:
        self.talk = talk
        self.tls = tls
        self.stop = threading.Event()
        self.requests: list[bytes] = []
        self.connections = 0
        self.threads: list[threading.Thread] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(0.05)
        self.port = self.listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}/"
        self.threads.append(threading.Thread(target=self._accept))
        self.threads[0].start()

    def _accept(self) -> None:
        while not self.stop.is_set():
            with suppress(TimeoutError):
                conn, _ = self.listener.accept()
                self.connections += 1
                thread = threading.Thread(target=self._serve, args=(conn, self.connections))
                self.threads.append(thread)
                thread.start()

    def _serve(self, conn: socket.socket, number: int) -> None:
        conn.settimeout(5)
        try:
            if self.tls:
                conn = self.tls.wrap_socket(conn, server_side=True)
            self.talk(self, conn, number)
        except OSError:
            pass  # the client cut it, as the test wants
        finally:
            conn.close()

    def read(self, conn: socket.socket) -> bytes:
        """One whole request, its body by Content-Length; empty at the end of the connection."""
        got = b""
        while b"\r\n\r\n" not in got:
            more = conn.recv(65536)
            if not more:
                return b""
            got += more
        head, _, body = got.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        while len(body) < length:
            body += conn.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]

    def drip(self, conn: socket.socket, byte: bytes = b"x") -> None:
        while not self.stop.wait(0.05):
            conn.sendall(byte)

    def close(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(6)
        self.listener.close()


Talk = Callable[[Server, socket.socket, int], None]
Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[Server] = []

    def start(talk: Talk, tls: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(talk, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@contextmanager
def client(**settings: Any) -> Iterator[Http]:
    http = Http(**{"connect": 2.0, "total": 4.0, **settings})
    yield http
    http.close()


@contextmanager
def refusing() -> Iterator[int]:
    """A port at which nobody listens, nor can."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def answer(body: bytes = b"", status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers]
    if not status.startswith("204"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def keep_alive(server: Server, conn: socket.socket, number: int) -> None:
    while server.read(conn):
        conn.sendall(answer(str(conn.getpeername()[1]).encode()))


def failure(http: Http, method: str, url: str, **what: Any) -> NoAnswer:
    with pytest.raises(NoAnswer) as caught:
        http.request(method, url, **what)
    return caught.value


# ---- answers ----


def test_an_answer_comes_with_status_headers_body_and_time(serve: Serve) -> None:
    def talk(server: Server, conn: socket.socket, number: int) -> None:
        server.read(conn)
        conn.sendall(answer('{"имя": 12345678901234567890}'.encode(), "418 Teapot", "X-Request-Id: abc"))

    server = serve(talk)
    with client() as http:
        reply = http.request("post", server.url + "a", params={"x": "1"}, json={"б": 0}, headers={"X-A": "1"})
    assert (reply.status, reply.method, reply.url) == (418, "POST", server.url + "a?x=1")
    assert reply.headers["x-request-id"] == "abc"
    assert reply.json() == {"имя": 12345678901234567890}
    assert reply.seconds >= 0
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /a?x=1 HTTP/1.1")
    assert b"User-Agent: dealpost/" + VERSION.encode() in head
    assert b"Content-Type: application/json" in head
    assert b"X-A: 1" in head
    assert body.decode() == '{"б": 0}'


def test_a_header_that_is_given_takes_the_place_of_our_own_however_it_is_written(serve: Serve) -> None:
    server = serve(keep_alive)
    with client() as http:
        http.request("GET", server.url, headers={"user-agent": "other"})
        http.request("GET", server.url)
    assert server.requests[0].lower().count(b"user-agent:") == 1 and b"other" in server.requests[0]
    assert b"User-Agent: dealpost/" in server.requests[1]


def test_a_mapping_as_data_is_sent_as_a_form_and_text_as_utf8(serve: Serve) -> None:
    server = serve(keep_alive)
    with client() as http:
        http.request("POST", server.url, data={"items[field_1]": "я"})
        http.request("POST", server.url, data="я")
    assert server.requests[0].endswith(b"items%5Bfield_1%5D=%D1%8F")
    assert server.requests[1].endswith("я".encode())


def test_no_content_is_an_answer_and_the_connection_is_kept(serve: Serve) -> None:
    def talk(server: Server, conn: socket.socket, number: int) -> None:
        while server.read(conn):
            conn.sendall(answer(status="204 No Content"))

    server = serve(talk)
    with client() as http:
        replies = [http.request("GET", server.url) for _ in range(3)]
    assert [(reply.status, reply.body) for reply in replies] == [(204, b"")] * 3
    assert server.connections == 1


def test_a_body_that_is_no_json_is_unreadable_and_the_error_does_not_hold_it() -> None:
    for body in (b"<html>secret</html>", b"", b"\xff\xfe\xff", b"[" * 100_000):
        reply = Reply(502, {"Content-Type": "text/html"}, body, 0.1, "GET", "https://x.amocrm.ru/api?key=1")
        with pytest.raises(Unreadable, match=rf"expected JSON, got {len(body)} bytes .* status 502") as caught:
            reply.json()
        assert "secret" not in str(caught.value)
        assert "key" not in str(caught.value)
    assert Reply(200, {}, b"\xd0", 0.1, "GET", "").text == "\ufffd"


def test_an_answer_in_a_traceback_shows_neither_body_nor_headers() -> None:
    assert "hush" not in repr(Reply(200, {"Set-Cookie": "hush"}, b"hush", 0.1, "GET", "https://x/"))


def test_a_compressed_answer_is_read(serve: Serve) -> None:
    def talk(server: Server, conn: socket.socket, number: int) -> None:
        server.read(conn)
        conn.sendall(answer(gzip.compress(b"[1]"), "200 OK", "Content-Encoding: gzip"))

    with client() as http:
        assert http.request("GET", serve(talk).url).json() == [1]


def test_redirects_are_not_followed_and_cookies_are_not_kept(serve: Serve) -> None:
    def talk(server: Server, conn: socket.socket, number: int) -> None:
        while server.read(conn):
            conn.sendall(answer(b"moved", "302 Found", "Location: /elsewhere", "Set-Cookie: a=b"))

    server = serve(talk)
    with client() as http:
        for _ in range(2):
            reply = http.request("GET", server.url)
            assert (reply.status, reply.headers["Location"], reply.body) == (302, "/elsewhere", b"moved")
    assert [request.split(b"\r\n")[0] for request in server.requests] == [b"GET / HTTP/1.1"] * 2
    assert b"Cookie" not in server.requests[1]


def test_netrc_never_replaces_our_authorization_and_a_users_name_in_the_url_counts(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(keep_alive)
    with tempfile.TemporaryDirectory() as folder, client() as http:
        netrc = Path(folder, "netrc")
        netrc.write_text("machine 127.0.0.1 login stranger password stranger\n")
        monkeypatch.setenv("NETRC", str(netrc))
        http.request("GET", server.url, headers={"Authorization": "Bearer ours"})
        http.request("GET", server.url)
        reply = http.request("GET", server.url.replace("//", "//user:pass@"))
    assert b"Authorization: Bearer ours" in server.requests[0]
    assert b"Authorization" not in server.requests[1]
    assert b"Authorization: Basic dXNlcjpwYXNz" in server.requests[2]
    assert reply.url == server.url


# ---- deadlines ----


@pytest.mark.parametrize("opening", [b"", b"HTTP/1.1 200 OK\r\nX-Drip: "], ids=["status line", "header"])
def test_a_server_that_drips_its_head_is_cut_at_the_total(serve: Serve, opening: bytes) -> None:
    def talk(server: Server, conn: socket.socket, number: int) -> None:
        server.read(conn)
        conn.sendall(opening)
        server.drip(conn)

    with client(connect=10.0, total=1.0) as http:
        error = failure(http, "POST", serve(talk).url)
    assert (error.kind, error.acted) == ("timeout", True)
    assert 1.0 <= error.seconds < 5


def test_a_server_that_sends_header_after_header_is_cut_at_the_total(serve: Serve) -> None:
    def talk(server: Server, conn: socket.socket, number: int) -> None:
        server.read(conn)
        server.drip(conn, b"HTTP/1.1 100 Continue\r\n\r\n")

    with client(total=1.0) as http:
        error = failure(http, "GET", serve(talk).url)
    assert (error.kind, error.acted) == ("timeout", True)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_server_that_drips_its_body_is_cut_at_the_total(serve: Serve, chunked: bool) -> None:
    def talk(server: Server, conn: socket.socket, number: int) -> None:
        server.read(conn)
        length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 1000"
        conn.sendall(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n")
        server.drip(conn, b"1\r\nx\r\n" if chunked else b"x")

    with client() as http:
        error = failure(http, "GET", serve(talk).url, total=1.0)
    assert (error.kind, error.acted) == ("timeout", True)
    assert 1.0 <= error.seconds < 3.5


def test_a_server_that_never_reads_is_cut_at_the_total(serve: Serve) -> None:
    def talk(server: Server, conn: socket.socket, number: int) -> None:
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server.stop.wait(5)

    with client(total=1.0) as http:
        error = failure(http, "POST", serve(talk).url, data=b"x" * 30_000_000)
    assert (error.kind, error.acted) == ("timeout", True)


def test_a_name_that_is_not_resolved_in_time_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(20) and [])
    with client(connect=0.2) as http:
        error = failure(http, "POST", "http://name.invalid/")
    released.set()
    assert (error.kind, error.acted) == ("connect", False)
    assert error.seconds < 3.5


def test_a_dead_address_leaves_time_for_the_next(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(keep_alive)
    with refusing() as dead, client() as http:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (dead, server.port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert http.request("GET", "http://two.invalid/").status == 200


# ---- what went wrong, and whether the other side may have acted ----


def test_a_refused_connection_did_nothing(serve: Serve) -> None:
    with refusing() as port, client() as http:
        error = failure(http, "POST", f"http://127.0.0.1:{port}/rest.php?key=hush", json={"password": "hush"})
    assert (error.kind, error.acted) == ("connect", False)
    assert str(error).startswith(f"POST 127.0.0.1:{port}/rest.php: expected a connection within 2 s, got none (")
    assert "hush" not in str(error)


@pytest.mark.parametrize("url", ["rest.php", "ftp://x/", "http://", "http://[::1/", "http://a b/", "http://.a/"])
def test_what_is_no_url_is_no_connection(url: str) -> None:
    with client() as http:
        error = failure(http, "POST", url)
    assert (error.kind, error.acted) == ("connect", False)
    assert exchange_of(0, "POST", url, answer=error).fault


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX-",
        b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"<html>no HTTP</html>\r\n\r\n",
    ],
    ids=["before the answer", "in the head", "between headers", "in the body", "no HTTP"],
)
def test_a_dropped_connection_may_have_done_it(serve: Serve, sent: bytes) -> None:
    def talk(server: Server, conn: socket.socket, number: int) -> None:
        server.read(conn)
        conn.sendall(sent)

    server = serve(talk)
    with client() as http:
        error = failure(http, "POST", server.url, json={"password": "hush-hush"})
    assert (error.kind, error.acted) == ("dropped", True)
    assert "hush" not in str(error)
    assert len(server.requests) == 1


def test_an_answer_without_a_length_ends_with_its_connection(serve: Serve) -> None:
    def talk(server: Server, conn: socket.socket, number: int) -> None:
        server.read(conn)
        conn.sendall(b"HTTP/1.0 200 OK\r\n\r\nwhole")

    with client() as http:
        assert http.request("GET", serve(talk).url).body == b"whole"


def test_no_log_line_quotes_a_url(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def talk(server: Server, conn: socket.socket, number: int) -> None:
        server.read(conn)
        conn.sendall(b"HTTP/1.1 200 OK\r\nno header\r\nContent-Length: 0\r\n\r\n")

    with caplog.at_level("DEBUG"), client() as http:
        http.request("GET", serve(talk).url, params={"query": "someone@example.com"})
    assert "someone" not in caplog.text


@pytest.mark.parametrize("announced", [True, False])
def test_a_huge_answer_is_not_read_to_its_end(serve: Serve, announced: bool) -> None:
    def talk(server: Server, conn: socket.socket, number: int) -> None:
        server.read(conn)
        conn.sendall(b"HTTP/1.1 200 OK\r\n" + (b"Content-Length: 99999999\r\n\r\n" if announced else b"\r\n"))
        while not server.stop.is_set():
            conn.sendall(b"x" * 65536)

    with client(max_bytes=200_000) as http:
        error = failure(http, "GET", serve(talk).url)
    assert (error.kind, error.acted) == ("too_large", True)
    assert "expected at most 200000 bytes" in str(error)


def test_a_small_answer_that_unpacks_to_a_huge_one_is_not_unpacked(serve: Serve) -> None:
    def talk(server: Server, conn: socket.socket, number: int) -> None:
        server.read(conn)
        conn.sendall(answer(gzip.compress(b"\0" * 50_000_000), "200 OK", "Content-Encoding: gzip"))

    with client(max_bytes=200_000) as http:
        assert failure(http, "GET", serve(talk).url).kind == "too_large"


@pytest.mark.parametrize(
    ("raised", "kind", "acted"),
    [
        (requests.ConnectTimeout, "connect", False),
        (requests.ReadTimeout, "timeout", True),
        (requests.ConnectionError, "dropped", True),
    ],
)
def test_a_fault_that_a_mock_raises_is_told_apart_too(raised: type[Exception], kind: str, acted: bool) -> None:
    with requests_mock.Mocker() as mocker, client() as http:
        mocker.post("https://x.invalid/", exc=raised)
        error = failure(http, "POST", "https://x.invalid/")
    assert (error.kind, error.acted) == (kind, acted)


# ---- kept connections ----


def test_a_connection_is_kept_for_the_next_request_but_not_when_it_idled_too_long(serve: Serve) -> None:
    clock = [100.0]
    server = serve(keep_alive)
    with client(monotonic=lambda: clock[0]) as http:
        first = http.request("GET", server.url).text
        clock[0] += 3.9
        assert http.request("POST", server.url).text == first
        clock[0] += 4.1
        assert http.request("POST", server.url).text != first
    assert server.connections == 2


def stale(server: Server, conn: socket.socket, number: int) -> None:
    """Answers once and drops the connection at the next request, as a server that was about to close it."""
    server.read(conn)
    conn.sendall(answer(b"ok"))
    server.read(conn)


def test_a_get_on_a_stale_connection_is_repeated_once_on_a_fresh_one(serve: Serve) -> None:
    server = serve(stale)
    with client() as http:
        assert [http.request("GET", server.url).text for _ in range(3)] == ["ok"] * 3
    assert server.connections == 3


def test_a_write_on_a_stale_connection_is_never_repeated(serve: Serve) -> None:
    server = serve(stale)
    with client() as http:
        http.request("POST", server.url)
        error = failure(http, "POST", server.url)
    assert (error.kind, error.acted) == ("dropped", True)
    assert len(server.requests) == 2


def test_a_get_that_is_dropped_on_a_fresh_connection_is_not_repeated(serve: Serve) -> None:
    server = serve(lambda server, conn, number: server.read(conn) and None)
    with client() as http:
        assert failure(http, "GET", server.url).kind == "dropped"
    assert len(server.requests) == 1


def test_threads_share_a_client_but_no_connection(serve: Serve) -> None:
    server = serve(keep_alive)
    ports: dict[int, set[str]] = {}
    barrier = threading.Barrier(4)
    http = Http(connect=2, total=4)

    def run(number: int) -> None:
        barrier.wait()
        ports[number] = {http.request("POST", server.url, json=number).text for _ in range(20)}
        http.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(used) == 1 for used in ports.values())
    assert len(set.union(*ports.values())) == 4
    assert len(server.requests) == 80


def test_a_thread_that_ends_without_closing_leaves_no_connection_behind(serve: Serve) -> None:
    server = serve(keep_alive)
    http = Http(connect=2, total=4)
    thread = threading.Thread(target=http.request, args=("GET", server.url))
    thread.start()
    thread.join()
    gc.collect()
    for thread in server.threads[1:]:
        thread.join(20)
        assert not thread.is_alive()  # the server has seen the end of the connection


def test_after_a_fork_the_child_opens_a_connection_of_its_own(serve: Serve) -> None:
    server = serve(keep_alive)
    with client() as http:
        parent = http.request("GET", server.url).text
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.write(writing, http.request("GET", server.url).text.encode())
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        child = os.read(reading, 100).decode()
        os.close(reading)
        os.close(writing)
        assert child.isdigit()
        assert child != parent
        assert http.request("GET", server.url).text == parent


# ---- TLS and proxies ----


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate of its own for localhost (and no other name)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "pair.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_under_tls_a_connection_is_kept_and_a_dripping_head_is_cut(
    serve: Serve, tls: ssl.SSLContext, certificate: Path
) -> None:
    def talk(server: Server, conn: socket.socket, number: int) -> None:
        for _ in range(2):
            server.read(conn)
            conn.sendall(answer(b"ok"))
        server.read(conn)
        server.drip(conn)

    server = serve(talk, tls)
    url = f"https://localhost:{server.port}/"
    with client(verify=str(certificate)) as http:
        assert [http.request("POST", url, data=b"x" * 300_000).text for _ in range(2)] == ["ok", "ok"]
        error = failure(http, "POST", url, total=0.3)
    assert (error.kind, error.acted) == ("timeout", True)
    assert error.seconds < 3.5
    assert server.connections == 1


def test_a_certificate_that_is_not_trusted_or_bears_another_name_gets_no_request(
    serve: Serve, tls: ssl.SSLContext, certificate: Path
) -> None:
    server = serve(keep_alive, tls)
    with client() as stranger, client(verify=str(certificate)) as http:
        unknown = failure(stranger, "POST", f"https://localhost:{server.port}/")
        misnamed = failure(http, "POST", server.url)
    assert (unknown.kind, unknown.acted) == ("tls", False)
    assert "self-signed certificate" in str(unknown)
    assert (misnamed.kind, misnamed.acted) == ("tls", False)
    assert "IP address mismatch" in str(misnamed)
    assert server.requests == []


def test_a_server_that_speaks_no_tls_gets_no_request(serve: Serve) -> None:
    server = serve(lambda server, conn, number: conn.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    with client() as http:
        error = failure(http, "POST", f"https://localhost:{server.port}/")
    assert (error.kind, error.acted) == ("tls", False)
    assert "Operation not permitted" not in str(error)


def test_a_server_that_never_shakes_hands_is_no_connection(serve: Serve) -> None:
    server = serve(lambda server, conn, number: server.drip(conn, b""))
    with client(connect=0.2) as http:
        error = failure(http, "POST", f"https://localhost:{server.port}/")
    assert (error.kind, error.acted) == ("connect", False)
    assert error.seconds < 3.5


def test_a_proxy_from_the_environment_is_used(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = serve(keep_alive)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "")
    with client() as http:
        assert http.request("GET", "http://amo.invalid/a").status == 200
    assert proxy.requests[0].startswith(b"GET http://amo.invalid/a HTTP/1.1")


def test_https_goes_through_a_proxys_tunnel(
    serve: Serve, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(keep_alive, tls)

    def talk(proxy: Server, conn: socket.socket, number: int) -> None:
        proxy.read(conn)
        with socket.create_connection(("127.0.0.1", server.port), 5) as onward:
            conn.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=pump, args=(onward, conn))
            back.start()
            pump(conn, onward)
            back.join(5)

    proxy = serve(talk)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "")
    with client(verify=str(certificate)) as http:
        assert http.request("POST", f"https://localhost:{server.port}/", json=1).status == 200
        assert http.request("POST", f"https://localhost:{server.port}/", json=1).status == 200
    assert proxy.connections == 1
    assert proxy.requests[0].startswith(b"CONNECT localhost:")


def pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("reply", [b"HTTP/1.1 403 Forbidden\r\n\r\n", b""], ids=["refuses", "drips"])
def test_a_proxy_that_gives_no_tunnel_is_no_connection(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, reply: bytes
) -> None:
    def talk(proxy: Server, conn: socket.socket, number: int) -> None:
        proxy.read(conn)
        if reply:
            conn.sendall(reply)
        else:
            proxy.drip(conn)

    monkeypatch.setenv("HTTPS_PROXY", serve(talk).url)
    monkeypatch.setenv("NO_PROXY", "")
    with client(connect=0.3) as http:
        error = failure(http, "POST", "https://amo.invalid/")
    assert (error.kind, error.acted) == ("connect", False)
    assert error.seconds < 3.5


def test_a_socks_proxy_is_refused_rather_than_used_without_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    with client() as http:
        error = failure(http, "POST", "https://amo.invalid/")
    assert (error.kind, error.acted) == ("connect", False)


# ---- what is kept ----

ERP = {
    "key": "KEY-hush",
    "username": "USER-hush",
    "password": 'a"\\hush',
    "action": "insert",
    "items": {"field_1": "Пётр"},
}
TOKENS = '{"token_type":"Bearer","access_token":"hush.a","refresh_token":"hush-r","expires_in":86400}'


def kept(request: dict[str, Any], answer: bytes | NoAnswer, url: str = "https://x.amocrm.ru/") -> Exchange:
    given = answer if isinstance(answer, NoAnswer) else Reply(200, {}, answer, 0.25, "POST", masked_url(url))
    return exchange_of(1700000000.5, "POST", url, **request, answer=given)


def test_an_exchange_keeps_the_request_and_its_answer_and_survives_json(serve: Serve) -> None:
    server = serve(keep_alive)
    with client() as http:
        call: dict[str, Any] = {
            "json": [{"id": 90071992547409931}],
            "headers": {"X-A": "1"},
            "params": {"with": "leads"},
        }
        reply = http.request("PATCH", server.url, **call)
    exchange = exchange_of(1.5, "PATCH", server.url, **call, answer=reply)
    assert (exchange.at, exchange.method, exchange.url) == (1.5, "PATCH", server.url + "?with=leads")
    assert exchange.request_headers == {"X-A": "1"}
    assert exchange.request_body == '[{"id": 90071992547409931}]'
    assert (exchange.status, exchange.response_body, exchange.fault) == (200, reply.text, "")
    assert Exchange.from_dict({**json.loads(json.dumps(exchange.as_dict())), "later": 1}) == exchange


def test_a_request_without_an_answer_keeps_the_fault() -> None:
    error = NoAnswer("POST x: expected an answer, got none", kind="timeout", acted=True, seconds=10.0)
    exchange = kept({"data": b"x", "params": {"a": "я"}}, error)
    assert (exchange.status, exchange.fault, exchange.seconds) == (None, str(error), 10.0)
    assert exchange.url == "https://x.amocrm.ru/?a=%D1%8F"


@pytest.mark.parametrize(
    "text",
    [
        f"{{'a': '{'eyJ' + 'h' * 12}.hush.hush'}}",
        "an answer to BASIC hush+hush",
        '{"Api_Key" : "hush"}',
        '"{\\"SECRET\\": \\"hush\\"}"',
        "https://x.ru/?a=1&Code=hush",
        "https://x.ru/webhooks/amocrm/hush",
        "https://u:hush@x.ru/",
    ],
)
def test_a_secret_is_hidden_though_it_is_the_only_one(text: str) -> None:
    assert "hush" not in masked(text) and masked(text).count("[hidden]") == 1


def test_credentials_are_hidden_in_headers_bodies_and_urls() -> None:
    headers = {"Authorization": "Bearer hush-token", "x-refresh-token": "hush", "Cookie": "hush", "Accept": "a"}
    form = {**ERP, "items[field_1]": "Пётр"}
    del form["items"]
    seen = [
        kept(
            {"headers": headers, "json": ERP}, TOKENS.encode(), "https://u:hush@x.ru/?code=hush&a=1&client_secret=hush"
        ),
        kept({"data": form}, b'{"error":"bad token hush-token"}'),
        kept({"headers": headers}, b"<b>user KEY, token hush-token</b>"),
        kept(
            {"json": {"client_id": "c", "client_secret": "hush", "code": "hush", "grant_type": "authorization_code"}},
            b"",
        ),
        kept({"json": {"destination": "https://d.ru/webhooks/amocrm/hush", "settings": ["status_lead"]}}, b""),
        kept({"json": {"destination": "https://d.ru/api/inngest?secret=hush", "settings": ["status_lead"]}}, b""),
    ]
    hushed = json.dumps([exchange.as_dict() for exchange in (seen[0], *seen[2:])], ensure_ascii=False)
    assert "hush" not in hushed
    assert "hush" not in seen[1].request_body
    assert seen[0].request_headers == {
        "Authorization": HIDDEN,
        "x-refresh-token": HIDDEN,
        "Cookie": HIDDEN,
        "Accept": "a",
    }
    assert json.loads(seen[0].request_body) == {**ERP, "key": HIDDEN, "username": HIDDEN, "password": HIDDEN}
    assert json.loads(seen[0].response_body)["expires_in"] == 86400
    assert seen[0].url == f"https://x.ru/?code={HIDDEN}&a=1&client_secret={HIDDEN}"
    assert "action=insert" in seen[1].request_body
    assert json.loads(seen[3].request_body)["grant_type"] == "authorization_code"
    assert json.loads(seen[4].request_body)["settings"] == ["status_lead"]


def test_an_answer_that_repeats_what_was_sent_in_secret_does_not_show_it() -> None:
    exchange = kept({"json": {**ERP, "password": "пароль-1"}}, "<app_db_error> login('пароль-1','KEY-hush')".encode())
    assert exchange.response_body == f"<app_db_error> login('{HIDDEN}','{HIDDEN}')"


def test_the_code_of_an_error_stays_in_an_answer() -> None:
    body = b'{"validation-errors":[{"request_id":"0","errors":[{"code":"NotSupportedChoice","path":"status_id"}]}]}'
    assert kept({}, body).response_body == body.decode()


def test_a_long_body_is_cut_with_a_note_of_its_size() -> None:
    exchange = kept({"data": "я" * 5000}, b"x" * 100_000)
    assert exchange.request_body == "я" * (BODY_KEPT // 2) + "… (10000 bytes in all)"
    assert exchange.response_body == "x" * BODY_KEPT + "… (100000 bytes in all)"


@pytest.mark.parametrize(
    "text",
    [
        '{"password": "hush',
        '{"password": "hu\\"sh", "a',
        '{"password" : {"x": ["hush", "}hush"], "y": "hush"}}',
        '{"password": [1, "hush"',
        "{'a': \"password\": hush}",
        '{"Password":"hush"}',
        '"{\\"password\\":\\"hush\\",\\"a\\":1}"',
        '"{\\"password\\":\\"hu\\\\\\"sh\\"}"',
        '"{\\"password\\":\\"hush',
        "a=1&password=hush&b=2",
        "password=hush",
        "see https://x/?a=1&password=hush for more",
        '{"u":"https:\\/\\/x\\/webhooks\\/amocrm\\/hush"}',
    ],
)
def test_secrets_are_hidden_in_broken_json_nested_json_and_forms(text: str) -> None:
    assert "hu" not in masked(text)
    assert HIDDEN in masked(text)


def test_what_is_no_secret_stays_as_it_was() -> None:
    text = '{"monkey": "a", "keyboard": 1, "id": 12345678901234567890, "price": 1.10, "field_code": "EMAIL"}'
    assert masked(text) == text
    assert masked('{"key": null, "a": 1}') == f'{{"key": "{HIDDEN}", "a": 1}}'


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, st.text(max_size=12), st.booleans(), st.integers(min_value=0, max_value=200))
def test_whatever_surrounds_it_and_wherever_it_is_cut_a_secret_is_hidden(
    around: Any, secret: str, ascii_only: bool, cut: int
) -> None:
    whole = {"a": around, "password": f"ПАРОЛЬ{secret}", "b": around}
    text = json.dumps(whole, ensure_ascii=ascii_only)
    assert "ПАРОЛЬ" not in masked(text)
    assert json.dumps("ПАРОЛЬ")[1:-1] not in masked(text)
    assert json.loads(masked(text)) == {**whole, "password": HIDDEN}
    assert "ПАР" not in masked(text[: max(0, len(text) - cut)])
