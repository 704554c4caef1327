"""Two web and three worker processes on one PostgreSQL: killed, cut off, and their server started anew."""

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet

from sandbox import Sandbox, defaults
from tests.support.processes import API_KEY, TRACEBACK, Process, Processes
from tests.support.waiting import eventually
from workshop.postgres import Server

pytestmark = pytest.mark.postgres

KEY = {"Authorization": f"Bearer {API_KEY}"}
STAGES = [defaults.STAGE_LESSON_1, defaults.STAGE_LESSON_2, defaults.STAGE_LESSON_3]
TAKEN_OVER = 35.0
"""Seconds after which somebody else has the lane of a worker that was killed."""


@pytest.fixture
def server() -> Iterator[Server]:
    try:
        server = Server(durable=True)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with server:
        yield server


class House:
    """Two web and three worker processes, and what was acknowledged."""

    def __init__(self, sandbox: Sandbox, server: Server, started: Processes, environ: dict[str, str]) -> None:
        self.sandbox, self.server = sandbox, server
        self.url = server.create("school")
        keys = {"SECRET_KEY": "a-secret-of-the-test-41b6", "TOKEN_KEYS": Fernet.generate_key().decode()}
        self.environ = {**environ, **keys, "DATABASE_URL": self.url, "ERP_FIELD_KEY": "field_1041"}
        self.webs = [started.web(self.environ, within=60.0) for _ in range(2)]
        self.workers = {process.popen.pid: process for process in (started.worker(self.environ) for _ in range(3))}
        self.events: list[str] = []
        self.records: list[str] = []

    def send(self, path: str, body: dict[str, Any], web: Process) -> None:
        """As a platform does: again, with the same id, until it is acknowledged."""

        def acknowledged() -> str | None:
            status, answer = web.call("POST", path, body=body, headers=KEY)
            assert status in (202, 503), answer
            return answer["id"] if status == 202 and "id" in answer else (answer.get("ids") or [None])[0]

        self.events.append(eventually(acknowledged, 60, every=0.2))

    def send_lessons(self, students: range, lesson: int) -> None:
        with ThreadPoolExecutor(4) as pool:
            for number in students:
                body = {"email": f"s{number}@example.com", "lesson": lesson, "id": f"{number}-{lesson}"}
                pool.submit(self.send, "/api/tripwire/complete", body, self.webs[number % 2]).add_done_callback(done)

    def send_records(self, numbers: range) -> None:
        with ThreadPoolExecutor(4) as pool:
            for number in numbers:
                self.records.append(f"record-{number}")
                body = {"name": "crm/create-deal", "id": f"r{number}", "data": {"dealName": f"record-{number}"}}
                pool.submit(self.send, "/api/events", body, self.webs[number % 2]).add_done_callback(done)

    def holder(self, lane: str) -> int:
        """The process that has this lane; 0 while nobody has."""
        with psycopg.connect(self.url, connect_timeout=5) as connection:
            row = connection.execute(
                "SELECT owner FROM leases WHERE name = %s AND until > extract(epoch FROM clock_timestamp())", (lane,)
            ).fetchone()
        found = re.search(r":(\d+)", row[0]) if row else None
        return int(found[1]) if found else 0

    def waiting(self) -> int:
        states = self.webs[0].call("GET", "/api/outbox", headers=KEY)[1]["destinations"]
        return sum(one["states"].get(state, 0) for one in states.values() for state in ("pending", "sending"))


def done(future: Any) -> None:
    future.result()


@pytest.fixture
def house(sandbox: Sandbox, server: Server, started: Processes, service_env: dict[str, str]) -> House:
    for number in range(24):
        contact = sandbox.amocrm.add_contact(f"S {number}", f"s{number}@example.com")
        sandbox.amocrm.add_deal(f"Course {number}", 4900, contact_ids=[contact.id], quiet=True)
    return House(sandbox, server, started, service_env)


def test_workers_killed_the_server_started_anew_and_connections_cut(house: House) -> None:
    house.send_lessons(range(24), 1)
    killed = eventually(lambda: house.holder("lane:amocrm"), 30)
    house.send_records(range(20))
    os.killpg(killed, signal.SIGKILL)
    began = time.monotonic()
    house.send_lessons(range(24), 2)
    assert eventually(lambda: house.holder("lane:amocrm") not in (0, killed), TAKEN_OVER + 5, every=0.2)
    assert time.monotonic() - began < TAKEN_OVER

    house.server.restart()  # as after a power cut, in the middle of a pass
    house.send_lessons(range(24), 3)
    house.server.cut()
    house.send_records(range(20, 40))
    house.server.cut()

    eventually(lambda: house.waiting() == 0, 90, every=0.5)
    moves: dict[int, list[int]] = {}
    for entry in house.sandbox.amocrm.changes:
        if entry.type == "lead_status_changed" and entry.after:
            moves.setdefault(entry.entity_id, []).append(entry.after[1])
    assert len(moves) == 24 and all(path == STAGES for path in moves.values()), moves
    assert Counter(str(row["1039"]) for row in house.sandbox.erp.records()) == Counter(house.records)
    assert len(house.events) == len(set(house.events)) == 24 * 3 + 40
    assert house.sandbox.log.count(part="amocrm", status=429) == 0  # one pace for all three workers
    refreshed = house.sandbox.log.count(part="amocrm", path="/oauth2/access_token")
    assert refreshed <= 1, "one refresh at a time"
    alive = [process for pid, process in house.workers.items() if pid != killed]
    for process in (*house.webs, *alive):
        assert process.running and TRACEBACK not in process.output, process.output


def test_a_worker_that_was_stopped_and_wakes_sends_nothing_any_more(house: House) -> None:
    """As one that is cut off from the server: what it holds in an open transaction holds up nobody, either."""
    stopped = eventually(lambda: house.holder("lane:amocrm"), 30)
    os.killpg(stopped, signal.SIGSTOP)
    began = time.monotonic()
    house.send_lessons(range(24), 1)
    assert eventually(lambda: house.holder("lane:amocrm") not in (0, stopped), TAKEN_OVER + 5, every=0.2)
    assert time.monotonic() - began < TAKEN_OVER
    eventually(lambda: house.waiting() == 0, 60, every=0.5)
    os.killpg(stopped, signal.SIGCONT)
    house.workers[stopped].says("another worker has taken over|the lease", 30)
    house.send_lessons(range(24), 2)
    eventually(lambda: house.waiting() == 0, 60, every=0.5)
    changes = [one for one in house.sandbox.amocrm.changes if one.type == "lead_status_changed"]
    assert Counter(one.entity_id for one in changes) == Counter({one.entity_id: 2 for one in changes})
