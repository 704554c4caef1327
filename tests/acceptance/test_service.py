"""The whole service as its host runs it: gunicorn, scheduler.py and the commands, against the sandbox."""

import base64
import re
import signal
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sandbox import Sandbox, defaults
from tests.support.processes import ADMIN, API_KEY, PYTHON, TRACEBACK, Process, bare_environ, run
from tests.support.waiting import eventually
from workshop.processes import free_port

KEY = {"Authorization": f"Bearer {API_KEY}"}
SIGN_IN = {"Authorization": "Basic " + base64.b64encode(":".join(ADMIN).encode()).decode()}


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any) -> None:
        return None


def location(url: str, headers: dict[str, str] | None = None) -> str:
    """Where a GET is redirected to."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)
    try:
        with opener.open(urllib.request.Request(url, headers=headers or {})) as answer:
            raise AssertionError(f"{url}: {answer.status}, no redirect")
    except urllib.error.HTTPError as answer:
        with answer:
            assert answer.code in (302, 303), answer.read()
            return str(answer.headers["Location"])


def student(sandbox: Sandbox, email: str) -> int:
    """A new student with an open deal. -> the deal's id."""
    contact = sandbox.amocrm.add_contact("Anna", email)
    return sandbox.amocrm.add_deal("Course", 4900, contact_ids=[contact.id], quiet=True).id


def stage_of(sandbox: Sandbox, deal: int) -> int:
    return sandbox.amocrm.deals[deal].status_id


def delivered(web: Process, event_id: str) -> dict[str, Any]:
    """The event's only delivery, once it is delivered."""

    def look() -> dict[str, Any]:
        (delivery,) = web.call("GET", f"/api/events/{event_id}", headers=KEY)[1]["deliveries"]
        assert delivery["state"] == "delivered", delivery
        return delivery

    return eventually(look, 20)


def test_from_every_way_in_to_the_other_side(sandbox: Sandbox, run_web: Any, run_worker: Any) -> None:
    deal, moved = student(sandbox, "anna@example.com"), student(sandbox, "boris@example.com")
    web, worker = run_web(LOG_FORMAT="json"), run_worker()
    status, answer = web.call(
        "POST", "/api/tripwire/complete", body={"email": "Anna@example.com", "lesson": 1}, headers=KEY
    )
    assert status == 202
    delivery = delivered(web, answer["id"])
    assert stage_of(sandbox, deal) == defaults.STAGE_LESSON_1
    assert delivery["reference"] == str(deal)
    assert [attempt["outcome"] for attempt in delivery["attempts"]] == ["delivered"]

    record = {"name": "crm/create-deal", "data": {"dealName": "By hand", "amount": "0.50"}}
    delivered(web, web.call("POST", f"/e/{API_KEY}", body=[record])[1]["ids"][0])
    sandbox.hooks.subscribe(f"{web.url}/webhooks/amocrm/{defaults.WEBHOOK_SECRET}", ["status_lead"])
    sandbox.amocrm.move_deal(moved, defaults.STAGE_PAID)
    eventually(lambda: len(sandbox.erp.records()) == 2, 20)
    assert [row["1040"] for row in sandbox.erp.records()] == ["0.50", "4900"]

    outbox = web.call("GET", "/api/outbox", headers=KEY)[1]
    assert outbox["token"]["state"] == "connected" and outbox["token"]["expires_at"].endswith("Z")
    assert outbox["destinations"]["amocrm"]["states"]["delivered"] == 1
    assert [one["heartbeat_seconds"] < 60 for one in outbox["workers"]] == [True]
    assert web.call("GET", "/healthz/worker")[0] == 200
    assert (worker.stop(), web.stop()) == (0, 0)

    logs = web.output + worker.output
    assert TRACEBACK not in logs
    secrets = [API_KEY, ADMIN[1], defaults.WEBHOOK_SECRET, defaults.CLIENT_SECRET, defaults.ERP_PASSWORD]
    assert not [one for one in [*secrets, "anna@example.com", "Anna@example.com"] if one in logs]
    assert '"route": "/webhooks/amocrm/<secret>"' in web.output


def test_what_was_accepted_while_the_worker_was_away_goes_out_when_it_is_back(
    sandbox: Sandbox, run_web: Any, run_worker: Any
) -> None:
    deal = student(sandbox, "anna@example.com")
    web = run_web()
    worker = run_worker()
    worker.says("starts")
    assert worker.stop(signal.SIGINT, within=30) == 0
    event = web.call("POST", "/api/tripwire/complete", body={"email": "anna@example.com", "lesson": 2}, headers=KEY)[1]
    run_worker()
    delivered(web, event["id"])
    assert stage_of(sandbox, deal) == defaults.STAGE_LESSON_2


def test_without_any_account_events_wait(started: Any, tmp_path: Any) -> None:
    environ = bare_environ(DATABASE_URL=f"sqlite:///{tmp_path}/x.db", API_KEYS=f"platform:{API_KEY}")
    web, worker = started.web(environ), started.worker(environ)
    event = web.call("POST", "/api/tripwire/complete", body={"email": "a@b.ru", "lesson": 1}, headers=KEY)[1]
    eventually(lambda: web.call("GET", "/healthz/worker")[0] == 200, 20)
    (delivery,) = web.call("GET", f"/api/events/{event['id']}", headers=KEY)[1]["deliveries"]
    assert (delivery["state"], delivery["attempts"]) == ("pending", [])
    assert web.call("GET", "/api/outbox", headers=KEY)[1]["token"]["state"] == "not_connected"
    assert web.call("GET", "/outbox", headers=SIGN_IN)[0] == 403
    assert (worker.stop(), web.stop()) == (0, 0)
    assert TRACEBACK not in web.output + worker.output, web.output + worker.output


def test_settings_that_cannot_be_used_stop_the_start_with_one_message(started: Any) -> None:
    environ = bare_environ(AMOCRM_RPS="fast", LESSON_MAP="x", PORT="0")
    web, worker = started.web(environ, ready=False), started.worker(environ)
    assert worker.popen.wait(20) == 2
    assert web.popen.wait(20) != 0
    for process in (web, worker):
        assert process.output.count("- AMOCRM_RPS") == process.output.count("- LESSON_MAP") == 1, process.output
        assert TRACEBACK not in process.output


def test_an_account_is_connected_by_one_click(sandbox: Sandbox, run_web: Any) -> None:
    port = free_port()
    redirect_uri = f"http://127.0.0.1:{port}/oauth/callback"
    sandbox.set(consent="auto", redirect_uri=redirect_uri)
    web = run_web(PORT=str(port), AMOCRM_REDIRECT_URI=redirect_uri, AMOCRM_REFRESH_TOKEN="")
    assert web.call("GET", "/api/outbox", headers=KEY)[1]["token"]["state"] == "not_connected"
    assert web.call("GET", "/oauth/start")[0] == 401
    consent = location(f"{web.url}/oauth/start", SIGN_IN)
    assert consent.startswith(f"{sandbox.url}/oauth?")
    callback = location(consent)
    assert location(callback).endswith("/outbox/connections")
    assert web.call("GET", "/api/outbox", headers=KEY)[1]["token"]["state"] == "connected"

    assert web.call("GET", callback.removeprefix(web.url))[0] == 400  # a state is good once
    stolen = parse_qs(urlsplit(callback).query)
    assert web.call("GET", f"/oauth/callback?code={stolen['code'][0]}&referer={stolen['referer'][0]}")[0] == 401
    state = parse_qs(urlsplit(location(f"{web.url}/oauth/start", SIGN_IN)).query)["state"][0]
    status, _page = web.call("GET", f"/oauth/callback?code=x&referer=evil.example.com&state={state}")
    assert status == 400
    assert web.call("GET", "/oauth/callback?error=access_denied")[0] == 400

    query = sandbox.oauth.uninstall_query()
    wrong = {**query, "signature": "0" * 64}
    assert web.call("GET", "/oauth/disconnected?" + "&".join(f"{k}={v}" for k, v in wrong.items()))[0] == 403
    assert web.call("GET", "/oauth/disconnected?" + "&".join(f"{k}={v}" for k, v in query.items()))[0] == 200
    assert web.call("GET", "/api/outbox", headers=KEY)[1]["token"]["state"] == "reconnect"
    assert TRACEBACK not in web.output


# --- commands ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def flask(run_flask: Any) -> Any:
    """flask("outbox", "list"): its output; fails unless it ends with `code`."""

    def command(*arguments: str, code: int = 0, **settings: str) -> str:
        done = run_flask(*arguments, LOCALE="en", **settings)
        assert done.code == code, done.text
        assert TRACEBACK not in done.text
        return str(done.text)

    return command


def test_check_finds_everything_well(sandbox: Sandbox, flask: Any) -> None:
    said = flask("check", code=1)
    assert "!!  webhook" in said and "flask webhook subscribe" in said
    flask("webhook", "subscribe", PUBLIC_URL="https://school.example")
    assert "on: status_lead" in flask("webhook", "status")
    said = flask("check")
    assert "!!" not in said
    for name in ("SANDBOX", "AMOCRM_PIPELINE_ID", "AMOCRM_STAGE_LESSON_3: Урок 3 пройден", "ERP", "clock"):
        assert name in said
    secrets = [defaults.CLIENT_SECRET, defaults.ERP_PASSWORD, defaults.ERP_KEY, defaults.WEBHOOK_SECRET, API_KEY]
    assert not [one for one in secrets if one in said]


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"AMOCRM_PIPELINE_ID": "999"}, "!!  AMOCRM_PIPELINE_ID"),
        ({"AMOCRM_STAGE_LESSON_2": "No such stage"}, "!!  AMOCRM_STAGE_LESSON_2"),
        ({"AMOCRM_STAGE_LESSON_2": "424242"}, "!!  AMOCRM_STAGE_LESSON_2"),
        ({"AMOCRM_STAGE_LESSON_2": str(defaults.STAGE_INCOMING)}, "!!  AMOCRM_STAGE_LESSON_2"),
        (
            {"AMOCRM_WEBHOOK_STAGES": f"{defaults.STAGE_LESSON_1},No such stage"},
            "!!  AMOCRM_WEBHOOK_STAGES: amoCRM has",
        ),
        ({"AMOCRM_PIPELINE_ID": "", "AMOCRM_BASE_URL": ""}, "!!  amoCRM: half set up"),
        ({"AMOCRM_REFRESH_TOKEN": "def5020000"}, "!!  amoCRM, a"),
        ({"AMOCRM_REFRESH_TOKEN": ""}, "!!  amoCRM, access: not_connected"),
        ({"CRM_API_PASSWORD": "wrong"}, "!!  ERP"),
        ({"CRM_API_URL": ""}, "!!  ERP: half set up"),
    ],
)
def test_check_names_what_is_wrong_and_its_mend(flask: Any, settings: dict[str, str], fault: str) -> None:
    said = flask("check", code=1, **settings)
    found = re.search(re.escape(fault) + r".*\n {6}\S", said)
    assert found, said


def test_a_webhook_that_was_switched_off_is_a_fault(sandbox: Sandbox, flask: Any) -> None:
    address = f"https://school.example/webhooks/amocrm/{defaults.WEBHOOK_SECRET}"
    flask("webhook", "subscribe", "--url", address)
    sandbox.hooks.set_disabled(address, True)
    assert "switched it off" in flask("check", code=1)
    assert "switched off" in flask("webhook", "status", code=1)


def test_the_account_is_looked_through(sandbox: Sandbox, flask: Any) -> None:
    deal = student(sandbox, "anna@example.com")
    listed = flask("pipelines")
    assert f"{defaults.PIPELINE_ID}" in listed and "AMOCRM_PIPELINE_ID" in listed
    assert f"{defaults.STAGE_LESSON_1}" in listed
    assert f"-> {deal}" in flask("find-lead", "Anna@Example.com")
    assert "no contact" in flask("find-lead", "nobody@example.com", code=1)


def test_the_outbox_is_looked_after_by_commands(flask: Any, tmp_path: Any) -> None:
    assert "No delivery matches" in flask("outbox", "list")
    event_id = flask("complete-lesson", "anna@example.com", "1").strip()
    assert re.fullmatch(r"[0-9a-f-]{36}", event_id)
    assert event_id in flask("complete-lesson", "anna@example.com", "1")
    assert "email" in flask("complete-lesson", "nobody", "1", code=1)
    assert "anna@example.com" in flask("outbox", "list", "--state", "pending", "--destination", "amocrm")
    assert event_id in flask("outbox", "show", "1")
    flask("outbox", "show", "77", code=1)
    assert "1 delivery will not be sent" in flask("outbox", "discard", "1")
    assert "1 delivery is sent again" in flask("outbox", "retry", "1")
    assert "paused" in flask("outbox", "pause", "amocrm", "--reason", "holidays")
    assert "Resumed" in flask("outbox", "resume", "amocrm")
    assert "sound" in flask("outbox", "verify")
    flask("outbox", "migrate")
    flask("outbox", "backup", str(tmp_path / "copy.db"))
    (tmp_path / "file").touch()
    assert "copy.db: " in flask("outbox", "backup", str(tmp_path / "file" / "copy.db"), code=1)
    assert "sound" in flask("outbox", "verify", DATABASE_URL=f"sqlite:///{tmp_path}/copy.db")
    assert "0 deliveries were cleared" in flask("outbox", "prune")
    assert "1 event was erased" in flask("outbox", "forget", "Anna@example.com", "--yes")
    assert "No delivery matches" in flask("outbox", "list")


def test_tokens_are_looked_after_by_commands(sandbox: Sandbox, flask: Any, service_env: dict[str, str]) -> None:
    assert "renewed" in flask("tokens", "refresh")
    status = flask("tokens", "status")
    assert "connected" in status and defaults.REFRESH_TOKEN not in status
    flask("tokens", "rotate-keys")
    sandbox.oauth.revoke_all()
    flask("tokens", "refresh", code=1)
    assert "reconnect" in flask("tokens", "status", code=1)
    assert not sandbox.log.dead_refreshes()


def test_commands_speak_russian(run_flask: Any) -> None:
    done = run_flask("outbox", "verify", LOCALE="ru")
    assert done.code == 0
    assert re.search("[а-я]", done.out), done.text


def test_a_command_with_settings_that_cannot_be_used_says_so() -> None:
    done = run([PYTHON, "-m", "flask", "check"], bare_environ(AMOCRM_RPS="fast"))
    assert done.code != 0
    assert "- AMOCRM_RPS" in done.text and TRACEBACK not in done.text
