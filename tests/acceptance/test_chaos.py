"""`make chaos`, short: broken on purpose by a seed, and judged by the books of the other side."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from chaos.run import run
from chaos.shim import available
from tests.support.processes import FOLDER
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(not available(), reason="needs gcc, which builds the clock that jumps")


def test_nothing_is_lost_doubled_or_moved_backwards_whatever_is_killed(tmp_path: pathlib.Path) -> None:
    report = run(tmp_path, 35.0, seed=3)
    assert report.good, report.table()
    assert report.deeds["killed"] > 3 and report.takeovers and report.ambiguous, report.table()


def test_the_judge_sees_it_when_a_worker_that_lost_its_lease_goes_on(tmp_path: pathlib.Path) -> None:
    report = run(tmp_path, 25.0, seed=2, worker=("-m", "chaos.worker_without_lease"))
    assert report.verdict.backward and report.verdict.disorder, report.table()
    assert not report.good


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_leaves_no_process_behind(tmp_path: pathlib.Path, number: int) -> None:
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "chaos", "--seconds", "60", "--seed", "1"]
    process = subprocess.Popen(command, cwd=FOLDER, env=environ, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process.stdout:
        assert process.stdout.readline() == "seed 1\n"
        eventually(lambda: len(those_of(tmp_path)) >= 4, within=40)
        process.send_signal(number)
        assert process.wait(40) != 0
    eventually(lambda: not those_of(tmp_path))  # killed ones may still be going
    assert not list(tmp_path.iterdir())


def those_of(folder: pathlib.Path) -> list[int]:
    """The processes other than the run itself that were started with this folder in their environment."""
    found = []
    for one in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            environ, command = (one / "environ").read_bytes(), (one / "cmdline").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in environ and b"--seconds" not in command:
            found.append(int(one.name))
    return found
