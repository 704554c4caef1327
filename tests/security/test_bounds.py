"""Whatever a stranger, or a sender with a key, makes up without end: what we keep of it, and show of it, has one."""

import json
from dataclasses import replace
from typing import Any

import pytest

from outbox.queries import EVENT_NAMES as NAMES_TOLD
from outbox.queries import Filter
from service.app import UNREADABLE
from service.operator.pages.panels import SOURCES
from service.operator.people import Throttle, network
from service.sources.context import EXTENSION, SourceContext
from service.sources.ration import Ration
from tests.integration.web.conftest import KEY, OPERATOR, app, settings, store, web

__all__ = ["app", "settings", "store", "web"]
ADMIN = "admin"


def test_thousands_of_event_names_make_no_long_page_and_hide_no_known_one(web: Any, store: Any) -> None:
    events = [{"name": f"aaa/{number}", "data": {}} for number in range(4000)]
    assert web.post("/e/platform-key-1", data=json.dumps(events), content_type="application/json").status_code == 200
    lesson = {"name": "lesson.completed", "data": {"email": "student@example.com", "lesson": 1}}
    assert web.post("/e/platform-key-1", json=lesson).status_code == 200
    page = web.get("/outbox", auth=OPERATOR)
    assert page.status_code == 200 and len(page.data) < 200_000
    assert len({name for name in page.text.split() if "aaa/" in name}) <= SOURCES * 3
    told = store.reading.sources(0.0, known=("lesson.completed", "never/seen"))
    assert len(told) == NAMES_TOLD + 1
    assert told[-1].event_name == "lesson.completed"


@pytest.mark.parametrize("many", [False, True])
def test_an_event_over_256_kib_is_refused_by_each_way(web: Any, many: bool) -> None:
    long = "x" * (256 * 1024)
    record = {"name": "crm/create-deal", "data": {"dealName": "a", "note": long}}
    for path, body in [("/api/events", record), ("/e/platform-key-1", record),
                       ("/e/platform-key-1", {"name": "else", "data": {"note": long}})]:  # fmt: skip
        answer = web.post(path, json=[body, body] if many else body, headers=KEY)
        assert answer.status_code == 413, path
    lesson = {"email": "student@example.com", "lesson": "1", "note": long}
    assert web.post("/api/tripwire/complete", json=lesson, headers=KEY).status_code == 413
    assert web.post("/api/tripwire/complete", data=lesson, headers=KEY).status_code == 413
    form = {"name": "crm/create-deal", "data[dealName]": "a", "data[note]": long}
    assert web.post("/api/events", data=form, headers=KEY).status_code == 413


def throttle() -> Throttle:
    return Throttle(lambda: 1000.0, names={ADMIN})


def test_made_up_names_push_no_counter_of_failed_sign_ins_out() -> None:
    one = throttle()
    for _ in range(Throttle.MOST_NAME):
        one.failed("10.0.0.1", ADMIN)
    for number in range(20_000):
        one.failed(f"10.{1 + number // 60_000}.{number // 250 % 250}.{number % 250}", f"name{number}")
    assert one.wait("10.9.9.9", ADMIN) > 0
    assert one.wait("10.0.0.1", ADMIN) > 0


def test_a_name_that_nobody_has_is_closed_as_soon_as_one_that_somebody_has() -> None:
    one = throttle()
    for name in (ADMIN, "nobody"):
        for _ in range(Throttle.MOST_PAIR):
            assert one.wait("10.0.0.1", name) == 0
            one.failed("10.0.0.1", name)
        assert one.wait("10.0.0.1", name) > 0


def test_addresses_of_one_network_of_ipv6_count_as_one() -> None:
    assert network("2001:db8:1:2:3::4") == network("2001:db8:1:2:ffff::1") != network("2001:db8:1:3::4")
    assert network("::ffff:10.0.0.1") == network("10.0.0.1") == "10.0.0.1"
    assert network("unix:") == "unix:"
    one = throttle()
    for number in range(Throttle.MOST_ADDRESS):
        one.failed(f"2001:db8::{number:x}", f"n{number}")
    assert one.wait("2001:db8::ffff", ADMIN) > 0


def test_who_is_signed_in_stays_so_while_others_guess_from_the_same_address(web: Any) -> None:
    page = web.get("/outbox/sign-in").text
    token = page.split('name="csrf_token" value="')[1].split('"')[0]
    form = {"csrf_token": token, "name": OPERATOR[0], "password": OPERATOR[1]}
    assert web.post("/outbox/sign-in", data=form).status_code == 303
    stranger = web.application.test_client()
    for number in range(Throttle.MOST_ADDRESS + 1):
        stranger.get("/outbox", auth=(OPERATOR[0], f"wrong-{number}"))
    assert stranger.get("/outbox", auth=OPERATOR).status_code == 429
    assert web.get("/outbox").status_code == 200


def test_an_address_that_is_made_up_counts_for_nobody_else(web: Any) -> None:

    statuses = {
        web.get("/outbox", auth=(OPERATOR[0], "wrong"), headers={"X-Forwarded-For": f"9.9.9.{number}"}).status_code
        for number in range(Throttle.MOST_PAIR + 1)
    }
    assert statuses == {401, 429}


def test_hooks_that_cannot_be_read_are_kept_up_to_a_number_and_counted_beyond(web: Any, store: Any) -> None:
    extensions = web.application.extensions
    context: SourceContext = extensions[EXTENSION]
    extensions[EXTENSION] = replace(context, unreadable=Ration(most=5))
    for number in range(12):
        answer = web.post("/webhooks/amocrm/hook-secret-1", data=f"nonsense{number}", content_type="text/plain")
        assert answer.status_code == 200
    good = "leads[status][0][id]=7&leads[status][0][status_id]=9&leads[status][0][pipeline_id]=1"
    assert web.post("/webhooks/amocrm/hook-secret-1", data=good).status_code == 200
    assert store.reading.count(Filter(cause="unreadable_hook")) == 5
    assert store.reading.count(Filter(lead_id=7)) == 1
    wiring = extensions["dealpost"].wiring
    wiring.figures.flush()
    assert [(run.way, run.count) for run in wiring.refusals.all()] == [("webhook", 7)]


def test_hooks_that_cannot_be_read_never_fill_the_disk_however_many_hours_they_come(web: Any, store: Any) -> None:
    extensions = web.application.extensions
    context: SourceContext = extensions[EXTENSION]
    clock = [1_800_000_000.0]

    def sends(count: int) -> int:
        """-> how many are kept then. An hour has gone by, as for a process that has just started."""
        clock[0] += 3600.0
        ration = Ration(lambda: store.reading.count(UNREADABLE), in_all=4)
        extensions[EXTENSION] = replace(context, now=lambda: clock[0], unreadable=ration)
        for number in range(count):
            body = f"nonsense{clock[0]}-{number}"
            assert web.post("/webhooks/amocrm/hook-secret-1", data=body, content_type="text/plain").status_code == 200
        return int(store.reading.count(UNREADABLE))

    assert [sends(3), sends(3), sends(3)] == [3, 4, 4]
    store.operations.discard(UNREADABLE, "operator")
    assert sends(1) == 1


def test_an_hour_later_they_are_kept_again_also_when_the_clock_was_set_back() -> None:
    ration = Ration(most=2)
    assert [ration.take(at) for at in (10.0, 20.0, 30.0, 4000.0, 4001.0, 4002.0, 50.0)] == [
        True, True, False, True, True, False, True,
    ]  # fmt: skip
