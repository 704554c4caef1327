"""What can be read: the outbox, health, figures and the API's description; and who may."""

import re
import sqlite3
import time

import pytest

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
    assert web.get("/healthz").status_code == web.get("/readyz").status_code == 200


def test_not_ready_while_nothing_can_be_written(web, store, monkeypatch):
    def fail(*_args):
        raise OSError("disk full")

    monkeypatch.setattr(store.key_values, "put", fail)
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
    began = time.monotonic()
    assert web.post(f"/webhooks/amocrm/{SECRET}", data=change).status_code == 503
    assert time.monotonic() - began < 2.0
    began = time.monotonic()
    assert web.get("/readyz").status_code == 503
    assert time.monotonic() - began < 3.0
    began = time.monotonic()
    body = {"name": "crm/create-deal", "data": {"dealName": "x"}}
    assert web.post("/api/events", json=body, headers=KEY).status_code == 503
    assert time.monotonic() - began < 6.0
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
