"""gunicorn.conf.py, with an application and a worker that are only there to be looked at."""

import http.client
import json
import os
import pathlib
import shutil
import signal
from typing import Any

import pytest

from tests.support.processes import FOLDER, PYTHON, Process, Processes, bare_environ, free_port, run
from tests.support.waiting import eventually

APP = """
import json, os

from service.environment import read_settings

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    cpus, zone = sorted(os.sched_getaffinity(0)), read_settings().timezone
    return [json.dumps({"pid": os.getpid(), "cpus": cpus, "zone": zone}).encode()]
"""

SCHEDULER = """
import os, pathlib, signal, sys, time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from service.environment import read_settings

here = pathlib.Path(__file__).parent
(here / "worker.cpus").write_text(str(len(os.sched_getaffinity(0))))
(here / "worker.zone").write_text(read_settings().timezone)
signal.signal(signal.SIGTERM, lambda *_: ((here / "worker.ended").write_text("by SIGTERM"), sys.exit(0)))
(here / "worker.pid").write_text(str(os.getpid()))
while True:
    time.sleep(60)
"""

CPUS = len(os.sched_getaffinity(0))
NO_TIMEOUT = 20.0
"""Seconds: less than graceful_timeout, and enough for a busy machine."""


@pytest.fixture
def house(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "house"
    folder.mkdir()
    shutil.copy(FOLDER / "gunicorn.conf.py", folder)
    for package in ("service", "outbox"):
        (folder / package).symlink_to(FOLDER / package)
    (folder / "wsgi.py").write_text(APP)
    (folder / "scheduler.py").write_text(SCHEDULER)
    return folder


def serve(started: Processes, house: pathlib.Path, port: int = 0, path: str = "/", **settings: str) -> Process:
    port = port or free_port()
    environ = bare_environ(**{"PORT": str(port), "DATABASE_URL": f"sqlite:///{house}/dealpost.db", **settings})
    process = started.start("gunicorn", [PYTHON, "-m", "gunicorn", "wsgi:app"], environ, cwd=house)
    process.url = f"http://127.0.0.1:{port}"
    started.ready(process, path)
    return process


def workers(process: Process, count: int) -> dict[int, list[int]]:
    """pid -> CPUs, once so many have answered."""
    seen: dict[int, list[int]] = {}

    def look() -> bool:
        answer: Any = process.call("GET", "/")[1]
        seen[answer["pid"]] = answer["cpus"]
        return len(seen) == count

    eventually(look, within=20)
    return seen


def test_each_worker_has_a_cpu_of_its_own_and_an_heir_takes_it_over(started: Processes, house: pathlib.Path) -> None:
    count = min(2, CPUS)
    process = serve(started, house, WEB_CONCURRENCY=str(count))
    before = workers(process, count)
    assert sorted(before.values()) == [[cpu] for cpu in sorted(os.sched_getaffinity(0))[:count]]
    # The last one dies: counting starts alone would put its heir on the first one's CPU.
    last = max(before)
    os.kill(last, signal.SIGKILL)
    eventually(lambda: "Booting worker" in process.output.partition(f"pid:{last}")[2], within=20)
    after = workers(process, count)
    assert last not in after
    assert sorted(after.values()) == sorted(before.values())


@pytest.mark.parametrize(
    "settings",
    [{"PIN_WORKERS": "0"}, {"DYNO": "web.1", "ALLOW_EPHEMERAL": "1"}, {"WEB_CONCURRENCY": str(CPUS + 1)}],
    ids=str,
)
def test_workers_are_not_pinned(started: Processes, house: pathlib.Path, settings: dict[str, str]) -> None:
    process = serve(started, house, **settings)
    assert process.call("GET", "/")[1]["cpus"] == sorted(os.sched_getaffinity(0))


def test_settings_may_stand_in_a_file(started: Processes, house: pathlib.Path) -> None:
    port = free_port()
    file = house / "settings.env"
    file.write_text(f"PORT={port}\nWEB_CONCURRENCY=1\n")
    process = serve(started, house, port, DEALPOST_ENV_FILE=str(file), PORT="")
    assert len(workers(process, 1)) == 1


# --- HUP: the settings are read anew ----------------------------------------------------------------------------------


def pid_of(file: pathlib.Path, other_than: int = 0) -> int:
    return int(
        eventually(lambda: file.exists() and (text := file.read_text()) and int(text) != other_than and text, 20)
    )


def zone_of(process: Process) -> str:
    return str(process.call("GET", "/")[1]["zone"])


@pytest.fixture
def reloaded(started: Processes, house: pathlib.Path) -> tuple[Process, pathlib.Path, int]:
    """A web with its worker, after a HUP with another zone; the file of settings; the new worker's pid."""
    file = house / "settings.env"
    file.write_text("TIMEZONE=Asia/Omsk\nWORKER_IN_WEB=1\nWEB_CONCURRENCY=1\n")
    process = serve(started, house, DEALPOST_ENV_FILE=str(file))
    first = pid_of(house / "worker.pid")
    assert (zone_of(process), (house / "worker.zone").read_text()) == ("Asia/Omsk", "Asia/Omsk")
    file.write_text("TIMEZONE=Asia/Tomsk\nWORKER_IN_WEB=1\nWEB_CONCURRENCY=1\n")
    process.popen.send_signal(signal.SIGHUP)
    second = pid_of(house / "worker.pid", other_than=first)
    eventually(lambda: not pathlib.Path(f"/proc/{first}").exists(), within=20)
    return process, file, second


def test_after_a_hup_web_and_worker_have_the_same_new_settings(
    reloaded: tuple[Process, pathlib.Path, int], house: pathlib.Path
) -> None:
    process, _file, _worker = reloaded
    eventually(lambda: zone_of(process) == "Asia/Tomsk", within=20)
    assert (house / "worker.zone").read_text() == "Asia/Tomsk"
    assert (house / "worker.ended").read_text() == "by SIGTERM"


def test_after_a_hup_the_application_that_was_made_before_the_fork_is_another(
    started: Processes, house: pathlib.Path
) -> None:
    shutil.copy(FOLDER / "wsgi.py", house)
    file = house / "settings.env"
    keys = ["first:key-of-the-first-0123456789", "second:key-of-the-second-0123456789"]
    file.write_text(f"API_KEYS={keys[0]}\n")
    process = serve(started, house, path="/healthz", DEALPOST_ENV_FILE=str(file))

    def taken() -> list[int]:
        body = {"email": "ann@example.com", "lesson": 1}
        path = "/api/tripwire/complete"
        return [process.call("POST", path, body=body, headers={"X-API-Key": key.partition(":")[2]})[0] for key in keys]

    assert eventually(taken) == [202, 401]
    file.write_text(f"API_KEYS={keys[1]}\n")
    process.popen.send_signal(signal.SIGHUP)
    eventually(lambda: taken() == [401, 202], within=20)
    assert process.stop() == 0


def test_a_stop_after_a_hup_waits_for_the_worker(
    reloaded: tuple[Process, pathlib.Path, int], house: pathlib.Path
) -> None:
    process, _file, worker = reloaded
    (house / "worker.ended").unlink()
    assert process.stop() == 0
    assert (house / "worker.ended").read_text() == "by SIGTERM"
    assert not pathlib.Path(f"/proc/{worker}").exists()


def test_a_hup_with_settings_that_cannot_be_used_changes_nothing(
    reloaded: tuple[Process, pathlib.Path, int], house: pathlib.Path
) -> None:
    process, file, worker = reloaded
    file.write_text("TIMEZONE=Asia/Omsk\nWORKER_IN_WEB: 1\n")
    process.popen.send_signal(signal.SIGHUP)
    process.says("settings.env, line 2: WORKER_IN_WEB: a colon")
    pid_of(house / "worker.pid", other_than=worker)
    eventually(lambda: "Booting worker" in process.output.partition("a colon")[2], within=20)
    assert (zone_of(process), (house / "worker.zone").read_text()) == ("Asia/Tomsk", "Asia/Tomsk")
    assert process.stop() == 0


def test_a_web_process_that_dies_is_followed_by_one_with_the_same_settings(
    reloaded: tuple[Process, pathlib.Path, int],
) -> None:
    process, file, _worker = reloaded

    def new_one() -> int | None:
        answer = process.call("GET", "/")[1]
        return int(answer["pid"]) if answer["zone"] == "Asia/Tomsk" else None

    last = eventually(new_one, within=20)  # the one with the old settings may still answer, and end by itself
    file.write_text("TIMEZONE=Asia/Omsk\n")
    os.kill(last, signal.SIGKILL)
    eventually(lambda: process.call("GET", "/")[1]["pid"] != last, within=20)
    assert zone_of(process) == "Asia/Tomsk"


# --- the worker beside the web ----------------------------------------------------------------------------------------


def test_no_line_tells_a_path(started: Processes, house: pathlib.Path) -> None:
    process = serve(started, house)
    assert process.call("POST", "/webhooks/amocrm/s3cr3t", form={"a": "1"})[0] == 200
    assert process.stop() == 0
    assert "s3cr3t" not in process.output


def test_worker_lives_beside_the_web_when_asked_to(started: Processes, house: pathlib.Path) -> None:
    process = serve(started, house, WORKER_IN_WEB="1")
    pid_file = house / "worker.pid"
    first = int(eventually(lambda: pid_file.read_text(), within=20))
    assert int(eventually(lambda: (house / "worker.cpus").read_text())) == CPUS  # it is not pinned
    # It dies: the web goes on, and it is started again.
    os.kill(first, signal.SIGKILL)
    second = int(eventually(lambda: text if (text := pid_file.read_text()) and int(text) != first else None, within=20))
    process.says("starting it again")
    assert process.call("GET", "/")[0] == 200
    assert process.stop() == 0
    assert (house / "worker.ended").read_text() == "by SIGTERM"
    assert not pathlib.Path(f"/proc/{second}").exists()


def test_worker_beside_the_web_does_not_outlive_it(started: Processes, house: pathlib.Path) -> None:
    process = serve(started, house, WORKER_IN_WEB="1")
    pid_file = house / "worker.pid"
    worker = int(eventually(lambda: pid_file.read_text(), within=20))
    process.popen.kill()
    eventually(lambda: not pathlib.Path(f"/proc/{worker}").exists(), within=20)
    assert (house / "worker.ended").read_text() == "by SIGTERM"


def test_no_worker_beside_the_web_by_default(started: Processes, house: pathlib.Path) -> None:
    process = serve(started, house)
    assert process.stop() == 0
    assert not (house / "worker.pid").exists()


def test_stop_during_a_start_is_heard(started: Processes, house: pathlib.Path) -> None:
    process = serve(started, house, WEB_CONCURRENCY="8")  # ready with the first: the others are being forked
    assert process.stop(within=NO_TIMEOUT) == 0
    assert "Worker exiting" in process.output


def test_a_web_process_that_is_killed_during_a_stop_is_no_error(started: Processes, house: pathlib.Path) -> None:
    process = serve(started, house, WEB_CONCURRENCY="1")
    (worker,) = workers(process, 1)
    os.kill(worker, signal.SIGSTOP)
    process.popen.send_signal(signal.SIGTERM)
    process.says("Handling signal: term")
    os.kill(worker, signal.SIGKILL)
    assert process.popen.wait(20) == 0
    assert "Traceback" not in process.output


def test_kept_connections_do_not_hold_up_the_end(started: Processes, house: pathlib.Path) -> None:
    process = serve(started, house)
    kept = http.client.HTTPConnection(process.url.removeprefix("http://"))
    kept.request("GET", "/")
    assert json.loads(kept.getresponse().read())["pid"]
    try:
        assert process.stop(within=NO_TIMEOUT) == 0
    finally:
        kept.close()


def test_settings_that_cannot_be_used_are_said_once_and_stop_the_start(tmp_path: pathlib.Path) -> None:
    environ = bare_environ(
        PORT=str(free_port()), DATABASE_URL=f"sqlite:///{tmp_path}/dealpost.db", AMOCRM_RPS="fast", TIMEZONE="Mars"
    )
    ended = run([PYTHON, "-m", "gunicorn", "wsgi:app"], environ, within=30)
    assert ended.code == 2
    assert ended.text.count("The settings cannot be used") == 1
    assert "AMOCRM_RPS" in ended.text
    assert "TIMEZONE" in ended.text
    assert "Traceback" not in ended.text


def test_a_store_that_no_process_can_open_is_said_plainly(tmp_path: pathlib.Path) -> None:
    """Two processes of the web, as is the default, fail one after the other."""
    environ = bare_environ(PORT=str(free_port()), DATABASE_URL=f"sqlite:///{tmp_path}", WEB_CONCURRENCY="3")
    ended = run([PYTHON, "-m", "gunicorn", "wsgi:app"], environ, within=30)
    assert ended.code == 3
    assert "The store cannot be opened" in ended.text
    assert "Traceback" not in ended.text


def test_a_folder_that_cannot_be_written_is_said_plainly(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    environ = bare_environ(PORT=str(free_port()), DATABASE_URL=f"sqlite:///{tmp_path}/file/dealpost.db")
    ended = run([PYTHON, "-m", "gunicorn", "wsgi:app"], environ, within=30)
    assert ended.code == 2
    assert "Check the folder of DATABASE_URL" in ended.text
    assert "Traceback" not in ended.text
