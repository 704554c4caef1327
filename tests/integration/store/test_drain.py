"""A lane on a real store: order, retries, pauses, outages, and the five that die of one cause."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from outbox import pauses
from outbox.drain import ASIDE, Lane, PassResult
from outbox.message import Delivery, State, StoreUnavailable
from outbox.outcome import Delivered, DeliveryError, Later, LeaseLost, Outcome, PauseKind, Skipped, Stopping
from outbox.queries import Filter
from outbox.retry import SCHEDULE
from outbox.store import Store
from tests.integration.store.make import Clock, Fake, event, only

REFUSED = DeliveryError("amoCRM says no", cause="deal_refused", code="refused", permanent=True, status=400)
GONE_STAGE = DeliveryError("no such stage", cause="stage_deleted", code="refused", permanent=True, params={"lesson": 2})
DOWN = DeliveryError("503", cause="crm_down", outage=True, status=503)
NOT_FOUND = DeliveryError("no contact", cause="contact_not_found", code="not_found")


class House:
    """A lane with its destination, and what it told."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store, self.clock, self.destination = store, clock, Fake()
        self.alerts: list[tuple[str, Mapping[str, Any]]] = []
        self.stopping = False
        self.lane = self.make("worker")
        assert self.lane.acquire()

    def make(self, owner: str) -> Lane:
        return Lane(
            self.store,
            self.destination,
            owner,
            random=lambda: 0.0,
            stopping=lambda: self.stopping,
            alert=lambda cause, params: self.alerts.append((cause, params)),
            rest=lambda seconds: None,
        )

    def add(self, *emails: str) -> list[int]:
        return [
            only(self.store, one.id).id for one in self.store.intake.accept([event(f"{name}@x") for name in emails])
        ]

    def run(self) -> PassResult:
        assert self.lane.lease is not None
        self.store.leases.renew(self.lane.lease, 600) or self.lane.acquire()
        return self.lane.run_pass()

    def drain(self) -> int:
        count = 0
        while (done := self.run()).claimed:
            count += done.claimed
        return count

    def row(self, delivery_id: int) -> Delivery:
        found = self.store.reading.delivery(delivery_id)
        assert found is not None
        return found

    def outcomes(self, delivery_id: int) -> list[str]:
        return [attempt.outcome for attempt in self.store.reading.attempts([delivery_id])[delivery_id]]

    def paused(self) -> pauses.Paused:
        found = pauses.read(self.store.key_values, "amocrm")
        assert found is not None
        return found

    def unpaused(self) -> bool:
        return pauses.read(self.store.key_values, "amocrm") is None


@pytest.fixture
def house(store: Store, clock: Clock) -> House:
    return House(store, clock)


# --- one pass


def test_what_is_due_is_delivered_and_recorded(house: House) -> None:
    one, two = house.add("ann", "bob")
    house.destination.answer = lambda row: Delivered(f"deal {row.id}", facts={"lead_id": 7}, person="Ann", lead_id=7)
    assert house.run().claimed == 2
    row = house.row(one)
    assert (row.state, row.reference, row.person, row.lead_id) == (State.DELIVERED, f"deal {one}", "Ann", 7)
    (attempt,) = house.store.reading.attempts([two])[two]
    assert attempt.exchanges == ({"request": {"method": "PATCH"}},)
    assert house.run() == PassResult()


def test_a_skip_is_recorded_with_the_row_that_made_it_needless(house: House) -> None:
    one, two = house.add("ann", "ann")
    house.destination.answer = lambda row: Delivered() if row.id == two else Skipped("superseded: lesson 2", by=two)
    house.run()
    assert (house.row(one).state, house.row(two).state) == (State.SKIPPED, State.DELIVERED)
    assert house.row(one).reason == "superseded: lesson 2"


def test_a_row_is_not_skipped_for_one_that_failed(house: House) -> None:
    one, two = house.add("ann", "ann")
    house.destination.answer = lambda row: NOT_FOUND if row.id == two else Skipped("superseded: lesson 2", by=two)
    house.run()
    assert (house.row(one).state, house.outcomes(one)) == (State.PENDING, ["interrupted"])
    assert house.row(two).state == State.PENDING


def test_a_failure_is_tried_again_on_the_schedule_until_it_is_dead(house: House, clock: Clock) -> None:
    (one,) = house.add("ann")
    house.destination.answer = lambda row: DeliveryError("late", cause="timeout")
    for step, seconds in enumerate(SCHEDULE, 1):
        assert house.drain() == 1
        row = house.row(one)
        assert (row.state, row.failures, row.due_at) == (State.PENDING, step, clock.now + seconds)
        assert house.run().next_due == row.due_at
        clock.forward(seconds)
    house.drain()
    row = house.row(one)
    assert (row.state, row.reason, row.cause) == (State.DEAD, "exhausted: late", "timeout")
    assert house.outcomes(one) == ["failed"] * 12 + ["dead"]


def test_a_student_who_is_never_found_is_dead_as_not_found(house: House, clock: Clock) -> None:
    (one,) = house.add("ann")
    house.destination.answer = lambda row: NOT_FOUND
    for seconds in SCHEDULE:
        house.drain()
        clock.forward(seconds)
    house.drain()
    assert (house.row(one).state, house.row(one).reason) == (State.DEAD, "not_found: no contact")


def test_a_servers_own_wait_is_never_undercut(house: House, clock: Clock) -> None:
    (one,) = house.add("ann")
    house.destination.answer = lambda row: DeliveryError("busy", cause="busy", retry_after=400)
    house.run()
    assert house.row(one).due_at == clock.now + 400


def test_an_answer_that_names_the_row_is_the_end_of_it(house: House) -> None:
    (one,) = house.add("ann")
    house.destination.answer = lambda row: REFUSED
    house.run()
    row = house.row(one)
    assert (row.state, row.reason, row.cause, row.failures) == (
        State.DEAD,
        "refused: amoCRM says no",
        "deal_refused",
        1,
    )


def test_what_waits_for_something_else_counts_for_nothing(house: House, clock: Clock) -> None:
    (one,) = house.add("ann")
    house.destination.answer = lambda row: Later(20, "amocrm_down: amoCRM does not answer", "amocrm_down")
    house.run()
    row = house.row(one)
    assert (row.state, row.failures, row.due_at) == (State.PENDING, 0, clock.now + 20)
    assert house.outcomes(one) == ["paused"] and house.unpaused()


def test_rows_without_an_outcome_go_back_uncounted(house: House, clock: Clock) -> None:
    one, two = house.add("ann", "bob")
    house.destination.begins = False
    house.destination.answer = lambda row: Delivered() if row.id == one else None
    done = house.run()
    assert not done.stuck
    assert (house.row(two).state, house.row(two).failures, house.outcomes(two)) == (State.PENDING, 0, [])
    house.destination.answer = lambda row: None
    assert house.run().stuck


def test_while_settings_are_missing_rows_wait_and_use_up_nothing(house: House) -> None:
    (one,) = house.add("ann")
    house.destination.lacks = ("AMOCRM_PIPELINE_ID",)
    assert house.run() == PassResult()
    assert house.row(one).state == State.PENDING and house.outcomes(one) == [] and house.destination.batches == []


# --- pauses


def test_what_is_the_destinations_fault_pauses_it_and_counts_for_no_row(house: House, clock: Clock) -> None:
    one, two = house.add("ann", "bob")
    house.destination.raises = DeliveryError("slow down", cause="rate_limited", pause=PauseKind.RATE, status=429)
    house.run()
    paused = house.paused()
    assert (paused.kind, paused.until, paused.step) == ("rate", clock.now + 5, 1)
    assert paused.reason == "rate_limited: slow down" and paused.since == clock.now
    for each in (one, two):
        assert (house.row(each).failures, house.row(each).due_at) == (0, clock.now)
        assert house.outcomes(each) == ["paused"]
    assert house.run() == PassResult(paused=True, paused_until=clock.now + 5)
    assert house.alerts == []


def test_a_pause_is_logged_only_for_the_rows_in_hand(house: House) -> None:
    one, two = house.add("ann", "bob")
    house.destination.begins = False

    def deliver(batch: Any, context: Any) -> dict[int, Outcome]:
        context.begin([two])
        raise DeliveryError("slow down", cause="rate_limited", pause=PauseKind.RATE)

    house.destination.deliver = deliver  # type: ignore[method-assign]
    house.run()
    assert (house.outcomes(one), house.outcomes(two)) == ([], ["paused"])


def test_a_pause_grows_with_each_probe_that_fails_and_ends_with_a_success(house: House, clock: Clock) -> None:
    house.add("ann", "bob", "cid")
    house.destination.raises = DeliveryError("slow down", cause="rate_limited", pause=PauseKind.RATE)
    for step, seconds in enumerate((5, 10, 20, 40, 80, 160, 300, 300), 1):
        assert house.run().claimed == (3 if step == 1 else 1)
        assert (house.paused().step, house.paused().until) == (step, clock.now + seconds)
        clock.forward(seconds)
    house.destination.raises = None
    assert house.run().claimed == 1 and house.unpaused()
    clock.forward(ASIDE)
    house.drain()
    assert house.store.reading.count_states(Filter())[State.DELIVERED] == 3


def test_a_probe_takes_another_row_than_the_one_before(house: House, clock: Clock) -> None:
    house.add("ann", "bob")
    house.destination.raises = DeliveryError("403", cause="forbidden", pause=PauseKind.FORBIDDEN)
    for _ in range(3):
        house.run()
        clock.forward(house.paused().until - clock.now)  # type: ignore[operator]
    assert [len(batch) for batch in house.destination.batches] == [2, 1, 1]
    assert house.destination.batches[1] != house.destination.batches[2]


def test_the_wait_that_a_server_asked_for_holds_for_the_pause(house: House, clock: Clock) -> None:
    house.add("ann")
    house.destination.raises = DeliveryError("slow", cause="rate_limited", pause=PauseKind.RATE, retry_after=77)
    house.run()
    assert house.paused().until == clock.now + 77


def test_a_pause_that_needs_a_person_is_told_of_once(house: House, clock: Clock) -> None:
    house.add("ann")
    house.destination.raises = DeliveryError(
        "blocked", cause="account_blocked", pause=PauseKind.FORBIDDEN, params={"account": 5}
    )
    for _ in range(3):
        house.run()
        clock.forward(86_400)
    assert house.alerts == [("account_blocked", {"account": 5, "destination": "amocrm"})]


def test_an_alert_that_fails_stops_nothing(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.add("ann")

    def broken(cause: str, params: Mapping[str, Any]) -> None:
        raise OSError("no network")

    house.lane.alert = broken
    house.destination.raises = DeliveryError("x", cause="payment_due", pause=PauseKind.UNPAID)
    house.run()
    assert house.paused().kind == "unpaid" and "the alert failed" in caplog.text


def test_a_row_among_the_outcomes_can_pause_the_destination(house: House, clock: Clock) -> None:
    one, two = house.add("ann", "bob")
    slow = DeliveryError("slow down", cause="rate_limited", pause=PauseKind.RATE, retry_after=9)
    house.destination.answer = lambda row: slow if row.id == one else Delivered()
    house.run()
    assert (house.row(one).state, house.row(one).failures) == (State.PENDING, 0)
    assert house.row(two).state == State.DELIVERED and house.paused().until == clock.now + 9


def test_an_operator_pauses_and_resumes(house: House, clock: Clock) -> None:
    (one,) = house.add("ann")
    pauses.pause(house.store, "amocrm", "olga", "lunch")
    clock.forward(1e6)
    assert house.run() == PassResult(paused=True)
    assert (house.paused().who, house.paused().kind, house.paused().until) == ("olga", "operator", None)
    house.destination.fingerprint = "second"
    house.run()
    assert house.paused().kind == "operator"
    pauses.resume(house.store, "amocrm", "igor")
    house.run()
    assert house.row(one).state == State.DELIVERED
    assert [(action.who, action.what) for action in house.store.reading.actions(5)] == [
        ("igor", "resume"),
        ("olga", "pause"),
    ]


def test_a_pause_that_an_operator_began_meanwhile_is_kept(house: House) -> None:
    house.add("ann", "bob")
    house.destination.answer = lambda row: pauses.pause(house.store, "amocrm", "olga") or Delivered()  # type: ignore[func-returns-value]
    house.run()
    assert house.paused().kind == "operator"
    pauses.resume(house.store, "amocrm", "olga")
    house.add("cid")

    def deliver(batch: Any, context: Any) -> dict[int, Outcome]:
        pauses.pause(house.store, "amocrm", "olga")
        raise DeliveryError("slow", cause="rate_limited", pause=PauseKind.RATE)

    house.destination.deliver = deliver  # type: ignore[method-assign]
    house.run()
    assert house.paused().kind == "operator"


def test_new_settings_or_tokens_lift_a_pause_and_send_at_once(house: House, clock: Clock) -> None:
    one, _ = house.add("ann", "bob")
    house.destination.answer = lambda row: DeliveryError("late", cause="timeout") if row.id == one else Delivered()
    house.run()
    house.destination.raises = DeliveryError("401", cause="reconnect", pause=PauseKind.RECONNECT)
    house.add("cid")
    house.run()
    assert house.run().paused
    house.destination.raises = None
    house.destination.answer = lambda row: Delivered()
    house.destination.fingerprint = "second"
    house.drain()
    assert house.unpaused() and house.row(one).state == State.DELIVERED


def test_new_tokens_do_not_undercut_the_wait_that_a_server_asked_for(house: House) -> None:
    house.add("ann")
    house.destination.raises = DeliveryError("slow", cause="rate_limited", pause=PauseKind.RATE, retry_after=60)
    house.run()
    house.destination.fingerprint = "second"
    assert house.run().paused


# --- outages


def test_the_first_row_of_an_outage_has_its_own_retry_and_the_second_pauses_the_destination(
    house: House, clock: Clock
) -> None:
    one, two = house.add("ann", "bob")
    house.destination.batch, house.destination.newest_first = 1, False
    house.destination.answer = lambda row: DOWN
    house.run()
    assert (house.row(one).failures, house.unpaused()) == (1, True)
    house.run()
    assert (house.row(two).failures, house.outcomes(two)) == (0, ["paused"])
    assert (house.paused().kind, house.paused().until) == ("outage", clock.now + 5)


def test_an_outage_is_probed_once_per_step_and_uses_up_nothing(house: House, clock: Clock) -> None:
    rows = house.add(*"abcdefgh")
    house.destination.answer = lambda row: DOWN
    house.run()
    assert sum(house.row(one).failures for one in rows) == 1
    for seconds in (5, 30, 120, 600, 600, 600):
        assert house.paused().until == clock.now + seconds
        clock.forward(seconds)
        assert house.run().claimed == 1 and house.run().paused
    assert sum(house.row(one).failures for one in rows) == 1
    assert [cause for cause, _ in house.alerts] == ["crm_down"]
    clock.forward(600)
    house.destination.answer = lambda row: Delivered()
    assert house.drain() >= 1 and house.unpaused()
    clock.forward(600)
    house.drain()
    assert house.store.reading.count_states(Filter())[State.DELIVERED] == 8


def test_one_row_that_always_fails_so_is_no_outage(house: House, clock: Clock) -> None:
    (one,) = house.add("ann")
    house.destination.answer = lambda row: DOWN
    for seconds in SCHEDULE[:6]:
        house.run()
        assert house.unpaused()
        clock.forward(seconds)
    assert house.row(one).failures == 6


def test_a_delivery_between_two_such_failures_ends_the_series(house: House) -> None:
    for name, answer in (("ann", DOWN), ("bob", Delivered()), ("cid", DOWN)):
        house.add(name)
        house.destination.answer = lambda row, answer=answer: answer  # type: ignore[misc]
        house.run()
    assert house.unpaused()


def test_an_answer_about_a_row_ends_an_outage_too(house: House, clock: Clock) -> None:
    house.add("ann", "bob")
    house.destination.answer = lambda row: DOWN
    house.run()
    clock.forward(5)
    house.destination.answer = lambda row: NOT_FOUND
    house.run()
    assert house.unpaused()


def test_an_error_of_the_whole_destination_without_a_kind_is_an_outage(house: House) -> None:
    (one,) = house.add("ann")
    house.destination.raises = DeliveryError("connection refused", cause="crm_down")
    house.run()
    assert house.paused().kind == "outage"
    assert house.row(one).failures == 0 and house.row(one).interrupted


# --- five running


def test_five_that_die_of_one_cause_pause_the_destination_and_go_out_after_a_resume(house: House) -> None:
    house.destination.batch = 1
    rows = house.add(*"abcdefgh")
    house.destination.answer = lambda row: GONE_STAGE
    assert house.drain() == 5
    assert [house.row(one).state for one in rows] == [State.PENDING] * 8
    paused = house.paused()
    assert (paused.kind, paused.until, paused.cause) == ("cause", None, "same_cause")
    five = [one.id for one in house.store.reading.find(Filter(cause="stage_deleted"), 9).rows][:5]
    assert sorted(paused.params["rows"]) == sorted(five)
    told = {name: value for name, value in paused.params.items() if name != "rows"}
    assert told == {"lesson": 2, "cause": "stage_deleted", "params": {"lesson": 2}}
    assert [cause for cause, _ in house.alerts] == ["same_cause"]
    house.destination.answer = lambda row: Delivered()
    assert house.run() == PassResult(paused=True)
    pauses.resume(house.store, "amocrm", "olga")
    assert house.drain() == 8


def test_the_rest_of_a_batch_that_failed_alike_goes_back_uncounted(house: House) -> None:
    rows = house.add(*"abcdefgh")
    house.destination.answer = lambda row: GONE_STAGE if row.id != rows[0] else REFUSED
    house.run()
    assert [house.row(one).state for one in rows] == [State.DEAD] + [State.PENDING] * 7
    assert [house.row(one).failures for one in rows] == [1] + [0] * 7
    assert house.row(rows[3]).cause == "stage_deleted"


def test_once_five_have_died_the_rest_of_the_batch_neither_leaves_nor_dies_of_that_cause(house: House) -> None:
    ids = house.add(*"abcdefgh")
    refused: list[int] = []

    def deliver(batch: Any, context: Any) -> dict[int, Outcome]:
        rows = [row.id for row in batch]
        context.begin(rows[:7])
        context.settle(dict.fromkeys(rows[:5], GONE_STAGE))
        try:
            context.begin(rows[7:])
        except Stopping:
            refused.extend(rows[7:])
        return dict.fromkeys(rows[5:7], GONE_STAGE)

    house.destination.deliver = deliver  # type: ignore[method-assign]
    house.run()

    assert len(refused) == 1
    assert [house.row(one).state for one in ids] == [State.PENDING] * 8
    assert house.paused().kind == "cause"


def test_a_delivery_between_ends_the_series_of_the_dead(house: House) -> None:
    house.destination.batch, house.destination.newest_first = 1, False
    rows = house.add(*"abcdefghi")
    house.destination.answer = lambda row: Delivered() if row.id == rows[4] else GONE_STAGE
    house.drain()
    assert house.unpaused() and house.store.reading.count_states(Filter())[State.DEAD] == 8


def test_students_who_are_not_found_are_no_fault_that_all_share(house: House) -> None:
    house.add(*"abcdefgh")
    house.destination.answer = lambda row: DeliveryError(
        "no", cause="contact_not_found", code="not_found", permanent=True
    )
    house.run()
    assert house.unpaused() and house.store.reading.count_states(Filter())[State.DEAD] == 8


# --- errors of our own


def boom(row: Delivery) -> Outcome:
    raise KeyError(f"secret of {row.email}")


def test_an_error_of_our_own_counts_on_the_schedule_and_tells_nobodys_data(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    (one,) = house.add("ann")
    house.destination.answer = boom
    house.run()
    row = house.row(one)
    assert (row.state, row.failures, row.cause, row.interrupted) == (State.PENDING, 1, "internal", True)
    assert "KeyError at make.py" not in row.reason and "KeyError" in row.reason
    assert "ann@x" not in caplog.text + row.reason and "test_drain.py" in caplog.text


def test_a_batch_that_raised_is_tried_row_by_row_so_that_one_does_not_hold_the_others(
    house: House, clock: Clock
) -> None:
    rows = house.add("ann", "bob", "cid", "bob")
    house.destination.answer = lambda row: boom(row) if row.id == rows[1] else Delivered()
    house.run()
    assert [house.row(one).failures for one in rows] == [1, 1, 1, 1]
    clock.forward(5)
    house.destination.batches.clear()
    house.run()
    assert [len(batch) for batch in house.destination.batches] == [1, 1, 1]
    assert [house.row(one).state for one in rows] == [
        State.DELIVERED,
        State.PENDING,
        State.DELIVERED,
        State.PENDING,
    ]
    assert house.row(rows[3]).failures == 1  # it waits behind the one that fails
    house.destination.answer = lambda row: Delivered()
    clock.forward(30)
    house.drain()
    assert house.store.reading.count_states(Filter())[State.DELIVERED] == 4


# --- stopping and losing the lease


def test_a_stop_gives_back_what_was_not_begun(house: House) -> None:
    one, two = house.add("ann", "bob")

    def deliver(batch: Any, context: Any) -> dict[int, Outcome]:
        first = batch[0].id
        context.begin([first])
        context.settle({first: Delivered("5")})
        house.stopping = True
        with pytest.raises(Stopping):
            context.begin([batch[1].id])
        raise Stopping

    house.destination.newest_first = False
    house.destination.deliver = deliver  # type: ignore[method-assign]
    house.run()
    assert (house.row(one).state, house.row(one).reference) == (State.DELIVERED, "5")
    assert (house.row(two).state, house.outcomes(two)) == (State.PENDING, [])


def test_what_was_settled_stays_whatever_is_raised_afterwards(house: House) -> None:
    one, two = house.add("ann", "bob")

    def deliver(batch: Any, context: Any) -> dict[int, Outcome]:
        context.begin([one, two])
        context.settle({one: Delivered("5")})
        raise DeliveryError("429", cause="rate_limited", pause=PauseKind.RATE)

    house.destination.deliver = deliver  # type: ignore[method-assign]
    house.run()
    assert (house.row(one).state, house.outcomes(one)) == (State.DELIVERED, ["delivered"])
    assert (house.row(two).state, house.outcomes(two)) == (State.PENDING, ["paused"])


def test_whoever_lost_the_lane_sends_and_records_nothing_more(house: House, clock: Clock) -> None:
    (one,) = house.add("ann")
    sent: list[int] = []

    def deliver(batch: Any, context: Any) -> dict[int, Outcome]:
        clock.forward(10_000)
        assert house.make("next").acquire()
        context.begin([one])
        sent.append(one)
        return {one: Delivered()}

    house.destination.deliver = deliver  # type: ignore[method-assign]
    with pytest.raises(LeaseLost):
        house.run()
    assert sent == [] and house.row(one).state == State.SENDING and house.outcomes(one) == []


def test_only_one_worker_drains_a_lane(house: House) -> None:
    assert not house.make("other").acquire()


# --- the loop


def test_the_loop_drains_waits_and_gives_its_lease_back(house: House) -> None:
    house.add("ann", "bob")
    house.store.leases.release(house.lane.lease)  # type: ignore[arg-type]
    ended = threading.Event()

    def answer(row: Delivery) -> Outcome:
        house.stopping = house.store.reading.count_states(Filter())[State.DELIVERED] > 0
        return Delivered()

    house.destination.batch, house.destination.answer = 1, answer
    house.lane.loop(ended.is_set)
    assert house.store.reading.count_states(Filter())[State.DELIVERED] == 2
    assert house.make("next").acquire()


def test_the_loop_wakes_for_what_comes_in_meanwhile(house: House) -> None:
    house.store.leases.release(house.lane.lease)  # type: ignore[arg-type]
    thread = threading.Thread(target=house.lane.loop, daemon=True)
    arrived = threading.Event()
    house.destination.answer = lambda row: arrived.set() or Delivered()  # type: ignore[func-returns-value]
    thread.start()
    house.add("ann")
    assert arrived.wait(20)
    house.stopping = True
    thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    "fault", [StoreUnavailable("the disk is full"), LeaseLost("gone"), RuntimeError("secret of ann@x")]
)
def test_the_loop_survives_whatever_goes_wrong(
    house: House, fault: Exception, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    (one,) = house.add("ann")
    house.store.leases.release(house.lane.lease)  # type: ignore[arg-type]
    faults: list[Exception] = [fault]
    original: Callable[[], PassResult] = house.lane.run_pass

    def run_pass() -> PassResult:
        if faults:
            raise faults.pop()
        done = original()
        house.stopping = house.row(one).state == State.DELIVERED
        return done

    monkeypatch.setattr(house.lane, "run_pass", run_pass)
    monkeypatch.setattr("outbox.drain.AFTER_FAULT", 0.0)
    house.lane.loop()
    assert house.row(one).state == State.DELIVERED
    assert caplog.text and "secret" not in caplog.text


# --- begun ahead of their turn


def begun_ahead(house: House, then: Callable[[list[int], Any], dict[int, Outcome]]) -> list[int]:
    """Three rows; the first is begun together with the others. then: goes on from there."""
    rows = house.add("ann", "bob", "cid")

    def deliver(batch: Any, context: Any) -> dict[int, Outcome]:
        context.begin(rows[:1], rows[1:])
        assert [house.outcomes(one) for one in rows] == [["open"]] * 3
        return then(rows, context)

    house.destination.deliver = deliver  # type: ignore[method-assign]
    return rows


def test_what_was_begun_ahead_needs_no_commit_of_its_own(house: House) -> None:
    def then(rows: list[int], context: Any) -> dict[int, Outcome]:
        context.begin(rows[1:2])
        context.begin(rows[2:])
        assert context.unsent() == frozenset()
        return {one: Delivered(str(one)) for one in rows}

    rows = begun_ahead(house, then)
    house.run()
    assert [(house.row(one).state, house.outcomes(one)) for one in rows] == [(State.DELIVERED, ["delivered"])] * 3


def test_what_was_begun_ahead_and_not_sent_goes_back_without_a_trace(house: House) -> None:
    def then(rows: list[int], context: Any) -> dict[int, Outcome]:
        context.settle({rows[0]: Delivered("5")})
        house.stopping = True
        with pytest.raises(Stopping):
            context.begin(rows[1:2])
        raise Stopping

    one, *others = begun_ahead(house, then)
    house.run()
    assert (house.row(one).state, house.outcomes(one)) == (State.DELIVERED, ["delivered"])
    for other in others:
        row = house.row(other)
        assert (row.state, row.interrupted, row.failures, house.outcomes(other)) == (State.PENDING, False, 0, [])


def test_an_outage_concerns_nothing_of_what_was_begun_ahead_and_not_sent(house: House) -> None:
    def then(rows: list[int], context: Any) -> dict[int, Outcome]:
        raise DeliveryError("503", cause="crm_down", pause=PauseKind.OUTAGE)

    one, *others = begun_ahead(house, then)
    house.run()
    assert (house.row(one).interrupted, house.outcomes(one)) == (True, ["paused"])
    assert [(house.row(other).interrupted, house.outcomes(other)) for other in others] == [(False, [])] * 2


def test_whoever_lost_the_lane_sends_nothing_of_what_was_begun_ahead(house: House, clock: Clock) -> None:
    sent: list[int] = []

    def then(rows: list[int], context: Any) -> dict[int, Outcome]:
        clock.forward(10_000)
        assert house.make("next").acquire()
        context.begin(rows[1:2])
        sent.append(rows[1])
        return {}

    begun_ahead(house, then)
    with pytest.raises(LeaseLost):
        house.run()
    assert sent == []


def test_after_a_death_all_that_was_begun_ahead_counts_as_begun(house: House, clock: Clock) -> None:
    class Death(BaseException):
        pass

    def then(rows: list[int], context: Any) -> dict[int, Outcome]:
        context.settle({rows[0]: Delivered("5")})
        raise Death

    one, *others = begun_ahead(house, then)
    with pytest.raises(Death):
        house.run()
    clock.forward(601)
    following = house.make("next")
    assert following.acquire()
    seen: dict[int, bool] = {}

    def deliver(batch: Any, context: Any) -> dict[int, Outcome]:
        seen.update({row.id: row.interrupted for row in batch})
        return {row.id: Delivered() for row in batch}

    house.destination.deliver = deliver  # type: ignore[method-assign]
    following.run_pass()
    assert seen == dict.fromkeys(others, True)
    assert house.outcomes(one) == ["delivered"]
    assert [house.outcomes(other) for other in others] == [["interrupted", "delivered"]] * 2


class Joining(Fake):
    """Takes in what waits for certain keys before it answers."""

    keys: tuple[str, ...] = ()
    joined: tuple[int, ...] = ()

    def deliver(self, batch: Any, context: Any) -> Mapping[int, Outcome]:
        more = context.join(self.keys)
        self.joined = tuple(row.id for row in more)
        return super().deliver([*batch, *(row for row in more if row not in batch)], context)


@pytest.fixture
def joining(store: Store, clock: Clock) -> House:
    house = House(store, clock)
    house.destination = Joining(batch=1)
    house.lane = house.make("worker")
    assert house.lane.acquire()
    return house


def test_what_joins_a_batch_is_delivered_with_it(joining: House) -> None:
    ann, bob, cid = joining.add("ann", "bob", "cid")
    joining.destination.keys = tuple(str(joining.store.reading.delivery(one).key) for one in (ann, bob))  # type: ignore[attr-defined, union-attr]
    assert joining.run().claimed == 1
    assert joining.destination.joined == (ann, bob)  # type: ignore[attr-defined]
    assert [joining.store.reading.delivery(one).state for one in (ann, bob, cid)] == [State.DELIVERED] * 3  # type: ignore[union-attr]


def test_what_joined_and_was_not_answered_for_goes_back(joining: House) -> None:
    ann, bob = joining.add("ann", "bob")
    joining.destination.keys = (str(joining.store.reading.delivery(ann).key),)  # type: ignore[attr-defined, union-attr]
    joining.destination.answer = lambda row: Delivered() if row.id == bob else None
    assert not joining.run().stuck
    row = joining.store.reading.delivery(ann)
    assert row is not None and (row.state, row.failures) == (State.PENDING, 0)


def test_a_pass_whose_batch_waits_while_others_that_joined_were_served_is_not_stuck(joining: House) -> None:
    ann, _bob = joining.add("ann", "bob")
    joining.destination.keys = (str(joining.store.reading.delivery(ann).key),)  # type: ignore[attr-defined, union-attr]
    joining.destination.answer = lambda row: Delivered() if row.id == ann else None
    assert not joining.run().stuck and joining.store.reading.count(Filter(states=(State.DELIVERED,))) == 1
    joining.destination.answer = lambda row: None
    assert joining.run().stuck


def test_nothing_joins_the_probe_of_a_pause(joining: House) -> None:
    ann, _bob = joining.add("ann", "bob")
    joining.destination.keys = (str(joining.store.reading.delivery(ann).key),)  # type: ignore[attr-defined, union-attr]
    joining.destination.raises = DeliveryError("503", cause="crm_down", pause=PauseKind.OUTAGE)
    joining.run()
    joining.clock.forward(3600)
    joining.run()
    assert joining.destination.joined == ()  # type: ignore[attr-defined]
