"""What surrounds the routes: headers, proxies, languages, logs, alerts and the worker's jobs."""

import dataclasses
import io
import json
import logging
import re
from dataclasses import replace

import pytest

from outbox.message import NewDelivery, NewEvent, State, StoreUnavailable
from outbox.outcome import DeliveryError, PauseKind, Stopping
from outbox.queries import Filter
from service import create_app
from service.alerts import Alerts
from service.amocrm.errors import classify
from service.app import _finish
from service.heartbeat import FORGOTTEN, Heartbeat
from service.job_results import JobResult, JobResults
from service.jobs import DAY, JOBS, LEAP, Jobs
from service.logs import AccessLog, Veil, configure, mask_emails
from service.operator import consent_links, language
from service.operator.consent_links import ConsentLinks
from service.operator.resends import KEPT, Resends
from tests.integration.web.conftest import OPERATOR, VIEWER

# --- headers and proxies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/outbox", "/docs", "/oauth/callback?error=access_denied"])
def test_each_page_bears_a_policy_that_forbids_foreign_scripts(web, path):
    headers = web.get(path, auth=OPERATOR).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_nobody_looks_without_signing_in(web):
    answer = web.get("/outbox")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert web.get("/outbox", auth=OPERATOR).status_code == web.get("/outbox", auth=VIEWER).status_code == 200


def test_a_viewer_changes_nothing(web):
    assert web.post("/outbox/pause/erp", auth=VIEWER).status_code == 403


def test_without_a_token_a_form_changes_nothing(web, store):
    assert web.post("/outbox/pause/erp", auth=OPERATOR).status_code == 400
    assert store.key_values.get("pause", "erp") is None


def test_a_form_with_its_token_pauses_and_resumes(web, store):
    page = web.get("/outbox/pause/erp", auth=OPERATOR).text
    (token,) = re.findall(r'name="csrf_token" value="([^"]+)"', page)[:1]
    assert web.post("/outbox/pause/erp", data={"csrf_token": token}, auth=OPERATOR).status_code in (302, 303)
    assert store.key_values.get("pause", "erp") is not None
    assert web.post("/outbox/resume/erp", data={"csrf_token": token}, auth=OPERATOR).status_code in (302, 303)
    assert store.key_values.get("pause", "erp") is None


def test_without_a_password_the_page_is_closed(settings, store):
    web = create_app(replace(settings, admin_password="", viewer_password=""), store).test_client()
    assert web.get("/outbox").status_code == web.get("/outbox", auth=("admin", "")).status_code == 403
    assert "ADMIN_PASSWORD" in web.get("/outbox").text


FORWARDED = {"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Prefix": "/dealpost", "X-Forwarded-Proto": "https"}


def test_a_proxy_is_believed_only_when_it_is_expected(settings, store, capsys):
    web = create_app(settings, store).test_client()
    web.get("/healthz", headers=FORWARDED)
    assert "9.9.9.9" not in capsys.readouterr().err
    behind = create_app(replace(settings, trusted_proxies=1), store).test_client()
    answer = behind.get("/outbox", headers=FORWARDED, auth=OPERATOR)
    assert 'href="/dealpost/outbox' in answer.text
    assert "9.9.9.9" in capsys.readouterr().err


# --- languages --------------------------------------------------------------------------------------------------------


def test_the_setting_goes_before_the_browser(settings, store):
    russian = {"Accept-Language": "ru"}
    assert 'lang="en"' in create_app(settings, store).test_client().get("/outbox", auth=OPERATOR, headers=russian).text
    free = create_app(replace(settings, locale=""), store).test_client()
    assert 'lang="ru"' in free.get("/outbox", auth=OPERATOR, headers=russian).text


def test_a_catalogue_is_compiled_when_its_source_is_newer(tmp_path):
    po = tmp_path / "ru" / "LC_MESSAGES" / "messages.po"
    po.parent.mkdir(parents=True)
    po.write_text('msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\nmsgid "Yes"\nmsgstr "Да"\n')
    assert language.compiled(tmp_path) == tmp_path
    assert "Да".encode() in po.with_suffix(".mo").read_bytes()


# --- the log ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("of student@example.com now", "of s***t@example.com now"),
        ("<a@b.ru>, иван.петров@почта.рф", "<***@b.ru>, и***в@почта.рф"),
        ("of 'ab@b.ru' and _ab-c@b.ru", "of 'a***@b.ru' and _***c@b.ru"),
        ("o'brien@b.ru, -ann@b.ru", "o***n@b.ru, -a***n@b.ru"),
        ("no address @ all", "no address @ all"),
    ],
)
def test_addresses_are_masked(text, shown):
    assert mask_emails(text) == shown


@pytest.fixture
def restored():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize("kind", ["text", "json"])
def test_the_log_holds_neither_secrets_nor_addresses(settings, restored, kind):
    out = io.StringIO()
    configure(replace(settings, log_format=kind), out)
    try:
        raise ValueError("platform-key-1 of student@example.com")
    except ValueError:
        logging.getLogger("service.x").error("hook-secret-1 for %s", "student@example.com", exc_info=True)
    text = out.getvalue()
    assert "student@" not in text and "platform-key-1" not in text and "hook-secret-1" not in text
    assert "s***t@example.com" in text
    if kind == "json":
        line = json.loads(text)
        assert (line["level"], line["logger"]) == ("error", "service.x")
        assert "Traceback" in line["trace"]


def test_a_short_secret_does_not_tear_words_apart():
    assert Veil(["key", "", "long-enough"])("a key of long-enough") == "a key of [hidden]"


def test_no_log_shows_the_user_and_the_password_of_an_address():
    line = "got https://olga:pa55@erp.example/rest.php and http://token@host/x, not mail to @host or a://b/c@d"
    assert Veil()(line) == (
        "got https://[hidden]@erp.example/rest.php and http://[hidden]@host/x, not mail to @host or a://b/c@d"
    )


@pytest.mark.parametrize("kind", ["text", "json"])
def test_a_line_of_the_log_is_one_line_and_steers_no_terminal(kind, settings):
    out = io.StringIO()
    configure(replace(settings, log_format=kind), out)
    logging.getLogger("service.x").error("a name\n2026-01-01 INFO: forged\x1b[2J\x9b31m")
    assert len(out.getvalue().splitlines()) == 1 and not set("\x1b\x9b") & set(out.getvalue())


@pytest.mark.parametrize("kind", ["text", "json"])
def test_the_access_log_names_the_template_and_not_the_secret(app, web, kind):
    out = io.StringIO()
    log = AccessLog(kind, out)
    app.after_request_funcs[None] = [_finish(log)]
    web.post("/webhooks/amocrm/hook-secret-1?secret=x", data={"account[id]": "1"})
    assert "/webhooks/amocrm/<secret>" in out.getvalue() and "hook-secret-1" not in out.getvalue()


# --- alerts -----------------------------------------------------------------------------------------------------------


class Sent(list):
    def __call__(self, title, words):
        self.append((title, words))
        return True


@pytest.fixture
def alerts(app):
    sent = Sent()
    alerts = Alerts(app, sent)
    alerts.start()
    alerts.sent = sent  # type: ignore[attr-defined]
    yield alerts
    alerts.stop()


def test_an_alert_says_what_it_means_and_who_mends_it(alerts, store):
    alerts("amocrm_reconnect", {"destination": "amocrm", "detail": "token of student@example.com"})
    alerts.stop()
    ((title, words),) = alerts.sent
    assert title == "amoCRM has to be connected again"
    assert "an administrator of amoCRM" in words
    assert "student" not in title + words + str(store.key_values.items("alerts"))


def test_the_same_alert_is_told_once_an_hour(alerts, store):
    for _ in range(3):
        alerts("amocrm_unpaid", {"destination": "amocrm"})
    alerts("erp_settings", {"destination": "erp"})
    alerts.stop()
    assert len(alerts.sent) == 2
    assert set(store.key_values.items("alerts")) == {"amocrm_unpaid:amocrm", "erp_settings:erp"}


@pytest.mark.parametrize("cause", ["amocrm_forbidden", "stage_deleted", "same_cause", "job_failed", "no such cause"])
def test_every_cause_has_words_even_without_its_figures(alerts, cause):
    title, words = alerts.words(cause, {})
    assert title and words and "%(" not in title + words


@pytest.mark.parametrize(
    ("count", "said"), [(1, "не дошла 1 отправка"), (3, "не дошли 3 отправки"), (14, "не дошло 14 отправок")]
)
def test_an_alert_of_deliveries_counts_them_as_people_do(alerts, count, said):
    alerts._settings = dataclasses.replace(alerts._settings, locale="ru")
    assert said in alerts.words("not_delivered", {"count": count})[0]


def test_an_alert_needs_no_store_and_is_told_once_while_there_is_none(alerts, store, monkeypatch):
    def unavailable(*_args, **_kwargs):
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as broken:
        for name in ("get", "put", "items", "put_many"):
            broken.setattr(store.key_values, name, unavailable)
        assert alerts("store_full", {"free": 0})
        assert not alerts("store_full", {"free": 0})
        assert alerts("amocrm_reconnect", {"destination": "amocrm"})
    # It can be read, but still not written.
    with monkeypatch.context() as full:
        full.setattr(store.key_values, "put", unavailable)
        assert not alerts("store_full", {"free": 0})
    alerts.stop()
    assert len(alerts.sent) == 2


# --- presence and jobs ------------------------------------------------------------------------------------------------


def test_a_process_is_shown_until_it_leaves(store):
    presence = Heartbeat.of(store, "worker")
    presence.show()
    entry = store.key_values.get("process", presence.name).value
    assert set(entry) == {"name", "kind", "version", "started_at", "heartbeat_at", "pid", "host"}
    store.key_values.put("process", "old", {**entry, "heartbeat_at": store.now() - FORGOTTEN - 1})
    presence.tidy()
    assert set(store.key_values.items("process")) == {presence.name}
    presence.leave()
    assert store.key_values.items("process") == {}


class Told(list):
    def __call__(self, cause, params):
        self.append((cause, dict(params)))
        return True


@pytest.fixture
def jobs(app, store):
    told = Told()
    jobs = Jobs(app.extensions["dealpost"], told, Heartbeat.of(store, "worker"), lambda: False)
    jobs.told = told  # type: ignore[attr-defined]
    return jobs


def test_a_store_that_takes_no_events_is_told_of_and_pings_nobody(jobs, store, monkeypatch):
    pings = []
    monkeypatch.setattr("service.jobs.ping", lambda url: pings.append(url) or True)

    def unavailable():
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(store.maintenance, "probe", unavailable)
        jobs.run("ping")
    assert not pings and [cause for cause, _ in jobs.told] == ["store_full"]
    jobs.run("ping")
    assert len(pings) == 1


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_each_job_runs_where_nothing_is_set_up(jobs, store, job):
    jobs.plan()
    jobs.run(job.name)
    assert jobs.told == []
    assert [one.name for one in JobResults(store.key_values).all()].count(job.name) == job.shown
    kept = store.key_values.get("jobs", job.name).value
    assert set(kept) == {"last_at", "outcome", "detail", "params", "every", "next_at", "shown"}
    assert kept["outcome"] in ("done", "")


def test_after_a_leap_of_the_clock_nothing_is_cleared_away_for_a_day(jobs, store, monkeypatch):
    asked = []
    monkeypatch.setattr(store.maintenance, "prune", lambda before: asked.append(before) or 0)
    jobs.run("prune")
    assert len(asked) == 1
    last = JobResults(store.key_values).get("prune")
    assert last is not None
    # The clock was set forward, by mistake or not: all seems old.
    JobResults(store.key_values).put(dataclasses.replace(last, last_at=store.now() - LEAP - 60.0))
    jobs.run("prune")
    assert len(asked) == 1
    JobResults(store.key_values).put(dataclasses.replace(last, last_at=store.now() - DAY))
    jobs.run("prune")
    assert len(asked) == 2


def outcome_of(jobs, store, monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setitem(jobs._does, "tokens", fail)
    jobs.run("tokens")
    entry = store.key_values.get("jobs", "tokens")
    return entry and entry.value["outcome"]


def test_what_a_person_changed_during_a_look_is_not_told_as_it_was_before(jobs, store, monkeypatch):
    results = JobResults(store.key_values)
    jobs.plan()

    def look():
        results.foretell("tokens", "renewed", store.now())
        return "not_due", {}

    monkeypatch.setitem(jobs._does, "tokens", look)
    jobs.run("tokens")
    kept = results.get("tokens")
    assert kept is not None and kept.detail == "renewed"


def test_a_job_that_fails_is_told_of(jobs, store, monkeypatch):
    assert outcome_of(jobs, store, monkeypatch, ZeroDivisionError("student@example.com")) == "failed"
    assert jobs.told == [("job_failed", {"job": "tokens"})]
    assert "student" not in store.key_values.get("jobs", "tokens").value["detail"]


def test_a_job_that_fails_with_the_store_tells_what_is_wrong_with_the_store(jobs, store, monkeypatch):
    error = StoreUnavailable("the disk is full")

    def unavailable():
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(store.maintenance, "probe", unavailable)
        assert outcome_of(jobs, store, monkeypatch, error) is None
    assert [cause for cause, _ in jobs.told] == ["store_full"]
    # The store is well again, so that the job itself is what failed.
    assert outcome_of(jobs, store, monkeypatch, error) == "failed"
    assert [cause for cause, _ in jobs.told] == ["store_full", "job_failed"]


def test_trouble_of_the_other_side_is_told_of_only_when_it_needs_a_person(jobs, store, monkeypatch):
    assert (
        outcome_of(jobs, store, monkeypatch, DeliveryError("x", cause="amocrm_down", pause=PauseKind.OUTAGE)) == "waits"
    )
    error = DeliveryError("x", cause="amocrm_reconnect", pause=PauseKind.RECONNECT)
    assert outcome_of(jobs, store, monkeypatch, error) == "waits"
    assert jobs.told == []  # one refusal is no verdict
    tokens = jobs._dealpost.wiring.amocrm.tokens
    monkeypatch.setattr(tokens, "is_lost", lambda: True)
    assert outcome_of(jobs, store, monkeypatch, error) == "waits"
    assert [cause for cause, _ in jobs.told] == ["amocrm_reconnect"]


@pytest.mark.parametrize("path", ["/api/v4/webhooks", "/api/v4/events"])
@pytest.mark.parametrize("status", [402, 403, 404])
def test_a_side_door_that_is_closed_alarms_nobody(jobs, store, monkeypatch, path, status):
    error = classify(status, {}, b"<html>", f"GET {path}")
    assert outcome_of(jobs, store, monkeypatch, error) == "waits"
    assert jobs.told == []


def test_deliveries_that_did_not_arrive_are_told_of_once(jobs, store):
    def look():
        """As at its next turn."""
        store.key_values.delete(JobResults.NAMESPACE, ["situations"])
        jobs.run("situations")

    row = NewDelivery("erp", state=State.DEAD, reason="refused: no")
    for number in (1, 2):
        store.intake.accept([NewEvent(f"e{number}", "crm/create-deal", {}, "events", "x", store.now(), (row,))])
        look()
        look()
    assert jobs.told == [("not_delivered", {"count": 1}), ("not_delivered", {"count": 2})]
    store.operations.retry(Filter(states=(State.DEAD,)), "somebody")
    look()
    assert store.key_values.get("alerts_told", "dead").value == 0


def test_a_job_that_is_asked_to_stop_leaves_no_trace(jobs, store, monkeypatch):
    assert outcome_of(jobs, store, monkeypatch, Stopping()) is None


def test_two_workers_do_not_do_the_same_job(jobs, store):
    lease = store.leases.acquire("job:prune", "another worker", 60)
    jobs.run("prune")
    assert store.key_values.get("jobs", "prune") is None
    store.leases.release(lease)
    jobs.run("prune")
    first = store.key_values.get("jobs", "prune").version
    jobs.run("prune")
    assert store.key_values.get("jobs", "prune").version == first


def test_a_worker_that_has_just_started_does_its_jobs_whoever_did_them_before(app, jobs, store):
    jobs.run("prune")
    first = store.key_values.get("jobs", "prune").version
    Jobs(app.extensions["dealpost"], Told(), Heartbeat.of(store, "worker"), lambda: False).run("prune")
    assert store.key_values.get("jobs", "prune").version == first + 1


def test_an_old_link_to_amocrm_is_forgotten(jobs, store):
    store.key_values.put("oauth_state", "x", {"at": 0, "who": ""})
    jobs.run("prune")
    assert set(store.key_values.items("oauth_state")) == {"x"}  # younger than its life by the store's own clock


def test_a_link_to_amocrm_is_good_once_and_not_for_long(store):
    links = ConsentLinks(store.key_values, store.now)
    later = ConsentLinks(store.key_values, lambda: store.now() + consent_links.LIFE + 1)
    state = links.begin("olga")
    assert links.spend(state) == "olga" and links.spend(state) is None
    assert later.spend(links.begin("olga")) is None and links.spend("unknown") is None
    later.tidy()
    assert store.key_values.items(ConsentLinks.NAMESPACE) == {}


def test_a_resend_can_be_followed_for_a_day(store):
    resends = Resends(store.key_values, store.now)
    key = resends.begin([3, 5], "olga")
    resends.tidy()
    assert resends.delivery_ids(key) == (3, 5)
    Resends(store.key_values, lambda: store.now() + KEPT + 1).tidy()
    assert resends.delivery_ids(key) is None


def test_what_the_next_run_of_a_job_will_find_is_told_only_of_one_that_is_planned(store):
    results = JobResults(store.key_values)
    results.foretell("hook", "hook_on", 100.0)
    assert results.get("hook") is None
    results.put(JobResult("hook", 600.0, 1.0, 601.0, "failed", "no"), JobResult("tokens", 60.0))
    results.foretell("hook", "hook_on", 100.0)
    assert results.all() == [JobResult("tokens", 60.0), JobResult("hook", 600.0, 100.0, 601.0, "done", "hook_on")]
