"""Any request at all, to every route that there is: nothing that a stranger or a signed-in person sends is our fault.

FUZZ_CASES=100000 tries so many, each time others: `make fuzz`.
"""

import logging
import os
import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support import seeded
from tests.support.site import OPERATOR, VIEWER, application

CASES = int(os.environ.get("FUZZ_CASES", "0"))
KEY, SECRET = "platform-key-1", "hook-secret-1"

ODD = st.sampled_from(
    ["", "0", "-1", "1", "5", "15", "²", "٣", "१", "1_0", " 7 ", "+7",
     "9" * 18, "9" * 19, "9" * 25, "9" * 5000, "1e3",
     "1e400", "nan", "-inf", "0x10", "\x00", "a\x00b", "\ud800", "\udfff", "\u202e", "\ufeff", "%",
     "%00", "%ff", "_", "*?[",
     "x" * 300, "%" * 60000, "_" * 60000, "anna@b.ru", "@", "' OR 1=1 --", "../../etc/passwd",
     "//evil.example", "\\\\evil.example",
     "https://evil.example/", "javascript:alert(1)", "/outbox", "/outbox//evil", "\r\nX: y", "dead", "amocrm",
     "erp", "-", "lesson.completed", "all", "day", "week", "custom", "142", "stage_deleted", "true", "{}",
     "[]", "ru", "en"]
)  # fmt: skip
WORD = st.one_of(ODD, st.text(st.characters(), max_size=12))
NAMES = st.sampled_from(
    ["endpoint", "values", "self", "_method", "_external", "_anchor", "_scheme", "_x", "after", "q", "state",
     "destination", "event", "when", "cause", "since", "until", "overdue", "email", "deal", "max_id", "select",
     "id", "act",
     "mode", "shown", "refresh", "chart", "look", "lesson", "lang", "delivery_id", "key", "filename", "code",
     "referer",
     "state", "error", "account_id", "client_uuid", "signature", "secret", "expected", "from", "back", "language",
     "then_retry", "stage:1", "stage:²", "stage:9999999", "stage:", "dealName", "amount", "entityId",
     "lesson_id", "name", "data", "data[a]"]
)  # fmt: skip
FIELDS = st.lists(st.tuples(st.one_of(NAMES, NAMES, WORD), WORD), max_size=5)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["Accept", "Accept-Language", "Authorization", "Content-Encoding", "Cookie", "Expect", "Forwarded", "Host",
         "Idempotency-Key", "If-Modified-Since", "If-None-Match", "Origin", "Range", "Referer", "X-API-Key",
         "X-Fragment", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix",
         "X-Forwarded-Proto",
         "X-HTTP-Method-Override", "X-Inngest-Event-Id-Seed", "X-Inngest-Env"]
    ),
    st.one_of(
        st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\x00"), max_size=20),
        st.sampled_from(
            ["language=²", "dealpost=x.y.z", "dealpost=\xff; language=ru", "evil.example", "evil.example:99999",
             "[::1", "a b", "bytes=²-", "bytes=0-99999999999999999999", "Basic ²", "Basic AA==", "Bearer \xff",
             "Digest x", "ru;q=²",
             "//evil.example", "/evil", "https", "javascript", "1", "\xb2", "GET", "W/\"x\"",
             "Thu, 99 Nov 2026 00:00:00 GMT",
             "100-continue", "x" * 300]
        ),
    ),
    max_size=4,
)  # fmt: skip
KINDS = st.sampled_from(
    ["application/x-www-form-urlencoded", "multipart/form-data", "multipart/form-data; boundary=x",
     "application/json",
     "text/plain; charset=²", "application/x-www-form-urlencoded; charset=utf-7", ""]
)  # fmt: skip


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    world = seeded.World(tmp_path_factory.mktemp("any") / "dealpost.db")
    world.day(scale=0.1, lost=3)
    world.others_lost()
    world.slow_down()
    world.house()
    yield application(world, TRUSTED_PROXIES=os.environ.get("FUZZ_PROXIES", "0"))
    world.store.close()


def how(count: int) -> settings:
    return settings(
        max_examples=CASES or count,
        deadline=None,
        database=None,
        derandomize=not CASES,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def escaped(fields: list[tuple[str, str]]) -> str:
    return urlencode(
        [(name.encode("utf-8", "surrogatepass"), value.encode("utf-8", "surrogatepass")) for name, value in fields]
    )


def sign_in(who: tuple[str, str]) -> str:
    return "Basic " + b64encode(":".join(who).encode()).decode()


def routes(app: Flask) -> list[tuple[str, str]]:
    return sorted((method, rule.rule) for rule in app.url_map.iter_rules() for method in rule.methods or ())


def fill(rule: str, words: list[str]) -> str:
    """The rule as a path, quoted, its places taken by these words; each first by what is right there."""
    right = {
        "event_key": KEY,
        "secret": SECRET,
        "destination": "amocrm",
        "delivery_id": "1",
        "filename": "app.css",
        "key": "1-1",
    }
    left = list(words)

    def one(found: re.Match[str]) -> str:
        word = left.pop(0) if left else ""
        return quote(
            (word or right.get(found[1], "x")).encode("utf-8", "surrogatepass"), safe="/" if "path:" in found[0] else ""
        )

    return re.sub(r"<(?:[^:>]*:)?(\w+)>", one, rule)


class Fault(logging.Handler):
    """Keeps what was logged as a fault of ours."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage() + str(record.exc_info and record.exc_info[1]))


def send(
    client: FlaskClient, method: str, path: str, query: str, body: bytes, kind: str, headers: dict[str, str]
) -> None:
    raw = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()}
    answer = client.open(path, method=method, query_string=query, data=body, content_type=kind, environ_overrides=raw)
    with answer:
        said = answer.get_data()
        told = (method, path, query[:300], body[:300], kind, headers, answer.status, said[-300:])
        assert answer.status_code < 500 or path.startswith("/healthz/worker"), told
        leaves = urlsplit(answer.headers.get("Location", ""))
        host = headers.get("Host", "localhost")
        assert leaves.netloc in ("", host, "school.amocrm.ru", "www.amocrm.ru"), told
        assert not answer.headers.get("Location", "").startswith(("//", "/\\", "\\")), told
        if (answer.mimetype or "").endswith("json") or answer.mimetype == "text/html":
            assert answer.headers["X-Content-Type-Options"] == "nosniff", told
        if answer.mimetype == "text/html" and path.startswith("/outbox"):
            assert answer.headers["Cache-Control"] == "no-store", told


def test_no_request_makes_any_route_stumble(app: Flask) -> None:
    fault = Fault()
    logging.getLogger("service").addHandler(fault)
    client = app.test_client()
    page = client.get("/outbox/help", headers={"Authorization": sign_in(OPERATOR)}).text
    (token,) = re.findall(r'name="csrf_token" value="([^"]+)"', page)[:1]

    @how(600)
    @given(
        route=st.sampled_from(routes(app)), words=st.lists(WORD, max_size=2), query=FIELDS, form=FIELDS, kind=KINDS,
        headers=HEADERS, who=st.sampled_from(["", "key", OPERATOR, VIEWER]), token_too=st.booleans(),
    )  # fmt: skip
    def check(
        route: tuple[str, str], words: list[str], query: list[tuple[str, str]], form: list[tuple[str, str]], kind: str,
        headers: dict[str, str], who: Any, token_too: bool,
    ) -> None:  # fmt: skip
        method, rule = route
        if who:
            given = f"Bearer {KEY}" if who == "key" else sign_in(who)
            headers = {"Authorization": given, **headers}
        if "secret" not in rule and rule.startswith("/api/") and method == "POST":
            query = [("secret", SECRET), *query]
        body = escaped([("csrf_token", token), *form] if token_too else form).encode()
        send(client, method, fill(rule, words), escaped(query), b"" if method == "GET" else body, kind, headers)
        assert not fault.said, (route, words, query, form, headers, fault.said)

    try:
        check()
    finally:
        logging.getLogger("service").removeHandler(fault)
