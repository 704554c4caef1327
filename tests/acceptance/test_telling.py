"""Telling never decides: whatever becomes of the log, each answer and each delivery is the same."""

import os
import pathlib
import pty
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox import Sandbox
from tests.acceptance.test_make import descendants, is_running, nothing_configured
from tests.support.processes import API_KEY, FOLDER, PYTHON, Process, Processes
from tests.support.waiting import eventually

KEY = {"Authorization": f"Bearer {API_KEY}"}


class Outlets:
    """Places for a log, each of them bad in its own way."""

    def __init__(self) -> None:
        self._files: list[int] = []
        self._readers: list[subprocess.Popen[bytes]] = []

    def full_disk(self) -> int:
        return self._kept(os.open("/dev/full", os.O_WRONLY))

    def reader_that_died(self) -> int:
        read, write = os.pipe()
        os.close(read)
        return self._kept(write)

    def reader_that_stopped(self) -> int:
        """It never reads again; the pipe is nearly full already."""
        reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self._readers.append(reader)
        reader.send_signal(signal.SIGSTOP)
        assert reader.stdin is not None
        os.write(reader.stdin.fileno(), b"-" * (60 * 1024))
        return reader.stdin.fileno()

    def closed_terminal(self) -> int:
        ours, theirs = pty.openpty()
        os.close(ours)
        return self._kept(theirs)

    def _kept(self, file: int) -> int:
        self._files.append(file)
        return file

    def close(self) -> None:
        for file in self._files:
            os.close(file)
        for reader in self._readers:
            reader.kill()
            reader.communicate()


@pytest.fixture
def outlets() -> Iterator[Outlets]:
    outlets = Outlets()
    yield outlets
    outlets.close()


@pytest.mark.parametrize("kind", ["full_disk", "reader_that_died", "reader_that_stopped", "closed_terminal"])
def test_a_log_that_cannot_be_written_changes_no_answer_and_no_delivery(
    kind: str, outlets: Outlets, started: Processes, service_env: dict[str, str], sandbox: Sandbox
) -> None:
    into = getattr(outlets, kind)()
    web = started.web({**service_env, "WEB_CONCURRENCY": "2"}, into=into)
    worker = started.worker(service_env, into=into)
    contact = sandbox.amocrm.add_contact("Anna", "anna@example.com")
    deal = sandbox.amocrm.add_deal("Course", 4900, contact_ids=[contact.id], quiet=True).id
    before = sandbox.amocrm.deals[deal].status_id
    body = {"email": "anna@example.com", "lesson": 1}
    for _ in range(400):  # more lines than a pipe holds
        assert web.call("GET", "/healthz")[0] == 200
    assert web.call("POST", "/api/tripwire/complete", body=body, headers=KEY)[1]["duplicate"] is False
    assert web.call("POST", "/api/tripwire/complete", body=body, headers=KEY)[1]["duplicate"] is True
    eventually(lambda: sandbox.amocrm.deals[deal].status_id != before, 20)
    assert worker.stop(within=30) == 0
    assert web.stop(within=30) == 0


def test_a_malformed_request_tells_no_log_the_secret_that_it_bears(
    run_web: Callable[..., Process], service_env: dict[str, str]
) -> None:
    web = run_web()
    for line in (
        "POST /webhooks/amocrm/hook-s3cret-77 HTP/1.1",
        "POST  /api/inngest?secret=hook-s3cret-77 HTTP/1.1 x",
        "POST /x HTTP/1.1\r\nX-API-Key : hook-s3cret-77",
        "G\x1b[31mT /e/hook-s3cret-77 HTTP/1.1",
    ):
        with socket.create_connection(("127.0.0.1", int(web.url.rpartition(":")[2]))) as raw:
            raw.sendall(f"{line}\r\n\r\n".encode())
            assert b" 400 " in raw.recv(65536)
    web.says("Invalid request from")
    assert web.stop() == 0
    assert "s3cret" not in web.output and "\x1b" not in web.output


def test_a_name_from_outside_does_not_steer_the_terminal(
    run_web: Callable[..., Process], run_flask: Any, started: Processes
) -> None:
    web = run_web()
    body = {"name": "crm/create-deal", "data": {"dealName": "\x1b]0;owned\x07\u202eDeal\x9b31m"}}
    assert web.call("POST", "/api/events", body=body, headers=KEY)[0] == 202
    for command in (["outbox", "list"], ["outbox", "show", "1"]):
        done = run_flask(*command)
        assert done.code == 0 and not set("\x1b\x07\u202e\x9b") & set(done.text), done.text


def test_make_run_leaves_nobody_behind_when_its_reader_is_gone(started: Processes, tmp_path: pathlib.Path) -> None:
    environ = nothing_configured(tmp_path)
    run = subprocess.Popen(
        [PYTHON, "-m", "workshop.run"],
        cwd=FOLDER,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert run.stdout is not None
        for line in run.stdout:
            if b"worker" in line:
                break
        mine = eventually(lambda: descendants(run.pid))
        run.stdout.close()
        assert run.wait(60) == 0
        eventually(lambda: not any(is_running(pid) for pid in mine))
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
