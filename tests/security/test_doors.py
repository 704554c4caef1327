"""What was found when somebody tried each door of the web, each under the name of what was done."""

import contextlib
import http.client
import re
import stat
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from outbox.outcome import DeliveryError
from outbox.queries import Filter
from service.config import load
from service.environment import with_keys
from service.exposure import is_open, readable_by_others
from service.operator import turns
from service.proxies import Unexpected, direct
from tests.support import seeded
from tests.support.processes import FOLDER
from tests.support.site import OPERATOR, VIEWER, application


@pytest.fixture
def world(tmp_path: Path):
    world = seeded.World(tmp_path / "dealpost.db")
    world.day(scale=0.1, lost=3)
    world.house()
    yield world
    world.store.close()


@pytest.fixture
def web(world):
    return application(world).test_client()


# --- numbers, arguments and links -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["²", "٣", "9" * 25, "9" * 5000, "-1", "1e9", "1_0", "\x00"])
@pytest.mark.parametrize(
    "page",
    ["/outbox?refresh=", "/outbox/log?after=", "/outbox/deliveries?after=", "/outbox/students?after=",
     "/outbox/deliveries?max_id=", "/outbox/deliveries?q=", "/outbox/deliveries?deal=", "/outbox/confirm?id=",
     "/outbox/confirm?mode=all&shown=", "/outbox/students/journey?deal=", "/outbox/connections/stages?lesson=",
     "/outbox/deliveries?since="],
)  # fmt: skip
def test_what_is_no_number_is_none(web, page, number):
    assert web.get(page + number.replace("\x00", "%00"), auth=OPERATOR).status_code == 200


@pytest.mark.parametrize("path", ["/metrics", "/outbox", "/api/outbox", "/api/events/1"])
@pytest.mark.parametrize("login", ["Basic \xb2", "Basic AA==", "Basic ====", "Basic", "Bearer \xb2", "Digest \xb2"])
def test_a_login_that_cannot_be_read_is_none(web, path, login):
    assert web.get(path, environ_overrides={"HTTP_AUTHORIZATION": login}).status_code == 401


RESERVED = ["endpoint", "values", "self", "_method", "_external", "_scheme", "_anchor", "delivery_id", "filename"]


@pytest.mark.parametrize("name", RESERVED)
@pytest.mark.parametrize(
    "page", ["/outbox", "/outbox/deliveries", "/outbox/confirm", "/outbox/confirm/preview", "/outbox/connections"]
)
def test_only_known_arguments_come_into_links(web, page, name):
    answer = web.get(f"{page}?{name}=evil.example&nonsense=evil.example", auth=OPERATOR)
    assert answer.status_code == 200
    links = re.findall(r'(?:href|action|data-live)="([^"]*)"', answer.text)
    assert links and not [link for link in links if "evil.example" in link]


def test_more_ids_than_a_database_takes_parameters_are_no_fault_of_the_store(web):
    page = web.get("/outbox/help", auth=OPERATOR).text
    (token,) = re.findall(r'name="csrf_token" value="([^"]+)"', page)[:1]
    form = {"csrf_token": token, "id": [str(n) for n in range(1, 60_000)], "max_id": "1", "expected": "1"}
    assert web.post("/outbox/do", data=form, auth=OPERATOR).status_code in (303, 409)


# --- what strangers see -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/outbox/static/nothing.css", "/outbox/static/../secret_key", "/outbox/static/%00"])
def test_a_404_of_static_files_tells_a_stranger_no_name_of_the_account(web, path):
    answer = web.get(path)
    assert answer.status_code == 404
    assert seeded.FUNNEL[1] not in answer.text and "Set-Cookie" not in answer.headers
    assert len(answer.text) < 300


def test_a_404_with_a_sign_in_is_a_page(web):
    assert "/outbox/deliveries" in web.get("/outbox/999999", auth=OPERATOR).text


def test_an_error_page_needs_nothing_of_the_request(web):
    for query in ("endpoint=x", "_method=x", "refresh=²", "_external=1&_scheme=//evil", "delivery_id=²"):
        for path in ("/outbox/999999", "/outbox/999999/correct"):
            answer = web.get(f"{path}?{query}", auth=OPERATOR)
            assert answer.status_code == 404
            assert "evil" not in answer.text


@pytest.mark.parametrize(
    "path", ["/api/outbox", "/api/events/{id}", "/healthz", "/metrics", "/outbox", "/openapi.json"]
)
def test_no_answer_is_stored_on_the_way_or_taken_for_something_else(web, world, path):
    event = world.store.reading.delivery(1).event_id
    answer = web.get(path.format(id=event), headers={"X-API-Key": "platform-key-1"} if "api" in path else {}, auth=None)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_answer_to_an_event_is_not_stored_on_the_way(web):
    body = {"email": "student@example.com", "lesson": 1}
    answer = web.post("/api/tripwire/complete", json=body, headers={"X-API-Key": "platform-key-1"})
    assert answer.status_code == 202
    assert answer.headers["Cache-Control"] == "no-store"


# --- who stands in front ----------------------------------------------------------------------------------------------

PREFIXES = [
    "//evil.example",
    "/\\evil.example",
    "https://evil.example",
    "/a//evil",
    "/..",
    "/a b",
    "/%2f%2fevil",
    "/x, //evil",
]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_forwarded_prefix_that_leads_elsewhere_is_ignored(world, prefix):
    web = application(world, TRUSTED_PROXIES="1").test_client()
    answer = web.get("/outbox", headers={"X-Forwarded-Prefix": prefix}, auth=OPERATOR)
    assert answer.status_code == 200
    assert not re.findall(
        r'(?:href|src|action)="(?!/outbox|/docs|https://school\.amocrm\.ru|https://erp\.example)[^"#]', answer.text
    )
    to = web.get("/", headers={"X-Forwarded-Prefix": prefix}).headers["Location"]
    assert to == "/outbox"


@pytest.mark.parametrize("host", ["evil.example/x", "a@evil.example", "evil.example#", "<b>", "x" * 10 + ":999999"])
def test_a_forwarded_host_that_is_none_is_ignored(world, host):
    web = application(world, TRUSTED_PROXIES="1", PUBLIC_URL="").test_client()
    page = web.get("/docs", headers={"X-Forwarded-Host": host, "X-Forwarded-Proto": "javascript"}).text
    assert "http://localhost" in page and host not in page and "javascript:" not in page


@pytest.mark.parametrize(
    "back", ["//evil.example", "https://evil.example", "/outbox/../..//evil.example", "/\\evil.example", "/outboxevil"]
)
def test_nobody_is_led_elsewhere_after_choosing_a_language_or_signing_in(web, back):
    page = web.get("/outbox/help", auth=OPERATOR).text
    (token,) = re.findall(r'name="csrf_token" value="([^"]+)"', page)[:1]
    chosen = web.post("/outbox/language", data={"csrf_token": token, "back": back, "language": "en"}, auth=OPERATOR)
    signed = web.post(
        "/outbox/sign-in", data={"csrf_token": token, "back": back, "name": OPERATOR[0], "password": OPERATOR[1]},
        headers={"Referer": "https://evil.example/"},
    )  # fmt: skip
    for answer in (chosen, signed):
        assert answer.status_code == 303
        assert answer.headers["Location"] == "/outbox"


def test_a_forwarded_address_without_a_proxy_is_not_believed_and_told_by_the_check(world):
    app = application(world)
    unexpected: Unexpected = app.extensions["dealpost"].wiring.unexpected
    assert not unexpected.lately()
    app.wsgi_app = direct(app.wsgi_app, unexpected)  # type: ignore[method-assign, assignment]
    app.test_client().get("/healthz", headers={"X-Forwarded-For": "9.9.9.9"})
    unexpected.flush()
    assert unexpected.lately()
    page = app.test_client().get("/outbox/connections/checks", auth=OPERATOR).text
    assert "TRUSTED_PROXIES" in page


def test_a_viewer_cannot_post_with_another_method_in_an_argument_or_header(web):
    for what in ({"query_string": "_method=POST"}, {"headers": {"X-HTTP-Method-Override": "POST"}}):
        assert web.get("/outbox/pause/erp", auth=VIEWER, **what).status_code == 200
    assert web.get("/outbox", auth=VIEWER, query_string="_method=DELETE").status_code == 200


# --- pages that wait for others ---------------------------------------------------------------------------------------


def test_pages_that_wait_for_amocrm_leave_the_other_threads_to_the_ways_in(world):
    app = application(world)
    wiring = app.extensions["dealpost"].wiring
    waiting, go_on = threading.Semaphore(0), threading.Event()

    def slow(_delivery: Any) -> Any:
        waiting.release()
        assert go_on.wait(30)
        raise DeliveryError("amoCRM does not answer", cause="amocrm_down", outage=True)

    wiring.preview = slow
    path = f"/outbox/{world.store.reading.find(Filter(destination='amocrm'), 1).rows[0].id}/preview"

    def look(*_: Any) -> int:
        return int(app.test_client().get(path, auth=OPERATOR).status_code)

    with ThreadPoolExecutor(8) as threads:
        first = [threads.submit(look) for _ in range(turns.AT_ONCE)]
        for _ in first:
            assert waiting.acquire(timeout=30)
        others = list(threads.map(look, range(20)))
        for slow_too in ("/outbox/confirm/preview", "/outbox/connections/checks", "/outbox/connections?look=1",
                         "/outbox/connections/stages",
                         "/oauth/callback?code=1&referer=x.amocrm.ru&state=x"):  # fmt: skip
            answer = app.test_client().get(slow_too, auth=OPERATOR, headers={"X-Fragment": "1"})
            assert (answer.status_code, "500" in answer.text) == (503, False), slow_too
        for quick in ("/outbox", "/outbox/deliveries", "/readyz"):
            assert app.test_client().get(quick, auth=OPERATOR).status_code == 200
        go_on.set()
    assert others == [503] * 20
    assert [one.result() for one in first] == [200] * turns.AT_ONCE
    assert look() == 200  # and the turns are given back


# --- addresses, files and secrets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "told"),
    [("http://erp.example.com/api/rest.php", True), ("http://192.168.0.7/x", True), ("http://127.evil.example", True),
     ("https://erp.example.com", False), ("http://127.0.0.1:8000", False), ("http://localhost/x", False),
     ("http://[::1]:80/", False), ("", False)],
)  # fmt: skip
def test_an_address_by_http_is_told_by_the_check(address, told):
    assert is_open(address) is told


def test_the_check_names_each_address_by_http(world):
    web = application(
        world, PUBLIC_URL="http://post.example.com", CRM_API_URL="http://erp.example.com/api/rest.php"
    ).test_client()
    page = web.get("/outbox/connections/checks", auth=OPERATOR).text
    assert page.count("begins with http") + page.count("начинается с http") == 2


def test_the_folder_of_the_secrets_is_its_owners_alone(tmp_path):
    settings = load({"DATABASE_URL": f"sqlite:///{tmp_path}/var/dealpost.db"})
    with_keys(settings)
    folder = tmp_path / "var"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert readable_by_others(settings.database_path) == []
    (folder / "token_keys").chmod(0o644)
    assert readable_by_others(settings.database_path) == []
    folder.chmod(0o755)
    assert readable_by_others(settings.database_path) == [str(folder / "token_keys")]


# --- with real processes ----------------------------------------------------------------------------------------------


def raw(url: str, head: str) -> tuple[int, dict[str, str], str]:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
    method, path, *headers = head.split("\n")
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for header in headers:
        name, _, value = header.partition(": ")
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    with contextlib.closing(connection):
        return answer.status, dict(answer.getheaders()), answer.read().decode()


def test_script_name_and_scheme_as_headers_are_not_believed(run_web):
    web = run_web()
    for header in ("SCRIPT_NAME: /evil", "SCRIPT_NAME: //evil.example", "Script-Name: /evil", "PATH_INFO: /x",
                   "X-Forwarded-Prefix: //evil.example", "X-Forwarded-Host: evil.example"):  # fmt: skip
        status, headers, _ = raw(web.url, f"GET\n/\nHost: ours.example\n{header}")
        assert (status, headers.get("Location")) == (302, "/outbox"), header
    _, headers, _ = raw(web.url, "GET\n/outbox/sign-in\nHost: ours.example\nX-Forwarded-Proto: https")
    assert "Secure" not in headers["Set-Cookie"]
    _, headers, _ = raw(web.url, "GET\n/outbox/\nHost: evil.example")
    assert not headers.get("Location", "").startswith("//")


def test_var_is_made_for_its_owner_alone(tmp_path, run_web):
    run_web(DATABASE_URL=f"sqlite:///{tmp_path}/of the store/dealpost.db")
    folder = tmp_path / "of the store"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(file.stat().st_mode) & 0o077 == 0 for file in folder.iterdir() if file.is_file())


def test_no_digit_of_another_script_is_read_as_a_number_by_a_way_round_the_reader():
    found = subprocess.run(
        ["grep", "-rnE", r"\.(isdigit|isdecimal|isnumeric)\(", "service", "outbox", "--include=*.py"],
        cwd=FOLDER, capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    assert found == "", "read them with outbox.whole_numbers"
