"""Every command and sample of the docs' marked blocks, run as it stands against the running service and the sandbox."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from tests.support.processes import API_KEY, FOLDER, PYTHON, Process, bare_environ, run
from tests.test_docs import shell_lines

PAGES = sorted(FOLDER.glob("docs/*.md"))
RUN = {"python": (PYTHON, "-c"), "js": ("node", "--input-type=module", "-e"), "php": ("php", "-r")}
ELSEWHERE = re.compile(r"(git|cd|make|cp|export|brew|sudo|apt|systemctl|docker|honcho|heroku|wsl) ?")
"""What is run by other tests (make), or is about the reader's own machine."""


def samples() -> Iterator[Any]:
    for page in PAGES:
        if page.stem == "sandbox":  # its samples are run by tests/integration/sandbox
            continue
        for kind, text in re.findall(r"^```(python|js|php)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            yield pytest.param(kind, text, id=f"{page.stem}-{kind}")


def lines(begins: str) -> list[tuple[str, str]]:
    return [(page.stem, line) for page in PAGES for line in shell_lines(page) if line.startswith(begins)]


def test_every_line_is_run_by_somebody() -> None:
    known = ("curl ", ".venv/bin/", "senders/")
    lost = [line for _, line in lines("") if not line.startswith(known) and not ELSEWHERE.match(line)]
    assert not [line for line in lost if not line.startswith(("#", " "))], lost


@pytest.fixture
def web(run_web: Any) -> Process:
    started: Process = run_web()
    return started


@pytest.mark.parametrize(("kind", "text"), list(samples()))
def test_each_sample_runs(kind: str, text: str, web: Process) -> None:
    if not shutil.which(RUN[kind][0]):
        pytest.skip(f"SKIPPED, NOT TESTED: this machine has no {RUN[kind][0]}")
    environ = bare_environ(DEALPOST_URL=web.url, DEALPOST_KEY=API_KEY, PYTHONPATH=str(FOLDER / "senders"))
    done = run([*RUN[kind], text], environ, cwd=FOLDER / "senders")
    assert done.code == 0 and not done.err, done.text
    stored = web.call("GET", "/api/outbox", headers={"X-API-Key": API_KEY})[1]["destinations"]
    assert sum(sum(one["states"].values()) for one in stored.values()) == 1


def test_each_curl_line_is_taken(web: Process) -> None:
    environ = bare_environ(DEALPOST_URL=web.url, DEALPOST_KEY=API_KEY)
    found = lines("curl ")
    assert len(found) >= 2
    for page, line in found:
        if "DEALPOST_URL" in line:
            done = run(["sh", "-c", f"{line} --silent --fail-with-body"], environ)
            assert done.code == 0 and '"id' in done.out, f"{page}: {line}: {done.text}"


def test_each_sender_line_runs(web: Process) -> None:
    environ = bare_environ(DEALPOST_URL=web.url, DEALPOST_KEY=API_KEY)
    found = lines("senders/")
    assert found
    for page, line in found:
        assert run(["sh", "-c", line], environ).code == 0, f"{page}: {line}"


def test_each_flask_line_runs(sandbox: Sandbox, service_env: dict[str, str], tmp_path: Path) -> None:
    contact = sandbox.amocrm.add_contact("Anna", "student@example.com")
    sandbox.amocrm.add_deal("Course", 4900, contact_ids=[contact.id], quiet=True)
    environ = {**service_env, "PUBLIC_URL": "https://dealpost.example"}
    assert run([PYTHON, "-m", "flask", "outbox", "migrate"], environ).code == 0
    done_before: set[str] = set()
    for page, line in [*lines(".venv/bin/flask "), *lines(".venv/bin/python ")]:
        if line in done_before or "&&" in line or "|" in line:
            continue
        done_before.add(line)
        command = re.sub(r"^\.venv/bin/flask", f"{PYTHON} -m flask", re.sub(r"^\.venv/bin/python", PYTHON, line))
        command = command.replace("/backups/dealpost.db", f"{tmp_path}/copy-{len(done_before)}.db")
        done = run(["sh", "-c", command], environ)
        # The check may well find faults in a service that does not run: what counts is that it says so.
        assert done.code in ((0, 1) if "check" in line else (0,)), f"{page}: {line}: {done.text}"
        assert "Traceback" not in done.text
    assert len(done_before) >= 8


def test_a_restored_copy_goes_on_where_it_was(
    started: Any, service_env: dict[str, str], run_web: Any, tmp_path: Path
) -> None:
    web = run_web()
    lesson = {"email": "nobody@example.com", "lesson": 1, "id": "7"}
    event = web.call("POST", "/api/tripwire/complete", body=lesson, headers={"X-API-Key": API_KEY})[1]["id"]
    copy = tmp_path / "copy.db"
    assert run([PYTHON, "-m", "flask", "outbox", "backup", str(copy)], service_env).code == 0
    assert web.stop() == 0
    for path in tmp_path.glob("dealpost.db*"):
        path.unlink()
    copy.rename(tmp_path / "dealpost.db")
    again = run_web()
    answer = again.call("POST", "/api/tripwire/complete", body=lesson, headers={"X-API-Key": API_KEY})[1]
    assert (answer["id"], answer["duplicate"]) == (event, True)
    assert run([PYTHON, "-m", "flask", "outbox", "verify"], service_env).code == 0
