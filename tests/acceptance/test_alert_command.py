"""`flask alert-test`: an alert that really goes, to a messenger of this machine."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest


class Messenger(HTTPServer):
    """Takes what Apprise sends to json://."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.taken: list[dict[str, Any]] = []


class Taking(BaseHTTPRequestHandler):
    server: Messenger

    def do_POST(self) -> None:
        self.server.taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nobody wants to read it."""


@pytest.fixture
def messenger() -> Iterator[Messenger]:
    with Messenger() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_test_alert_arrives_or_the_address_that_took_none_is_named(messenger: Messenger, run_flask: Any) -> None:
    unset = run_flask("alert-test", LOCALE="en")
    assert unset.code == 1 and "ALERT_URLS is not set" in unset.err

    there = f"json://127.0.0.1:{messenger.server_port}/hunter2"
    well = run_flask("alert-test", ALERT_URLS=there, LOCALE="en")
    assert well.code == 0 and "Address 1 of 1 took the test alert" in well.out, well.text
    assert messenger.taken[0]["title"] == "Dealpost: a test"

    mixed = run_flask("alert-test", ALERT_URLS=f"tgrm://hunter2/1,{there},json://127.0.0.1:1/hunter2", LOCALE="en")
    assert mixed.code == 1 and "these took nothing: 1, 3" in mixed.err, mixed.text
    assert len(messenger.taken) == 2
    assert "hunter2" not in unset.text + well.text + mixed.text
