"""People sign in on the page and out again; programs go on with HTTP Basic."""

import re

import pytest
from flask.testing import FlaskClient

from service import create_app, create_commands
from service.config import load
from service.operator.language import COOKIE
from service.operator.people import Throttle
from service.users import entry
from tests.integration.web.conftest import ENVIRON, KEY, OPERATOR, VIEWER
from tests.unit.test_users import user

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Language": "en"}
ANNA = ("anna", "correct horse battery")
OLEG = ("oleg", "another long one")


@pytest.fixture
def settings(tmp_path):
    users = ",".join([entry(user(*ANNA)), entry(user(*OLEG, "viewer"))])
    return load({**ENVIRON, "DATABASE_URL": f"sqlite:///{tmp_path}/dealpost.db", "USERS": users})


@pytest.fixture
def browser(app) -> FlaskClient:
    return app.test_client()


def token(answer) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', answer.text)
    assert found, answer.text[:300]
    return found[1]


def sign_in(browser: FlaskClient, name: str, password: str, back: str = "/outbox"):
    form = browser.get("/outbox/sign-in", headers=BROWSER)
    data = {"csrf_token": token(form), "name": name, "password": password, "back": back}
    return browser.post("/outbox/sign-in", data=data, headers=BROWSER)


def test_a_program_gets_the_challenge_and_a_browser_that_knows_the_form_only_that(web):
    program = web.get("/outbox")
    assert program.status_code == 401 and program.headers["WWW-Authenticate"].startswith("Basic")
    person = web.get("/outbox/deliveries?state=dead", headers=BROWSER)
    assert person.status_code == 401 and person.headers["WWW-Authenticate"].startswith("Basic")
    assert 'type="password"' in person.text and 'value="/outbox/deliveries?state=dead"' in person.text
    assert web.get("/outbox/sign-in", headers=BROWSER).status_code == 200
    again = web.get("/outbox", headers=BROWSER)
    assert again.status_code == 401 and 'type="password"' in again.text and "WWW-Authenticate" not in again.headers
    script = web.get("/outbox", headers={"X-Fragment": "1", "Accept": "*/*"})
    assert script.status_code == 401 and "WWW-Authenticate" not in script.headers


@pytest.mark.parametrize("who", [OPERATOR, VIEWER, ANNA, OLEG])
def test_everybody_may_sign_in_by_form_and_by_basic_and_lands_where_they_wanted(app, web, who):
    assert web.get("/outbox", auth=who).status_code == 200
    browser = app.test_client()
    answer = sign_in(browser, who[0], who[1], "/outbox/log?after=3")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/outbox/log?after=3")
    page = browser.get("/outbox", headers=BROWSER)
    assert page.status_code == 200 and who[0] in page.text


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites_and_only_for_https_under_https(browser):
    plain = "; ".join(sign_in(browser, *ANNA).headers.getlist("Set-Cookie"))
    assert "HttpOnly" in plain and "SameSite=Lax" in plain and "Secure" not in plain
    safe = {"base_url": "https://post.example.com"}
    form = browser.get("/outbox/sign-in", headers=BROWSER, **safe)
    data = {"csrf_token": token(form), "name": ANNA[0], "password": ANNA[1]}
    cookies = browser.post("/outbox/sign-in", data=data, headers=BROWSER, **safe).headers.getlist("Set-Cookie")
    assert len(cookies) == 3 and all("Secure" in one for one in cookies)


def test_a_form_without_its_token_signs_nobody_in(browser):
    answer = browser.post("/outbox/sign-in", data={"name": ANNA[0], "password": ANNA[1]}, headers=BROWSER)
    assert answer.status_code == 400
    assert browser.get("/outbox", headers=BROWSER).status_code == 401


def test_a_session_may_do_what_its_role_may(app, browser):
    sign_in(browser, *OLEG)
    page = browser.get("/outbox/log", headers=BROWSER)
    pause = browser.post("/outbox/pause/amocrm", data={"csrf_token": token(page)}, headers=BROWSER)
    assert pause.status_code == 403
    other = app.test_client()
    sign_in(other, *ANNA)
    page = other.get("/outbox/log", headers=BROWSER)
    assert other.post("/outbox/pause/amocrm", headers=BROWSER).status_code == 400  # no token
    pause = other.post("/outbox/pause/amocrm", data={"csrf_token": token(page)}, headers=BROWSER)
    assert pause.status_code == 303
    actions = app.extensions["dealpost"].store.reading.actions(5)
    assert [(action.who, action.what) for action in actions] == [("anna", "pause")]


def test_signing_out_ends_the_session_also_where_its_cookie_was_copied_to(app, browser):
    sign_in(browser, *ANNA)
    cookie = browser.get_cookie("dealpost")
    assert cookie is not None
    page = browser.get("/outbox", headers=BROWSER)
    left = browser.post("/outbox/sign-out", data={"csrf_token": token(page)}, headers=BROWSER)
    assert (left.status_code, left.headers["Location"]) == (303, "/outbox/sign-in")
    assert browser.get("/outbox", headers=BROWSER).status_code == 401
    thief = app.test_client()
    thief.set_cookie("dealpost", cookie.value)
    assert thief.get("/outbox", headers=BROWSER).status_code == 401


@pytest.mark.parametrize("users", ["", entry(user("anna", "a new password of hers"))], ids=["gone", "new password"])
def test_a_session_ends_with_the_name_or_its_password(app, browser, settings, store, users):
    sign_in(browser, *ANNA)
    cookie = browser.get_cookie("dealpost")
    assert cookie is not None
    changed = load({**ENVIRON, "DATABASE_URL": settings.database_url, "USERS": users})
    again = create_app(changed, store).test_client()
    again.set_cookie("dealpost", cookie.value)
    assert again.get("/outbox", headers=BROWSER).status_code == 401


@pytest.mark.parametrize(
    "back", ["//evil.example", "https://evil.example/outbox", "/\\evil.example", "/outbox/../../x", "/outboxes",
             "/e/key", "/outbox//evil.example", "javascript:alert(1)", ""],
)  # fmt: skip
def test_a_sign_in_leads_nowhere_else(browser, back):
    assert sign_in(browser, ANNA[0], ANNA[1], back).headers["Location"] == "/outbox"


def test_behind_a_path_of_a_proxy_it_leads_back_below_that_path(app, browser):
    under = {"environ_overrides": {"SCRIPT_NAME": "/school"}}
    form = browser.get("/outbox/log", headers=BROWSER, **under)
    back = re.search(r'name="back" value="([^"]+)"', form.text)
    assert back
    data = {"csrf_token": token(form), "name": ANNA[0], "password": ANNA[1], "back": back[1]}
    answer = browser.post("/outbox/sign-in", data=data, headers=BROWSER, **under)
    assert answer.headers["Location"] == "/school/outbox/log"


def test_a_wrong_password_is_told_and_after_some_the_next_try_has_to_wait(browser):
    for _ in range(Throttle.MOST_PAIR):
        answer = sign_in(browser, ANNA[0], "wrong")
        assert answer.status_code == 401 and "The name or the password is wrong." in answer.text
        assert 'value="anna"' in answer.text
    answer = sign_in(browser, *ANNA)
    assert answer.status_code == 429 and int(answer.headers["Retry-After"]) > 0
    assert browser.get("/outbox", auth=ANNA).status_code == 429
    assert sign_in(browser, *OLEG).status_code == 303


def test_who_guesses_from_the_same_address_locks_nobody_out_of_a_browser_that_signed_in_before(app, browser):
    assert sign_in(browser, *ANNA).status_code == 303
    guesser, another = app.test_client(), app.test_client()
    for number in range(Throttle.MOST_ADDRESS):
        sign_in(guesser, ANNA[0] if number < Throttle.MOST_PAIR else f"name-{number}", "wrong")
    assert sign_in(another, *ANNA).status_code == 429
    browser.delete_cookie("dealpost")  # the session is over
    assert sign_in(browser, *ANNA).status_code == 303
    assert sign_in(browser, *OLEG).status_code == 429  # who has never signed in there
    kept = browser.get_cookie("dealpost_device")
    assert kept and kept.http_only and kept.same_site == "Lax"
    for value in (kept.value[:-1], f"x{kept.value}", "²", "W10.x"):
        another.set_cookie("dealpost_device", value)
        assert sign_in(another, *ANNA).status_code == 429
    for _ in range(Throttle.MOST_PAIR):
        assert sign_in(browser, ANNA[0], "wrong").status_code == 401
    assert sign_in(browser, *ANNA).status_code == 429  # it may guess no more than anybody


def test_a_deed_after_the_session_has_ended_changes_nothing_and_says_so(app, browser):
    answer = browser.post("/outbox/pause/amocrm", data={}, headers=BROWSER)
    assert answer.status_code == 401 and "so nothing was changed" in answer.text
    assert app.extensions["dealpost"].store.reading.actions(5) == []


def test_a_session_reads_figures_and_a_wrong_key_beside_it_does_not(browser):
    assert browser.get("/metrics").status_code == 401
    sign_in(browser, *OLEG)
    assert browser.get("/metrics").status_code == 200
    assert browser.get("/metrics", headers={"X-API-Key": "wrong"}).status_code == 401
    assert browser.get("/api/outbox", headers=KEY).status_code == 200


def test_it_speaks_russian(browser):
    browser.set_cookie(COOKIE, "ru")
    page = browser.get("/outbox", headers=BROWSER)
    assert "Вход" in page.text and "Пароль" in page.text


def test_the_command_prints_a_line_that_lets_its_name_in_beside_the_others(settings, store):
    answer = (
        create_commands(settings, store)
        .test_cli_runner()
        .invoke(args=["user", "add", "Ирина", "--role", "viewer", "--generate"])
    )
    assert answer.exit_code == 0, answer.output
    password = re.search(r"only now: (\S+)", answer.output)
    line = re.search(r"^USERS=(\S+)$", answer.output, re.MULTILINE)
    assert password and line
    changed = load({**ENVIRON, "DATABASE_URL": settings.database_url, "USERS": line[1]})
    web = create_app(changed, store).test_client()
    for who in (("Ирина", password[1]), ANNA, OLEG):
        assert sign_in(web, *who).status_code == 303
    listed = create_commands(changed, store).test_cli_runner().invoke(args=["user", "list"]).output
    assert re.search(r"^Ирина +viewer +USERS$", listed, re.MULTILINE) and "scrypt" not in listed


def test_the_command_asks_for_a_password_twice_and_takes_no_easy_one(settings, store):
    run = create_commands(settings, store).test_cli_runner().invoke
    assert run(args=["user", "add", "vera"], input="password1\npassword1\n").exit_code == 1
    good = run(args=["user", "add", "vera"], input="a long one of hers\na long one of hers\n")
    assert good.exit_code == 0 and "vera:" in good.output and "a long one of hers" not in good.output
    assert run(args=["user", "add", "a:b"]).exit_code == 1
    assert run(args=["user", "add", "admin", "--generate"]).exit_code == 1
