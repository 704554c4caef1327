"""A lesson, and events, are answered byte for byte alike, whether they are taken in together with others or by their
route in Flask."""

import json
import os
import pathlib
import re
import socket
from collections.abc import Iterator

import pytest

from tests.support.processes import API_KEY, PYTHON, Process, Processes, bare_environ, free_port

PATH = "/api/tripwire/complete"
EVENTS = "/api/events"
GOOD = {"email": "ann@example.com", "lesson": 1}
ONE_WORKER = {"API_KEYS": f"platform:{API_KEY}", "LESSON_MAP": "67:1,68:2", "PYTHONHASHSEED": "0"}

# The same application, whose route can be told from the answers that are given without it.
MARKED = """
from flask import Response
from service import create_app

app = create_app()
for name in ("lessons.complete", "events.take"):
    app.view_functions[name] = lambda: Response("by the route", 299)
"""


def post(body: object = GOOD, path: str = PATH, version: str = "1.1", method: str = "POST", **headers: str) -> bytes:
    """A request as it goes over the wire. body: bytes as they are, anything else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    every = {
        "Host": "school.example",
        "Authorization": f"Bearer {API_KEY}",
        "Content-Type": "application/json",
        "Content-Length": str(len(data)),
    }
    every |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in every.items() if value)
    return f"{method} {path} HTTP/{version}\r\n{head}\r\n".encode("latin-1") + data


def chunked(body: bytes) -> bytes:
    return post(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body), Content_Length="", Transfer_Encoding="chunked")


def lesson(email: str, number: object = 1, **more: object) -> dict[str, object]:
    return {"name": "lesson.completed", "data": {"email": f"{email}@example.com", "lesson": number}, **more}


def record(name: object, **more: object) -> dict[str, object]:
    return {"name": "crm/create-deal", "data": {"dealName": name, "amount": 1500.5}, **more}


def events(body: object, **headers: str) -> bytes:
    return post(body, EVENTS, **headers)


def of_size(size: int) -> bytes:
    body = json.dumps({**GOOD, "note": ""}).encode()
    return body[:-2] + b"x" * (size - len(body)) + body[-2:]


REQUESTS = {
    "good": post(),
    "the same again": post(),
    "an id of its own": post({**GOOD, "email": "bob@example.com", "id": "n-1"}),
    "the same id, the same data": post({**GOOD, "email": "bob@example.com", "id": "n-1"}),
    "the same id, other data": post({**GOOD, "email": "eve@example.com", "id": "n-1"}),
    "Idempotency-Key": post({**GOOD, "email": "ida@example.com"}, Idempotency_Key="i-1"),
    "Idempotency-Key, other data": post({**GOOD, "email": "ivo@example.com"}, Idempotency_Key="i-1"),
    "Idempotency-Key too long": post(Idempotency_Key="i" * 300),
    "lesson_id": post({"email": "kim@example.com", "lesson_id": 68}),
    "lesson_id that is not known": post({"email": "kim@example.com", "lesson_id": 5}),
    "both, not alike": post({"email": "kim@example.com", "lesson_id": 68, "lesson": 1}),
    "no lesson": post({"email": "kim@example.com"}),
    "no e-mail": post({"lesson": 1}),
    "no address": post({**GOOD, "email": "kim"}),
    "lesson 0": post({**GOOD, "lesson": 0}),
    "unknown fields are kept": post({**GOOD, "email": "lea@example.com", "note": "Привет", "deep": [[{}]]}),
    "no object": post([GOOD]),
    "null": post(None),
    "empty body": post(b""),
    "no JSON": post(b"{"),
    "JSON and more": post(json.dumps(GOOD).encode() + b"x"),
    "NaN": post(b'{"email": "a@b.ru", "lesson": NaN}'),
    "a mark of byte order": post(b"\xef\xbb\xbf" + json.dumps({**GOOD, "email": "bom@example.com"}).encode()),
    "no UTF-8": post(b'{"email": "\xff@b.ru", "lesson": 1}'),
    "half a character": post(b'{"email": "a@b.ru", "lesson": 1, "x": "\\ud800"}'),
    "too deep": post(b'{"email": "a@b.ru", "lesson": 1, "x": ' + b"[" * 70 + b"]" * 70 + b"}"),
    "a number beyond 64 bits": post({**GOOD, "email": "max@example.com", "x": 10**40}),
    "a decimal that no float holds": post(b'{"email": "dec@example.com", "lesson": 1, "x": 0.1234567890123456789012}'),
    "256 KiB": post(of_size(256 * 1024)),
    "more than 256 KiB": post(of_size(256 * 1024 + 1)),
    "more than 1 MiB": post(of_size(1024 * 1024 + 1)),
    "no key": post(Authorization=""),
    "a wrong key": post(Authorization="Bearer wrong"),
    "a key in a header of its own": post(Authorization="", X_API_Key=API_KEY),
    "a key, spaces around it": post(Authorization=f"bearer  {API_KEY}"),
    "two keys": post(X_API_Key="wrong"),
    "a charset": post(Content_Type="application/json; charset=utf-8"),
    "another kind of JSON": post(Content_Type="application/ld+json"),
    "no content type": post(Content_Type=""),
    "plain text": post(Content_Type="text/plain"),
    "JSON in capitals": post(Content_Type="Application/JSON"),
    "a form": post(b"email=form%40example.com&lesson=1", Content_Type="application/x-www-form-urlencoded"),
    "a form that tests": post(b"test=1", Content_Type="application/x-www-form-urlencoded"),
    "compressed, as it says": post(Content_Encoding="gzip"),
    "chunked": chunked(json.dumps({**GOOD, "email": "chunk@example.com"}).encode()),
    "a question mark": post(path=PATH + "?a=b"),
    "a whole address": post(path="http://school.example" + PATH),
    "a slash too many": post(path=PATH + "/"),
    "two slashes": post(path="/" + PATH),
    "written in percents": post(path=PATH.replace("complete", "%63omplete")),
    "GET": post(b"", method="GET"),
    "HEAD": post(b"", method="HEAD"),
    "OPTIONS": post(b"", method="OPTIONS"),
    "PUT": post(method="PUT"),
    "HTTP/1.0": post(version="1.0"),
    "HTTP/1.0 that stays": post(version="1.0", Connection="keep-alive"),
    "to be closed": post(Connection="close"),
    "to be kept": post(Connection="keep-alive"),
    "to be upgraded": post(Connection="upgrade", Upgrade="h2c"),
    "as it waits": post(Expect="100-continue"),
    "as it waits for something else": post(Expect="200-ok"),
    "a cookie": post(Cookie="dealpost=abc; language=ru"),
    "Russian, please": post(Accept_Language="ru"),
    "as by a proxy": post(X_Forwarded_For="203.0.113.5", X_Forwarded_Proto="https", X_Forwarded_Prefix="/x"),
    "a path as a header": post(Script_Name="/x"),
    "no host": post(Host=""),
    "two lengths": post().replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n", 1),
    "a length that is none": post(Content_Length="+42"),
    "a folded header": post(Accept="a\r\n b"),
    "a header without a colon": post().replace(b"Host: ", b"Host ", 1),
    "a name that is none": post().replace(b"Host:", b"Ho st:", 1),
    "Latin-1": post(User_Agent="caf\xe9"),
    "two at once": post() + post({**GOOD, "email": "two@example.com"}),
    "cut off": post()[:-5],
    "events: one": events(lesson("e1")),
    "events: one again": events(lesson("e1")),
    "events: a record": events(record("Course")),
    "events: a record with an id": events(record("Course", id="r-1")),
    "events: the same id, the same data": events(record("Course", id="r-1")),
    "events: the same id, other data": events([lesson("e2"), record("Other", id="r-1")]),
    "events: a record without a name": events(record(" ")),
    "events: a name too long": events([record("x" * 300), record("y" * 300, id="z" * 300)]),
    "events: an array": events([lesson(f"a{n}") for n in range(50)]),
    "events: the array again, and one more": events([lesson(f"a{n}") for n in range(51)]),
    "events: the same twice in one": events([lesson("twice"), lesson("twice"), lesson("twice", 2)]),
    "events: all kinds": events([lesson("k1"), record("K"), {"name": "erp/task.create", "data": {"dealName": "T"}}]),
    "events: unknown fields": events([{**lesson("u1"), "more": [1, {"x": "Привет"}]}]),
    "events: 1000": events([lesson(f"t{n}") for n in range(1000)]),
    "events: 1001": events([lesson(f"t{n}") for n in range(1001)]),
    "events: none": events([]),
    "events: null": events(None),
    "events: a text": events("x"),
    "events: texts": events(["x", None, 1]),
    "events: a name nobody knows": events([lesson("n1"), {"name": "x", "data": {}}]),
    "events: no name": events([{"data": {}}]),
    "events: no data": events([{"name": "lesson.completed"}]),
    "events: data that are none": events([{"name": "lesson.completed", "data": [1]}]),
    "events: many faults": events([lesson("ok"), lesson("no", 0), lesson("x@y"), record(None), record("x", id=5)]),
    "events: an empty id": events([lesson("i1", id=" ")]),
    "events: Idempotency-Key": events([lesson("p1"), lesson("p2")], Idempotency_Key="k-1"),
    "events: Idempotency-Key again": events([lesson("p1"), lesson("p2")], Idempotency_Key="k-1"),
    "events: Idempotency-Key, other data": events([lesson("p3"), lesson("p2")], Idempotency_Key="k-1"),
    "events: Idempotency-Key, one": events(lesson("p4"), Idempotency_Key="k-2"),
    "events: Idempotency-Key, one, other data": events(lesson("p5"), Idempotency_Key="k-2"),
    "events: Idempotency-Key too long": events([lesson("p6")], Idempotency_Key="k" * 300),
    "events: a number beyond 64 bits": events([{"name": "lesson.completed", "data": {**GOOD, "x": 10**40}}]),
    "events: half a character": events(b'[{"name": "lesson.completed", "data": {"email": "\\ud800@b.ru"}}]'),
    "events: no JSON": events(b"[{]"),
    "events: no key": events([lesson("w1")], Authorization=""),
    "events: a form": events(b"name=lesson.completed&email=f%40example.com&lesson=1",
                             Content_Type="application/x-www-form-urlencoded"),
    "events: chunked": chunked(json.dumps(lesson("c1")).encode()).replace(PATH.encode(), EVENTS.encode()),
    "events: an event too big": events([{**lesson("b1"), "note": "x" * 300_000}]),
    "events: a body too big": events([{**lesson("b2"), "note": "x" * 200_000}] * 6),
    "events: GET": post(b"", EVENTS, method="GET"),
    "events: two at once": events(lesson("d1")) + events([lesson("d2")]),
    "events: to be closed": events([lesson("d3")], Connection="close"),
}  # fmt: skip


def answer(process: Process, request: bytes) -> bytes:
    """All that the server says until it closes, or has nothing more to say; ids and times are left out."""
    host, port = process.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(request)
        # The answer to another request behind it shows where that to this one ends.
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" if _whole(request) else b"")
        client.shutdown(socket.SHUT_WR)
        said = b"".join(iter(lambda: client.recv(65536), b""))
    said = re.sub(rb"\r\nDate: [^\r]+", b"", said)
    # The same id in two places stays the same.
    found = dict.fromkeys(re.findall(rb'"[0-9a-f]{8}-[0-9a-f-]{27}"', said))
    for place, one in enumerate(found):
        said = said.replace(one, b'"id %d"' % place)
    return said


def _whole(request: bytes) -> bool:
    return request != REQUESTS["cut off"]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Process]]:
    """One that takes lessons in together, and one that does not."""
    started = Processes(tmp_path_factory.mktemp("servers"))
    both = []
    for name, arguments in (("together", ""), ("apart", "--max-requests 1000000")):
        folder = tmp_path_factory.mktemp(name)
        settings = {**ONE_WORKER, "DATABASE_URL": f"sqlite:///{folder}/dealpost.db", "GUNICORN_CMD_ARGS": arguments}
        both.append(started.web(bare_environ(**settings)))
    yield both[0], both[1]
    started.stop()


@pytest.mark.parametrize("name", REQUESTS)
def test_it_is_answered_alike(servers: tuple[Process, Process], name: str) -> None:
    together, apart = (answer(server, REQUESTS[name]) for server in servers)
    assert together == apart
    assert together.startswith(b"HTTP/1.")


def test_both_say_the_same_in_their_logs(servers: tuple[Process, Process]) -> None:
    for server in servers:
        answer(server, post({**GOOD, "email": "logged@example.com"}))
        server.says(r"INFO    access: POST /api/tripwire/complete 202 [0-9.]+ ms 127\.0\.0\.1\n")
        answer(server, events([lesson("logged-2")]))
        server.says(r"INFO    access: POST /api/events 202 [0-9.]+ ms 127\.0\.0\.1\n")


def test_what_is_plainly_good_does_without_its_route_and_nothing_else_does(
    started: Processes, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "marked.py").write_text(MARKED)
    port = free_port()
    environ = bare_environ(
        **ONE_WORKER,
        PORT=str(port),
        WEB_CONCURRENCY="1",
        DATABASE_URL=f"sqlite:///{tmp_path}/dealpost.db",
        PYTHONPATH=f"{tmp_path}{os.pathsep}.",
    )
    process = started.start("marked", [PYTHON, "-m", "gunicorn", "marked:app"], environ)
    process.url = f"http://127.0.0.1:{port}"
    started.ready(process, "/healthz")
    by_route = {name for name in REQUESTS if b"by the route" in answer(process, REQUESTS[name])}
    without = {"good", "the same again", "an id of its own", "Idempotency-Key", "lesson_id", "a charset", "to be kept"}
    without |= {"events: one", "events: an array", "events: the array again, and one more", "events: Idempotency-Key"}
    assert not without & by_route
    assert {
        "no lesson",
        "a wrong key",
        "a form",
        "chunked",
        "HTTP/1.0",
        "as it waits",
        "the same id, other data",
        "events: many faults",
        "events: 1000",
        "events: a record",
        "events: a form",
        "events: Idempotency-Key, other data",
    } <= by_route
