"""Oddities of webhooks: the digital pipeline, mass edits, bad entries, short bodies, times and names."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sandbox import defaults, forms


class Receiver:
    """Keeps (headers, body) of what was sent to it; a body that ends early is kept as far as it came."""

    def __init__(self) -> None:
        got: list[tuple[dict[str, str], bytes]] = []
        self.got = got

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                got.append((dict(self.headers), body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def bodies(self) -> list[Any]:
        return [forms.parse(body.decode()) for _, body in self.got]

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def subscribed(box: Any, receiver: Receiver) -> Any:
    box.control("POST", "hooks", {"destination": receiver.url, "settings": ["status_lead"]})
    return box


def wait(box: Any) -> None:
    assert box.control("POST", "hooks/wait")["idle"]


def test_a_stage_of_the_digital_pipeline_tells_of_deals_made_on_it_and_moved_to_it(box: Any, receiver: Any) -> None:
    hook = {"destination": receiver.url, "settings": ["delete_lead"], "stages": [defaults.STAGE_PAID]}
    box.control("POST", "hooks", hook)
    made = box.control("POST", "deals", {"name": "Курс", "stage": "Оплатил"})
    box.control("POST", "deals", {"name": "Курс", "stage": "Новая заявка"})
    wait(box)
    first = next(iter(box.sandbox.amocrm.deals.values()))
    box.sandbox.amocrm.move_deal(first.id, defaults.STAGE_PAID)
    wait(box)
    place = {"status_id": str(defaults.STAGE_PAID), "pipeline_id": str(defaults.PIPELINE_ID)}
    added, moved = receiver.bodies()
    assert added["leads"] == {"add": {"0": {"id": str(made["id"]), **place}}}
    old = {"old_status_id": str(defaults.STAGE_NEW), "old_pipeline_id": str(defaults.PIPELINE_ID)}
    assert moved["leads"] == {"status": {"0": {"id": str(first.id), **place, **old}}}


@pytest.mark.parametrize("told", [True, False])
def test_an_update_may_tell_the_old_stage(make_box: Any, receiver: Any, told: Any) -> None:
    box = make_box(hook_update_stage=told)
    box.control("POST", "hooks", {"destination": receiver.url, "settings": ["update_lead"]})
    box.sandbox.amocrm.move_deal(next(iter(box.sandbox.amocrm.deals)), defaults.STAGE_PAID)
    wait(box)
    (body,) = receiver.bodies()
    assert body["leads"]["update"]["0"].get("old_status_id") == (str(defaults.STAGE_NEW) if told else None)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_the_user_agent_has_two_versions(subscribed: Any, receiver: Any, version: Any) -> None:
    subscribed.sandbox.set(hook_agent=version)
    subscribed.control("POST", "hooks/send", {"raw": "a=1"})
    wait(subscribed)
    assert receiver.got[0][0]["User-Agent"] == f"amoCRM-WebHook-client/{version}"


def test_a_mass_edit_tells_of_fifty_deals_in_one_body(subscribed: Any, receiver: Any) -> None:
    subscribed.sandbox.seed(students=58)
    numbers = list(subscribed.sandbox.amocrm.deals)[5:]
    moved = subscribed.control("POST", "deals/move", {"deal_ids": numbers, "stage": "Урок 2 пройден"})
    wait(subscribed)
    assert moved == {"moved": 58}
    told = [body["leads"]["status"] for body in receiver.bodies()]
    assert sorted(len(rows) for rows in told) == [8, 50]
    assert {int(row["id"]) for rows in told for row in rows.values()} == set(numbers)
    assert len(subscribed.rows("/api/v4/events", "events")) == 58


def test_fifty_deals_with_forty_filled_fields_are_over_a_megabyte(subscribed: Any, receiver: Any) -> None:
    subscribed.sandbox.seed(students=50)
    numbers = list(subscribed.sandbox.amocrm.deals)[:50]
    subscribed.control("POST", "hooks/send", {"deal_ids": numbers, "fill": 40})
    wait(subscribed)
    assert 1_200_000 < len(receiver.got[0][1]) < 2_000_000
    assert len(receiver.bodies()[0]["leads"]["status"]["49"]["custom_fields"]) == 40


@pytest.mark.parametrize(
    ("fault", "entry"),
    [
        ("scalar", lambda row: isinstance(row, str)),
        ("no_id", lambda row: "id" not in row),
        ("empty_id", lambda row: row["id"] == ""),
        ("text_id", lambda row: row["id"] == "сделка"),
        ("no_stage", lambda row: "status_id" not in row),
        ("empty_stage", lambda row: row["status_id"] == ""),
        ("text_time", lambda row: row["last_modified"] == "вчера"),
    ],
)
def test_one_bad_entry_stands_among_good_ones(subscribed: Any, receiver: Any, fault: Any, entry: Any) -> None:
    numbers = list(subscribed.sandbox.amocrm.deals)[:3]
    subscribed.control("POST", "hooks/send", {"deal_ids": numbers, "old_status_id": 1, "spoil": {"1": fault}})
    wait(subscribed)
    rows = receiver.bodies()[0]["leads"]["status"]
    assert [rows["0"]["id"], rows["2"]["id"]] == [str(numbers[0]), str(numbers[2])]
    assert entry(rows["1"])


def test_a_body_may_be_shorter_than_its_content_length(subscribed: Any, receiver: Any) -> None:
    sent = subscribed.control("POST", "hooks/send", {"raw": "leads[status][0][id]=40000123", "cut": 3})
    wait(subscribed)
    headers, body = receiver.got[0]
    assert (headers["Content-Length"], body) == ("29", b"leads[status][0][id]=40000")
    assert sent["body"].endswith("40000123")


@pytest.mark.parametrize("shift", [90, -90])
def test_times_may_be_off_by_exactly_so_much(subscribed: Any, receiver: Any, shift: Any) -> None:
    subscribed.sandbox.set(hook_time_shift=shift)
    first = next(iter(subscribed.sandbox.amocrm.deals.values()))
    subscribed.sandbox.amocrm.move_deal(first.id, defaults.STAGE_PAID)
    wait(subscribed)
    row = receiver.bodies()[0]["leads"]["status"]["0"]
    assert int(row["last_modified"]) - first.updated_at == shift


def test_a_won_deal_may_be_moved_to_won_of_another_funnel(subscribed: Any, receiver: Any) -> None:
    second = subscribed.sandbox.amocrm.add_pipeline("Вторая", ["Начало"])
    won = subscribed.sandbox.amocrm.add_deal("Курс", 1, defaults.WON)
    subscribed.control("POST", f"deals/{won.id}/move", {"status_id": 142, "pipeline_id": second.id})
    wait(subscribed)
    row = receiver.bodies()[0]["leads"]["status"]["0"]
    assert (row["status_id"], row["old_status_id"]) == ("142", "142")
    assert (row["pipeline_id"], row["old_pipeline_id"]) == (str(second.id), str(defaults.PIPELINE_ID))


def test_a_renamed_account_keeps_its_id(subscribed: Any, receiver: Any) -> None:
    subscribed.sandbox.set(subdomain="renamed")
    subscribed.sandbox.amocrm.move_deal(next(iter(subscribed.sandbox.amocrm.deals)), defaults.STAGE_PAID)
    wait(subscribed)
    account = receiver.bodies()[0]["account"]
    assert (account["subdomain"], account["id"]) == ("renamed", str(defaults.ACCOUNT_ID))


def test_a_cut_beyond_the_body_is_refused(subscribed: Any) -> None:
    url = f"{subscribed.sandbox.url}/_sandbox/hooks/send"
    answer = subscribed.session.post(url, json={"raw": "a=1", "cut": 3}, timeout=10)
    assert answer.status_code == 400
