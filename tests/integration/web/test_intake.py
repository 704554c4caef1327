"""The ways in that take JSON, by the contract's shapes, refusals and rules of deduplication."""

import io
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from outbox.message import StoreUnavailable
from outbox.queries import Filter
from tests.integration.web.conftest import INGEST, KEY

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
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
    assert (answer.json["status"], answer.json["ids"]) == (status, [])
    assert answer.json["error"]
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


# --- for all ----------------------------------------------------------------------------------------------------------

PATHS = ["/api/tripwire/complete", "/api/events"]


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
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_another_content_type_is_refused(web, path, kind):
    problem(web.post(path, data=json.dumps(LESSON), content_type=kind, headers=KEY), 415)


@pytest.mark.parametrize("path", PATHS)
def test_half_a_character_is_named(web, path):
    text = json.dumps([{"name": "crm/create-deal", "data": {"dealName": "\ud800", "\udfff": 1}}])
    assert web.post(path, data=text, content_type="application/json", headers=KEY).status_code == 422


@pytest.mark.parametrize("path", [*PATHS, "/webhooks/amocrm/hook-secret-1"])
def test_a_body_over_one_mib_is_refused(web, path):
    body = b'{"x":"' + b"y" * (1024 * 1024) + b'"}'
    problem(web.post(path, data=body, content_type="application/json", headers=KEY), 413)


@pytest.mark.parametrize("beyond, status", [(0, 202), (1, 413)])
def test_a_body_in_chunks_is_not_cut_at_the_limit_but_refused(web, store, beyond, status):
    start = b'{"name": "crm/create-deal", "data": {"dealName": "Course", "note": "'
    body = start + b"a" * (2**20 + beyond - len(start) - 3) + b'"}}'
    answer = web.post(
        "/api/events",
        input_stream=io.BytesIO(body),
        headers={**KEY, "Content-Type": "application/json", "Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert answer.status_code == status, answer.text
    assert count(store) == (status == 202)


def test_a_body_of_just_one_mib_is_taken(post):
    assert post("/api/tripwire/complete", {**LESSON, "x": "y" * (1024 * 1024 - 200)}).status_code == 202


def test_a_write_that_fails_is_never_a_success(app, web, store, monkeypatch):
    def fail(*_args, **_kwargs):
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(store, "accept", fail)
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
    monkeypatch.setattr(store, "accept", lambda *_: 1 / 0)
    problem(web.post("/webhooks/amocrm/hook-secret-1", data={"leads[status][0][id]": "1"}), 500)
    assert "hook-secret-1" not in caplog.text
