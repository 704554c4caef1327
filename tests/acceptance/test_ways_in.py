"""Bodies as they really come over the wire: broken off, as forms, with a key or without."""

import http.client
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.processes import API_KEY, Process

KEY = {"Authorization": f"Bearer {API_KEY}"}


def states(web: Process) -> dict[str, Any]:
    destinations = web.call("GET", "/api/outbox", headers=KEY)[1]["destinations"]
    return {name: sum(one["states"].values()) for name, one in destinations.items()}


def break_off(url: str, path: str, body: bytes, announced: int) -> int:
    """Send less than was announced, and hang up. -> the answer's status."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), 10) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {announced}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)
        connection.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status


def test_a_body_that_breaks_off_is_never_stored(run_web: Any) -> None:
    web = run_web(WEBHOOK_SECRET="hook-secret-1")
    lesson = b'{"email": "student@example.com", "lesson": 1}'
    record = b'{"name": "crm/create-deal", "data": {"dealName": "x"}}'
    hook = b"leads[status][0][id]=123&leads[status][0][status_id]=14"
    for path, body in [
        ("/api/tripwire/complete", lesson), ("/api/events", record), (f"/e/{API_KEY}", record),
        ("/webhooks/amocrm/hook-secret-1", hook), ("/api/inngest?secret=hook-secret-1", hook),
    ]:  # fmt: skip
        assert break_off(web.url, path, body, len(body) + 30) == 400, path
    assert not any(states(web).values())


@pytest.mark.parametrize("path", ["/api/tripwire/complete", "/api/events"])
def test_a_form_builder_that_tests_the_address_stays_switched_on(run_web: Any, path: str) -> None:
    web = run_web()
    for form in [{"test": "test"}, {"webhook_id": "5"}]:
        assert web.call("POST", path, form=form, headers=KEY)[0] == 200
        assert web.call("POST", path, form=form, headers={"X-API-Key": API_KEY})[0] == 200
        assert web.call("POST", path, form=form)[0] == 401
    assert not any(states(web).values())
    form = {"Email": "student@example.com", "lesson": "1", "name": "crm/create-deal", "data[dealName]": "x"}
    assert web.call("POST", path, form=form, headers=KEY)[0] == 202
    assert sum(states(web).values()) == 1
