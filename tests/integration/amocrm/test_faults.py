"""Everything that amoCRM may answer, and what it takes down: a row, a batch for a while, or the destination."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from sandbox import Sandbox, defaults
from tests.integration.amocrm.running import NEW, ONE, THREE, Running

SHAPES = ["validation", "errors", "detail"]


class TestRefusedBatch:
    @pytest.mark.parametrize("applies", [False, True])
    @pytest.mark.parametrize("shape", SHAPES)
    def test_only_the_rows_at_fault_go_down(self, running: Running, shape: str, applies: bool) -> None:
        running.sandbox.set(error_shape=shape, refused_batch_applies=applies)
        deals = running.students(40)
        running.account.pipelines.all()
        bad = [deals[f"s{number}@example.com"] for number in (3, 17, 18)]
        refuse(running, bad)
        events = running.lessons([(email, 1) for email in deals])
        running.drain()
        assert running.states(events) == {"delivered": 37, "dead refused": 3}
        assert {running.stage(deal) for deal in deals.values() if deal not in bad} == {ONE}
        assert {running.stage(deal) for deal in bad} == {NEW}
        [dead] = [running.row(one) for one in events if running.row(one).lead_id == bad[0]]
        assert dead.cause == "deal_refused" and "valid choice" in dead.reason
        assert dead.person == "Студент s3@example.com"
        attempt = running.store.reading.attempts([dead.id])[dead.id][-1]
        assert attempt.status == 400 and any(one["status"] == 400 for one in attempt.exchanges)

    def test_where_nothing_goes_through_it_does_not_try_each_of_fifty(self, running: Running) -> None:
        deals = running.students(50)
        running.warm()
        running.sandbox.faults.add("status", method="PATCH", status=400, detail="Неизвестная ошибка", count=None)
        events = running.lessons([(email, 1) for email in deals])
        running.drain()
        paused = running.paused()
        assert paused is not None and paused.kind == "cause"
        assert running.sandbox.log.count(method="PATCH") < 20
        running.sandbox.faults.clear()
        running.store.key_values.delete("pause", ["amocrm"])
        running.store.lanes.make_due("amocrm")
        running.drain()
        assert running.states(events) == {"delivered": 50}

    def test_a_deal_that_was_deleted_in_between_is_looked_for_again(self, running: Running) -> None:
        deals = running.students(10)
        contact = running.sandbox.amocrm.deals[deals["s4@example.com"]].contact_ids[0]
        fresh: list[Any] = []
        before(
            running,
            lambda: (
                running.sandbox.amocrm.delete_deal(deals["s4@example.com"]),
                fresh.append(running.sandbox.amocrm.add_deal("x", 1, NEW, contact_ids=[contact])),
            ),
        )
        events = running.lessons([(email, 1) for email in deals])
        running.drain()
        assert running.states(events) == {"delivered": 10} and fresh[0].status_id == ONE

    def test_a_deal_that_was_deleted_in_between_and_none_else(self, running: Running) -> None:
        deals = running.students(3)
        before(running, lambda: running.sandbox.amocrm.delete_deal(deals["s1@example.com"]))
        events = running.lessons([(email, 1) for email in deals])
        running.drain()
        assert running.states(events) == {"delivered": 2, "pending not_found": 1}
        running.later(40, 5)
        assert running.states(events) == {"delivered": 2, "skipped deal_gone": 1}


class TestDeletedStage:
    def test_five_running_pause_and_a_resume_sends_them_again(self, running: Running) -> None:
        deals = running.students(60)
        running.account.pipelines.all()
        running.sandbox.amocrm.delete_stage(defaults.PIPELINE_ID, ONE)
        events = running.lessons([(email, 1) for email in deals])
        running.drain()
        paused = running.paused()
        assert paused is not None and paused.kind == "cause" and paused.params["cause"] == "stage_deleted"
        assert running.states(events) == {"pending": 60} or set(running.states(events)) <= {
            "pending",
            "pending refused",
        }
        assert [cause for cause, _ in running.alerts] == ["same_cause"]
        stage = running.sandbox.amocrm.add_stage(defaults.PIPELINE_ID, "Урок 1", sort=35)
        choice = {"status_id": stage.id, "pipeline_id": defaults.PIPELINE_ID, "who": "Olga", "at": 1}
        running.store.key_values.put("choices", "stage:1", choice)
        running.drain()
        assert running.states(events) == {"delivered": 60}
        assert {running.stage(deal) for deal in deals.values()} == {stage.id}

    def test_a_single_row_is_dead_and_says_why(self, running: Running) -> None:
        running.student()
        running.account.pipelines.all()
        running.sandbox.amocrm.delete_stage(defaults.PIPELINE_ID, ONE)
        event = running.lesson()
        running.drain()
        row = running.row(event)
        assert (running.state(event), row.cause) == ("dead refused", "stage_deleted")

    def test_other_lessons_go_out(self, running: Running) -> None:
        deals = running.students(12)
        running.account.pipelines.all()
        running.sandbox.amocrm.delete_stage(defaults.PIPELINE_ID, THREE)
        events = running.lessons([(email, 3 if place < 3 else 1) for place, email in enumerate(deals)])
        running.drain()
        assert running.states(events) == {"delivered": 9, "dead refused": 3}

    def test_by_name_it_waits_for_the_settings(self, run: Callable[..., Running]) -> None:
        running = run(AMOCRM_STAGE_LESSON_1="Урок 1 пройден")
        running.student()
        running.account.pipelines.all()
        running.sandbox.amocrm.delete_stage(defaults.PIPELINE_ID, ONE)
        running.offset += 7200  # the list is read again
        event = running.lesson()
        running.drain()
        paused = running.paused()
        assert paused is not None and (paused.kind, paused.cause) == ("settings", "stage_deleted")
        assert running.row(event).failures == 0


def test_a_pipeline_that_is_gone_waits_for_the_settings(run: Callable[..., Running]) -> None:
    running = run(AMOCRM_PIPELINE_ID="999")
    event = running.lesson()
    running.drain()
    paused = running.paused()
    assert paused is not None and (paused.kind, paused.cause) == ("settings", "pipeline_gone")
    assert running.state(event) == "pending"


@pytest.mark.parametrize("known", [True, False])
def test_an_archived_pipeline_waits_for_the_settings_and_kills_nobody(running: Running, known: bool) -> None:
    deals = running.students(8)
    if known:
        running.account.pipelines.all()  # and it is archived after the list was read
    running.sandbox.amocrm.pipelines[defaults.PIPELINE_ID].is_archive = True
    events = running.lessons([(email, 1) for email in deals])
    running.drain()
    paused = running.paused()
    assert paused is not None and (paused.kind, paused.cause) == ("settings", "pipeline_archived")
    assert {running.state(one).split()[0] for one in events} == {"pending"}
    running.sandbox.amocrm.pipelines[defaults.PIPELINE_ID].is_archive = False
    running.later(3700)
    assert running.states(events) == {"delivered": 8}


class TestLostAnswer:
    @pytest.mark.parametrize("act", [False, True])
    @pytest.mark.parametrize("kind", ["status", "drop", "garbage"])
    def test_it_is_read_again_and_what_is_missing_is_sent_in_smaller_batches(
        self, running: Running, kind: str, act: bool
    ) -> None:
        deals = running.students(40)
        running.warm()
        running.sandbox.faults.add(kind, method="PATCH", act=act, **({"status": 504} if kind == "status" else {}))
        events = running.lessons([(email, 1) for email in deals])
        running.drain()
        assert running.states(events) == {"delivered": 40}
        assert {running.stage(deal) for deal in deals.values()} == {ONE}
        sizes = [len(entry.body) for entry in running.sandbox.log.entries(method="PATCH")]
        assert sizes == ([40] if act else [40, 20, 20])
        changes = [change for change in running.sandbox.amocrm.changes if change.after and change.after[1] == ONE]
        assert len(changes) == 40
        running.sandbox.log.clear()
        running.lessons([(email, 2) for email in deals])
        running.drain()
        assert max(len(entry.body) for entry in running.sandbox.log.entries(method="PATCH")) == 20
        running.offset += 3601  # for a while: then in full again
        running.sandbox.log.clear()
        running.lessons([(email, 3) for email in deals])
        running.drain()
        assert max(len(entry.body) for entry in running.sandbox.log.entries(method="PATCH")) == 40

    def test_a_batch_that_never_gets_an_answer_ends_as_an_outage(self, running: Running) -> None:
        deals = running.students(40)
        running.sandbox.faults.add("status", method="PATCH", status=504, count=None)
        events = running.lessons([(email, 1) for email in deals])
        running.drain()
        paused = running.paused()
        assert paused is not None and paused.kind == "outage" and running.sandbox.log.count(method="PATCH") <= 6
        running.sandbox.faults.clear()
        for _ in range(20):
            running.offset += 40
            running.drain()
        assert running.states(events) == {"delivered": 40}

    def test_a_single_row_first_has_its_own_retry(self, running: Running) -> None:
        running.student()
        running.sandbox.faults.add("status", method="PATCH", status=500, count=1)
        event = running.lesson()
        running.drain()
        assert running.paused() is None and running.row(event).failures == 1
        running.offset += 6
        running.drain()
        assert running.state(event) == "delivered"

    def test_a_write_that_arrived_although_reading_again_failed_counts_as_delivered(self, running: Running) -> None:
        deals = running.students(3)
        running.account.pipelines.all()
        running.sandbox.faults.add("drop", method="PATCH", act=True)
        running.sandbox.faults.add("status", method="GET", status=502, count=1, skip=4)
        events = running.lessons([(email, 1) for email in deals])
        running.drain()
        for _ in range(5):
            running.offset += 40
            running.drain()
        assert running.states(events) == {"delivered": 3}
        assert running.row(events[0]).facts["from_status"] == NEW


class TestOutage:
    @pytest.mark.parametrize(
        "fault",
        [{"kind": "status", "status": 500}, {"kind": "drop"}, {"kind": "garbage"}, {"kind": "status", "status": 502}],
    )
    def test_reading_that_fails_pauses_and_uses_up_no_attempts(self, running: Running, fault: dict[str, Any]) -> None:
        deals = running.students(6)
        running.account.pipelines.all()
        running.sandbox.faults.add(count=3, method="GET", **fault)
        events = running.lessons([(email, 1) for email in deals])
        running.drain()
        paused = running.paused()
        assert paused is not None and paused.kind == "outage" and paused.cause in ("amocrm_down", "amocrm_unreadable")
        for _ in range(8):
            running.offset += 130
            running.drain()
        assert running.states(events) == {"delivered": 6} and running.paused() is None
        assert sum(running.row(one).failures for one in events) <= 1

    @pytest.mark.parametrize("kind", ["hang", "drip"])
    def test_a_server_that_hangs_or_drips_is_cut_at_the_total(
        self, running: Running, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        running.student()
        running.account.pipelines.all()
        running.sandbox.faults.add(kind, seconds=30.0)
        event = running.lesson()
        with monkeypatch.context() as patch:
            patch.setattr("service.amocrm.api.TOTAL", 0.3)
            running.drain()
        assert running.row(event).failures == 1 and running.row(event).cause == "amocrm_down"
        running.offset += 6
        running.drain()
        assert running.state(event) == "delivered"

    def test_nobody_listens(self, running: Running, sandbox: Sandbox) -> None:
        deals = running.students(3)
        running.account.pipelines.all()
        server = sandbox._servers[0]
        server.close()
        events = running.lessons([(email, 1) for email in deals])
        with socket.socket() as taken:  # so that nobody else begins to listen there
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", server.port))
            running.drain()
        paused = running.paused()
        assert paused is not None and paused.kind == "outage"
        assert sum(running.row(one).failures for one in events) == 0


class TestSlowDown:
    @pytest.mark.parametrize("html", [False, True])
    def test_the_wait_is_never_undercut_and_then_it_goes_on_at_half_speed(self, running: Running, html: bool) -> None:
        deals = running.students(130)
        running.warm()
        wait = {} if html else {"retry_after": 300.0}
        running.sandbox.faults.add("status", method="PATCH", status=429, html=html, skip=1, **wait)
        events = running.lessons([(email, 1) for email in deals])
        running.drain()
        paused = running.paused()
        assert paused is not None and (paused.kind, paused.cause) == ("rate", "amocrm_slow_down")
        assert running.states(events)["delivered"] == 50  # what was certain before stays so
        left = (paused.until or 0) - running.store.now()
        whole = 5 if html else 300
        assert whole / 2 < left <= whole * 1.02  # some of it may have passed on a busy machine
        sent = running.sandbox.log.count(part="amocrm")
        if not html:
            running.store.key_values.delete("pause", ["amocrm"])  # an operator resumes too early
            running.drain()
            assert running.sandbox.log.count(part="amocrm") == sent
        running.offset += left + 1
        assert running.account.pace.per_second() == pytest.approx(25, rel=0.1)
        running.drain()
        assert running.states(events) == {"delivered": 130}
        assert running.paused() is None
        assert all(running.row(one).failures == 0 for one in events)

    def test_other_users_of_the_client_wait_too(self, running: Running) -> None:
        running.student()
        running.account.pipelines.all()
        running.sandbox.faults.add("status", status=429, retry_after=60.0)
        running.lesson()
        running.drain()
        sent = running.sandbox.log.count(part="amocrm")
        with pytest.raises(Exception, match="asked to wait"):
            running.another().client.leads([1])
        assert running.sandbox.log.count(part="amocrm") == sent


class TestWholeAccount:
    def test_unpaid(self, running: Running) -> None:
        running.student()
        running.sandbox.faults.add("status", method="PATCH", status=402, count=1)
        event = running.lesson()
        running.drain()
        paused = running.paused()
        assert paused is not None and (paused.kind, paused.cause) == ("unpaid", "amocrm_unpaid")
        assert [cause for cause, _ in running.alerts] == ["amocrm_unpaid"]
        running.offset += 3700
        running.drain()
        assert running.state(event) == "delivered" and running.row(event).failures == 0

    def test_blocked(self, running: Running) -> None:
        deals = running.students(3)
        running.account.client.account()
        running.sandbox.world.limits.block()
        events = running.lessons([(email, 1) for email in deals])
        running.drain()
        [(cause, params)] = running.alerts
        assert cause == "amocrm_forbidden" and str(defaults.ACCOUNT_ID) in params["account"] and params["since"]
        sent = running.sandbox.log.count(part="amocrm")
        running.offset += 3500
        running.drain()
        assert running.sandbox.log.count(part="amocrm") == sent
        running.offset += 200
        running.drain()
        assert running.sandbox.log.count(part="amocrm") == sent + 1  # one probe
        running.sandbox.world.limits.unblock()
        running.offset += 7300
        running.drain()
        assert running.states(events) == {"delivered": 3}
        assert all(running.row(one).failures == 0 for one in events)

    def test_after_a_403_a_good_account_means_that_a_row_was_at_fault(self, running: Running) -> None:
        deals = running.students(8)
        running.warm()
        bad = deals["s5@example.com"]
        running.sandbox.faults.add("status", method="PATCH", status=403, count=None, contains=str(bad), html=True)
        events = running.lessons([(email, 1) for email in deals])
        running.drain()
        assert running.states(events) == {"pending": 8}
        running.offset += 3700
        running.drain()
        assert running.states(events) == {"delivered": 7, "pending amocrm_rights": 1}
        assert "GET /api/v4/account" in running.requests() and running.paused() is None
        running.sandbox.faults.clear()
        running.later(40)
        assert running.states(events) == {"delivered": 8}

    def test_a_403_in_words_concerns_one_deal_and_stops_nobody(self, running: Running) -> None:
        deals = running.students(20)
        running.warm()
        bad = deals["s5@example.com"]
        running.sandbox.faults.preset("deal_forbidden", entity=bad, method="PATCH")
        events = running.lessons([(email, 1) for email in deals])
        running.drain()
        assert running.states(events) == {"delivered": 19, "pending refused": 1}
        assert running.paused() is None and not running.alerts
        running.later(40, 2)
        [row] = [running.row(one) for one in events if running.state(one) == "pending refused"]
        assert row.cause == "amocrm_rights" and row.lead_id == bad
        running.later(130)
        assert running.states(events) == {"delivered": 19, "dead refused": 1}

    def test_a_403_in_words_that_passes_kills_nobody(self, running: Running) -> None:
        running.student()
        running.warm()
        running.sandbox.faults.add("status", method="PATCH", status=403, detail="Недостаточно прав", count=2)
        event = running.lesson()
        running.drain()
        running.later(6)
        assert running.state(event) == "delivered"

    @pytest.mark.parametrize("status", [403, 404])
    @pytest.mark.parametrize("count", [1, 20])
    def test_a_refusal_in_words_that_passes_costs_one_request(self, running: Running, status: int, count: int) -> None:
        deals = running.students(count)
        running.lessons([(email, 1) for email in deals])
        running.drain()
        running.sandbox.faults.add("status", method="PATCH", status=status, detail="Недостаточно прав")
        since = running.sandbox.log.entries()[-1].number
        events = running.lessons([(email, 2) for email in deals])
        running.drain()
        assert running.states(events) == {"delivered": count}
        assert running.requests(since)[1:] == ["PATCH /api/v4/leads"] * 2

    def test_error_244_is_a_missing_right(self, running: Running) -> None:
        running.student()
        running.sandbox.faults.add("status", method="PATCH", status=400, detail="Код ошибки 244")
        event = running.lesson()
        running.drain()
        assert running.state(event) == "dead refused" and running.row(event).cause == "amocrm_rights"

    def test_access_that_ran_out_is_renewed_in_passing(self, running: Running) -> None:
        running.student()
        running.account.pipelines.all()
        running.sandbox.oauth.expire_access()
        event = running.lesson()
        running.drain()
        assert running.state(event) == "delivered" and running.row(event).failures == 0

    def test_a_revoked_connection_waits_and_goes_out_by_itself_after_reconnecting(self, running: Running) -> None:
        deals = running.students(3)
        running.account.pipelines.all()
        running.sandbox.oauth.revoke_all()
        events = running.lessons([(email, 1) for email in deals])
        running.drain()
        paused = running.paused()
        assert paused is not None and (paused.kind, paused.cause) == ("reconnect", "amocrm_reconnect")
        assert running.account.tokens.status().state == "reconnect"
        code = running.sandbox.oauth.new_code()
        referer = running.sandbox.base_url.partition("://")[2]
        found = running.another().connect.exchange(code, referer, "Olga")
        assert found.account_id == defaults.ACCOUNT_ID and found.account_name == "Школа (песочница)"
        running.drain()
        assert running.states(events) == {"delivered": 3}
        assert all(running.row(one).failures == 0 for one in events)
        assert not running.sandbox.log.dead_refreshes()


def refuse(running: Running, deals: list[int]) -> None:
    """amoCRM refuses these deals' changes, as it does for a deal of a user who is gone."""
    world = running.sandbox.world
    from sandbox.amocrm import lead_writes, rows

    original = lead_writes.edits

    def edits(given: Any, row: Any, status_id: int) -> Any:
        if given is world and row.data.get("id") in deals:
            raise rows.Faulty("responsible_user_id", "NotSupportedChoice", "The value is not a valid choice.")
        return original(given, row, status_id)

    lead_writes.edits = edits  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def _mend() -> Any:
    from sandbox.amocrm import lead_writes

    original = lead_writes.edits
    yield
    lead_writes.edits = original


def before(running: Running, act: Callable[[], Any]) -> None:
    """Do something right before the first write."""
    patch = running.account.client.patch_leads
    done: list[int] = []

    def patched(changes: Any) -> Any:
        if not done:
            done.append(1)
            act()
        return patch(changes)

    running.account.client.patch_leads = patched  # type: ignore[method-assign]
