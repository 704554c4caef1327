"""Several processes on one file: started at once, forked, killed."""

import os
import pathlib
import random
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from outbox.engines import open_store
from outbox.message import State
from outbox.queries import Filter
from outbox.store import Store
from tests.integration.store.make import Clock, claim, event, lane

ROOT = pathlib.Path(__file__).resolve().parents[3]

ACCEPT = """
import sys, threading
from outbox.engines import open_store
from tests.integration.store.make import event
store = open_store(sys.argv[1])
say = threading.Lock()
def run():
    while True:
        for receipt in store.intake.accept([event(), event("bob@example.com")], timeout=60.0):
            with say:
                print(receipt.id, flush=True)
for _ in range(4):
    threading.Thread(target=run).start()
"""

MIGRATE = """
import sys
from outbox.engines import open_store
sys.stdin.readline()
store = open_store(sys.argv[1])
store.maintenance.migrate()
print(store.intake.accept([__import__("tests.integration.store.make").integration.store.make.event()])[0].id)
"""


def start(script: str, address: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script, address],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_whatever_was_acknowledged_survives_a_kill(store: Store, address: str) -> None:
    chance = random.Random(7)
    acknowledged: list[str] = []
    for _ in range(20):
        with start(ACCEPT, address) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 60)):
                acknowledged.append(process.stdout.readline().strip())
            process.send_signal(signal.SIGKILL)
            # What was printed before the kill counts, too; a line that was cut off does not.
            rest = process.stdout.read().split("\n")
            acknowledged += rest[:-1]
    assert len(acknowledged) > 20 and len(set(acknowledged)) == len(acknowledged)
    for one in acknowledged:
        found = store.reading.event(one)
        assert found is not None and len(found.deliveries) == 1
    assert store.reading.count(Filter()) >= len(acknowledged) and store.maintenance.verify() == []


def test_two_processes_that_start_at_once_make_one_schema(address: str) -> None:
    processes = [start(MIGRATE, address) for _ in range(3)]
    answers = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        answers.append(process.communicate()[0].strip())
        assert process.returncode == 0
    store = open_store(address)
    assert (
        all(store.reading.event(one) for one in answers)
        and store.reading.count(Filter()) == 3
        and store.maintenance.verify() == []
    )
    store.close()


CLAIM = """
import sys
from outbox.engines import open_store
store = open_store(sys.argv[1], now=lambda: float(sys.argv[2]) if len(sys.argv) > 2 else 1_800_000_000.0)
lease = store.leases.acquire("lane:amocrm", "killed", 30.0)
rows = store.lanes.claim(lease, "amocrm", 10, whole_keys=True, newest_first=True)
store.lanes.begin(lease, [rows[0].id])
print(len(rows), flush=True)
sys.stdin.readline()
"""


def test_the_batch_of_a_killed_process_goes_out_again_after_its_lease(store: Store, address: str, clock: Clock) -> None:
    store.intake.accept([event(f"s{n}@x") for n in range(5)])
    with start(CLAIM, address) as process:
        assert process.stdout is not None and process.stdout.readline() == "5\n"
        process.send_signal(signal.SIGKILL)
    assert store.reading.count_states(Filter())[State.SENDING] == 5
    assert store.leases.acquire("lane:amocrm", "next", 30.0) is None
    clock.forward(30)
    rows = claim(store, lane(store, "next"))
    assert len(rows) == 5 and sum(row.interrupted for row in rows) == 1


def test_a_forked_child_uses_connections_of_its_own(store: Store, address: str) -> None:
    store.intake.accept([event("parent@x")])
    child = os.fork()
    if child == 0:
        code = 1
        try:
            store.intake.accept([event("child@x")])
            code = 0 if store.reading.count(Filter()) == 2 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.intake.accept([event("parent@x")])
    assert store.reading.count(Filter()) == 3 and store.maintenance.verify() == []


@pytest.mark.parametrize("writer", ["accept", "memory"])
def test_writers_of_two_stores_take_turns(opened: Callable[[], Store], store: Store, writer: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    stores = [store, opened()]

    def write(number: int) -> None:
        one = stores[number % 2]
        if writer == "accept":
            one.intake.accept([event(f"s{number}@x")], timeout=60.0)
        else:
            one.key_values.put("x", str(number), number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(100)))
    assert store.reading.count(Filter()) + len(store.key_values.items("x")) == 100
