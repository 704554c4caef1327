"""What can be read: the outbox, health, figures and the API's description; and who may."""

import re
import sqlite3
import time

import pytest

from service import create_app
from service.operator.auth import Throttle
from tests.integration.web.conftest import INGEST, KEY, OPERATOR, SECRET, VIEWER
from tests.support.waiting import eventually

STATES = {"pending", "sending", "delivered", "skipped", "dead", "discarded"}


def test_the_outbox_is_told_by_destination(web, post):
    post("/api/events", {"name": "crm/create-deal", "data": {"dealName": "x"}})
    body = web.get("/api/outbox", headers=KEY).json
    assert set(body) == {"destinations", "token", "workers"}
    assert set(body["destinations"]) >= {"amocrm", "erp"}
    erp = body["destinations"]["erp"]
    assert set(erp) == {"states", "oldest_pending_seconds", "pause"}
    assert set(erp["states"]) == STATES
    assert (erp["states"]["pending"], erp["pause"]) == (1, None)
    assert erp["oldest_pending_seconds"] >= 0
    assert body["destinations"]["amocrm"]["oldest_pending_seconds"] is None
    assert body["token"] == {"state": "not_connected", "expires_at": None}
    assert body["workers"] == []


def test_a_pause_is_told_with_its_reason(web, store):
    from outbox.pauses import pause

    pause(store, "erp", "Irina", "the ERP moves house")
    told = web.get("/api/outbox", headers=KEY).json["destinations"]["erp"]["pause"]
    assert told == {"until": None, "reason": "operator: the ERP moves house"}


def test_a_worker_is_told_by_its_heartbeat(web, store):
    assert web.get("/healthz/worker").status_code == 503
    entry = {"name": "worker@here:1", "kind": "worker", "heartbeat_at": store.now() - 5}
    store.key_values.put("process", "worker@here:1", entry)
    store.key_values.put("process", "web@here:2", {**entry, "kind": "web"})
    (worker,) = web.get("/api/outbox", headers=KEY).json["workers"]
    assert worker["name"] == "worker@here:1" and 5 <= worker["heartbeat_seconds"] < 10
    assert web.get("/healthz/worker").status_code == 200
    store.key_values.put("process", "worker@here:1", {**entry, "heartbeat_at": store.now() - 61})
    assert web.get("/healthz/worker").status_code == 503


def test_ready_means_that_events_can_be_stored(web, store, monkeypatch):
    assert web.get("/healthz").status_code == 200
    eventually(lambda: web.get("/readyz").status_code == 200)  # a disk that others use may take more than its patience


def test_not_ready_while_nothing_can_be_written(web, store, monkeypatch):
    def fail(*_args):
        raise OSError("disk full")

    monkeypatch.setattr(store.maintenance, "probe", fail)
    assert web.get("/healthz").status_code == 200
    assert web.get("/readyz").status_code == 503


@pytest.fixture
def held(settings, web):
    """Another program holds the database: nothing can be written."""
    other = sqlite3.connect(settings.database_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.close()
    eventually(lambda: web.get("/readyz").status_code == 200)


def test_while_another_program_holds_the_store_everybody_is_answered_in_time(web, held):
    change = {"leads[status][0][id]": "1", "leads[status][0][status_id]": "2", "leads[status][0][pipeline_id]": "3"}
    body = {"name": "crm/create-deal", "data": {"dealName": "x"}}

    def refuses_within(seconds, ask):
        def once():
            began = time.monotonic()
            assert ask().status_code == 503
            return time.monotonic() - began < seconds

        return once

    # A busy machine may take longer once; what waits too long by itself does so each time.
    for seconds, ask in (
        (2.0, lambda: web.post(f"/webhooks/amocrm/{SECRET}", data=change)),
        (3.0, lambda: web.get("/readyz")),
        (6.0, lambda: web.post("/api/events", json=body, headers=KEY)),
    ):
        eventually(refuses_within(seconds, ask), within=20)
    assert web.get("/api/outbox", headers=KEY).status_code == 200


@pytest.mark.parametrize("path", ["/api/outbox", "/metrics"])
def test_figures_are_for_keys_that_read_and_for_people(web, path):
    assert web.get(path, headers=KEY).status_code == 200
    assert web.get(path, auth=OPERATOR).status_code == 200
    assert web.get(path, auth=VIEWER).status_code == 200
    assert web.get(path, headers=INGEST).status_code == 403
    assert web.get(path, auth=("admin", "wrong")).status_code == 401
    answer = web.get(path)
    assert answer.status_code == 401
    assert "Bearer" in answer.headers["WWW-Authenticate"] and "Basic" in answer.headers["WWW-Authenticate"]


def test_an_event_is_for_keys_that_read(web, post):
    event_id = post("/api/events", {"name": "crm/create-deal", "data": {"dealName": "x"}}).json["ids"][0]
    assert web.get(f"/api/events/{event_id}", headers=INGEST).status_code == 403
    assert web.get(f"/api/events/{event_id}").status_code == 401
    assert web.get("/api/events/unknown", headers=KEY).status_code == 404


def test_figures_are_as_prometheus_reads_them(web, post):
    from prometheus_client.parser import text_string_to_metric_families

    post("/api/events", {"name": "crm/create-deal", "data": {"dealName": "x"}})
    families = {one.name: one for one in text_string_to_metric_families(web.get("/metrics", headers=KEY).text)}
    samples = {tuple(one.labels.values()): one.value for one in families["dealpost_deliveries"].samples}
    assert samples["erp", "pending"] == 1


def figures(web):
    from prometheus_client.parser import text_string_to_metric_families

    families = text_string_to_metric_families(web.get("/metrics", headers=KEY).text)
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def test_every_name_that_is_promised_to_prometheus_is_there(web, post):
    post("/api/events", {"name": "crm/create-deal", "data": {"dealName": "x"}})
    answer = web.get("/metrics", headers=KEY).text
    for name in (
        "deliveries", "backlog_seconds", "paused", "process_heartbeat_seconds", "amocrm_token_seconds", "store_bytes",
        "events_accepted_total", "refused_total", "attempts_total", "amocrm_requests_total", "alerts_total",
        "delivery_seconds",
    ):  # fmt: skip
        assert f"# TYPE dealpost_{name} " in answer, name
    found = figures(web)
    assert found["dealpost_events_accepted_total", (("source", "events"),)] == 1
    assert found["dealpost_store_bytes", ()] > 10_000
    assert found["dealpost_paused", (("destination", "amocrm"), ("kind", "operator"))] == 0


def test_a_pause_is_told_with_its_kind(web):
    page = web.get("/outbox/pause/amocrm", auth=OPERATOR).text
    token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
    web.post("/outbox/pause/amocrm", data={"csrf_token": token}, auth=OPERATOR)
    found = figures(web)
    kinds = {dict(labels)["kind"]: value for (name, labels), value in found.items()
             if name == "dealpost_paused" and dict(labels)["destination"] == "amocrm"}  # fmt: skip
    assert {kind for kind, value in kinds.items() if value} == {"operator"}


def test_what_is_refused_is_counted_by_way_and_status_and_kept_with_its_key(web, app, post):
    lesson = {"email": "anna.secret@example.com", "lesson": 1}
    for _ in range(3):
        assert web.post("/api/tripwire/complete", json=lesson, headers={"X-API-Key": "wrong"}).status_code == 401
    assert post("/api/tripwire/complete", {"email": "Anna Secret", "lesson": 1}).status_code == 422
    one = {"name": "crm/create-deal", "id": "a", "data": {"dealName": "x"}}
    assert post("/api/events", one).status_code == 202
    assert post("/api/events", {**one, "data": {"dealName": "y"}}).status_code == 409
    assert post("/api/events", {**one, "data": {"dealName": "z" * 300_000}}).status_code == 413
    assert web.post("/e/wrong", json=one).status_code == 401
    assert web.post("/e/intake-key-1", json={"name": 5}).status_code == 422
    assert web.post("/webhooks/amocrm/wrong", data={}).status_code == 401
    found = figures(web)
    refused = {labels: value for (name, labels), value in found.items() if name == "dealpost_refused_total"}
    assert {(dict(labels)["way"], dict(labels)["status"]): value for labels, value in refused.items()} == {
        ("lessons", "401"): 3, ("lessons", "422"): 1, ("events", "409"): 1, ("events", "413"): 1,
        ("inngest", "401"): 1, ("inngest", "422"): 1, ("webhook", "401"): 1,
    }  # fmt: skip
    runs = {(run.way, run.status): run for run in app.extensions["dealpost"].wiring.refusals.all()}
    assert runs["lessons", 401].count == 3 and runs["lessons", 401].key == ""
    assert runs["lessons", 422].key == runs["events", 409].key == "platform" and runs["inngest", 422].key == "intake"
    assert "Secret" not in str(runs) and "wrong" not in runs["lessons", 401].place


def test_counters_survive_a_restart(web, app, settings, post):
    assert web.post("/api/events", json=[]).status_code == 401
    figures(web)
    again = create_app(settings, app.extensions["dealpost"].store).test_client()
    assert again.post("/api/events", json=[]).status_code == 401
    found = figures(again)
    assert found["dealpost_refused_total", (("status", "401"), ("way", "events"))] == 2


# --- signing in -------------------------------------------------------------------------------------------------------


def test_a_password_cannot_be_guessed_for_long(web):
    for _ in range(Throttle.MOST_PAIR):
        assert web.get("/api/outbox", auth=("admin", "guess")).status_code == 401
    answer = web.get("/api/outbox", auth=OPERATOR)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert web.get("/api/outbox", auth=VIEWER).status_code == 200


def test_a_throttle_lifts_with_time_and_counts_by_address_and_by_name():
    clock = [0.0]
    throttle = Throttle(lambda: clock[0])
    for number in range(Throttle.MOST_ADDRESS):
        throttle.failed("1.1.1.1", f"name{number}")
    assert throttle.wait("1.1.1.1", "anybody") == Throttle.WINDOW
    assert throttle.wait("2.2.2.2", "anybody") == 0
    throttle.succeeded("3.3.3.3", "admin")
    for number in range(Throttle.MOST_NAME):
        throttle.failed(f"4.4.{number}.4", "admin")
    assert throttle.wait("5.5.5.5", "admin") > 0
    assert throttle.wait("3.3.3.3", "admin") == 0
    clock[0] = Throttle.WINDOW
    assert throttle.wait("1.1.1.1", "anybody") == throttle.wait("5.5.5.5", "admin") == 0


def test_a_throttle_keeps_only_so_many():
    throttle = Throttle(lambda: 0.0)
    for number in range(Throttle.KEPT):
        throttle.failed(f"10.0.{number}", "x")
    assert len(throttle._failed) <= Throttle.KEPT


# --- the description --------------------------------------------------------------------------------------------------


def test_each_route_of_the_api_is_described(app, web):
    described = web.get("/openapi.json").json["paths"]
    routes = {
        (re.sub(r"<(?:\w+(?:\([^)]*\))?:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert routes == {(path, method) for path, methods in described.items() for method in methods}


def test_the_description_has_no_loose_ends(web):
    text = web.get("/openapi.json").text
    names = set(web.get("/openapi.json").json["components"]["schemas"])
    assert set(re.findall(r'"#/components/schemas/(\w+)"', text)) <= names


def test_the_docs_page_needs_nobody_else(web):
    answer = web.get("/docs")
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert not re.search(r'(?:src|href)="https?:', answer.text)
    assert "<script" not in answer.text
