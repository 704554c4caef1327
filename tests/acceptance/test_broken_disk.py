"""A disk that fails at the n-th write or the n-th sync: what was acknowledged is there, what was not said so."""

import errno
import pathlib
from collections.abc import Iterator

import pytest

from chaos.shim import FAILURES, SYNCS, WRITES, Shim, available
from tests.support.processes import API_KEY, PYTHON, Process, Processes, bare_environ, run
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(not available(), reason="needs gcc, which builds the disk that fails")

KEY = {"X-API-Key": API_KEY}
UP_TO = 12
"""A request makes fewer writes and syncs than this, also where it finds the log new."""


class Disk:
    """A web process on a disk that fails when it is told to."""

    def __init__(self, folder: pathlib.Path, started: Processes) -> None:
        self.shim = Shim(folder, "broken-sandbox.db")
        self.started = started
        self.environ = bare_environ(
            **self.shim.environ,
            SANDBOX="1",
            DATABASE_URL=f"sqlite:///{folder}/broken.db",
            API_KEYS=f"platform:{API_KEY}",
        )
        self.web: Process = started.web(self.environ)
        self.acknowledged: list[str] = []
        self.sent = 0

    def post(self, count: int = 1) -> int:
        """One request of so many events. -> its status."""
        self.sent += 1
        body = [{"name": "crm/create-deal", "data": {"dealName": f"{self.sent}-{one}"}} for one in range(count)]
        status, answer = self.web.call("POST", "/api/events", body=body, headers=KEY)
        if status == 202:
            self.acknowledged += answer["ids"]
        return status

    def again(self) -> None:
        """As after a cut of the power, in so far as a process can tell: killed, and started anew."""
        self.web.kill()
        self.web = self.started.web(self.environ)

    def lost(self) -> list[str]:
        return [one for one in self.acknowledged if self.web.call("GET", f"/api/events/{one}", headers=KEY)[0] != 200]


@pytest.fixture
def disk(tmp_path: pathlib.Path, started: Processes) -> Iterator[Disk]:
    made = Disk(tmp_path, started)
    yield made
    made.shim.close()


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("operation", ["write", "sync"])
def test_nothing_is_acknowledged_that_is_not_there(disk: Disk, operation: str, error: int) -> None:
    statuses: list[int] = []
    reached = 0
    for number in range(1, UP_TO + 1):
        assert disk.post() == 202
        disk.shim.fail(error=error, **{operation: number})
        statuses += [disk.post(count) for count in (1, 50, 1)]
        reached += disk.shim.seen(FAILURES)
        disk.shim.heal()
        eventually(lambda: disk.post() == 202, within=10)
        if number % 4 == 0:
            disk.again()
            assert disk.lost() == []
    assert reached, "no operation failed, so that nothing was tried"
    assert set(statuses) <= {202, 503}, statuses
    assert 503 in statuses, "a failure that nobody was told of"
    disk.again()
    assert disk.lost() == []
    checked = run([PYTHON, "-m", "flask", "outbox", "verify"], disk.environ)
    assert checked.code == 0, checked.text


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_a_disk_that_stays_broken_refuses_all_and_recovers(disk: Disk, error: int) -> None:
    assert disk.post() == 202
    disk.shim.fail(write=1, sync=1, length=1_000_000, error=error)
    assert {disk.post(count) for count in (1, 1, 20, 1)} == {503}
    assert disk.shim.seen(WRITES) and disk.shim.seen(FAILURES)
    disk.shim.heal()
    eventually(lambda: disk.post() == 202, within=10)
    assert disk.shim.seen(SYNCS)
    disk.again()
    assert disk.lost() == []
