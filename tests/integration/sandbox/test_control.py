"""The control API, the page, and the sandbox as a process."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox import Sandbox, control, defaults
from sandbox.presets import PRESETS
from sandbox.settings import Settings
from tests.support.processes import bare_environ
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[3]
DOCS = [ROOT / "docs" / "sandbox.md", ROOT / "docs" / "ru" / "sandbox.md"]


def test_a_deal_is_added_with_a_new_or_a_known_contact_moved_and_listed(box: Any) -> None:
    deal = box.control("POST", "deals", {"name": "Курс", "price": 10, "stage": "Оплатил", "email": "new@example.com"})
    again = box.control("POST", "deals", {"name": "Ещё", "email": "new@example.com"})
    assert deal["contact_ids"] == again["contact_ids"]
    assert (deal["stage"], again["stage"]) == ("Оплатил", "Новая заявка")
    assert box.control("POST", f"deals/{deal['id']}/move", {"stage": "Урок 1 пройден"})["stage"] == "Урок 1 пройден"
    listed = box.control("GET", f"deals?status_id={defaults.STAGE_LESSON_1}")["deals"]
    assert [one["id"] for one in listed] == [deal["id"]]
    assert box.control("PATCH", f"deals/{deal['id']}", {"price": 5.5})["price"] == 5.5


def test_what_is_not_there_is_404_and_what_is_wrong_400(box: Any) -> None:
    url = f"{box.sandbox.url}/_sandbox"
    assert requests.post(f"{url}/deals/1/move", json={"stage": "x"}, timeout=10).status_code == 404
    assert requests.get(f"{url}/nothing", timeout=10).status_code == 404
    for body in ({"nonsense": 1}, {"limit_rps": "7"}, {"rotation": "loose"}, {"time_scale": 0}):
        assert requests.patch(f"{url}/settings", json=body, timeout=10).status_code == 400
    assert requests.post(f"{url}/contacts", json=[1], timeout=10).status_code == 400
    assert box.sandbox.settings.rotation == "strict"


def test_pipelines_and_stages_are_added(box: Any) -> None:
    pipeline = box.control("POST", "pipelines", {"name": "Вторая", "stages": ["Начало"]})
    stage = box.control("POST", f"pipelines/{pipeline['id']}/stages", {"name": "Ещё"})
    names = [
        row["name"] for row in box.get(f"/api/v4/leads/pipelines/{pipeline['id']}").json()["_embedded"]["statuses"]
    ]
    assert names == ["Неразобранное", "Начало", "Ещё", "Успешно реализовано", "Закрыто и не реализовано"]
    assert stage["id"] not in (142, 143)


def test_reset_brings_back_the_first_day(box: Any) -> None:
    box.tokens()
    box.insert(field_1039="x")
    box.sandbox.seed(students=3)
    box.control("PATCH", "settings", {"latency_ms": 5})
    box.control("POST", "reset")
    assert len(box.sandbox.amocrm.deals) == 5
    assert box.sandbox.erp.records() == []
    assert box.sandbox.settings.latency_ms == 0
    assert box.sandbox.settings.limit_on is False
    assert box.tokens().status_code == 200


def test_a_hundred_thousand_contacts_are_there_in_seconds_and_found_at_once(box: Any) -> None:
    started = time.monotonic()
    amounts = box.control("POST", "seed", {"contacts": 90_000, "students": 10_000, "stage": "Оплатил"})
    assert amounts == {"contacts": 100_005, "deals": 10_005}
    assert time.monotonic() - started < 60
    box.get("/api/v4/contacts", query="first one builds the index")
    started = time.monotonic()
    for number in range(1, 101):
        (row,) = box.rows("/api/v4/contacts", "contacts", query=f"learner-{number}00@example.com")
    assert time.monotonic() - started < 20
    assert row["name"] == "Студент learner 10000"


def test_the_page_shows_deals_on_stages_records_and_requests_and_needs_no_script(box: Any) -> None:
    box.sandbox.amocrm.add_deal("<b>Курс</b>")
    box.insert(field_1039="Запись")
    box.get("/api/v4/account")
    page = requests.get(box.sandbox.url, timeout=10)
    for text in ("Урок 1 пройден", "&lt;b&gt;Курс&lt;/b&gt;", "Запись", "/api/v4/account", "student-1@example.com"):
        assert text in page.text
    assert "<script" not in page.text and "https://" not in page.text


def test_the_log_is_filtered_and_cleared(box: Any) -> None:
    box.get("/api/v4/account")
    box.get("/api/v4/leads/1")
    box.erp("login")
    assert len(box.control("GET", "log?part=amocrm&method=GET")["entries"]) == 2
    (entry,) = box.control("GET", "log?path=/api/v4/leads&status=204")["entries"]
    assert (entry["acted"], entry["ts"]) == (True, box.clock.real())
    assert box.control("GET", "log/figures")["count"] == 3
    box.control("DELETE", "log")
    assert box.sandbox.log.count() == 0


def test_two_ports_show_the_same_world() -> None:
    with Sandbox(port_erp=0) as sandbox:
        assert sandbox.erp_url.split("/api")[0] != sandbox.url
        assert requests.get(f"{sandbox.erp_url.split('/api')[0]}/_sandbox/deals", timeout=10).json()["deals"]


def test_settings_connect_to_this_sandbox_and_are_no_examples() -> None:
    with Sandbox(redirect_uri="http://127.0.0.1:5000/oauth/callback") as sandbox:
        env = sandbox.env
        assert env["AMOCRM_BASE_URL"] == sandbox.url
        assert env["CRM_API_URL"] == f"{sandbox.url}/api/rest.php"
        assert env["AMOCRM_REDIRECT_URI"].startswith("http://127.0.0.1:5000")
    for value in env.values():
        assert not re.search(r"your|example|12345678|23456789|34567890", value)


def start(*arguments: str) -> tuple[Any, str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "--port", "0", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    line = process.stdout.readline()
    assert line.startswith("sandbox listening on http://127.0.0.1:")
    return process, line.split()[-1]


def stop(process: Any, how: int = signal.SIGTERM) -> int:
    os.kill(process.pid, how)
    process.stdout.close()
    return int(process.wait(timeout=10))


def refresh(url: str, token: str) -> requests.Response:
    data = {
        "client_id": defaults.CLIENT_ID,
        "client_secret": defaults.CLIENT_SECRET,
        "redirect_uri": defaults.REDIRECT_URI,
        "grant_type": "refresh_token",
        "refresh_token": token,
    }
    return requests.post(f"{url}/oauth2/access_token", json=data, timeout=10)


def test_as_a_process_it_keeps_tokens_deals_and_records_over_a_kill(tmp_path: Any) -> None:
    state = str(tmp_path / "state.json")
    process, url = start("--state-file", state, "--strict-rotation")
    pair = refresh(url, defaults.REFRESH_TOKEN).json()
    control_url = f"{url}/_sandbox"
    deal = requests.post(f"{control_url}/deals", json={"name": "Остаётся"}, timeout=10).json()
    requests.post(f"{control_url}/deals/{deal['id']}/move", json={"stage": "Оплатил"}, timeout=10)
    requests.post(f"{control_url}/erp/records", json={"items": {"field_1041": "k"}}, timeout=10)
    requests.post(f"{control_url}/hooks", json={"destination": "http://127.0.0.1:9/hook"}, timeout=10)
    # On a slow disk the books are written within half a second.
    eventually(lambda: "http://127.0.0.1:9/hook" in Path(state).read_text("utf-8"))
    assert stop(process, signal.SIGKILL) == -signal.SIGKILL
    process, url = start("--state-file", state)
    try:
        assert refresh(url, defaults.REFRESH_TOKEN).status_code == 401
        assert refresh(url, pair["refresh_token"]).status_code == 200
        kept = requests.get(f"{url}/_sandbox/deals/{deal['id']}", timeout=10).json()
        assert kept["stage"] == "Оплатил"
        assert requests.get(f"{url}/_sandbox/erp/records", timeout=10).json()["records"][0]["1041"] == "k"
        assert requests.get(f"{url}/_sandbox/hooks", timeout=10).json()["hooks"][0]["settings"]
        assert requests.get(f"{url}/_sandbox/events", timeout=10).json()["events"][-1]["type"] == "lead_status_changed"
    finally:
        assert stop(process) == 0


def test_without_a_state_file_every_start_is_the_first_day() -> None:
    for _ in range(2):
        process, url = start("--lenient-rotation")
        try:
            assert refresh(url, defaults.REFRESH_TOKEN).status_code == 200
            assert requests.get(f"{url}/_sandbox/settings", timeout=10).json()["rotation"] == "lenient"
        finally:
            assert stop(process, signal.SIGINT) == 0


@pytest.mark.parametrize("page", DOCS, ids=["en", "ru"])
def test_every_route_preset_and_knob_is_in_the_docs(page: Any) -> None:
    text = page.read_text("utf-8")
    missing = [f"`{method} {path}`" for method, path in control.ROUTES if path and f"`{method} {path}`" not in text]
    missing += [f"`{name}`" for name in PRESETS if f"`{name}`" not in text]
    missing += [f"`{name}`" for name in Settings().as_dict() if f"`{name}`" not in text]
    assert missing == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:8099"},
        {"Host": ""},
        {"Host": "127.0.0.1.evil.example"},
        {"Origin": "https://evil.example"},
    ],
    ids=["rebound name", "no name", "longer name", "another page's origin"],
)
def test_the_control_and_the_page_answer_only_this_machine(box: Any, headers: Any) -> None:
    for method, path in (("POST", "/_sandbox/reset"), ("GET", "/_sandbox/tokens")):
        answer = requests.request(method, box.sandbox.url + path, headers=headers, json={}, timeout=10)
        assert answer.status_code == 403, answer.text
    assert requests.get(box.sandbox.url, headers=headers, timeout=10).status_code == 404


def test_another_name_can_be_allowed_and_amocrm_itself_answers_under_any() -> None:
    with Sandbox(control_hosts=["sandbox.local"]) as sandbox:
        named = {"Host": "sandbox.local:8099"}
        assert requests.get(f"{sandbox.url}/_sandbox/settings", headers=named, timeout=10).status_code == 200
        answer = requests.get(f"{sandbox.url}/api/v4/account", headers={"Host": "school.amocrm.ru"}, timeout=10)
        assert answer.status_code == 401


def test_flask_sandbox_is_the_same_and_needs_no_account(tmp_path: Any) -> None:
    flask = [sys.executable, "-m", "flask", "--app", "wsgi", "sandbox"]
    environment = bare_environ(DATABASE_URL=f"sqlite:///{tmp_path}/dealpost.db")
    help_text = subprocess.run(
        [*flask, "--help"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert "flask sandbox" in help_text.stdout.splitlines()[0]
    assert "--tls" in help_text.stdout
    process = subprocess.Popen(
        [*flask, "--port", "0", "--lenient-rotation"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    line = process.stdout.readline()
    try:
        url = line.removeprefix("sandbox listening on ").strip()
        assert requests.get(f"{url}/_sandbox/settings", timeout=10).json()["rotation"] == "lenient"
    finally:
        assert stop(process) == 0
