"""The account's events, subscriptions, and the hooks that go out."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import pytest

from sandbox import defaults
from tests.support.waiting import eventually

LESSON_1, LESSON_2 = defaults.STAGE_LESSON_1, defaults.STAGE_LESSON_2
TARGET = "https://school.example.com/hook"


class Receiver(BaseHTTPRequestHandler):
    """Keeps what comes and answers with the statuses in turn, the last one for ever."""

    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.bodies.append((dict(self.headers.items()), dict(parse_qsl(body.decode(), keep_blank_values=True))))
        server.pause.wait(server.delay)
        status = server.statuses.pop(0) if len(server.statuses) > 1 else server.statuses[0]
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.bodies, server.statuses, server.delay, server.pause = [], [200], 0, threading.Event()
    server.url = f"http://127.0.0.1:{server.server_address[1]}/hook?x=1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.pause.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def deal(box: Any) -> Any:
    return next(iter(box.sandbox.amocrm.deals))


def move(box: Any, deal: Any, stage: Any) -> Any:
    box.control("POST", f"deals/{deal}/move", {"status_id": stage})


def arrived(box: Any, receiver: Any) -> Any:
    assert box.sandbox.hooks.wait_idle(5)
    return [form for _, form in receiver.bodies]


def test_a_change_of_stage_is_an_event_with_before_and_after(box: Any, deal: Any) -> None:
    move(box, deal, LESSON_1)
    box.patch("/api/v4/leads", [{"id": deal, "status_id": LESSON_2, "pipeline_id": defaults.PIPELINE_ID}])
    newest, older = box.rows("/api/v4/events", "events", **{"filter[type]": "lead_status_changed"})
    assert (older["entity_id"], older["entity_type"], older["created_at"]) == (deal, "lead", box.clock.now())
    assert older["value_before"][0]["lead_status"] == {"id": defaults.STAGE_NEW, "pipeline_id": defaults.PIPELINE_ID}
    assert newest["value_after"][0]["lead_status"]["id"] == LESSON_2
    assert newest["id"] != older["id"]


def test_the_same_stage_again_is_no_change(box: Any, deal: Any) -> None:
    move(box, deal, defaults.STAGE_NEW)
    assert box.get("/api/v4/events").status_code == 204


def test_events_are_filtered_by_time_and_entity_and_paged_by_a_hundred(box: Any, deal: Any) -> None:
    for number in range(101):
        box.clock.advance(1)
        move(box, deal, (LESSON_1, LESSON_2)[number % 2])
    assert len(box.rows("/api/v4/events", "events", limit=250)) == 100
    assert len(box.rows("/api/v4/events", "events", page=2, limit=100)) == 1
    now = box.clock.now()
    span = {"filter[created_at][from]": now - 4, "filter[created_at][to]": now - 2}
    assert len(box.rows("/api/v4/events", "events", **span)) == 3
    assert len(box.rows("/api/v4/events", "events", **span, **{"filter[entity_id][]": deal})) == 3
    assert box.get("/api/v4/events", **{"filter[entity_id][]": 1}).status_code == 204
    assert box.get("/api/v4/events", **{"filter[entity]": "contact"}).status_code == 204
    assert box.get("/api/v4/events", **{"filter[created_at]": now}).status_code == 204
    assert box.get("/api/v4/events", **{"filter[type]": "lead_added"}).status_code == 204


def test_a_subscription_is_made_shown_and_taken_away(box: Any) -> None:
    made = box.post("/api/v4/webhooks", {"destination": TARGET, "settings": ["status_lead"]})
    assert (made.status_code, made.json()["disabled"]) == (201, False)
    (row,) = box.rows("/api/v4/webhooks", "webhooks")
    assert (row["destination"], row["settings"]) == (TARGET, ["status_lead"])
    assert box.call("DELETE", "/api/v4/webhooks", json={"destination": TARGET}).status_code == 204
    assert box.call("DELETE", "/api/v4/webhooks", json={"destination": TARGET}).status_code == 404
    assert box.get("/api/v4/webhooks").status_code == 204


@pytest.mark.parametrize(("mode", "after"), [("replace", ["add_lead"]), ("merge", ["status_lead", "add_lead"])])
def test_a_second_post_merges_or_replaces_and_enables_nothing(make_box: Any, mode: Any, after: Any) -> None:
    box = make_box(hook_second_post=mode)
    box.post("/api/v4/webhooks", {"destination": TARGET, "settings": ["status_lead"]})
    box.sandbox.hooks.set_disabled(TARGET, True)
    again = box.post("/api/v4/webhooks", {"destination": TARGET, "settings": ["add_lead"]}).json()
    assert (again["settings"], again["disabled"]) == (after, True)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"destination": "nowhere", "settings": ["status_lead"]},
        {"destination": TARGET},
        {"destination": TARGET, "settings": ["no_such"]},
        {"destination": TARGET, "settings": []},
    ],
)
def test_a_bad_subscription_is_400(box: Any, body: Any) -> None:
    assert box.post("/api/v4/webhooks", body).status_code == 400


def test_an_account_has_at_most_100_hooks_and_only_administrators_touch_them(box: Any) -> None:
    for number in range(100):
        box.sandbox.hooks.subscribe(f"{TARGET}/{number}", ["status_lead"])
    assert box.post("/api/v4/webhooks", {"destination": TARGET, "settings": ["status_lead"]}).status_code == 400
    box.sandbox.set(admin=False)
    assert box.get("/api/v4/webhooks").status_code == 403


def test_a_hook_is_a_form_with_bracket_keys_and_v2_names(box: Any, deal: Any, receiver: Any) -> None:
    box.sandbox.hooks.subscribe(receiver.url, ["status_lead"])
    box.sandbox.amocrm.deals[deal].tags = ["vip"]
    box.sandbox.amocrm.deals[deal].fields = {"Город": "Казань"}
    move(box, deal, LESSON_1)
    (form,) = arrived(box, receiver)
    headers = receiver.bodies[0][0]
    assert headers["User-Agent"] == "amoCRM-WebHook-client/1.0"
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert not any("signature" in name.lower() for name in headers)
    head = "leads[status][0]"
    assert form[f"{head}[id]"] == str(deal)
    assert form[f"{head}[status_id]"] == str(LESSON_1)
    assert form[f"{head}[old_status_id]"] == str(defaults.STAGE_NEW)
    assert form[f"{head}[pipeline_id]"] == str(defaults.PIPELINE_ID)
    assert form[f"{head}[last_modified]"] == form[f"{head}[updated_at]"] == str(box.clock.now())
    assert form[f"{head}[custom_fields][0][values][0][value]"] == "Казань"
    assert form[f"{head}[tags][0][name]"] == "vip"
    assert {f"{head}[price]", f"{head}[name]", f"{head}[responsible_user_id]"} <= set(form)
    assert (form["account[subdomain]"], form["account[id]"]) == (defaults.SUBDOMAIN, str(defaults.ACCOUNT_ID))
    assert "account[_links][self]" in form


def test_a_move_through_the_api_sends_a_hook_too(box: Any, deal: Any, receiver: Any) -> None:
    box.sandbox.hooks.subscribe(receiver.url, ["status_lead"])
    box.patch("/api/v4/leads", [{"id": deal, "status_id": LESSON_1, "pipeline_id": defaults.PIPELINE_ID}])
    assert len(arrived(box, receiver)) == 1


def test_one_change_may_come_as_update_and_as_status_with_the_same_time(box: Any, deal: Any, receiver: Any) -> None:
    box.sandbox.hooks.subscribe(receiver.url, ["status_lead", "update_lead"])
    move(box, deal, LESSON_1)
    forms = arrived(box, receiver)
    assert sorted(next(iter(form)).split("[")[1] for form in forms) == ["status]", "update]"]
    assert len({form[key] for form in forms for key in form if key.endswith("[last_modified]")}) == 1


def test_hooks_can_be_off_doubled_late_and_without_an_account(make_box: Any, receiver: Any) -> None:
    box = make_box(hooks_on=False)
    deal = next(iter(box.sandbox.amocrm.deals))
    box.sandbox.hooks.subscribe(receiver.url, ["status_lead"])
    move(box, deal, LESSON_1)
    assert arrived(box, receiver) == []
    box.sandbox.set(hooks_on=True, hook_duplicates=1.0, hook_time_skew=3, hook_account_block="subdomain")
    move(box, deal, LESSON_2)
    first, second = arrived(box, receiver)
    assert first == second
    assert 0 <= int(first["leads[status][0][last_modified]"]) - box.clock.now() <= 3
    assert "account[id]" not in first and "account[subdomain]" in first


def test_hooks_are_sent_by_hand_in_every_shape(box: Any, deal: Any, receiver: Any) -> None:
    def send(**body: Any) -> dict[str, str]:
        receiver.bodies.clear()
        box.control("POST", "hooks/send", {"destination": receiver.url, **body})
        form: dict[str, str] = arrived(box, receiver)[0]
        return form

    stage = send(deal_id=deal, old_status_id=LESSON_1, stage_hook=True)
    row = {key.split("[")[3][:-1] for key in stage if key.startswith("leads")}
    assert row == {"id", "status_id", "pipeline_id", "old_status_id", "old_pipeline_id"}
    deleted = send(deal_id=deal, action="delete")
    assert {key for key in deleted if key.startswith("leads")} == {
        f"leads[delete][0][{name}]" for name in ("id", "status_id", "pipeline_id")
    }
    assert send(data={"leads": {"delete": ["17"]}, "account": {"id": 1}}) == {
        "leads[delete][0]": "17",
        "account[id]": "1",
    }
    assert send(raw="task[add][0][id]=5&empty=") == {"task[add][0][id]": "5", "empty": ""}


@pytest.mark.parametrize(("status", "tries"), [(200, 1), (299, 1), (302, 3), (404, 3), (500, 5), (503, 5)])
def test_a_bad_answer_is_tried_again_and_5xx_longer(make_box: Any, receiver: Any, status: Any, tries: Any) -> None:
    box = make_box()
    receiver.statuses = [status]
    job = box.sandbox.hooks.send(receiver.url, b"a=1")
    waits = []
    while True:
        assert box.sandbox.hooks.wait_idle(5)
        if job.state != "retrying":
            break
        waits.append(round(job.due - box.clock.monotonic()))
        box.clock.advance(waits[-1])
        eventually(lambda: len(job.attempts) > len(waits))
    assert job.attempts == [status] * tries
    assert waits == [300, 900, 900, 3_600][: tries - 1]
    assert job.state == ("delivered" if tries == 1 else "given up")


def test_an_answer_after_the_timeout_is_a_failure_like_5xx(make_box: Any, receiver: Any) -> None:
    box = make_box(hook_timeout=0.1)
    receiver.delay = 60  # until the test is over
    job = box.sandbox.hooks.send(receiver.url, b"a=1")
    assert box.sandbox.hooks.wait_idle(5)
    assert job.attempts == [499]


def test_time_can_run_faster_for_retries(make_box: Any, receiver: Any) -> None:
    box = make_box(time_scale=300.0)
    receiver.statuses = [500, 200]
    job = box.sandbox.hooks.send(receiver.url, b"a=1")
    assert box.sandbox.hooks.wait_idle(5)
    assert job.due - box.clock.monotonic() == pytest.approx(1.0)


def test_a_hook_with_over_100_bad_answers_in_two_hours_is_silently_disabled(box: Any, deal: Any, receiver: Any) -> None:
    receiver.statuses = [404]
    box.sandbox.hooks.subscribe(receiver.url, ["status_lead"])
    for number in range(101):
        assert box.rows("/api/v4/webhooks", "webhooks")[0]["disabled"] is False
        move(box, deal, (LESSON_1, LESSON_2)[number % 2])
        assert box.sandbox.hooks.wait_idle(5)
    assert box.rows("/api/v4/webhooks", "webhooks")[0]["disabled"] is True
    receiver.bodies.clear()
    move(box, deal, LESSON_2)
    assert arrived(box, receiver) == []
    box.control("POST", "hooks", {"destination": receiver.url})
    assert box.rows("/api/v4/webhooks", "webhooks")[0]["disabled"] is False
