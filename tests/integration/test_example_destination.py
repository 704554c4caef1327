"""The worked example of docs/another-destination.md, in a real lane against a real server."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from docs.examples.notify import Notify
from outbox.drain import Lane
from outbox.engines import open_store
from outbox.message import Delivery, NewDelivery, NewEvent, State, new_id
from outbox.store import Store


class Receiver:
    """Answers with the next of `statuses`, the last one for ever; 0 hangs up."""

    def __init__(self) -> None:
        self.statuses, self.got = [200], list[tuple[dict[str, str], bytes]]()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), body))
                status = receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0]
                if not status:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def store(tmp_path: Any) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path}/x.db")
    opened.maintenance.migrate()
    yield opened
    opened.close()


def send(store: Store, url: str, secret: str = "a-shared-secret") -> tuple[Delivery, str]:
    """An event, and one pass of the lane. -> its delivery, and the event's id."""
    now = store.now()
    new = NewEvent(
        id=new_id(now), name="lesson.completed", data={"email": "anna@example.com", "lesson": 1}, source="events",
        sender="platform", received_at=now, deliveries=(NewDelivery("notify"),),
    )  # fmt: skip
    store.intake.accept([new])
    run(store, url, secret)
    found = store.reading.event(new.id)
    assert found is not None
    return found.deliveries[0], new.id


def run(store: Store, url: str, secret: str = "a-shared-secret") -> None:
    lane = Lane(
        store, Notify(url, secret, store.now), "worker", random=lambda: 0.0, stopping=lambda: False,
        alert=lambda cause, params: None, rest=lambda seconds: None,
    )  # fmt: skip
    assert lane.acquire()
    lane.run_pass()
    assert lane.lease is not None
    store.leases.release(lane.lease)


def test_an_event_is_posted_signed_under_its_id(store: Store, receiver: Receiver) -> None:
    delivery, event_id = send(store, receiver.url)
    assert (delivery.state, delivery.reference) == (State.DELIVERED, event_id)
    ((headers, body),) = receiver.got
    assert json.loads(body) == {
        "id": event_id, "name": "lesson.completed", "data": {"email": "anna@example.com", "lesson": 1},
    }  # fmt: skip
    assert headers["X-Signature"] == hmac.new(b"a-shared-secret", body, hashlib.sha256).hexdigest()
    assert headers["Idempotency-Key"] == event_id


@pytest.mark.parametrize("status", [0, 429, 500, 503])
def test_what_may_pass_is_tried_again(store: Store, receiver: Receiver, status: int) -> None:
    receiver.statuses = [status]
    delivery, _ = send(store, receiver.url)
    assert delivery.state == State.PENDING and delivery.due_at is not None and delivery.due_at > store.now()


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_refusal_of_one_event_is_a_dead_letter(store: Store, receiver: Receiver, status: int) -> None:
    receiver.statuses = [status, 200]
    assert send(store, receiver.url)[0].state == State.DEAD
    assert send(store, receiver.url)[0].state == State.DELIVERED


def test_a_wrong_secret_makes_all_wait_until_it_is_changed(store: Store, receiver: Receiver) -> None:
    receiver.statuses = [401, 200]
    delivery, event_id = send(store, receiver.url)
    assert delivery.state == State.PENDING
    run(store, receiver.url)
    assert len(receiver.got) == 1, "it rests"
    run(store, receiver.url, "the-right-secret")
    found = store.reading.event(event_id)
    assert found is not None and found.deliveries[0].state == State.DELIVERED


def test_without_settings_deliveries_wait(store: Store, receiver: Receiver) -> None:
    delivery, _ = send(store, "")
    assert delivery.state == State.PENDING and receiver.got == []


def test_what_is_kept_of_an_attempt_shows_no_secret(store: Store, receiver: Receiver) -> None:
    delivery, _ = send(store, receiver.url)
    (attempt,) = store.reading.attempts([delivery.id])[delivery.id]
    assert "a-shared-secret" not in str(attempt)
