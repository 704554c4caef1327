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
from tests.support.processes import API_KEY, PYTHON, TRACEBACK, Process, Processes, free_port, run
from tests.support.waiting import eventually
from tests.support.wire import Wire, wire
from workshop.postgres import USER, Server

pytestmark = pytest.mark.postgres

KEYS = {"SECRET_KEY": "a-secret-of-the-test-41b6", "TOKEN_KEYS": Fernet.generate_key().decode()}
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

    def __init__(
        self,
        sandbox: Sandbox,
        server: Server,
        started: Processes,
        environ: dict[str, str],
        webs: int = 2,
        workers: int = 3,
    ) -> None:
        self.sandbox, self.server = sandbox, server
        self.url = server.create("school")
        self.environ = {**environ, **KEYS, "DATABASE_URL": self.url, "ERP_FIELD_KEY": "field_1041"}
        self.webs = [started.web(self.environ, within=60.0) for _ in range(webs)]
        self.workers = {one.popen.pid: one for one in (started.worker(self.environ) for _ in range(workers))}
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
                pool.submit(
                    self.send, "/api/tripwire/complete", body, self.webs[number % len(self.webs)]
                ).add_done_callback(done)

    def send_records(self, numbers: range) -> None:
        with ThreadPoolExecutor(4) as pool:
            for number in numbers:
                self.records.append(f"record-{number}")
                body = {"name": "crm/create-deal", "id": f"r{number}", "data": {"dealName": f"record-{number}"}}
                pool.submit(self.send, "/api/events", body, self.webs[number % len(self.webs)]).add_done_callback(done)

    def holder(self, lane: str) -> int:
        """The process that has this lane; 0 while nobody has."""
        with psycopg.connect(self.url, connect_timeout=5) as connection:
            row = connection.execute(
                "SELECT owner FROM leases WHERE name = %s AND until > extract(epoch FROM clock_timestamp())", (lane,)
            ).fetchone()
        found = re.search(r":(\d+)", row[0]) if row else None
        return int(found[1]) if found else 0

    def asks_with_a_token(self) -> bool:
        log = self.sandbox.log
        return log.count(part="amocrm") > log.count(part="amocrm", path="/oauth2/access_token")

    def waiting(self) -> int:
        states = self.webs[0].call("GET", "/api/outbox", headers=KEY)[1]["destinations"]
        return sum(one["states"].get(state, 0) for one in states.values() for state in ("pending", "sending"))

    def silent_for(self, worker: Process) -> float:
        """Seconds since this worker said that it lives."""
        workers = self.webs[0].call("GET", "/api/outbox", headers=KEY)[1]["workers"]
        (found,) = [one for one in workers if one["name"].endswith(f":{worker.popen.pid}")]
        return float(found["heartbeat_seconds"])


def done(future: Any) -> None:
    future.result()


@pytest.fixture
def house(sandbox: Sandbox, server: Server, started: Processes, service_env: dict[str, str]) -> House:
    return House(seeded(sandbox), server, started, service_env)


def seeded(sandbox: Sandbox) -> Sandbox:
    for number in range(24):
        contact = sandbox.amocrm.add_contact(f"S {number}", f"s{number}@example.com")
        sandbox.amocrm.add_deal(f"Course {number}", 4900, contact_ids=[contact.id], quiet=True)
    return sandbox


def test_workers_killed_the_server_started_anew_and_connections_cut(house: House) -> None:
    house.send_lessons(range(24), 1)
    # Not while its first tokens are on the way: where old ones die at once nobody survives that.
    eventually(house.asks_with_a_token, 30)
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


AT_THE_DOOR = ("intake-before-insert", "intake-before-commit", "intake-after-commit")


def test_a_web_that_dies_at_the_door_loses_and_doubles_nothing(
    server: Server, started: Processes, service_env: dict[str, str]
) -> None:
    url = server.create("door")
    environ = {**service_env, **KEYS, "DATABASE_URL": url, "PORT": str(free_port())}

    def send(web: Process, step: str) -> int:
        body = {"name": "crm/create-deal", "id": step, "data": {"dealName": step}}
        try:
            return web.call("POST", "/api/events", body=body, headers=KEY)[0]
        except OSError:
            return 0

    for step in AT_THE_DOOR:
        web = started.web({**environ, "DEALPOST_FAILPOINT": step}, ready=False)
        started.ready(web, "/healthz")
        for turn in (1, 2):  # gunicorn starts another worker, which dies as well
            assert send(web, step) == 0, "no answer may come from one that died"
            web.says(rf"(?s)(failpoint {step}:.*){{{turn}}}")
        web.kill()
    web = started.web(environ)
    assert [send(web, step) for step in AT_THE_DOOR] == [202, 202, 202]
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT data::json->>'dealName' FROM events JOIN deliveries ON event_id = events.id")
        assert sorted(row[0] for row in rows) == sorted(AT_THE_DOOR)


def test_a_migration_that_dies_is_done_by_the_next_one(server: Server, service_env: dict[str, str]) -> None:
    environ = {**service_env, **KEYS, "DATABASE_URL": server.create("fresh")}

    def command(*words: str, **more: str) -> int:
        return run([PYTHON, "-m", "flask", "outbox", *words], {**environ, **more}).code

    for _ in range(2):
        assert command("migrate", DEALPOST_FAILPOINT="migration-before-commit") == 137
    assert command("migrate") == 0 and command("verify") == 0


@pytest.fixture
def cable() -> Iterator[Wire]:
    with wire() as cable:
        yield cable


@pytest.fixture
def far_server(cable: Wire) -> Iterator[Server]:
    """One that also listens at the other end of the wire. Before `started`: whoever ends takes leave of it."""
    with Server(durable=True, also=cable.server_host) as server:
        yield server


def test_a_worker_that_is_cut_off_from_the_server_sends_nothing_once_its_lease_is_gone(
    cable: Wire, far_server: Server, started: Processes, service_env: dict[str, str]
) -> None:
    with Sandbox(cable.other_host) as sandbox:
        # As with a real account: at the other end it has no loopback address.
        more = {**sandbox.env, "SANDBOX": "0", "AMOCRM_BATCH": "1", "AMOCRM_RPS": "6"}
        house = House(seeded(sandbox), far_server, started, {**service_env, **more}, webs=1, workers=0)
        there = f"postgresql://{USER}@{cable.server_host}:{cable.to(far_server.port)}/school"
        command = [*cable.before, PYTHON, "scheduler.py"]
        far = started.start("far", command, {**house.environ, "DATABASE_URL": there})
        eventually(lambda: house.holder("lane:amocrm") == far.popen.pid, 30)
        for _ in range(2):
            started.worker(house.environ)
        house.send_lessons(range(24), 1)
        eventually(lambda: len(moves(sandbox)) > 2, 30)

        cable.cut()
        began = time.monotonic()
        assert len(moves(sandbox)) < 20, "it was cut off too late to prove anything"
        assert eventually(lambda: house.holder("lane:amocrm") not in (0, far.popen.pid), TAKEN_OVER + 5, every=0.2)
        assert time.monotonic() - began < TAKEN_OVER
        eventually(lambda: house.waiting() == 0, 60, every=0.5)
        assert house.silent_for(far) > 20
        cable.mend()
        eventually(lambda: house.silent_for(far) < 5, 60)
        house.send_lessons(range(4), 2)
        eventually(lambda: house.waiting() == 0, 30, every=0.5)
        assert set(Counter(moves(sandbox)).values()) == {1} and len(moves(sandbox)) == 24 + 4
        assert TRACEBACK not in far.output and far.running, far.output


def moves(sandbox: Sandbox) -> list[tuple[int, int]]:
    """What amoCRM was asked to write: (deal, stage), in the order of the requests."""
    rows = [row for entry in sandbox.log.entries(part="amocrm", method="PATCH") for row in entry.body]
    return [(row["id"], row["status_id"]) for row in rows]
