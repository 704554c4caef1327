"""The same against a tiny amoCRM written by other habits than the sandbox's: we must depend on neither."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from outbox.sqlite import SqliteStore
from service import config
from service.amocrm import AmocrmAccount
from tests.integration.amocrm.running import Running

KNOWN = {"query", "with", "limit", "page", "filter[id][]", "order[id]", "filter[statuses]"}
STAGES = {100: 10, 101: 20, 102: 30, 142: 10000, 143: 11000}


class Handler(BaseHTTPRequestHandler):
    """Ids are texts, links are missing, nothing found is 200 with an empty list, rows come in another order."""

    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"
    leads: dict[int, dict[str, Any]]
    seen: list[str]

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def do_PATCH(self) -> None:
        self.answer()

    def answer(self) -> None:
        url = urlsplit(self.path)
        pairs = parse_qsl(url.query, keep_blank_values=True)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(raw) if raw else None
        self.seen.append(f"{self.command} {url.path}")
        status, data = self.route(url.path, pairs, body)
        for name, _ in pairs:
            if (name.partition("][")[0] + "]" if name.startswith("filter[statuses") else name) not in KNOWN and not (
                name.startswith("filter[statuses][")
            ):
                status, data = 400, {"detail": f"unknown parameter {name}"}
        payload = b"" if status == 204 else json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def route(self, path: str, pairs: list[tuple[str, str]], body: Any) -> tuple[int, Any]:
        if path == "/oauth2/access_token":
            return 200, {
                "token_type": "Bearer",
                "expires_in": "3600",
                "access_token": "opaque",
                "refresh_token": "next",
            }
        if self.headers.get("Authorization") != "Bearer opaque":
            return 401, {"title": "Unauthorized"}
        if path == "/api/v4/leads/pipelines":
            statuses = [{"id": str(one), "name": f"S{one}", "sort": sort} for one, sort in STAGES.items()]
            return 200, {"_embedded": {"pipelines": [{"id": "10", "name": "P", "_embedded": {"statuses": statuses}}]}}
        if path == "/api/v4/account":
            return 200, {"id": "77", "name": "Another"}
        if path == "/api/v4/contacts":
            asked = [int(value) for name, value in pairs if name == "filter[id][]"]
            found = [self.person(number) for number in sorted(self.leads, reverse=True)]
            if asked:
                found = [one for one in found if int(one["id"]) in asked]
            query = dict(pairs).get("query", "").partition("@")[0]
            found = [one for one in found if query in self.email(int(one["id"])).lower()]
            return 200, {"_embedded": {"contacts": found}}
        if path == "/api/v4/leads" and self.command == "GET":
            asked = [int(value) for name, value in pairs if name == "filter[id][]"]
            rows = [one for number, one in sorted(self.leads.items(), reverse=True) if not asked or number in asked]
            page = int(dict(pairs).get("page", "1"))
            return 200, {"_embedded": {"leads": rows[(page - 1) * 250 : page * 250]}}
        if path.startswith("/api/v4/leads/"):
            return 200, self.leads[int(path.rpartition("/")[2])]
        if path == "/api/v4/leads" and self.command == "PATCH":
            for row in body:
                assert set(row) <= {"id", "status_id", "pipeline_id", "request_id"}
                self.leads[row["id"]]["status_id"] = str(row["status_id"])
            return 200, {
                "_embedded": {
                    "leads": [{"id": str(row["id"]), "request_id": [row["request_id"]]} for row in reversed(body)]
                }
            }
        return 404, {"title": "Not found"}

    def email(self, number: int) -> str:
        return f"Student{number - 1000}@X.ru"

    def person(self, number: int) -> dict[str, Any]:
        values = [{"value": self.email(number), "enum_code": "WORK"}]
        fields = [{"field_id": 1, "field_code": "EMAIL", "values": values}]
        leads = {"leads": [{"id": str(number)}]}
        return {"id": str(number), "name": None, "custom_fields_values": fields, "_embedded": leads, "surprise": {}}

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Another(Running):
    """Dealpost's amoCRM side in front of it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.offset = 0.0
        given = {
            "AMOCRM_BASE_URL": url,
            "AMOCRM_CLIENT_ID": "c",
            "AMOCRM_CLIENT_SECRET": "s",
            "AMOCRM_REDIRECT_URI": "http://localhost/oauth/callback",
            "AMOCRM_REFRESH_TOKEN": "first",
            "AMOCRM_PIPELINE_ID": "10",
            "AMOCRM_STAGE_LESSON_1": "101",
            "AMOCRM_STAGE_LESSON_2": "s102",
            "AMOCRM_RPS": "50",
        }
        self.settings = config.load(given).amocrm
        self.store = SqliteStore(str(folder / "dealpost.db"))
        self.store.maintenance.migrate()
        self.start()


@pytest.fixture
def url() -> Iterator[str]:
    Handler.leads = {
        number: {
            "id": str(number),
            "name": None,
            "price": "10",
            "status_id": "100",
            "pipeline_id": "10",
            "updated_at": "1",
            "_embedded": {"contacts": [{"id": str(number)}]},
        }
        for number in range(1000, 1300)
    }
    Handler.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_one_student_and_then_three_hundred(url: str, tmp_path: Path) -> None:
    running = Another(url, tmp_path)
    first = running.lesson("student7@x.ru")
    running.drain()
    assert running.state(first) == "delivered" and Handler.leads[1007]["status_id"] == "101"
    assert running.row(first).reference == "1007" and running.row(first).facts["from_name"] == "S100"
    many = running.lessons([(f"student{number}@x.ru", lesson) for number in range(300) for lesson in (1, 2)])
    running.drain()
    states = running.states(many)
    assert states == {"delivered": 599, "skipped already_further": 1}
    assert {one["status_id"] for one in Handler.leads.values()} == {"102"}
    assert len(Handler.seen) < 40
    running.store.close()


def test_a_token_that_is_no_jwt_has_no_secrets_to_tell(url: str, tmp_path: Path) -> None:
    running = Another(url, tmp_path)
    account: AmocrmAccount = running.account
    assert account.client.account()["name"] == "Another"
    status = account.tokens.status()
    assert (status.state, status.account_id, status.account_name) == ("connected", 77, "Another")
    assert account.tokens.due_at() == pytest.approx(running.store.now() + 1800, abs=5)
    running.store.close()
