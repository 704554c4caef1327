"""A process that dies at any step that matters, and again while it picks up the pieces, loses and doubles nothing."""

import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from chaos.house import LEASE, House
from chaos.judge import judge, read_books
from chaos.producers import LESSONS, Acknowledged, Producers
from chaos.run import still_waiting
from chaos.shim import available
from outbox.engines import open_store
from tests.support.processes import FOLDER
from tests.support.waiting import eventually
from workshop.calls import answers

pytestmark = pytest.mark.skipif(not available(), reason="needs gcc, which builds the clock that jumps")

WORKER = "worker-1"
DIED = 137
DAY = 24 * 3600.0
JOB_LEASE = 301.0
"""Seconds after which nobody waits for a job that died with its worker."""

AT_THE_DOOR = ("intake-before-insert", "intake-before-commit", "intake-after-commit")
ON_THE_WAY = [
    f"{lane}-{step}"
    for lane in ("amocrm", "erp")
    for step in ("after-claim", "before-begin", "after-begin", "after-send", "after-record")
]
IN_THE_MIDDLE = ("amocrm-before-begin:2", "amocrm-after-record:2", "erp-after-begin:2")
"""Part of the batch is over, the rest is not begun."""

BEGUN_AHEAD = ("erp-before-next",)
"""The first of those that were begun together was answered, the others have not left."""

WITH_TOKENS = ("token-before-request", "token-after-response", "token-after-commit")
OF_THE_FILE = ("checkpoint-before", "checkpoint-after")
BY_HAND = (
    "migration-before-commit",
    "backup-before-rename",
    "bulk-before-commit",
    "forget-before-commit",
    "prune-before-commit",
)
ALL = {*AT_THE_DOOR, *ON_THE_WAY, *BEGUN_AHEAD, "amocrm-before-next", *WITH_TOKENS, *OF_THE_FILE, *BY_HAND}


class Broken:
    """A house whose processes die, and what was acknowledged in it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.producers = Producers(house, seed=1, seconds=60.0, students=1)
        self.students = 0

    @property
    def book(self) -> Acknowledged:
        return self.producers.book

    def send(self) -> None:
        """All lessons of one more student, and a few records, each until it is taken."""
        self.students += 1
        self.producers.seed("broken", self.students)
        for lesson in range(1, LESSONS + 1):
            assert self.producers.lesson(f"broken-{self.students}@example.com", lesson)
        for number in range(3):
            assert self.producers.record(f"broken-{self.students}-{number}")

    def dies(self, step: str, after: float = LEASE) -> None:
        """Start a worker, so many seconds later, and wait until it has died at this step."""
        self.house.shim.jump(after)
        self.house.start_worker(WORKER, step)
        # The last of its work may be done a moment before it dies: that nothing waits any more says nothing.
        assert self.house.processes[WORKER].wait(60) == DIED, self.house.log(WORKER)[-3000:]

    def dies_or_rests(self, step: str) -> None:
        """The same once more; it may find nothing left to do."""
        self.house.shim.jump(LEASE)
        self.house.start_worker(WORKER, step)
        process = self.house.processes[WORKER]
        eventually(lambda: process.poll() is not None or not still_waiting(self.house), within=40)

    def comes_to_rest(self) -> None:
        """With a worker that lives all arrives, once and in order."""
        self.house.shim.jump(LEASE)
        self.house.start_worker(WORKER)

        def rests() -> bool:
            self.house.shim.jump(5.0)
            waiting = still_waiting(self.house)
            assert not waiting, waiting
            return True

        eventually(rests, within=60, every=0.5)
        verdict = judge(self.book, read_books(self.house.ask), still_waiting(self.house), hooks=False)
        assert verdict.clean, (verdict, self.house.log(WORKER)[-3000:])
        assert self.command("outbox", "verify").returncode == 0
        self.house.kill(WORKER)

    def command(self, *arguments: str, failpoint: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        environ = {**self.house.environ, "DEALPOST_FAILPOINT": failpoint, **settings}
        return subprocess.run(
            [sys.executable, "-m", "flask", *arguments], cwd=FOLDER, env=environ, capture_output=True, text=True
        )


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broken]:
    house = House(tmp_path_factory.mktemp("house"))
    house.environ |= {"WEB_CONCURRENCY": "1", "WEBHOOK_ECHOES": "skip"}
    try:
        house.start_sandbox()
        # A pair whose commit was lost cannot be had again where rotation is strict: that is another test's.
        house.ask("PATCH", "settings", {"rotation": "lenient"})
        house.start_web()
        house.wait(lambda: answers(f"{house.url}/readyz"), 30, "the web process is not ready")
        yield Broken(house)
    finally:
        house.close()


def test_each_step_that_the_code_names_is_tried() -> None:
    code = "".join(file.read_text() for part in ("outbox", "service") for file in (FOLDER / part).rglob("*.py"))
    named = {name.strip() for name in re.findall(r'(?<!def )\bfailpoint\(f?"([^"]+)"\)', code)}
    lanes = {re.sub(r"\{.*\}", lane, name) for name in named for lane in ("amocrm", "erp")}
    assert lanes == ALL


@pytest.mark.parametrize("step", AT_THE_DOOR)
def test_the_web_dies_at_the_door(broken: Broken, step: str) -> None:
    house = broken.house
    house.start_web(step)
    house.wait(lambda: answers(f"{house.url}/healthz"), 30, "the web process does not answer")
    for time in (1, 2):  # gunicorn starts another worker, which dies as well
        broken.producers.over.set()
        assert not broken.producers.record(f"{step}-{time}"), "no answer may come from one that died"
        eventually(lambda time=time: house.log("web").count(f"failpoint {step}:") == time, within=10)  # type: ignore[misc]
    broken.producers.over.clear()
    house.start_web()
    house.wait(lambda: answers(f"{house.url}/readyz"), 30, "the web process is not ready")
    for time in (1, 2):
        assert broken.producers.record(f"{step}-{time}")
    broken.send()
    broken.comes_to_rest()


@pytest.mark.parametrize("step", [*WITH_TOKENS, *ON_THE_WAY, *IN_THE_MIDDLE, *BEGUN_AHEAD, *OF_THE_FILE])
def test_the_worker_dies_and_dies_again(broken: Broken, step: str) -> None:
    broken.send()
    if step in WITH_TOKENS:
        broken.house.ask("POST", "tokens/expire")
        broken.house.shim.jump(2 * DAY)
    broken.dies(step, after=JOB_LEASE if step in OF_THE_FILE else LEASE)
    broken.dies_or_rests(step)
    broken.comes_to_rest()


def test_a_migration_dies(broken: Broken, tmp_path: pathlib.Path) -> None:
    url = f"sqlite:///{tmp_path}/fresh.db"
    for _ in range(2):
        died = broken.command("outbox", "migrate", failpoint="migration-before-commit", DATABASE_URL=url)
        assert died.returncode == DIED
    assert broken.command("outbox", "migrate", DATABASE_URL=url).returncode == 0
    assert broken.command("outbox", "verify", DATABASE_URL=url).returncode == 0


def test_a_backup_dies(broken: Broken, tmp_path: pathlib.Path) -> None:
    broken.send()
    copy = tmp_path / "copy.db"
    for _ in range(2):
        assert broken.command("outbox", "backup", str(copy), failpoint="backup-before-rename").returncode == DIED
        assert not copy.exists()
    assert broken.command("outbox", "backup", str(copy)).returncode == 0
    store = open_store(f"sqlite:///{copy}")
    try:
        assert store.maintenance.verify() == []
        assert store.reading.tallies()
    finally:
        store.close()
    broken.comes_to_rest()


def test_a_bulk_deed_dies(broken: Broken) -> None:
    broken.send()
    waiting = still_waiting(broken.house)
    listed = broken.command("outbox", "list", "--state", "pending").stdout
    first = next(word for line in listed.splitlines() for word in line.split()[:1] if word.isdecimal())
    for _ in range(2):
        assert broken.command("outbox", "retry", first, failpoint="bulk-before-commit").returncode == DIED
        assert still_waiting(broken.house) == waiting
    assert broken.command("outbox", "retry", first).returncode == 0
    broken.comes_to_rest()


def test_forgetting_and_pruning_die(broken: Broken) -> None:
    broken.send()
    broken.comes_to_rest()
    email = f"broken-{broken.students}@example.com"
    for deed, step in (
        (("outbox", "forget", email, "--yes"), "forget-before-commit"),
        (("outbox", "prune", "--days", "7"), "prune-before-commit"),
    ):
        if "prune" in deed:
            broken.house.shim.jump(8 * DAY)
        for _ in range(2):
            assert broken.command(*deed, failpoint=step).returncode == DIED
            assert email in broken.command("outbox", "list", "--limit", "1000").stdout or "prune" in deed
        assert broken.command(*deed).returncode == 0
        assert broken.command("outbox", "verify").returncode == 0
    assert "delivered" not in broken.command("outbox", "list", "--limit", "1000").stdout
