"""Connections without any key that send slowly, read slowly or do nothing: none of them holds up a way in."""

import contextlib
import http.client
import pathlib
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.support.processes import API_KEY, FOLDER, PYTHON, Process, Processes, bare_environ, free_port
from tests.support.waiting import eventually

KEY = {"Authorization": f"Bearer {API_KEY}"}
MANY = 400

HEAD = b"POST /api/tripwire/complete HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
WAYS = {
    "nothing": b"",
    "half a request line": b"POST /api/tripwire/comp",
    "half a head": HEAD,
    "half a body": HEAD + b"Content-Length: 500\r\n\r\n{",
    "half a long body": HEAD + b"Content-Length: 900000\r\n\r\n{" + b" " * 20_000,
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n40\r\n{",
    "chunks without an end": HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n",
    "a body that is never allowed": HEAD + b"Content-Length: 500\r\nExpect: 100-continue\r\n\r\n",
    "a body that nobody reads": b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n",
    "a body beyond all limits": HEAD + b"Content-Length: 99999999999\r\n\r\n{",
    "an answer that is never read": b"GET /outbox/static/app.css HTTP/1.1\r\nHost: x\r\n\r\n" * 200,
    "an end that is never answered": b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
}


def connect(url: str, first: bytes = b"") -> socket.socket:
    address = urlsplit(url)
    connection = socket.socket()
    # A small window: an answer that is not read stays with its sender.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(10)
    connection.connect((address.hostname, address.port))
    connection.sendall(first)
    return connection


@contextlib.contextmanager
def open_many(url: str, first: bytes, count: int = MANY) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(connect(url, first)) for _ in range(count)]


def answer_of(connection: socket.socket) -> tuple[int, bytes]:
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, answer.read()


class Folder:
    """Starts gunicorn with our configuration, other deadlines, and an application of its own, in a folder."""

    def __init__(self, started: Processes, tmp_path: pathlib.Path) -> None:
        self.started, self.path = started, tmp_path / "house"
        self.path.mkdir()
        for package in ("service", "outbox"):
            (self.path / package).symlink_to(FOLDER / package)

    def serve(self, app: str, deadlines: str, path: str, *options: str, **settings: str) -> Process:
        """deadlines: lines for the end of gunicorn.conf.py. path: what is asked for until it is ready."""
        (self.path / "gunicorn.conf.py").write_text((FOLDER / "gunicorn.conf.py").read_text() + deadlines)
        (self.path / "wsgi.py").write_text(app)
        port = free_port()
        url = f"sqlite:///{self.path}/dealpost.db"
        environ = bare_environ(PORT=str(port), DATABASE_URL=url, WEB_CONCURRENCY="1", **settings)
        command = [PYTHON, "-m", "gunicorn", *options, "wsgi:app"]
        process = self.started.start("gunicorn", command, environ, cwd=self.path)
        process.url = f"http://127.0.0.1:{port}"
        self.started.ready(process, path)
        return process


@pytest.fixture
def folder(started: Processes, tmp_path: pathlib.Path) -> Folder:
    return Folder(started, tmp_path)


# Whatever were held up by a connection would stay so for longer than any machine takes.
LONG = """
from service.serving import worker
worker.HEAD_SECONDS = worker.BODY_SECONDS = worker.SEND_SECONDS = worker.LINGER = 600.0
"""


@pytest.mark.parametrize("way", WAYS)
def test_many_slow_connections_hold_up_no_way_in(folder: Folder, way: str) -> None:
    keys = {"API_KEYS": f"platform:{API_KEY}", "WEBHOOK_SECRET": "hook-secret-1"}
    web = folder.serve((FOLDER / "wsgi.py").read_text(), LONG, "/readyz", **keys)
    # Each of the many requests of one that never reads costs an answer: fewer do as well.
    with open_many(web.url, WAYS[way], 40 if way == "an answer that is never read" else MANY):
        for number in range(5):
            body = {"email": f"student{number}@example.com", "lesson": 1}
            assert web.call("POST", "/api/tripwire/complete", body=body, headers=KEY, timeout=60)[0] == 202
            assert web.call("GET", "/readyz", timeout=60)[0] == 200


# --- deadlines, with shorter ones than the service has ----------------------------------------------------------------

APP = """
def app(environ, start_response):
    try:
        body = environ["wsgi.input"].read()
        said = b"%d bytes" % len(body)
    except Exception as error:
        said = type(error).__name__.encode()
    if environ["PATH_INFO"] == "/long":
        said = b"x" * 12_000_000
    start_response("200 OK", [("Content-Length", str(len(said)))])
    return [said]
"""
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
SHORT = """
from service.serving import worker
worker.HEAD_SECONDS = worker.BODY_SECONDS = worker.SEND_SECONDS = worker.LINGER = 0.6
"""
NO_TIME_FOR_LENGTH = "worker.RATE = 1e9\n"


@pytest.fixture
def quick(folder: Folder) -> Process:
    """Short deadlines, and an application that echoes."""
    return folder.serve(APP, SHORT + NO_TIME_FOR_LENGTH, "/")


@pytest.fixture
def echo(folder: Folder) -> Process:
    """The service's own deadlines, room for few connections, and the same application."""
    return folder.serve(APP, "", "/", "--worker-connections", "50")


def test_a_request_that_does_not_come_whole_is_told_so_and_its_connection_ends(quick: Process) -> None:
    for first in (b"POST / HTTP/1.1\r\nHost:", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"):
        with connect(quick.url, first) as connection:
            status, body = answer_of(connection)
            assert (status, b"did not arrive whole" in body) == (408, True)
            assert connection.recv(10) == b""


def test_a_trickle_does_not_move_the_deadline(quick: Process) -> None:
    with connect(quick.url, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n") as connection:

        def ended() -> bool:
            with contextlib.suppress(OSError):  # it may have ended, and its answer be there to be read
                connection.sendall(b"x")
            connection.settimeout(0.1)
            return connection.recv(20).startswith(b"HTTP/1.1 408")

        eventually(ended)


def test_a_connection_that_says_nothing_ends_without_a_word(quick: Process) -> None:
    with connect(quick.url) as connection:
        assert connection.recv(10) == b""


def test_an_answer_that_is_not_read_is_given_up(quick: Process) -> None:
    with connect(quick.url, b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n") as connection:
        # Its answer begins, so it was accepted: before that no process has it either.
        assert connection.recv(1, socket.MSG_PEEK)
        time_enough = eventually(lambda: closed_by(quick, connection), within=10)
        assert time_enough
        got = 0
        with contextlib.suppress(OSError):
            while data := connection.recv(65536):
                got += len(data)
        assert got < 12_000_000


def closed_by(process: Process, connection: socket.socket) -> bool:
    """Whether the process has no connection from this port any more."""
    port = f":{connection.getsockname()[1]:04X}"
    lines = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = f":{urlsplit(process.url).port:04X}"
    return not any(one[1].endswith(ours) and one[2].endswith(port) and one[9] != "0" for one in lines)


def test_a_long_answer_arrives_whole_at_who_reads_slowly(folder: Folder) -> None:
    process = folder.serve(APP, SHORT, "/")
    with connect(process.url, b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n") as connection:
        assert len(answer_of(connection)[1]) == 12_000_000


def test_more_connections_than_there_is_room_for_leave_room_for_new_ones(echo: Process) -> None:
    with open_many(echo.url, b"GET / HT", 120):
        for _ in range(10):
            assert echo.call("GET", "/")[0] == 200
    assert "Traceback" not in echo.output


@pytest.mark.parametrize(
    ("sent", "statuses", "said"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3, [200, 200, 200], b"0 bytes"),
        (b"\r\nPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" * 2, [200, 200], b"3 bytes"),
        (CHUNKED + b"3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", [200, 200], None),
        (CHUNKED + b"3\r\nabc\r\n0\r\nX: y\r\n\r\n", [200], b"3 bytes"),
        (CHUNKED + b"ZZ\r\nabc\r\n", [200], b"InvalidChunkSize"),
        (CHUNKED[:-2] + b"Content-Length: 3\r\n\r\n0\r\n\r\n", [400], None),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", [400], None),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\n", [400], None),
        (b"GET / HTTP/1.1\nHost: x\n\n", [400], None),
        (b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 9000, [431], None),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", [414], None),
        (b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", [100], None),
    ],
)  # fmt: skip
def test_requests_are_taken_apart_as_gunicorn_does(
    echo: Process, sent: bytes, statuses: list[int], said: bytes | None
) -> None:
    with connect(echo.url, sent) as connection:
        connection.settimeout(20)
        reader = connection.makefile("rb")
        for status in statuses:
            line = reader.readline()
            assert int(line.split()[1]) == status
            length = 0
            while (header := reader.readline().strip()) != b"":
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            body = reader.read(length)
            assert said is None or body == said
        if statuses == [100]:
            connection.sendall(b"abc")
            assert b" 200 " in reader.readline()
