"""One 401 ends nothing, and the first good answer, whoever gets it, ends what a refusal began."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox import Sandbox
from tests.integration.amocrm.running import ONE, Running

BLOCK = {"preset": "forbidden_html"}
ADDRESS = {"preset": "forbidden_113"}
GONE = {"preset": "account_gone"}


@pytest.fixture
def long_lived(sandbox: Sandbox, run: Callable[..., Running]) -> Running:
    token = sandbox.oauth.new_long_lived(seconds=86400)
    return run(AMOCRM_ACCESS_TOKEN=token, AMOCRM_REFRESH_TOKEN="")


@pytest.mark.parametrize("preset", ["unauthorized", "unauthorized_101"])
class TestPassing:
    def test_one_401_to_a_long_lived_token_is_only_asked_again(self, long_lived: Running, preset: str) -> None:
        deal = long_lived.student()
        long_lived.sandbox.faults.preset(preset)
        event = long_lived.lesson()
        long_lived.drain()
        assert long_lived.state(event) == "delivered" and long_lived.stage(deal) == ONE
        assert long_lived.account.tokens.status().state == "long_lived"

    def test_some_more_are_a_pause_of_seconds_that_nobody_has_to_end(self, long_lived: Running, preset: str) -> None:
        long_lived.student()
        long_lived.sandbox.faults.preset(preset, count=2)
        event = long_lived.lesson()
        long_lived.drain()
        paused = long_lived.paused()
        assert paused is not None and (paused.kind, paused.cause) == ("reconnect", "amocrm_reconnect")
        assert long_lived.account.tokens.status().state == "reconnect" and not long_lived.alerts
        long_lived.later(20)
        assert long_lived.state(event) == "delivered" and long_lived.paused() is None
        assert long_lived.another().tokens.status().state == "long_lived"

    def test_so_with_a_pair(self, running: Running, preset: str) -> None:
        running.student()
        running.warm()
        running.sandbox.faults.preset(preset, count=2)
        event = running.lesson()
        running.drain()
        assert running.paused() is not None
        running.later(20)
        assert running.state(event) == "delivered" and running.account.tokens.status().state == "connected"


def test_a_token_that_is_refused_for_hours_is_asked_with_ever_more_seldom(long_lived: Running) -> None:
    long_lived.student()
    long_lived.sandbox.faults.preset("unauthorized", count=None)
    event = long_lived.lesson()
    asked = []
    for _ in range(6):
        long_lived.sandbox.log.clear()
        for _ in range(60):
            long_lived.later(60)
        asked.append(len(long_lived.requests()))
    assert asked[0] <= 20 and asked[-1] <= 4  # two an hour: each is repeated once
    assert [cause for cause, _ in long_lived.alerts] == ["amocrm_reconnect"]
    long_lived.sandbox.faults.clear()
    long_lived.later(4000)
    assert long_lived.state(event) == "delivered" and long_lived.row(event).failures == 0


def test_a_refresh_token_that_is_refused_once_is_sent_again(running: Running) -> None:
    running.student()
    running.warm()
    running.sandbox.oauth.expire_access()
    running.sandbox.faults.add("status", status=401, path="/oauth2/access_token", detail="Token has been revoked")
    event = running.lesson()
    running.drain()
    assert running.paused() is not None
    running.later(20)
    assert running.state(event) == "delivered"


@pytest.mark.parametrize("odd", [BLOCK, ADDRESS, GONE], ids=lambda odd: odd["preset"])
def test_a_good_answer_that_somebody_else_gets_ends_the_pause(running: Running, odd: dict[str, Any]) -> None:
    deals = running.students(3)
    running.warm()
    running.sandbox.faults.preset(odd["preset"])
    events = running.lessons([(email, 1) for email in deals])
    running.drain()
    assert running.paused() is not None
    running.sandbox.faults.clear()
    running.drain()
    assert "delivered" not in running.states(events)  # by itself it waits
    running.another().client.account()  # a page, a job, the other destination
    running.drain()
    assert running.states(events) == {"delivered": 3} and running.paused() is None


def test_a_good_answer_does_not_pay_for_the_account_nor_end_an_operator_s_pause(running: Running) -> None:
    from outbox import pauses

    running.student()
    running.warm()
    running.sandbox.faults.preset("unpaid", method="PATCH")
    event = running.lesson()
    running.drain()
    running.another().client.account()
    running.drain()
    assert running.state(event) == "pending" and running.sandbox.log.count(method="PATCH") == 1
    pauses.pause(running.store, "amocrm", "Olga")
    running.another().client.account()
    running.drain()
    assert (found := running.paused()) is not None and found.kind == "operator"


@pytest.mark.parametrize(
    ("preset", "cause"),
    [
        ("forbidden_113", "amocrm_ip_refused"),
        ("forbidden_112", "amocrm_user_off"),
        ("forbidden_html", "amocrm_forbidden"),
    ],
)
@pytest.mark.parametrize("old_shape", [False, True])
def test_a_403_is_named_as_what_it_is(running: Running, preset: str, cause: str, old_shape: bool) -> None:
    running.students(2)
    running.warm()
    running.sandbox.faults.preset(preset, old_shape=old_shape)
    running.lessons([("s0@example.com", 1), ("s1@example.com", 1)])
    running.drain()
    assert [told for told, _ in running.alerts] == [cause]
    assert (paused := running.paused()) is not None and paused.kind == "forbidden"
