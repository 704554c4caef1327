"""`make run`, `make demo` and `make help`, as a person in a terminal uses them."""

import base64
import os
import pathlib
import re
import signal
import socket
import stat
from collections.abc import Iterator, Mapping

import pytest

from sandbox.defaults import STAGE_LESSON_1
from tests.support.processes import (
    FOLDER,
    GONE,
    PYTHON,
    TRACEBACK,
    Process,
    Processes,
    bare_environ,
    children,
    free_port,
    run,
)
from tests.support.waiting import eventually
from workshop.calls import call


def descendants(pid: int) -> list[int]:
    return [each for child in children(pid) for each in (child, *descendants(child))]


def is_running(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except GONE:
        return False


def command_of(pid: int) -> str:
    return pathlib.Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def nothing_configured(folder: pathlib.Path) -> dict[str, str]:
    """Whatever is made lies in this folder."""
    return bare_environ(DATABASE_URL=f"sqlite:///{folder}/var/dealpost.db", PORT=str(free_port()))


@pytest.fixture
def environ(tmp_path: pathlib.Path) -> dict[str, str]:
    return nothing_configured(tmp_path)


class Run:
    """A `make run` that says it runs."""

    def __init__(self, process: Process, environ: Mapping[str, str]) -> None:
        self.process = process
        self.environ = dict(environ)
        process.says("Ctrl-C stops everything", within=90)
        self.url = process.says(r"Status page +(\S+)/outbox")[1]
        self.password = process.says(r"Sign-in +admin / (\S+)")[1]
        self.key = process.says(r"API key +(\S+)")[1]
        found = re.search(r"Sandbox +(http://\S+)/", process.output)
        self.sandbox = found[1] if found else ""


def make_run(started: Processes, environ: Mapping[str, str]) -> Run:
    return Run(started.start("make-run", ["make", "run"], environ), environ)


def start_run(started: Processes, environ: Mapping[str, str]) -> Run:
    return Run(started.start("run", [PYTHON, "-m", "workshop.run"], environ), environ)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One for all tests that only look at it."""
    folder = tmp_path_factory.mktemp("run")
    started = Processes(folder)
    try:
        yield make_run(started, nothing_configured(folder))
    finally:
        started.stop()


def test_run_serves_practice_when_no_account_is_configured(ran: Run) -> None:
    assert "No account is configured" in ran.process.output
    status, _ = call("GET", f"{ran.url}/outbox")
    assert status == 401
    body = {"email": "student-2@example.com", "lesson": 1}
    status, answer = call(
        "POST", f"{ran.url}/api/tripwire/complete", body=body, headers={"Authorization": f"Bearer {ran.key}"}
    )
    assert (status, answer["status"]) == (202, "accepted")

    def moved() -> bool:
        deals = call("GET", f"{ran.sandbox}/_sandbox/deals")[1]["deals"]
        return any(deal["name"].endswith("студент 2") and deal["status_id"] == STAGE_LESSON_1 for deal in deals)

    eventually(moved, within=30)
    # The sandbox's webhook finds its way in as well: the move ends as a record.
    eventually(lambda: call("GET", f"{ran.sandbox}/_sandbox/erp/records")[1]["records"], within=30)
    for name in ("run.env", "sandbox.env"):
        file = pathlib.Path(ran.environ["DATABASE_URL"].removeprefix("sqlite:///")).parent / name
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_run_tells_the_story_of_each_delivery_without_addresses(ran: Run) -> None:
    headers = {"Authorization": f"Bearer {ran.key}"}
    for email in ("student-4@example.com", "nobody-knows@example.com"):
        call("POST", f"{ran.url}/api/tripwire/complete", body={"email": email, "lesson": 1}, headers=headers)
    ran.process.says(r"s\*\*\*4@example.com, finished lesson 1 → amoCRM: arrived after [\d.]+.s, deal \d+", 30)
    ran.process.says(r"deal \d+, deal .+ → ERP: arrived after [\d.]+.s, record \d+", 30)
    ran.process.says(r"n\*\*\*s@example.com, finished lesson 1 → amoCRM: waits: .+ next attempt at \d+:\d\d", 30)
    assert "student-4@" not in ran.process.output and "nobody-knows" not in ran.process.output
    assert "access: POST" not in ran.process.output


def test_commands_act_on_the_practice_that_runs_and_never_on_the_real_store(ran: Run) -> None:
    store = pathlib.Path(ran.environ["DATABASE_URL"].removeprefix("sqlite:///"))
    done = run([PYTHON, "-m", "flask", "complete-lesson", "student-5@example.com", "1"], ran.environ)
    assert done.code == 0, done.text
    assert "nothing real is touched" in done.err
    ran.process.says(r"s\*\*\*5@example.com, finished lesson 1 → amoCRM: arrived", 30)
    assert not store.exists()
    real = {**ran.environ, "CRM_API_URL": "http://127.0.0.1:9/api/rest.php", "ALLOW_EPHEMERAL": "1"}
    done = run([PYTHON, "-m", "flask", "complete-lesson", "student-5@example.com", "2"], real)
    assert done.code == 0 and "nothing real is touched" not in done.err
    assert store.exists() and "finished lesson 2" not in ran.process.output
    store.unlink()


def test_a_lesson_is_not_stored_where_nobody_would_look(environ: dict[str, str], tmp_path: pathlib.Path) -> None:
    for left in (False, True):
        if left:  # by a run that ended
            (tmp_path / "var" / "sandbox.env").write_text("SANDBOX=1\n")
            (tmp_path / "var" / "run.lock").touch()
        done = run([PYTHON, "-m", "flask", "complete-lesson", "student-5@example.com", "1"], environ)
        assert (done.code, done.out) == (1, "")
        assert "Nothing was stored" in done.err and "make run" in done.err
        assert "No delivery matches" in run([PYTHON, "-m", "flask", "outbox", "list"], environ).out


def test_a_copy_of_practice_does_not_become_the_real_store(environ: dict[str, str], tmp_path: pathlib.Path) -> None:
    store, copy = tmp_path / "var" / "dealpost.db", tmp_path / "copy.db"
    flask = [PYTHON, "-m", "flask", "outbox"]
    assert run([*flask, "backup", str(copy)], {**environ, "SANDBOX": "1"}).code == 0
    for lost in (False, True):
        if lost:  # what `make run` left tells all the same
            store.with_name("dealpost-sandbox.db").unlink()
            store.with_name("sandbox.env").touch()
        done = run([*flask, "restore", str(copy)], environ)
        assert done.code == 1 and "SANDBOX=1 flask outbox restore" in done.err, done.text
        assert not store.exists()
    assert run([*flask, "restore", str(copy)], {**environ, "SANDBOX": "1"}).code == 0
    assert store.with_name("dealpost-sandbox.db").exists()


def test_sign_in_that_was_printed_opens_the_page(ran: Run) -> None:
    token = base64.b64encode(f"admin:{ran.password}".encode()).decode()
    status, page = call("GET", f"{ran.url}/outbox", headers={"Authorization": f"Basic {token}"})
    assert status == 200
    assert "amocrm" in page.lower()


def test_run_says_that_a_folder_is_taken(ran: Run) -> None:
    done = run([PYTHON, "-m", "workshop.run"], ran.environ)
    assert done.code == 1
    assert "already running" in done.err


def test_run_listens_on_this_machine_alone(ran: Run) -> None:
    ran.process.says(r"Listening at: http://127\.0\.0\.1:\d+")
    listening = {line.split()[1] for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]}
    ports = {f"{int(url.rpartition(':')[2]):04X}" for url in (ran.url, ran.sandbox)}
    assert {one for one in listening if one.partition(":")[2] in ports and one.startswith("00000000")} == set()


def test_ctrl_c_stops_everything_and_the_next_start_keeps_the_sign_in_and_needs_no_network(
    started: Processes, environ: dict[str, str]
) -> None:
    first = make_run(started, environ)
    family = descendants(first.process.popen.pid)
    assert len([pid for pid in family if "python" in command_of(pid)]) >= 4
    # In a terminal Ctrl-C reaches the whole foreground group: make and the program that it runs.
    first.process.send(signal.SIGINT)
    first.process.popen.wait(40)
    first.process.says("Stopped.")
    assert [pid for pid in family if is_running(pid)] == []
    assert TRACEBACK not in first.process.output
    assert "killed" not in first.process.output
    closed = {**environ, "PIP_NO_INDEX": "1", "PIP_INDEX_URL": "http://127.0.0.1:9/"}
    second = make_run(started, closed)
    assert (second.password, second.key) == (first.password, first.key)
    assert "Installing" not in second.process.output


def ends_with_zero(running: Run, number: int) -> None:
    family = descendants(running.process.popen.pid)
    assert running.process.stop(number) == 0
    assert [pid for pid in family if is_running(pid)] == []
    assert TRACEBACK not in running.process.output


def test_run_ends_with_zero_when_its_terminal_is_closed(started: Processes, environ: dict[str, str]) -> None:
    ends_with_zero(start_run(started, environ), signal.SIGHUP)


def test_death_of_one_stops_the_rest_and_says_so(started: Processes, environ: dict[str, str]) -> None:
    process = start_run(started, environ).process
    family = descendants(process.popen.pid)
    worker = next(pid for pid in family if "scheduler.py" in command_of(pid))
    os.kill(worker, signal.SIGKILL)
    assert process.popen.wait(40) == 1
    assert "worker ended (killed by SIGKILL), so everything was stopped" in process.output
    assert [pid for pid in family if is_running(pid)] == []


def test_run_with_an_account_starts_no_sandbox_and_ends_with_zero_when_asked_to(
    started: Processes, environ: dict[str, str]
) -> None:
    # Port 9 discards: nothing of a real account is ever reached from here.
    environ = {**environ, "CRM_API_URL": "http://127.0.0.1:9/api/rest.php"}
    running = start_run(started, environ)
    assert running.sandbox == ""
    assert "practice" not in running.process.output
    assert not any("sandbox" in command_of(pid) for pid in descendants(running.process.popen.pid))
    ends_with_zero(running, signal.SIGTERM)


def test_run_names_every_fault_of_the_settings(environ: dict[str, str]) -> None:
    done = run([PYTHON, "-m", "workshop.run"], {**environ, "AMOCRM_RPS": "many", "RETENTION_DAYS": "0"})
    assert done.code == 1
    assert "AMOCRM_RPS" in done.err
    assert "RETENTION_DAYS" in done.err
    assert TRACEBACK not in done.text


def test_run_takes_the_next_port_when_one_is_taken_and_says_so(
    started: Processes, environ: dict[str, str], tmp_path: pathlib.Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        running = start_run(started, {**environ, "PORT": str(taken)})
        port = int(running.url.rpartition(":")[2])
        running.process.says(f"Port {taken} is taken by another program: this run takes {port}")
        assert call("GET", f"{running.url}/readyz")[0] == 200
        # The sandbox's webhook and its consent page lead to the port that was taken in the end.
        told = dict(line.split("=", 1) for line in (tmp_path / "var" / "sandbox.env").read_text().splitlines())
        assert told["PUBLIC_URL"] == f"http://localhost:{port}"


def test_run_practises_on_a_disk_that_is_wiped_but_starts_no_account_there(
    started: Processes, environ: dict[str, str]
) -> None:
    wiped = {**environ, "ALLOW_EPHEMERAL": "", "FLY_APP_NAME": "school", "HOST": "127.0.0.1"}
    real = {**wiped, "CRM_API_URL": "https://erp.example/api/rest.php"}
    done = run([PYTHON, "-m", "workshop.run"], real)
    assert done.code == 1
    assert "FLY_APP_NAME is set" in done.err
    assert start_run(started, wiped).sandbox


def test_demo_shows_that_everything_arrived(tmp_path: pathlib.Path) -> None:
    # A real account in the environment and in .env must not be touched: only the sandbox is.
    foreign = tmp_path / "foreign.env"
    foreign.write_text("CRM_API_URL=http://127.0.0.1:9/api/rest.php\nAMOCRM_SUBDOMAIN=somebody\n")
    environ = bare_environ(DEALPOST_ENV_FILE=str(foreign), CRM_API_KEY="k3y", DATABASE_URL=f"sqlite:///{tmp_path}/x.db")
    done = run(["make", "demo"], environ, within=150)
    assert done.code == 0, done.text
    for way_in in ("/api/tripwire/complete", "/api/events", "/e/<key>", "/webhooks/amocrm/<secret>"):
        assert re.search(rf"POST {re.escape(way_in)} .+(amoCRM: deal|ERP: record)", done.out), done.text
    assert "All 6 arrived." in done.out
    assert not (tmp_path / "x.db").exists()


def test_demo_fails_when_something_does_not_arrive() -> None:
    done = run([PYTHON, "-m", "workshop.demo", "--within", "0"], bare_environ(), within=120)
    assert done.code == 1
    assert "NOTHING ARRIVED" in done.out


def test_help_tells_every_target() -> None:
    done = run(["make", "help"], bare_environ())
    targets = re.search(r"^\.PHONY: (.+)$", (FOLDER / "Makefile").read_text(), re.MULTILINE)
    assert targets
    for target in targets[1].split():
        if not target.startswith("setup"):
            assert re.search(rf"make {target}\b", done.out)
    assert run(["make"], bare_environ()).out == done.out
