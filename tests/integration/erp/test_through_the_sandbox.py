"""From hooks of the sandbox's amoCRM to records in its ERP: real store, real lane, real sockets."""

import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from outbox.drain import Lane
from outbox.engines import open_store
from outbox.message import Delivery, NewEvent, State
from outbox.outcome import PauseKind
from outbox.queries import Filter
from outbox.store import Store
from sandbox import Sandbox, defaults, forms
from service import routing
from service.config import load
from service.sources.amocrm_webhook_events import hook_events
from service.sources.intake import make_event
from service.wiring import Wiring


class House:
    """Dealpost without its processes: hooks are taken in and the lane is drained when the test says so."""

    def __init__(self, sandbox: Sandbox, folder: pathlib.Path, **settings: str) -> None:
        self.sandbox = sandbox
        environ = {**sandbox.env, "SANDBOX": "1", "DATABASE_URL": f"sqlite:///{folder}/dealpost.db", **settings}
        keys = {"TOKEN_KEYS": "q6zW4n1vYdQk0cW7o1nq0m1B3l9v1eJ8s2dXc5yTg7A="}
        self.settings = load({**environ, **keys})
        self.ahead = 0.0
        self.store: Store = open_store(self.settings.database_url, now=lambda: time.time() + self.ahead)
        self.store.maintenance.migrate()
        self.wiring = Wiring(self.settings, self.store)
        self.alerts: list[str] = []
        self.lane = self.new_lane("one")

    def new_lane(self, owner: str) -> Lane:
        return Lane(
            self.store,
            self.wiring.destinations["erp"],
            owner,
            random=lambda: 0.0,
            stopping=lambda: False,
            alert=lambda cause, params: self.alerts.append(cause),
        )

    def hook(self, action: str, deal: Any, before: tuple[int, int] | None = None, **shape: Any) -> None:
        data = self.sandbox.hooks.form(action, [(deal, before)], **shape)
        self.take(forms.encode(data))

    def take(self, body: bytes) -> None:
        known = self.wiring.account_id()
        events = hook_events(
            body,
            configured_subdomain=None,
            account_id=known,
            now=self.store.now(),
            creations=self.settings.amocrm.counts_creations,
        )
        self.accept(events)

    def accept(self, events: list[NewEvent]) -> None:
        self.store.intake.accept(events)

    def event(self, **data: Any) -> None:
        routed = routing.route("crm/create-deal", data, {})
        made = make_event("crm/create-deal", routed, source="events", sender="x", dedupe=None, now=self.store.now())
        self.accept([made])

    def drain(self, until: float = 0.0) -> None:
        """Passes until nothing is due, the clock going on to `until` seconds from now where rows wait for it."""
        assert self.lane.acquire()
        while True:
            done = self.lane.run_pass()
            if done.claimed:
                continue
            times = [at for at in (done.next_due, done.paused_until) if at is not None]
            wait = min(times) - self.store.now() if times else until + 1
            if wait > until:
                break
            self.ahead += max(wait, 0.0) + 0.01
            until -= wait
            assert self.lane.acquire()
        assert self.lane.lease is not None
        self.store.leases.release(self.lane.lease)

    def rows(self) -> list[Delivery]:
        return list(self.store.reading.find(Filter(destination="erp"), 1000, oldest_first=True).rows)

    def states(self) -> list[str]:
        return [f"{row.state} {row.reason.partition(':')[0]}".strip() for row in self.rows()]

    def records(self) -> list[dict[str, str]]:
        return self.sandbox.erp.records()


@pytest.fixture
def house(sandbox: Sandbox, tmp_path: pathlib.Path) -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def build(**settings: str) -> House:
        sandbox.set(hooks_on=False, limit_on=False)  # the tests' time runs ahead of the sandbox's
        made.append(House(sandbox, tmp_path, **settings))
        return made[-1]

    yield build
    for one in made:
        one.store.close()


def deal_of(sandbox: Sandbox, **what: Any) -> Any:
    person = sandbox.amocrm.add_contact("Анна Петрова", "anna@example.com")
    return sandbox.amocrm.add_deal(contact_ids=[person.id], quiet=True, **{"name": "Курс", "price": 1990.5, **what})


def move(house: House, deal: Any, stage: int, **shape: Any) -> tuple[int, int]:
    before = (deal.pipeline_id, deal.status_id)
    house.sandbox.amocrm.move_deal(deal.id, stage)
    house.hook("status", deal, before, **shape)
    return before


def test_a_change_of_stage_becomes_a_record(sandbox: Sandbox, house: Callable[..., House]) -> None:
    ours = house(ERP_FIELDS="field_1050={contact.email},field_1051={custom:Город}")
    deal = deal_of(sandbox, fields={"Город": "Казань"})
    move(ours, deal, defaults.STAGE_PAID)
    ours.hook("update", deal)
    ours.drain()
    [record] = ours.records()
    assert {name: record[name] for name in ("1039", "1040", "1050", "1051")} == {
        "1039": "Курс",
        "1040": "1990.5",
        "1050": "anna@example.com",
        "1051": "Казань",
    }
    [row] = ours.rows()
    assert (row.state, row.reference, row.lead_id, row.person) == (
        State.DELIVERED,
        record["id"],
        deal.id,
        "Анна Петрова",
    )
    assert record["1041"] == f"dp-{row.event_id}"
    attempts = ours.store.reading.attempts([row.id])[row.id]
    assert len(attempts) == 1
    shown = str(attempts[0].exchanges)
    assert "/api/v4/leads" in shown and "rest.php" in shown
    assert defaults.ERP_PASSWORD not in shown and defaults.ERP_KEY not in shown


def test_a_deal_is_read_again_not_believed(sandbox: Sandbox, house: Callable[..., House]) -> None:
    ours = house()
    deal = deal_of(sandbox)
    move(ours, deal, defaults.STAGE_PAID)
    sandbox.amocrm.edit_deal(deal.id, name="Другой курс", price=0)
    ours.drain()
    [record] = ours.records()
    assert (record["1039"], record["1040"]) == ("Другой курс", "0")


@pytest.mark.parametrize("status", [204, 404])
def test_a_deal_that_was_deleted(sandbox: Sandbox, house: Callable[..., House], status: int) -> None:
    ours = house()
    sandbox.set(not_found_status=status)
    for shown in ("hidden", "shown"):
        sandbox.set(deleted_deals=shown)
        deal = deal_of(sandbox)
        move(ours, deal, defaults.STAGE_PAID)
        sandbox.amocrm.delete_deal(deal.id)
    ours.drain(50)
    assert ours.states() == ["pending"] * 2
    ours.drain(100)
    assert ours.states() == ["skipped deal_gone"] * 2
    assert ours.records() == []


@pytest.mark.parametrize("preset", ["account_gone", "account_gone_html", "deal_204", "deal_404", "deal_404_html"])
def test_what_amocrm_does_not_show_for_a_while_is_not_gone(
    sandbox: Sandbox, house: Callable[..., House], preset: str
) -> None:
    ours = house()
    for _ in range(3):
        move(ours, deal_of(sandbox), defaults.STAGE_PAID)
    sandbox.faults.preset(preset)
    ours.drain(20)
    assert "skipped" not in " ".join(ours.states())
    sandbox.faults.clear()
    ours.drain(1200)
    assert ours.states() == ["delivered"] * 3 and len(ours.records()) == 3


def test_a_list_that_was_cut_loses_no_record(sandbox: Sandbox, house: Callable[..., House]) -> None:
    ours = house()
    sandbox.faults.preset("lists_cut")
    for _ in range(70):
        move(ours, deal_of(sandbox), defaults.STAGE_PAID)
    ours.drain()
    assert ours.states() == ["delivered"] * 70 and len(ours.records()) == 70


def test_one_deal_that_may_not_be_read_holds_up_no_record(sandbox: Sandbox, house: Callable[..., House]) -> None:
    ours = house()
    deals = [deal_of(sandbox) for _ in range(3)]
    sandbox.faults.preset("deal_forbidden", entity=deals[1].id)
    sandbox.faults.preset("row_left_out", entity=deals[1].id)
    for deal in deals:
        move(ours, deal, defaults.STAGE_PAID)
    ours.drain(10)
    assert ours.states() == ["delivered", "pending amocrm_rights", "delivered"]
    [attempt, *_] = ours.store.reading.attempts([ours.rows()[1].id])[ours.rows()[1].id]
    assert attempt.status == 403 and "could not be read" in attempt.detail
    assert "could not be read" in ours.rows()[1].reason


def test_the_log_of_events_reopens_a_deal_that_counted_as_gone(sandbox: Sandbox, house: Callable[..., House]) -> None:
    ours = house()
    ours.wiring.missed_changes.fetch()
    sandbox.clock.offset += 1
    deal = deal_of(sandbox)
    sandbox.faults.add("status", status=404, method="GET", path=f"/api/v4/leads/{deal.id}", count=None)
    move(ours, deal, defaults.STAGE_PAID)
    ours.drain(200)
    assert ours.states() == ["skipped deal_gone"]
    sandbox.faults.clear()
    assert ours.wiring.missed_changes.fetch() == 0
    ours.drain(200)
    assert ours.states() == ["delivered"] and len(ours.records()) == 1


@pytest.mark.parametrize("told", ["hook", "stage hook", "both", "log"])
def test_a_deal_made_on_a_wanted_stage_makes_one_record(
    sandbox: Sandbox, house: Callable[..., House], told: str
) -> None:
    ours = house(AMOCRM_WEBHOOK_STAGES="Оплатил")
    ours.wiring.missed_changes.fetch()
    sandbox.clock.offset += 1
    deal = sandbox.amocrm.add_deal("Курс", 100, status_id=defaults.STAGE_PAID)
    sandbox.amocrm.add_deal("Не тот этап", 100, status_id=defaults.STAGE_NEW)
    if told in ("hook", "both"):
        ours.hook("add", deal)
    if told in ("stage hook", "both"):
        ours.hook("add", deal, stage_hook=True)
    ours.drain()
    assert len(ours.records()) == (0 if told == "log" else 1)
    ours.wiring.missed_changes.fetch()
    ours.drain(60)
    assert [record["1039"] for record in ours.records()] == ["Курс"]


@pytest.mark.parametrize("shift", [90, -90, 150])
def test_a_hook_whose_time_is_minutes_off_and_the_log_make_one_record(
    sandbox: Sandbox, house: Callable[..., House], shift: int
) -> None:
    ours = house()
    ours.wiring.missed_changes.fetch()
    sandbox.set(hook_time_shift=shift)
    sandbox.clock.offset += 1
    move(ours, deal_of(sandbox), defaults.STAGE_PAID)
    ours.drain()
    ours.wiring.missed_changes.fetch()
    ours.drain(60)
    assert len(ours.records()) == 1


def test_one_entry_that_cannot_be_read_takes_no_other_with_it(sandbox: Sandbox, house: Callable[..., House]) -> None:
    ours = house()
    deals = [deal_of(sandbox) for _ in range(3)]
    places = []
    for deal in deals:
        before = (deal.pipeline_id, deal.status_id)
        sandbox.amocrm.move_deal(deal.id, defaults.STAGE_PAID)
        places.append((deal, before))
    ours.take(forms.encode(sandbox.hooks.form("status", places, spoil={1: "no_stage"})))
    ours.drain()
    assert len(ours.records()) == 2
    [dead] = ours.store.reading.find(Filter(states=(State.DEAD,)), 9).rows
    assert dead.destination == "-" and dead.reason.code == "unreadable"
    event = ours.store.reading.event(dead.event_id)
    assert event is not None and event.raw is not None and str(deals[1].id) in event.raw


def test_many_hooks_are_read_by_one_request(sandbox: Sandbox, house: Callable[..., House]) -> None:
    ours = house()
    for _ in range(120):
        move(ours, deal_of(sandbox), defaults.STAGE_PAID)
    sandbox.log.clear()
    ours.drain()
    assert len(ours.records()) == 120
    assert sandbox.log.count(part="amocrm", path="/api/v4/leads") == 1


@pytest.mark.parametrize("keyed", [True, False])
def test_there_and_back_and_there_again_with_lost_answers(
    sandbox: Sandbox, house: Callable[..., House], keyed: bool
) -> None:
    ours = house(ERP_FIELD_KEY="field_1041" if keyed else "")
    sandbox.faults.add("drop", act=True, count=None, fraction=0.3, part="erp", contains='"insert"')
    deals = [deal_of(sandbox) for _ in range(5)]
    for stage in (defaults.STAGE_PAID, defaults.STAGE_NEW, defaults.STAGE_PAID):
        sandbox.clock.offset += 5  # the time of a change is in whole seconds
        for deal in deals:
            move(ours, deal, stage)
    ours.drain(3600)
    assert ours.states() == ["delivered"] * 15
    assert len(ours.records()) == 15
    assert sorted(row.reference for row in ours.rows()) == sorted(record["id"] for record in ours.records())


def test_a_digital_pipelines_hook_and_the_accounts_make_one(sandbox: Sandbox, house: Callable[..., House]) -> None:
    ours = house()
    deal = deal_of(sandbox)
    before = move(ours, deal, defaults.STAGE_PAID)
    ours.hook("status", deal, before, stage_hook=True)
    ours.hook("status", deal, before, stage_hook=True)
    ours.drain(30)
    assert len(ours.records()) == 1
    assert ours.states() == ["delivered", "skipped superseded", "skipped superseded"]


def test_stages_by_name(sandbox: Sandbox, house: Callable[..., House]) -> None:
    ours = house(AMOCRM_WEBHOOK_STAGES="Оплатил")
    deal = deal_of(sandbox)
    move(ours, deal, defaults.STAGE_PAID)
    move(ours, deal, defaults.STAGE_LESSON_1)
    ours.drain()
    assert ours.states() == ["delivered", "skipped not_routed"]


def test_while_amocrm_is_silent_only_its_changes_wait(sandbox: Sandbox, house: Callable[..., House]) -> None:
    ours = house()
    move(ours, deal_of(sandbox), defaults.STAGE_PAID)
    sandbox.faults.add("status", part="amocrm", path="/api/v4/leads", status=503)
    ours.event(dealName="С платформы", amount="0.50")
    ours.drain()
    assert ours.states() == ["pending", "delivered"]
    assert [record["1040"] for record in ours.records()] == ["0.50"]
    ours.drain(60)
    assert ours.states() == ["delivered", "delivered"]
    [first, _] = ours.rows()
    assert first.failures == 0
    assert [one.outcome for one in ours.store.reading.attempts([first.id])[first.id]] == ["paused", "delivered"]


@pytest.mark.parametrize("fault", ["erp_empty", "erp_db_error", "erp_fatal", "garbage"])
@pytest.mark.parametrize("keyed", [True, False])
def test_unreadable_answers_are_an_outage(
    sandbox: Sandbox, house: Callable[..., House], fault: str, keyed: bool
) -> None:
    ours = house(ERP_FIELD_KEY="field_1041" if keyed else "")
    sandbox.faults.add(fault, act=True, action="insert")
    sandbox.faults.add(fault, act=False, action="insert")
    ours.event(dealName="Курс", amount=1)
    ours.event(dealName="Курс", amount=1)
    ours.drain(600)
    assert ours.states() == ["delivered"] * 2
    assert len(ours.records()) == 2


def test_a_wrong_field_pauses_all_until_the_settings_change(
    sandbox: Sandbox, house: Callable[..., House], tmp_path: pathlib.Path
) -> None:
    ours = house(ERP_FIELD_AMOUNT="field_9999")
    for number in range(3):
        ours.event(dealName=f"Курс {number}", amount=number)
    ours.drain()
    assert ours.states() == ["pending"] * 3
    assert "erp" in ours.wiring.pauses() and ours.alerts == ["erp_settings"]
    assert all(row.failures == 0 for row in ours.rows())
    mended = house()
    mended.drain()
    assert mended.states() == ["delivered"] * 3


def test_an_unknown_entity_of_one_event_is_its_own_fault(sandbox: Sandbox, house: Callable[..., House]) -> None:
    ours = house()
    ours.event(dealName="Курс", amount=1, entityId=4711)
    ours.event(dealName="Курс", amount=2)
    ours.drain()
    assert ours.states() == ["dead refused", "delivered"]


class LateErp:
    """The sandbox's ERP, which does the work of its next insert only when it is told to, whatever its caller heard."""

    def __init__(self, sandbox: Sandbox, fault: dict[str, Any]) -> None:
        self._sandbox = sandbox
        self._after = max((one.number for one in sandbox.log.entries(part="erp")), default=0)
        sandbox.faults.add(action="insert", **fault)

    def catch_up(self) -> None:
        bodies = [one.body for one in self._sandbox.log.entries(part="erp") if one.number > self._after]
        body = next(one for one in bodies if one["action"] == "insert")
        values = {name.removeprefix("field_"): value for name, value in body["items"].items()}
        self._sandbox.erp.insert(self._sandbox.erp.entities["70"], values)


SLOW = [{"kind": "status", "status": 504}, {"kind": "status", "status": 502}, {"kind": "drop"}]


@pytest.mark.parametrize("key", ["unique", "plain", "none"])
@pytest.mark.parametrize("fault", SLOW)
def test_an_insert_that_is_done_75_seconds_later_makes_one_record(
    sandbox: Sandbox, house: Callable[..., House], key: str, fault: dict[str, Any]
) -> None:
    sandbox.erp.add_field("70", "1041", "Ключ", unique=key == "unique")
    ours = house(ERP_FIELD_KEY="" if key == "none" else "field_1041")
    ours.event(dealName="Прежний", amount=5)
    ours.drain()
    late = LateErp(sandbox, fault)
    ours.event(dealName="Курс", amount=1)
    ours.drain(75)
    late.catch_up()
    ours.drain(300)
    assert ours.states() == ["delivered"] * 2
    assert [record["1039"] for record in ours.records()] == ["Прежний", "Курс"]


@pytest.mark.parametrize("key", ["unique", "plain", "none"])
@pytest.mark.parametrize("fault", SLOW)
@pytest.mark.parametrize("act", [True, False])
def test_a_lost_insert_is_made_once_in_the_end(
    sandbox: Sandbox, house: Callable[..., House], key: str, fault: dict[str, Any], act: bool
) -> None:
    sandbox.erp.add_field("70", "1041", "Ключ", unique=key == "unique")
    ours = house(ERP_FIELD_KEY="" if key == "none" else "field_1041")
    sandbox.faults.add(action="insert", act=act, **fault)
    ours.event(dealName="Курс", amount=1)
    ours.drain(400)
    assert ours.states() == ["delivered"]
    assert len(ours.records()) == 1


@pytest.mark.parametrize("sees", ["no", "none"])
def test_what_cannot_be_seen_is_for_a_person_and_holds_up_nobody(
    sandbox: Sandbox, house: Callable[..., House], sees: str
) -> None:
    ours = house(ERP_FIELD_KEY="")
    sandbox.set(erp_may_view=sees)
    ours.event(dealName="Прежний", amount=5)
    ours.drain()
    sandbox.faults.preset("erp_insert_lost")
    ours.event(dealName="Курс", amount=1)
    ours.event(dealName="Другой", amount=2)
    ours.drain(600)
    assert ours.states() == ["delivered", "dead ambiguous", "delivered"]
    assert len(ours.records()) == 3


@pytest.mark.parametrize(
    "preset", ["erp_api_off", "erp_key_mismatch", "erp_ip_refused", "erp_unknown_refusal", "erp_to_https", "erp_moved"]
)
def test_what_is_no_rows_fault_waits_and_says_why(sandbox: Sandbox, house: Callable[..., House], preset: str) -> None:
    ours = house()
    fault = sandbox.faults.preset(preset)
    for number in range(7):
        ours.event(dealName=f"Курс {number}", amount=number)
    ours.drain(7200)
    assert ours.states() == ["pending"] * 7
    paused = ours.wiring.pauses()["erp"]
    assert paused.kind == PauseKind.SETTINGS
    words = fault.detail or fault.location.partition("{")[0]
    assert words in paused.reason
    sandbox.faults.clear()
    ours.drain(7200)
    assert ours.states() == ["delivered"] * 7 and len(ours.records()) == 7


def test_one_record_refused_in_unknown_words_holds_up_nobody(sandbox: Sandbox, house: Callable[..., House]) -> None:
    ours = house()
    sandbox.faults.add("erp_refusal", action="insert", contains="Странный", detail="It cannot be", count=None)
    for name in ("Странный", "Курс", "Другой"):
        ours.event(dealName=name, amount=1)
    ours.drain(60)
    assert [str(row.state) for row in ours.rows()] == ["pending", "delivered", "delivered"]
    assert "It cannot be" in ours.rows()[0].reason and not ours.wiring.pauses()


@pytest.mark.parametrize("key", ["field_1041", ""])
def test_a_warning_of_PHP_hides_no_record(sandbox: Sandbox, house: Callable[..., House], key: str) -> None:
    ours = house(ERP_FIELD_KEY=key)
    sandbox.faults.preset("erp_warning")
    ours.event(dealName="Курс", amount=1)
    ours.drain(600)
    [row] = ours.rows()
    assert row.state == State.DELIVERED and row.reference == ours.records()[0]["id"] and len(ours.records()) == 1
    assert "display_errors" in str(row.facts["note"])


def test_another_entity_without_our_fields_is_told_with_the_fields_it_lacks(
    sandbox: Sandbox, house: Callable[..., House]
) -> None:
    ours = house()
    sandbox.erp.add_entity("80", "Заявки")
    sandbox.erp.add_field("80", "2001", "Название")
    ours.event(dealName="Курс", amount=1, entityId=80)
    ours.event(dealName="Курс", amount=2)
    ours.drain()
    assert ours.states() == ["dead refused", "delivered"]
    reason = ours.rows()[0].reason
    assert "entity 80, which the event asks for (entityId)" in reason
    assert "it has no field_1039, field_1040, field_1041" in reason


def test_a_text_area_keeps_a_long_text_whole(sandbox: Sandbox, house: Callable[..., House]) -> None:
    ours = house(ERP_FIELDS="field_1060={data.answer},field_1061={data.answer}")
    sandbox.erp.add_field("70", "1060", "Анкета", kind="textarea")
    sandbox.erp.add_field("70", "1061", "Коротко")
    ours.event(dealName="Курс", amount=1, answer="я" * 3000)
    ours.drain()
    [record] = ours.records()
    assert (len(record["1060"]), len(record["1061"])) == (3000, 255)
    note = str(ours.rows()[0].facts["note"])
    assert "field_1061" in note and "field_1060" not in note


def test_the_exact_price_is_taken_as_it_is(sandbox: Sandbox, house: Callable[..., House]) -> None:
    ours = house()
    for price in (12.5, 0.99, 3_000_000_000.25):
        move(ours, deal_of(sandbox, price=price), defaults.STAGE_PAID)
    sandbox.set(price_wraps=True)
    ours.drain()
    assert [record["1040"] for record in ours.records()] == ["12.5", "0.99", "3000000000.25"]


def test_what_a_dead_worker_left_is_told_apart(sandbox: Sandbox, house: Callable[..., House]) -> None:
    ours = house(ERP_FIELD_KEY="")
    ours.event(dealName="Курс", amount=1)
    ours.event(dealName="Курс", amount=1)

    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    assert ours.lane.acquire()
    record, ours.store.lanes.record = ours.store.lanes.record, die  # type: ignore[method-assign, assignment]
    with pytest.raises(Killed):
        ours.lane.run_pass()
    assert len(ours.records()) == 2
    ours.store.lanes.record = record  # type: ignore[method-assign]
    ours.ahead += 31
    again = House(
        sandbox,
        pathlib.Path(ours.settings.database_path).parent,
        ERP_FIELD_KEY="",
        DATABASE_URL=ours.settings.database_url.replace("-sandbox", ""),
    )
    again.ahead = ours.ahead
    again.lane = again.new_lane("two")
    again.drain(120)
    assert again.states() == ["delivered"] * 2
    assert len(again.records()) == 2
    again.store.close()


def test_a_change_that_no_hook_told_of(sandbox: Sandbox, house: Callable[..., House]) -> None:
    ours = house()
    ours.wiring.missed_changes.fetch()
    deal = deal_of(sandbox)
    sandbox.amocrm.move_deal(deal.id, defaults.STAGE_PAID)
    move(ours, deal, defaults.STAGE_LESSON_1)
    ours.drain()
    assert len(ours.records()) == 1
    assert ours.wiring.missed_changes.fetch() == 1
    ours.drain()
    assert len(ours.records()) == 2
    assert ours.wiring.missed_changes.fetch() == 0
