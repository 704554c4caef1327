"""What web, worker and commands do with settings that would be misread: real processes, a file of settings each."""

import json
import pathlib
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.support.processes import (
    API_KEY,
    FOLDER,
    PYTHON,
    TRACEBACK,
    Finished,
    Processes,
    bare_environ,
    free_port,
    run,
)
from tests.support.waiting import eventually

WEB = [PYTHON, "-m", "gunicorn", "wsgi:app"]
WORKER = [PYTHON, "scheduler.py"]
CHECK = [PYTHON, "-m", "flask", "check"]


@pytest.fixture
def start(tmp_path: pathlib.Path) -> Callable[..., Finished]:
    """start(command, text of .env, **settings): a start that is expected to end at once."""

    def with_file(command: list[str], text: bytes, cwd: pathlib.Path = FOLDER, **settings: str) -> Finished:
        file = tmp_path / "of-test.env"
        file.write_bytes(text)
        url = f"sqlite:///{tmp_path}/var/x.db"
        environ = bare_environ(DATABASE_URL=url, PORT=str(free_port()), LOCALE="en")
        return run(command, {**environ, "DEALPOST_ENV_FILE": str(file), **settings}, within=40, cwd=cwd)

    return with_file


@pytest.mark.parametrize("command", [WEB, WORKER, CHECK], ids=["web", "worker", "command"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"LOCALE=en\nCRM_API_PASSWORD='hunter2 and more\n", "of-test.env, line 2: CRM_API_PASSWORD: the quote"),
        ("CRM_API_PASSWORD=hunter2\n".encode("utf-16"), "of-test.env, line 1: it is UTF-16"),
        (b"WEB_CONCURRENCY=auto\nHOST=http://0.0.0.0\nAPI_KEYS=shop:x\n", "HOST: got 'http://0.0.0.0'"),
    ],
    ids=["quote", "utf-16", "values"],
)
def test_a_start_names_what_would_be_misread(start: Any, command: list[str], text: bytes, words: str) -> None:
    ended = start(command, text)
    assert ended.code in (1, 2)
    assert ended.text.count(words) == 1, ended.text
    assert TRACEBACK not in ended.text
    assert "hunter2" not in ended.text


@pytest.mark.parametrize("command", [WEB, WORKER, CHECK], ids=["web", "worker", "command"])
@pytest.mark.parametrize("value", ["auto", "-1", "1.5"])
def test_gunicorn_does_not_stumble_over_a_number_that_it_would_read_before_us(
    start: Any, command: list[str], value: str
) -> None:
    ended = start(command, b"", WEB_CONCURRENCY=value)
    assert ended.code in (1, 2) and TRACEBACK not in ended.text, ended.text
    assert f"WEB_CONCURRENCY: got '{value}'; expected a whole number from 1 to 64" in ended.text


def test_an_empty_number_of_processes_is_an_unset_one(started: Processes, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "named.env"
    file.write_text("WEB_CONCURRENCY=3\n")
    environ = bare_environ(DEALPOST_ENV_FILE=str(file), DATABASE_URL=f"sqlite:///{tmp_path}/x.db", WEB_CONCURRENCY="")
    web = started.web(environ)
    eventually(lambda: web.output.count("Booting worker") == 3, 20)


@pytest.mark.parametrize("coding", ["utf-16", "cp1251"])
def test_flask_does_not_stumble_over_a_file_that_it_would_read_before_us(
    start: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, coding: str
) -> None:
    """It looks for .env where the command is called."""
    text = "LOCALE=en\nERP_FIELD_NAME=Сделка\n".encode(coding)
    (tmp_path / ".env").write_bytes(text)
    command = [PYTHON, "-m", "flask", "--app", str(FOLDER / "wsgi.py"), "check"]
    ended = start(command, text, cwd=tmp_path)
    assert ended.code == 1 and TRACEBACK not in ended.text, ended.text
    assert "of-test.env, line" in ended.text and "expected a file that is saved as UTF-8" in ended.text


def test_all_faults_are_named_at_once(start: Any, tmp_path: pathlib.Path) -> None:
    ended = start(WEB, b"PORT: 80\nTIMEZONE=localtime\nWEB_CONCURRENCY=0\n", WEBHOOK_SECRET="x", FLY_APP_NAME="school")
    for words in ("line 1: PORT", "TIMEZONE: got 'localtime'", "WEB_CONCURRENCY: got '0'", "WEBHOOK_SECRET: secret 1"):
        assert f"  - {words}" in ended.text or words in ended.text
    assert not (tmp_path / "var").exists()


def test_a_wiped_disk_is_refused_with_the_mend(start: Any) -> None:
    ended = start(WORKER, b"", RENDER="true", ALLOW_EPHEMERAL="")
    assert ended.code == 2
    assert "RENDER is set" in ended.text
    assert "ALLOW_EPHEMERAL=1" in ended.text


def test_a_file_in_memory_is_refused(start: Any) -> None:
    ended = start(WORKER, b"", DATABASE_URL="sqlite:////dev/shm/dealpost-test/x.db", ALLOW_EPHEMERAL="")
    assert "on tmpfs" in ended.text
    assert not pathlib.Path("/dev/shm/dealpost-test").exists()


def test_a_settings_file_that_is_not_there_is_no_empty_one(start: Any, tmp_path: pathlib.Path) -> None:
    assert "it is no file" in start(WEB, b"", DEALPOST_ENV_FILE=str(tmp_path / "nowhere.env")).text
    assert "it is no file" in start(WEB, b"", DEALPOST_ENV_FILE=str(tmp_path)).text


def test_check_tells_of_short_secrets_unknown_names_and_where_three_slashes_lead(
    start: Any, tmp_path: pathlib.Path
) -> None:
    url = f"sqlite:///{'../' * len(FOLDER.parts)}{tmp_path.relative_to('/')}/relative.db"
    said = start(CHECK, b"API_KEYS=shop:key-one-1\nAMOCRM_SUBDOMIAN=school\nlocale=ru\n", DATABASE_URL=url).text
    assert "three slashes count from the project's folder" in said
    assert "API_KEYS: short" in said
    assert "AMOCRM_SUBDOMIAN: no setting of this name" in said
    assert "locale: no setting of this name" in said


def test_web_and_worker_name_lines_that_are_no_settings(started: Processes, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "named.env"
    file.write_text("AMOCRM_SUBDOMIAN=school\nlocale=ru\n")
    environ = bare_environ(
        DEALPOST_ENV_FILE=str(file), DATABASE_URL=f"sqlite:///{tmp_path}/x.db", SECRET_KEY="a-key-of-the-tests-1"
    )
    for process in (started.web(environ), started.worker(environ)):
        process.says("WARNING .*AMOCRM_SUBDOMIAN, locale .*no settings of these names")


def test_commands_take_the_named_file_and_take_it_literally(tmp_path: pathlib.Path) -> None:
    # In a folder with a .env, which the flask command puts into the environment by itself.
    (tmp_path / ".env").write_text("DATABASE_URL=sqlite:////nowhere/at/all.db\nAPI_KEYS='other:key-of-the-other'\n")
    file = tmp_path / "named.env"
    file.write_text(f"DATABASE_URL=sqlite:///{tmp_path}/$HOME-${{HOME}}.db\nAPI_KEYS=shop:key-with-${{HOME}}\n")
    other = tmp_path / "other.env"
    other.write_text("DATABASE_URL=sqlite:////nowhere/at/all.db\n")
    environ = bare_environ(DEALPOST_ENV_FILE=str(file), PYTHONPATH=str(FOLDER), LOCALE="en")
    flask = [PYTHON, "-m", "flask", "--env-file", str(other), "--app", str(FOLDER / "wsgi.py")]
    done = run([*flask, "outbox", "migrate"], environ, cwd=tmp_path)
    assert done.code == 0, done.text
    with closing(sqlite3.connect(tmp_path / "$HOME-${HOME}.db")) as made:
        assert made.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0


def test_a_worker_takes_new_settings_at_a_hup(started: Processes, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "of-test.env"
    url = f"DATABASE_URL=sqlite:///{tmp_path}/x.db\n"
    file.write_text(f"{url}LOG_FORMAT=text\n")
    worker = started.worker(bare_environ(DEALPOST_ENV_FILE=str(file)))
    worker.says("starts")
    file.write_text(f"{url}LOG_FORMAT: json\n")
    worker.popen.send_signal(signal.SIGHUP)
    worker.says("of-test.env, line 2: LOG_FORMAT: a colon")
    assert '{"' not in worker.output
    file.write_text(f"{url}LOG_FORMAT=json\n")
    worker.popen.send_signal(signal.SIGHUP)
    eventually(lambda: '{"' in worker.output and "starts" in worker.output.partition('{"')[2], within=20)
    assert worker.stop() == 0
    assert TRACEBACK not in worker.output


def test_the_web_listens_where_it_is_told(started: Processes, tmp_path: pathlib.Path) -> None:
    environ = bare_environ(DATABASE_URL=f"sqlite:///{tmp_path}/x.db", API_KEYS=f"shop:{API_KEY}")
    started.web(environ).says(r"Listening at: http://127\.0\.0\.1:")
    started.web({**environ, "K_SERVICE": "dealpost"}).says(r"Listening at: http://0\.0\.0\.0:")
    started.web({**environ, "HOST": "127.0.0.1", "DYNO": "web.1"}).says(r"Listening at: http://127\.0\.0\.1:")


@pytest.mark.parametrize(
    ("locale", "words"),
    [("en", ("Usage:", "Options:", "Exit code 1")), ("ru", ("Запуск:", "Ключи:", "Код выхода 1"))],
)
def test_help_of_the_commands_speaks_their_language(
    start: Callable[..., Finished], locale: str, words: tuple[str, ...]
) -> None:
    done = start([*CHECK, "--help"], b"", LOCALE=locale)
    assert done.code == 0 and all(word in done.out for word in words), done.text


@pytest.mark.parametrize(("locale", "words"), [("en", "half set up"), ("ru", "настроено наполовину")])
def test_check_tells_programs_the_same_in_JSON(start: Callable[..., Finished], locale: str, words: str) -> None:
    text = b"AMOCRM_SUBDOMAIN=school\nAMOCRM_CLIENT_ID=your_client_id\nAPI_KEYS=platform:Kq8vT2mZr5Wx9LpB3nYd\n"
    done = start([*CHECK, "--json"], text, LOCALE=locale)
    told = json.loads(done.out)
    checks = {one["name"]: one for one in told["checks"]}
    assert (done.code, told["ok"], told["faults"]) == (1, False, 1), done.text
    assert checks["amoCRM"]["state"] == "fault" and words in checks["amoCRM"]["words"]
    assert checks["AMOCRM_CLIENT_ID"]["state"] == "note"
    assert checks["AMOCRM_SUBDOMAIN"]["source"].endswith("of-test.env")
    assert "Kq8vT2mZr5Wx9LpB3nYd" not in done.text
    shown = start(CHECK, text, LOCALE=locale)
    assert shown.code == 1 and f"!!  amoCRM: {checks['amoCRM']['words']}" in shown.out
