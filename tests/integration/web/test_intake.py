"""The ways in that take JSON, by the contract's shapes, refusals and rules of deduplication."""

import io
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from outbox.message import StoreUnavailable
from outbox.queries import Filter
from service import create_app
from service.sources.together import EXTENSION, WAYS
from tests.integration.web.conftest import INGEST, KEY

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
PATHS = ["/api/tripwire/complete", "/api/events"]
LESSON = {"email": "student@example.com", "lesson_id": 67}
RECORD = {"name": "crm/create-deal", "data": {"dealName": "Course", "amount": 1500.5}}


def count(store) -> int:
    return store.reading.count(Filter())


def problem(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    body = answer.json
    assert set(body) == {"type", "title", "status", "detail", "errors"}
    assert body["status"] == status
    return {one["path"]: one["message"] for one in body["errors"]}


# --- lessons ----------------------------------------------------------------------------------------------------------


def test_a_lesson_is_accepted_and_can_be_read(post, web):
    answer = post("/api/tripwire/complete", {**LESSON, "course": "tripwire"})
    assert answer.status_code == 202
    assert answer.json == {"id": answer.json["id"], "status": "accepted", "duplicate": False}
    assert UUID7.fullmatch(answer.json["id"])
    event = web.get(f"/api/events/{answer.json['id']}", headers=KEY).json
    assert (event["name"], event["data"]["course"]) == ("lesson.completed", "tripwire")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["received_at"])
    (delivery,) = event["deliveries"]
    assert (delivery["destination"], delivery["state"], delivery["attempts"]) == ("amocrm", "pending", [])
    assert delivery["next_attempt_at"]


def test_the_same_lesson_again_is_a_duplicate(post, store):
    first = post("/api/tripwire/complete", LESSON).json
    second = post("/api/tripwire/complete", {"email": " STUDENT@example.com", "lesson": 1, "more": 1}).json
    assert second == {"id": first["id"], "status": "accepted", "duplicate": True}
    assert count(store) == 1


def test_a_lesson_whose_delivery_died_is_not_swallowed_when_it_is_sent_again(post, store):
    first = post("/api/tripwire/complete", LESSON).json
    store.operations.discard(Filter(), "somebody")
    second = post("/api/tripwire/complete", LESSON).json
    assert second["duplicate"] is False and second["id"] != first["id"]


def test_a_lesson_with_an_id_is_known_by_that_alone(post):
    one = post("/api/tripwire/complete", {**LESSON, "id": "1"}).json
    again = post("/api/tripwire/complete", {**LESSON, "id": "1"}).json
    other = post("/api/tripwire/complete", {**LESSON, "id": "2"}).json
    assert (again["id"], again["duplicate"]) == (one["id"], True)
    assert other["duplicate"] is False


def test_an_id_with_other_data_is_a_conflict(post, store):
    post("/api/tripwire/complete", {**LESSON, "id": "1"})
    assert set(problem(post("/api/tripwire/complete", {**LESSON, "id": "1", "lesson_id": 68}), 409)) == {"id"}
    assert count(store) == 1


def test_an_idempotency_key_is_an_id(post):
    one = post("/api/tripwire/complete", LESSON, {"Idempotency-Key": "k"}).json
    again = post("/api/tripwire/complete", {**LESSON, "id": "k"}).json
    assert (again["id"], again["duplicate"]) == (one["id"], True)
    other = post("/api/tripwire/complete", {**LESSON, "lesson_id": 68}, {"Idempotency-Key": "k"})
    assert set(problem(other, 409)) == {"Idempotency-Key"}


@pytest.mark.parametrize("own", [{}, {"id": "1"}])
@pytest.mark.parametrize("path", PATHS)
def test_an_idempotency_key_that_is_too_long_is_refused_whether_it_is_needed_or_not(post, store, path, own):
    body = {**(LESSON if path == PATHS[0] else RECORD), **own}
    assert set(problem(post(path, body, {"Idempotency-Key": "k" * 256}), 422)) == {"Idempotency-Key"}
    assert count(store) == 0


def test_the_same_id_of_another_sender_is_another_event(web):
    body = {**LESSON, "id": "1"}
    one = web.post("/api/tripwire/complete", json=body, headers=KEY).json
    two = web.post("/api/tripwire/complete", json=body, headers=INGEST).json
    assert one["id"] != two["id"]


def test_every_fault_is_named_and_nothing_is_stored(post, store):
    answer = post("/api/tripwire/complete", {"email": "nobody", "lesson_id": 5, "id": ""})
    assert set(problem(answer, 422)) == {"email", "lesson_id", "id"}
    assert count(store) == 0


@pytest.mark.parametrize("body", [[], "text", 5, True])
def test_a_lesson_is_an_object(post, body):
    assert set(problem(post("/api/tripwire/complete", body), 422)) == {"$"}


# --- events -----------------------------------------------------------------------------------------------------------


def test_one_event_and_an_array_are_taken_alike(post):
    one = post("/api/events", RECORD)
    assert one.status_code == 202 and one.json["duplicates"] == []
    many = post("/api/events", [RECORD, {"name": "lesson.completed", "data": LESSON}])
    assert len(many.json["ids"]) == 2 and many.json["duplicates"] == []


def test_duplicates_are_a_part_of_ids(post):
    first = post("/api/events", {**RECORD, "id": "1"}).json["ids"][0]
    answer = post("/api/events", [{**RECORD, "id": "2"}, {**RECORD, "id": "1"}]).json
    assert answer["ids"][1] == first
    assert answer["duplicates"] == [first]


def test_an_array_is_stored_whole_or_not_at_all(post, store):
    answer = post("/api/events", [RECORD, {"name": "crm/create-deal", "data": {}}, {"name": "lesson.completed"}, 5])
    assert set(problem(answer, 422)) == {"[1].data.dealName", "[2].data", "[3]"}
    assert count(store) == 0


def test_an_array_with_conflicts_names_each(post, store):
    post("/api/events", [{**RECORD, "id": "1"}, {**RECORD, "id": "3"}])
    other = {"name": "crm/create-deal", "data": {"dealName": "Another"}}
    answer = post("/api/events", [{**other, "id": "1"}, {**RECORD, "id": "2"}, {**other, "id": "3"}])
    assert set(problem(answer, 409)) == {"[0].id", "[2].id"}
    assert count(store) == 2


def test_an_idempotency_key_of_an_array_stands_for_key_and_place(post):
    body = [RECORD, RECORD]
    first = post("/api/events", body, {"Idempotency-Key": "k"}).json
    assert len(set(first["ids"])) == 2
    again = post("/api/events", body, {"Idempotency-Key": "k"}).json
    assert again["ids"] == first["ids"] and again["duplicates"] == first["ids"]
    other = post("/api/events", [RECORD, {**RECORD, "data": {"dealName": "x"}}], {"Idempotency-Key": "k"})
    assert set(problem(other, 409)) == {"[1]"}


def test_an_unknown_name_is_refused(post):
    assert set(problem(post("/api/events", {"name": "amocrm/webhook", "data": {}}), 422)) == {"name"}


@pytest.mark.parametrize("length", [0, 1001])
def test_an_array_holds_one_to_a_thousand(post, length):
    assert set(problem(post("/api/events", [RECORD] * length), 422)) == {"$"}


def test_a_thousand_events_are_taken(post, store):
    assert len(post("/api/events", [RECORD] * 1000).json["ids"]) == 1000
    assert count(store) == 1000


def test_long_numbers_stay_exact(web):
    text = (
        '{"name":"crm/create-deal","data":{"dealName":"x","amount":12345678901234567.89,"n":12345678901234567890123}}'
    )
    answer = web.post("/api/events", data=text, content_type="application/json", headers=KEY)
    event = web.get(f"/api/events/{answer.json['ids'][0]}", headers=KEY).text
    assert '"amount":"12345678901234567.89"' in event
    assert '"n":12345678901234567890123' in event


# --- Inngest ----------------------------------------------------------------------------------------------------------


def inngest(web, body, key="platform-key-1", **headers):
    return web.post(f"/e/{key}", data=json.dumps(body), headers=headers)


def test_inngests_sdks_get_an_id_for_each_event_in_order(web):
    answer = inngest(web, [RECORD, {"name": "lesson.completed", "data": LESSON, "user": {}, "v": "1", "id": ""}])
    assert answer.status_code == 200
    assert answer.json == {"ids": answer.json["ids"], "status": 200}
    assert len(answer.json["ids"]) == 2


def test_an_event_that_goes_nowhere_is_kept(web):
    event_id = inngest(web, {"name": "shop/opened", "data": {"a": 1}}).json["ids"][0]
    (delivery,) = web.get(f"/api/events/{event_id}", headers=KEY).json["deliveries"]
    assert (delivery["destination"], delivery["state"]) == ("-", "skipped")
    assert delivery["reason"].startswith("not_routed")


def test_of_one_id_the_first_wins(web):
    first = inngest(web, {**RECORD, "id": "1"}).json["ids"]
    other = inngest(web, {"name": RECORD["name"], "data": {"dealName": "Another"}, "id": "1"})
    assert (other.status_code, other.json["ids"]) == (200, first)


def test_a_repeated_send_bears_the_same_seed(web):
    seed = {"x-inngest-event-id-seed": "1763000000000,c2VlZA=="}
    first = inngest(web, [RECORD, RECORD], **seed).json["ids"]
    assert len(set(first)) == 2
    assert inngest(web, [RECORD, RECORD], **seed).json["ids"] == first
    assert inngest(web, [RECORD, RECORD]).json["ids"] != first


def test_a_lesson_is_known_whatever_way_it_came(web, post):
    lesson = {"name": "lesson.completed", "data": LESSON}
    first = inngest(web, lesson, **{"x-inngest-event-id-seed": "1,a"}).json["ids"][0]
    assert inngest(web, lesson, **{"x-inngest-event-id-seed": "2,b"}).json["ids"] == [first]
    assert post("/api/tripwire/complete", LESSON).json == {"id": first, "status": "accepted", "duplicate": True}


def test_a_later_time_delays(web, store):
    later = int((store.now() + 3600) * 1000)
    event_id = inngest(web, {**RECORD, "ts": later}).json["ids"][0]
    past_id = inngest(web, {**RECORD, "ts": 1}).json["ids"][0]
    assert store.reading.event(event_id).deliveries[0].due_at == pytest.approx(later / 1000)
    assert store.reading.event(past_id).deliveries[0].due_at <= store.now()


def refused(answer, status):
    assert answer.status_code == status, answer.text
    assert set(answer.json) == {"error", "status"}, "an SDK takes an answer with ids for a success"
    assert answer.json["status"] == status
    return answer.json["error"]


def test_inngests_refusals_have_inngests_shape(web, store):
    refused(inngest(web, RECORD, key="wrong"), 401)
    refused(web.post("/e/platform-key-1", data="{"), 400)
    refused(web.get("/e/platform-key-1"), 405)
    assert "data.email" in refused(inngest(web, {"name": "lesson.completed"}), 422)
    assert "[1].ts" in refused(inngest(web, [RECORD, {**RECORD, "ts": "soon"}]), 422)
    refused(inngest(web, [{"data": {}}]), 422)
    assert count(store) == 0


def test_an_event_has_256_kib_and_a_batch_4_mib(web):
    big = {"name": "shop/opened", "data": {"x": "y" * (256 * 1024 - 50)}}
    assert inngest(web, [big] * 15).status_code == 200
    refused(inngest(web, [RECORD, {"name": "shop/opened", "data": {"x": "y" * (256 * 1024)}}]), 413)
    refused(inngest(web, [big] * 17), 413)


@pytest.mark.parametrize("later", [366 * 86400, 10 * 366 * 86400, 10**9])
def test_a_time_more_than_a_year_ahead_is_refused(web, store, later):
    assert "365 days" in refused(inngest(web, {**RECORD, "ts": (store.now() + later) * 1000}), 422)
    assert count(store) == 0


def test_a_method_that_is_not_there_is_told_in_inngests_shape(web):
    for method in ("GET", "PUT", "DELETE"):
        refused(web.open("/e/platform-key-1", method=method), 405)
    assert web.head("/e/platform-key-1").status_code == 405
    options = web.options("/e/platform-key-1")
    assert (options.status_code, "POST" in options.headers["Allow"]) == (200, True)
    for path in ("/e/", "/e/platform-key-1/more"):
        refused(web.post(path, json=RECORD), 404)


def test_a_lesson_that_may_not_go_yet_is_no_duplicate_for_one_that_may(web, post, store):
    lesson = {"name": "lesson.completed", "data": LESSON}
    hour, two = (int((store.now() + wait) * 1000) for wait in (3600, 7200))
    late = inngest(web, {**lesson, "ts": two}).json["ids"]
    sooner = inngest(web, {**lesson, "ts": hour}).json["ids"]
    assert late != sooner
    assert inngest(web, {**lesson, "ts": two}).json["ids"] == sooner, "the one that goes first stands for the later one"
    real = post("/api/tripwire/complete", LESSON).json
    assert real["duplicate"] is False and real["id"] not in late + sooner
    assert post("/api/tripwire/complete", LESSON).json == {**real, "duplicate": True}
    assert inngest(web, {**lesson, "ts": hour}).json["ids"] == [real["id"]]


# --- forms ------------------------------------------------------------------------------------------------------------


def form(web, path, fields, kind="application/x-www-form-urlencoded", headers=KEY):
    return web.post(path, data=fields, content_type=kind, headers=headers)


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_lesson_may_come_as_a_form(web, kind):
    fields = {"Email": " Student@Example.com", "lesson_id": "67", "lesson": "", "id": "", "Имя": "Анна", "tags[]": "a"}
    answer = form(web, PATHS[0], fields, kind)
    assert answer.status_code == 202, answer.text
    data = web.get(f"/api/events/{answer.json['id']}", headers=KEY).json["data"]
    assert data == {"email": " Student@Example.com", "lesson_id": "67", "lesson": 1, "Имя": "Анна", "tags": ["a"]}
    assert form(web, PATHS[0], {"email": "student@example.com", "lesson": "1"}).json["duplicate"] is True


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data"])
@pytest.mark.parametrize(
    "data",
    [{"data[dealName]": "Course", "data[amount]": "1500.50", "data[entityId]": ""},
     {"data": '{"dealName": "Course", "amount": "1500.50"}'}],
)  # fmt: skip
def test_an_event_may_come_as_a_form(web, kind, data):
    answer = form(web, PATHS[1], {"name": "crm/create-deal", "id": "5", **data}, kind)
    assert answer.status_code == 202, answer.text
    kept = web.get(f"/api/events/{answer.json['ids'][0]}", headers=KEY).json["data"]
    assert kept == {"dealName": "Course", "amount": "1500.50"}


def test_json_that_calls_itself_a_form_is_json(web):
    assert form(web, PATHS[0], json.dumps(LESSON)).status_code == 202
    assert form(web, PATHS[1], json.dumps([RECORD])).status_code == 202


def test_a_form_that_is_wrong_is_told_every_fault(web, store):
    assert set(problem(form(web, PATHS[0], {"email": "nobody", "lesson": "x"}), 422)) == {"email", "lesson"}
    assert set(problem(form(web, PATHS[1], {"name": "crm/create-deal", "data[amount]": "1,5"}), 422)) == {
        "data.dealName", "data.amount",
    }  # fmt: skip
    problem(form(web, PATHS[0], b"--x", "multipart/form-data"), 400)
    problem(form(web, PATHS[0], "&".join(["a=1"] * 20_001)), 413)
    assert count(store) == 0


PINGS = [
    "test=test", "webhook_id=5", "", "ping=1", "webhookId=77", "is_test=1&ts=1763000000", "event=ping", "type=test",
    "action=webhook.test&id=9", "hook_id=3", "test=",
]  # fmt: skip
NO_PINGS = [
    "emial=a@b.ru&lesson_id=67", "test=a@b.ru", "test=1&phone=79000000000", "id=5", "event=purchase", "lesson_id=67",
    "Name=Anna", "webhook_id=5&lesson=1", "=1",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", PINGS)
def test_a_test_of_the_address_succeeds_and_changes_nothing(web, store, path, body):
    answer = form(web, path, body)
    assert (answer.status_code, answer.json["status"]) == (200, "test")
    assert count(store) == 0
    problem(form(web, path, body, headers={}), 401)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", NO_PINGS)
def test_what_may_be_an_event_gone_wrong_is_never_taken_for_a_test(web, store, path, body):
    problem(form(web, path, body), 422)
    assert count(store) == 0


# --- for all ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"X-API-Key": "wrong"}, {"X-API-Key": "ключ"}]
)
def test_without_a_key_nothing_is_taken(web, path, headers):
    headers = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    answer = web.post(path, json=LESSON, headers=headers)
    problem(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[" * 65 + b"]" * 65, b'{"a":NaN}', b'{"a":Infinity}', b"1" * 5000,
     b'{"a":' * 70 + b"1" + b"}" * 70],
)  # fmt: skip
def test_what_is_no_json_is_told_so(web, path, body):
    problem(web.post(path, data=body, content_type="application/json", headers=KEY), 400)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/octet-stream"])
def test_another_content_type_is_refused(web, path, kind):
    problem(web.post(path, data=json.dumps(LESSON), content_type=kind, headers=KEY), 415)


@pytest.mark.parametrize("path", PATHS)
def test_half_a_character_is_named(web, path):
    text = json.dumps([{"name": "crm/create-deal", "data": {"dealName": "\ud800", "\udfff": 1}}])
    assert web.post(path, data=text, content_type="application/json", headers=KEY).status_code == 422


@pytest.mark.parametrize("path", PATHS)
def test_a_body_over_one_mib_is_refused(web, path):
    body = b'{"x":"' + b"y" * (1024 * 1024) + b'"}'
    problem(web.post(path, data=body, content_type="application/json", headers=KEY), 413)


@pytest.mark.parametrize("beyond, status", [(0, 202), (1, 413)])
def test_a_body_in_chunks_is_not_cut_at_the_limit_but_refused(web, store, beyond, status):
    event = b'{"name": "crm/create-deal", "data": {"dealName": "Course", "note": "%s"}}'
    body = b"[" + b",".join([event % (b"a" * 200_000)] * 5) + b"]"
    body += b" " * (2**20 + beyond - len(body))
    answer = web.post(
        "/api/events",
        input_stream=io.BytesIO(body),
        headers={**KEY, "Content-Type": "application/json", "Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert answer.status_code == status, answer.text
    assert count(store) == (5 if status == 202 else 0)


def test_an_event_has_256_kib_whatever_way_it_comes(post, store):
    for size, status in [(256 * 1024 - 200, 202), (256 * 1024, 413)]:
        assert post("/api/tripwire/complete", {**LESSON, "x": "y" * size}).status_code == status
        record = {"name": RECORD["name"], "data": {"dealName": "x", "note": "y" * size}}
        assert post("/api/events", record).status_code == status
        assert post("/api/events", [RECORD, record]).status_code == status
    assert count(store) == 4


def test_a_body_of_just_one_mib_is_taken(post):
    quarter = {"name": RECORD["name"], "data": {"dealName": "x", "note": "y" * (256 * 1024 - 200)}}
    assert post("/api/events", [quarter] * 4).status_code == 202


@pytest.mark.parametrize("path", [*PATHS, "/e/platform-key-1", "/webhooks/amocrm/hook-secret-1"])
def test_a_body_that_breaks_off_is_refused_and_nothing_of_it_kept(web, store, path):
    body = b'{"email":"student@example.com","lesson_id":67,"name":"crm/create-deal","data":{"dealName":"x"}}'
    if "webhooks" in path:
        body = b"leads[status][0][id]=12345"
    answer = web.post(
        path,
        input_stream=io.BytesIO(body),
        headers={**KEY, "Content-Type": "application/json"},
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": str(len(body) + 20)},
    )
    assert (answer.status_code, count(store)) == (400, 0), answer.text


def test_a_write_that_fails_is_never_a_success(app, web, store, monkeypatch):
    def fail(*_args, **_kwargs):
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(store.intake, "accept", fail)
    for path, body in [(PATHS[0], LESSON), (PATHS[1], RECORD)]:
        answer = web.post(path, json=body, headers=KEY)
        problem(answer, 503)
        assert int(answer.headers["Retry-After"]) > 0
    answer = inngest(web, RECORD)
    refused(answer, 503)
    assert answer.headers["Retry-After"]


def test_many_at_once_are_each_answered_rightly(app, store):
    def send(number):
        body = {"name": "crm/create-deal", "data": {"dealName": f"n{number % 20}"}, "id": str(number % 20)}
        return app.test_client().post("/api/events", json=body, headers=KEY).json

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(200)))
    assert len({answer["ids"][0] for answer in answers}) == 20
    assert sum(not answer["duplicates"] for answer in answers) == 20
    assert count(store) == 20


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/api/nothing", 404), ("DELETE", "/api/events", 405)])
def test_an_address_that_is_not_there_is_told_in_the_same_shape(web, method, path, status):
    problem(web.open(path, method=method), status)


def test_an_error_of_our_own_shows_no_trace_and_logs_no_secret(app, web, store, monkeypatch, caplog):
    monkeypatch.setattr(store.intake, "accept", lambda *_: 1 / 0)
    problem(web.post("/webhooks/amocrm/hook-secret-1", data={"leads[status][0][id]": "1"}), 500)
    assert "hook-secret-1" not in caplog.text


def test_a_long_name_is_taken_where_the_ERPs_field_is_known_to_keep_it(post, web, store):
    data = {"dealName": "я" * 300}
    event = {"name": "crm/create-deal", "data": data}
    assert post("/api/events", event).status_code == 422
    assert web.post("/e/platform-key-1", json=event).status_code == 422
    area = {"name": "Название", "type": "fieldtype_textarea", "unique": False}
    store.key_values.put("erp-fields", "70", {"1039": area})
    other = create_app(web.application.extensions["dealpost"].settings, store).test_client()
    headers = {"X-API-Key": "platform-key-1"}
    assert other.post("/api/events", json=event, headers=headers).status_code == 202
    assert other.post("/e/platform-key-1", json=event).status_code == 200
    event["data"] = {**data, "entityId": 80}
    assert other.post("/api/events", json=event, headers=headers).status_code == 422


# --- lessons that are taken in together -------------------------------------------------------------------------------


def read_at_once(app, path, body):
    environ = {"HTTP_AUTHORIZATION": KEY["Authorization"], "CONTENT_TYPE": "application/json", "REMOTE_ADDR": "::1"}
    way = WAYS[f"POST {path} HTTP/1.1\r\n".encode()]
    return app.extensions[EXTENSION].read(way, environ, json.dumps(body).encode())


def test_what_would_have_to_wait_for_the_clock_is_left_to_its_route(app):
    together = app.extensions[EXTENSION]
    lesson = {"email": "student@example.com", "lesson": 1}
    bodies = {PATHS[0]: lesson, PATHS[1]: [{"name": "lesson.completed", "data": lesson}] * 2}
    assert [len(read_at_once(app, path, body).events) for path, body in bodies.items()] == [1, 2]
    together._context = replace(together._context, now=lambda: pytest.fail("it waited"), now_at_once=lambda: None)
    assert [read_at_once(app, path, body) for path, body in bodies.items()] == [None, None]


def test_a_record_whose_name_may_be_too_long_for_the_erp_is_left_to_its_route_until_that_is_known(app, post):
    assert read_at_once(app, PATHS[1], RECORD) is None
    assert post(PATHS[1], RECORD).status_code == 202
    assert len(read_at_once(app, PATHS[1], RECORD).events) == 1


def test_many_events_are_left_to_their_route_so_that_the_loop_is_not_held_up(app):
    lessons = [{"name": "lesson.completed", "data": {"email": f"s{n}@example.com", "lesson": 1}} for n in range(1000)]
    assert read_at_once(app, PATHS[1], lessons) is None
