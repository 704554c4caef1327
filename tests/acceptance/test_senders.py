"""The senders to copy, each as a platform would run it, against the running service."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.lossy import LossyProxy
from tests.support.processes import API_KEY, FOLDER, PYTHON, Process, Processes, bare_environ
from tests.support.waiting import eventually

SENDERS = FOLDER / "senders"
KEY = {"Authorization": f"Bearer {API_KEY}"}


@dataclass(frozen=True)
class Sender:
    """One language. program: it answers the student and tells Dealpost; $EMAIL and $EVENT come in the environment.

    waits: it tells Dealpost before it answers.
    """

    name: str
    command: tuple[str, ...]
    program: str
    waits: bool = False


ALL = [
    Sender(
        "python",
        (PYTHON, "-c"),
        """
import os
from dealpost import complete_lesson
complete_lesson(os.environ["EMAIL"], 67, os.environ["EVENT"])
print("answered", flush=True)
""",
    ),
    Sender(
        "node",
        ("node", "--input-type=module", "-e"),
        """
import { completeLesson } from "./dealpost.mjs";
completeLesson({ email: process.env.EMAIL, lessonId: 67, id: process.env.EVENT });
console.log("answered");
""",
    ),
    Sender(
        "php",
        ("php", "-r"),
        """
require "dealpost.php";
dealpost_complete_lesson(getenv("EMAIL"), 67, getenv("EVENT"));
echo "answered\\n";
""",
    ),
    Sender("curl", ("sh", "-c"), './dealpost.sh "$EMAIL" 67 "$EVENT" && echo answered', waits=True),
    Sender("curl-behind", ("sh", "-c"), './dealpost.sh "$EMAIL" 67 "$EVENT" & echo answered; wait $!'),
]


def need(sender: Sender) -> None:
    program = "curl" if sender.name.startswith("curl") else sender.command[0]
    if not shutil.which(program):
        pytest.skip(f"SKIPPED, NOT TESTED: this machine has no {program}")
    if program == "php" and b"curl" not in subprocess.run(["php", "-m"], capture_output=True).stdout.split():
        pytest.skip("SKIPPED, NOT TESTED: this machine's PHP has no curl (apt install php-curl)")


@pytest.fixture(params=ALL, ids=lambda sender: sender.name)
def sender(request: pytest.FixtureRequest) -> Sender:
    made: Sender = request.param
    need(made)
    return made


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One service for all; each test has a student of its own."""
    folder = tmp_path_factory.mktemp("senders")
    processes = Processes(folder)
    yield processes.web(bare_environ(DATABASE_URL=f"sqlite:///{folder}/x.db", API_KEYS=f"platform:{API_KEY}"))
    processes.stop()


@pytest.fixture
def student(request: pytest.FixtureRequest) -> str:
    return f"{abs(hash(request.node.name))}@example.com"


@pytest.fixture
def proxy(web: Process) -> Iterator[LossyProxy]:
    with LossyProxy(web.url) as running:
        yield running


def start(sender: Sender, url: str, student: str) -> Any:
    environ = bare_environ(DEALPOST_URL=url, DEALPOST_KEY=API_KEY, PYTHONPATH=str(SENDERS))
    environ |= {"EMAIL": student, "EVENT": f"lesson-{student}-67"}
    return subprocess.Popen(
        [*sender.command, sender.program], cwd=SENDERS, env=environ, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(running: Any) -> tuple[str, str]:
    out, err = running.communicate(timeout=60)
    return out, err


def events(web: Process) -> int:
    return sum(web.call("GET", "/api/outbox", headers=KEY)[1]["destinations"]["amocrm"]["states"].values())


def test_a_lesson_sent_twice_is_one_event(sender: Sender, web: Process, proxy: LossyProxy, student: str) -> None:
    before = events(web)
    for _ in range(2):
        assert "answered" in finish(start(sender, proxy.url, student))[0]
    assert proxy.statuses == [202, 202]
    assert events(web) == before + 1


def test_an_answer_that_is_lost_and_a_busy_service_lose_and_double_nothing(
    sender: Sender, web: Process, proxy: LossyProxy, student: str
) -> None:
    before = events(web)
    proxy.lose, proxy.busy = 1, 1
    finish(start(sender, proxy.url, student))
    assert proxy.statuses == [202, 202]
    assert events(web) == before + 1


def test_the_student_is_answered_before_dealpost_answers(
    sender: Sender, web: Process, proxy: LossyProxy, student: str
) -> None:
    if sender.waits:
        assert "put an & after it" in (SENDERS / "dealpost.sh").read_text()
        return
    before = events(web)
    proxy.go.clear()
    running = start(sender, proxy.url, student)
    assert running.stdout.readline() == "answered\n"
    eventually(lambda: proxy.statuses == [202], 20)
    assert running.poll() is None, "it waits for the answer, behind the student's back"
    proxy.go.set()
    finish(running)
    assert (running.returncode, events(web)) == (0, before + 1)


def test_a_refusal_is_told_once_and_not_repeated(sender: Sender, web: Process, proxy: LossyProxy) -> None:
    before = events(web)
    _, err = finish(start(sender, proxy.url, "nobody"))
    assert "lesson-nobody-67" in err and "expected an address" in err
    assert API_KEY not in err
    assert (proxy.statuses, events(web)) == ([422], before)
