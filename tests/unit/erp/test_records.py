"""From events to records: what goes out, in which order, and what becomes of each row."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from outbox.outcome import Delivered, DeliveryError, Later, Outcome, PauseKind, Skipped
from outbox.pauses import Paused
from outbox.retry import pause_seconds
from service.amocrm.absences import Absences
from service.amocrm.stage_changes.own import OwnChanges
from service.config import Amocrm as Settings
from service.destinations.records.changes import StageChanges
from service.destinations.records.destination import BUDGET, Records
from service.destinations.records.erp import InsertContext, Record, Saved
from tests.support.key_values import WatchedKeyValues
from tests.unit.erp.fakes import Amocrm, Clock, Contact, DeliveryContext, Lead, change, delivery

T = 1_800_000_000.0


class Erp:
    """Notes what it is asked for. answers: what the next inserts come to instead."""

    def __init__(self, clock: Clock) -> None:
        self.made: list[tuple[int, Record]] = []
        self.updated: list[tuple[str, Record]] = []
        self.gone: set[str] = set()
        self.answers: list[Exception | Later | None] = []
        self.places: frozenset[str] = frozenset()
        self.fingerprint: Mapping[str, Any] = {"url": "x"}
        self.slow = 0.0
        self.repeats = False
        self._clock = clock

    def missing(self) -> tuple[str, ...]:
        return ("CRM_API_URL",)

    def start(self, delivery_ids: object) -> None:
        pass

    def may_repeat(self, record: Record) -> bool:
        return self.repeats and record.entity is None

    def insert(self, record: Record, paper: InsertContext) -> Saved | Later:
        paper.begin()
        self._clock.now += self.slow
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Later):
            return answer
        self.made.append((paper.delivery_id, record))
        return Saved(str(len(self.made)), record.entity or "70")

    def update(self, reference: str, record: Record, paper: InsertContext) -> Saved | None:
        self.updated.append((reference, record))
        return None if reference in self.gone else Saved(reference, "70")


class House:
    def __init__(
        self,
        amocrm: Amocrm | None = None,
        *,
        on_repeat: str = "insert",
        paused: Paused | None = None,
        account_id: int | None = 55,
        **settings: Any,
    ) -> None:
        self.paused = paused
        self.clock = Clock(T)
        self.key_values = WatchedKeyValues(self.clock)
        self.reopened: list[int] = []
        self.erp = Erp(self.clock)
        self.amocrm = amocrm or Amocrm({number: Lead(number) for number in range(1, 400)})
        self.amocrm.own_changes = OwnChanges(self.key_values, self.clock)  # type: ignore[attr-defined]
        self.amocrm.absences = Absences(self.key_values, self.clock, lambda lead_id: self.reopened.append(lead_id) or 1)  # type: ignore[attr-defined]
        self.changes = StageChanges(
            Settings(**settings),
            self.amocrm,
            self.key_values,
            self.clock,
            account_id=lambda: account_id,
            paused=lambda: self.paused,
        )
        self.records = Records(
            self.erp, self.changes, self.key_values, self.clock, on_repeat=on_repeat, monotonic=self.clock
        )
        self.context = DeliveryContext()

    def deliver(self, *rows: Any) -> Mapping[int, Outcome]:
        return self.records.deliver(rows, self.context)

    @property
    def made(self) -> list[int]:
        return [number for number, _ in self.erp.made]


def outage(message: str = "down") -> DeliveryError:
    return DeliveryError(message, cause="erp_down", outage=True)


def test_an_event_becomes_a_record() -> None:
    house = House()
    row = delivery(1, data={"dealName": " Курс ", "amount": "1990.50", "entityId": 71, "utm": {"source": "vk"}})
    outcome = house.deliver(row)[1]
    assert outcome == Delivered("1", facts={"entity_id": "71", "record": "Курс", "amount": "1990.50"})
    record = house.erp.made[0][1]
    assert (record.amount, record.value("data.utm.source"), record.value("event.id")) == (
        Decimal("1990.50"),
        "vk",
        "event-1",
    )


def test_an_account_whose_id_is_not_known_yet_is_asked_for_it_once() -> None:
    house = House(account_id=None)
    outcomes = house.deliver(change(1, at=T, also={"account_id": 56}), change(2, 2, at=T, also={"account_id": 55}))
    assert isinstance(outcomes[1], Skipped) and outcomes[1].reason.startswith("foreign_account: ")
    assert isinstance(outcomes[2], Delivered)
    assert isinstance(house.deliver(change(3, 3, at=T, also={"account_id": 56}))[3], Skipped)
    assert house.amocrm.asked_account == 1


@pytest.mark.parametrize(
    ("amount", "found"), [(0, "0"), ("0.00", "0.00"), (1990.5, "1990.5"), (None, None), (1e6, "1000000.0")]
)
def test_amounts(amount: object, found: str | None) -> None:
    house = House()
    house.deliver(delivery(1, data={"dealName": "x", "amount": amount}))
    assert house.erp.made[0][1].amount == (None if found is None else Decimal(found))


@pytest.mark.parametrize(
    "data", [{"dealName": ""}, {}, {"dealName": "x", "amount": "many"}, {"dealName": "x", "amount": "NaN"}]
)
def test_what_no_record_can_be_made_of_is_dead(data: dict[str, Any]) -> None:
    outcome = House().deliver(delivery(1, data=data))[1]
    assert isinstance(outcome, DeliveryError) and outcome.permanent and outcome.code == "refused"


def test_a_change_of_stage_becomes_a_record_of_the_deal_as_it_is_now() -> None:
    house = House(Amocrm({1: Lead(1, "Курс", Decimal("0"))}))
    outcome = house.deliver(change(1, at=T))[1]
    assert outcome == Delivered("1", facts={"entity_id": "70", "record": "Курс", "amount": "0"}, lead_id=1)


def test_a_deal_without_a_name_has_its_number() -> None:
    house = House(Amocrm({1: Lead(1, " ")}))
    house.deliver(change(1, at=T))
    assert house.erp.made[0][1].name == "#1"


def test_places_of_a_deal() -> None:
    city = {"field_id": 9, "field_name": "Город", "field_code": None, "values": [{"value": "Казань"}]}
    mail = {
        "field_id": 2,
        "field_name": "Email",
        "field_code": "EMAIL",
        "values": [{"value": "a@b.ru"}, {"value": "c@d.ru"}],
    }
    phone = {"field_id": 3, "field_name": "Телефон", "field_code": "PHONE", "values": [{"value": 79990001122}]}
    level = {"field_id": 4, "field_name": "город", "field_code": "LEVEL", "values": None}
    reader = Amocrm(
        {1: Lead(1, main_contact_id=5, custom_fields=[city])},
        {5: Contact(5, custom_fields=[mail, phone, level])},
        {(7, 20): ("Воронка", "Урок 1")},
    )
    house = House(reader)
    house.erp.places = frozenset({"contact.email", "stage"})
    outcome = house.deliver(change(1, at=T))[1]
    value = house.erp.made[0][1].value
    places = (
        "deal.id",
        "contact.name",
        "contact.email",
        "contact.phone",
        "custom: ГОРОД",
        "custom:email",
        "custom:9",
        "stage",
        "pipeline",
        "custom:no",
        "nothing",
    )
    assert [value(place) for place in places] == [
        "1", "Анна Петрова", "a@b.ru", "79990001122", "Казань", "a@b.ru, c@d.ru", "Казань", "Урок 1", "Воронка", "", "",
    ]  # fmt: skip
    assert isinstance(outcome, Delivered) and outcome.person == "Анна Петрова"


def test_people_are_read_only_where_a_field_needs_them() -> None:
    house = House(Amocrm({1: Lead(1, main_contact_id=5)}, {5: Contact(5)}))
    house.deliver(change(1, at=T))
    assert house.erp.made[0][1].value("contact.name") == ""


def test_many_deals_are_read_together() -> None:
    house = House()
    assert len(house.deliver(*(change(number, lead_id=number, at=T) for number in range(1, 251)))) == 250
    assert house.amocrm.asked == [list(range(1, 251))]
    assert len(house.made) == 250


def reasons(outcomes: Mapping[int, Outcome]) -> list[str]:
    return [o.reason.split(":")[0] if isinstance(o, Skipped | Later) else type(o).__name__ for o in outcomes.values()]


def test_a_deal_counts_as_gone_only_when_amocrm_said_so_again_and_again() -> None:
    house = House(Amocrm({2: Lead(2, is_deleted=True)}))
    rows = [change(1, at=T), change(2, 2, at=T)]
    started = house.clock.now
    while (found := reasons(house.deliver(*rows))) == ["deal_unseen"] * 2:
        house.clock.now += 5
    assert found == ["deal_gone"] * 2
    assert house.clock.now - started >= 60 and len(house.amocrm.asked) >= 3


@pytest.mark.parametrize("seconds", [0, 1, 20, 60])
def test_a_deal_that_is_not_shown_for_a_while_makes_its_record(seconds: int) -> None:
    house = House(Amocrm({}))
    started = house.clock.now
    while house.clock.now <= started + seconds:
        [later] = house.deliver(change(1, at=T)).values()
        assert isinstance(later, Later) and 0 < later.seconds <= 60
        house.clock.now += 5
    house.amocrm.deals[1] = Lead(1)
    assert reasons(house.deliver(change(1, at=T))) == ["Delivered"]


def test_one_deals_absence_holds_up_no_other() -> None:
    house = House(Amocrm({2: Lead(2)}))
    outcomes = house.deliver(change(1, 1, at=T), change(2, 2, at=T), change(3, 1, old=20, new=30, at=T + 5))
    assert reasons({number: outcomes[number] for number in (1, 2)}) == ["deal_unseen", "Delivered"]
    assert 3 not in outcomes or isinstance(outcomes[3], Later), "nor overtakes its own"


def test_a_deal_that_cannot_be_read_is_its_own_rows_trouble() -> None:
    rights = DeliveryError("no right", cause="amocrm_rights", status=403)
    house = House(Amocrm({2: Lead(2)}, unread={1: rights}))
    outcomes = house.deliver(change(1, 1, at=T), change(2, 2, at=T))
    assert reasons(outcomes) == ["DeliveryError", "Delivered"]
    error = outcomes[1]
    assert isinstance(error, DeliveryError) and "could not be read. no right" in error.message
    assert (error.cause, error.pause, error.permanent, error.outage) == ("amocrm_rights", None, False, False)


def gone(house: House, *rows: Any) -> None:
    while reasons(house.deliver(*rows)) != ["deal_gone"] * len(rows):
        house.clock.now += 20


def test_whoever_tells_of_a_deal_later_reopens_what_was_skipped() -> None:
    house = House(Amocrm({}))
    gone(house, change(1, at=T))
    house.deliver(change(2, at=T + 100, old=20, new=30))  # another hook
    assert house.reopened == [1]
    gone(house, change(1, at=T), change(2, at=T + 100, old=20, new=30))
    house.changes.absences.hear([(1, "row of the log"), (2, "another deal")])
    assert house.reopened == [1, 1]
    gone(house, change(1, at=T))
    house.changes.absences.hear([(1, "row of the log")])
    assert house.reopened == [1, 1], "what was heard before is no news"


def test_a_deal_that_is_read_again_reopens_what_was_skipped() -> None:
    house = House(Amocrm({}))
    gone(house, change(1, at=T))
    house.amocrm.deals[1] = Lead(1)
    assert reasons(house.deliver(change(2, at=T + 500, old=20, new=30))) == ["Delivered"]
    assert house.reopened == [1]
    assert reasons(house.deliver(change(1, at=T))) == ["Delivered"]


@pytest.mark.parametrize(
    ("created", "stages", "found"),
    [
        ("stages", (("", "20"),), "Delivered"),
        ("stages", (("7", "20"),), "Delivered"),
        ("stages", (("", "30"),), "not_routed"),
        ("stages", (), "not_routed"),
        ("record", (), "Delivered"),
        ("record", (("", "30"),), "not_routed"),
        ("skip", (("", "20"),), "not_routed"),
    ],
)
def test_which_deals_made_on_a_stage_make_a_record(
    created: str, stages: tuple[tuple[str, str], ...], found: str
) -> None:
    house = House(webhook_created=created, webhook_stages=stages)
    house.clock.now += 1
    assert reasons(house.deliver(change(1, old=None, at=T, also={"kind": "add"}))) == [found]


def test_a_deal_made_on_a_stage_makes_one_record_however_often_it_is_told() -> None:
    house = House(webhook_created="record")
    rows = [
        change(1, old=None, at=T, also={"kind": "add"}),
        change(2, old=None, at=None, also={"kind": "add"}),
        change(3, old=None, at=T + 1, also={"kind": "add", "amocrm_event_id": "log-1"}),
        change(4, old=20, new=10, at=T + 2),
        change(5, old=10, new=20, at=T + 4),
    ]
    assert reasons(house.deliver(*rows)) == ["Delivered", "superseded", "superseded", "Delivered", "Delivered"]


def test_the_same_change_makes_one() -> None:
    house = House()
    outcomes = house.deliver(
        change(1, at=T), change(2, at=T, received_at=T + 60), change(3, at=T + 1, also={"amocrm_event_id": "x"})
    )
    assert isinstance(outcomes[1], Delivered)
    assert [getattr(outcomes[number], "reason", "") for number in (2, 3)] == [
        "superseded: the same change as event event-1"
    ] * 2


def test_a_row_that_comes_again_is_still_the_one() -> None:
    house = House()
    house.erp.answers = [outage(), None]
    assert isinstance(house.deliver(change(1, at=T))[1], DeliveryError)
    assert isinstance(house.deliver(change(1, at=T, failures=1))[1], Delivered)


def test_what_cannot_be_told_yet_waits_and_holds_its_deal() -> None:
    house = House()
    house.deliver(change(1, at=T - 3))
    outcomes = house.deliver(change(2, at=T), change(3, lead_id=2, at=T))
    assert isinstance(outcomes[2], Later) and 0 < outcomes[2].seconds <= 10
    assert isinstance(outcomes[3], Delivered)


def test_another_accounts_hook_is_kept_but_makes_none() -> None:
    house = House()
    outcomes = house.deliver(change(1, at=T, also={"account_id": 56}), change(2, 2, at=T, also={"account_id": 55}))
    assert isinstance(outcomes[1], Skipped) and outcomes[1].reason.startswith("foreign_account: ")
    assert isinstance(outcomes[2], Delivered)


@pytest.mark.parametrize(
    ("wanted", "is_wanted"),
    [
        ("20", True),
        ("7:20", True),
        ("8:20", False),
        ("21", False),
        ("Урок 1", True),
        ("Воронка:Урок 1", True),
        ("Другая:Урок 1", False),
    ],
)
def test_only_the_stages_that_are_wanted(wanted: str, is_wanted: bool) -> None:
    pipeline, _, stage = wanted.rpartition(":")
    house = House(Amocrm({1: Lead(1)}, stages={(7, 20): ("Воронка", "Урок 1")}), webhook_stages=((pipeline, stage),))
    outcome = house.deliver(change(1, at=T))[1]
    assert isinstance(outcome, Delivered if is_wanted else Skipped)
    if isinstance(outcome, Skipped):
        assert outcome.reason.startswith("not_routed: ")
    assert isinstance(
        house.deliver(change(2, lead_id=1, at=T + 300, also={"pipeline_id": None}))[2],
        Delivered if is_wanted else Skipped,
    )


def test_our_own_moves_are_recorded_or_not_as_the_setting_says() -> None:
    for setting, kind in (("skip", Skipped), ("record", Delivered)):
        house = House(webhook_echoes=setting)
        house.key_values.put("echoes", "1", [{"status_id": 20, "old_status_id": 10, "pipeline_id": 7, "at": T - 2}])
        assert isinstance(house.deliver(change(1, at=T))[1], kind)
        assert isinstance(house.deliver(change(2, at=T + 300))[2], Delivered)


@pytest.mark.parametrize(
    ("error", "least"),
    [
        (DeliveryError("slow", cause="amocrm_slow_down", pause=PauseKind.RATE, retry_after=300), 300),
        (DeliveryError("blocked", cause="amocrm_forbidden", pause=PauseKind.FORBIDDEN), 30),
        (DeliveryError("out", cause="amocrm_reconnect", pause=PauseKind.RECONNECT), 30),
        (DeliveryError("down", cause="amocrm_down", outage=True), 30),
    ],
)
def test_amocrms_trouble_is_not_the_ERPs(error: DeliveryError, least: float) -> None:
    house = House(Amocrm(error=error))
    outcomes = house.deliver(change(1, at=T), delivery(2), change(3, 2, at=T))
    assert isinstance(outcomes[2], Delivered)
    for number in (1, 3):
        later = outcomes[number]
        assert isinstance(later, Later) and later.cause == error.cause and later.seconds == least
    assert house.context.begun == [2]


def test_after_amocrms_trouble_each_new_hook_does_not_ask_again() -> None:
    house = House(Amocrm({1: Lead(1), 2: Lead(2)}, error=DeliveryError("down", cause="amocrm_down", outage=True)))
    house.deliver(change(1, at=T))
    house.amocrm.error = None
    house.clock.now += 14
    assert isinstance(house.deliver(change(2, 2, at=T))[2], Later)
    assert house.amocrm.asked == []
    house.clock.now += 1
    assert isinstance(house.deliver(change(2, 2, at=T))[2], Delivered)
    assert isinstance(house.deliver(change(1, at=T))[1], Delivered)


def refused() -> DeliveryError:
    return DeliveryError("blocked", cause="amocrm_forbidden", pause=PauseKind.FORBIDDEN, disprovable=True, status=403)


def asked_again(house: House, every: float = 60.0) -> float:
    """Seconds until the row, which looks again and again, makes us ask amoCRM once more."""
    before, start = house.amocrm.refused, house.clock.now
    while house.amocrm.refused == before:
        house.clock.now += every
        assert isinstance(house.deliver(change(1, at=T))[1], Later)
    return house.clock.now - start


def test_a_403_rests_for_as_long_as_where_deals_are_moved() -> None:
    house = House(Amocrm({1: Lead(1)}, error=refused()))
    house.deliver(change(1, at=T))
    assert [asked_again(house) for _ in range(3)] == [
        pause_seconds(PauseKind.FORBIDDEN, step, 0.0) for step in (1, 2, 3)
    ]


def test_a_good_answer_ends_the_rest_after_a_403_in_minutes_and_never_at_once() -> None:
    house = House(Amocrm({1: Lead(1)}, error=refused()))
    house.deliver(change(1, at=T))
    waited = []
    for _ in range(3):
        house.changes.answered()
        waited.append(asked_again(house))
    assert waited == [600, 1200, 2400]
    house.amocrm.error = None
    house.changes.answered()
    house.clock.now += 4800
    assert isinstance(house.deliver(change(1, at=T))[1], Delivered)


def test_once_deals_are_moved_again_after_a_403_records_are_made_too() -> None:
    house = House(Amocrm({1: Lead(1)}, error=refused()))
    house.deliver(change(1, at=T))
    house.amocrm.error = None
    assert isinstance(house.deliver(change(1, at=T))[1], Later)
    house.paused = Paused(PauseKind.FORBIDDEN, T + 40, "amocrm_forbidden: blocked", "amocrm_forbidden", T)
    assert isinstance(house.deliver(change(1, at=T))[1], Later)
    house.paused = None
    assert isinstance(house.deliver(change(1, at=T))[1], Delivered)


def test_an_old_row_asks_a_silent_amocrm_seldom() -> None:
    house = House(Amocrm(error=DeliveryError("down", cause="amocrm_down", outage=True)))
    outcome = house.deliver(change(1, at=T, received_at=T - 86400))[1]
    assert isinstance(outcome, Later) and outcome.seconds == 600


def test_while_amocrm_rests_it_is_not_asked() -> None:
    house = House(paused=Paused(PauseKind.FORBIDDEN, T + 40, "amocrm_forbidden: blocked", "amocrm_forbidden", T))
    reason = "The deal has to be read from amoCRM, which rests: amocrm_forbidden: blocked"
    assert house.deliver(change(1, at=T))[1] == Later(30, reason, "amocrm_forbidden", lead_id=1)
    assert house.amocrm.asked == []


def test_without_amocrm_its_changes_wait() -> None:
    house = House(Amocrm(set_up=False))
    outcome = house.deliver(change(1, at=T))[1]
    assert isinstance(outcome, Later) and outcome.cause == "amocrm_not_set_up"


def test_a_pause_stops_the_pass_and_keeps_what_was_done() -> None:
    house = House()
    house.erp.answers = [None, DeliveryError("key", cause="erp_settings", pause=PauseKind.SETTINGS)]
    outcomes = house.deliver(delivery(1), delivery(2), delivery(3), change(4, at=T))
    assert list(outcomes) == [1, 2]
    assert house.context.begun == [1, 2]


def test_two_outages_running_stop_the_pass() -> None:
    house = House()
    house.erp.answers = [outage(), None, outage(), outage()]
    outcomes = house.deliver(*(delivery(number) for number in range(1, 7)))
    assert list(outcomes) == [1, 2, 3, 4]


def test_the_rows_own_fault_stops_nothing() -> None:
    house = House()
    house.erp.answers = [DeliveryError("no", cause="erp_refused", code="refused", permanent=True)] * 3
    assert len(house.deliver(*(delivery(number) for number in range(1, 6)))) == 5


def test_one_that_failed_is_not_overtaken_within_its_deal() -> None:
    house = House()
    house.erp.answers = [outage(), None]
    outcomes = house.deliver(change(1, 1, at=T), change(2, 1, 20, 10, at=T + 5), change(3, 2, at=T))
    assert list(outcomes) == [1, 3]


def test_stopping_keeps_what_was_done() -> None:
    house = House()
    house.context = DeliveryContext(stop_after=2)
    assert list(house.deliver(delivery(1), delivery(2), delivery(3), change(4, at=T))) == [1, 2]


def test_a_pass_hands_in_what_it_has_before_long() -> None:
    house = House()
    house.erp.slow = 1.0
    done = house.deliver(*(delivery(number) for number in range(1, 100)))
    assert len(done) == BUDGET + 1


def test_what_was_done_is_put_on_record_soon() -> None:
    house = House()
    house.deliver(*(delivery(number) for number in range(1, 50)))
    assert house.context.settled == [list(range(1, 21)), list(range(21, 41))]
    house = House()
    house.erp.slow = 0.6
    house.deliver(*(delivery(number) for number in range(1, 6)))
    assert house.context.settled == [[1, 2], [3, 4]]


def test_events_of_the_platform_do_not_hold_up_the_hooks() -> None:
    house = House()
    house.erp.slow = 1.0
    done = house.deliver(*(delivery(number) for number in range(1, 100)), change(200, at=T))
    assert isinstance(done[200], Delivered)


def test_a_repeat_inserts_skips_or_updates() -> None:
    first, second = change(1, at=T), change(2, 1, 20, 30, at=T + 5)
    house = House()
    assert {type(one) for one in house.deliver(first, second).values()} == {Delivered}
    assert house.made == [1, 2]
    house = House(on_repeat="skip")
    outcome = house.deliver(first, second)[2]
    assert isinstance(outcome, Skipped) and outcome.reason.startswith("superseded: ") and outcome.reference == "1"
    house = House(on_repeat="update")
    outcome = house.deliver(first, second)[2]
    assert isinstance(outcome, Delivered) and outcome.reference == "1"
    assert (house.made, len(house.erp.updated)) == ([1], 1)


def test_a_record_that_was_deleted_in_the_ERP_is_made_again() -> None:
    house = House(on_repeat="update")
    house.deliver(change(1, at=T))
    house.erp.gone.add("1")
    outcome = house.deliver(change(2, 1, 20, 30, at=T + 5))[2]
    assert isinstance(outcome, Delivered) and outcome.reference == "2"


@pytest.mark.parametrize(("on_repeat", "forgotten"), [("insert", 1), ("skip", 0), ("update", 0)])
def test_the_record_of_a_deal_is_forgotten_after_months_unless_a_repeat_asks_for_it(
    on_repeat: str, forgotten: int
) -> None:
    house = House(on_repeat=on_repeat)
    house.deliver(change(1, at=T))
    assert house.records.tidy() == 0
    house.clock.now += 91 * 86400.0
    assert house.records.tidy() == forgotten


def test_with_skip_the_event_that_made_the_record_stays_delivered() -> None:
    house = House(on_repeat="skip")
    house.deliver(change(1, at=T))
    outcome = house.deliver(change(1, at=T, interrupted=True))[1]
    assert isinstance(outcome, Delivered) and outcome.reference == "1"
    assert house.made == [1]


def test_what_is_missing_and_what_changes_the_fingerprint() -> None:
    house = House()
    assert house.records.missing() == ("CRM_API_URL",)
    before = house.records.fingerprint
    house.erp.fingerprint = {"url": "y"}
    assert house.records.fingerprint != before


def test_an_event_without_a_deal_is_unreadable() -> None:
    outcome = House().deliver(delivery(1, "amocrm/webhook", data={"status_id": 5}))[1]
    assert isinstance(outcome, DeliveryError) and outcome.code == "unreadable" and outcome.permanent


# -- begun ahead


def plain_rows(count: int) -> list[Any]:
    return [delivery(number, data={"dealName": f"Deal {number}"}) for number in range(1, count + 1)]


def test_records_that_may_be_repeated_are_begun_together_but_no_more_than_are_settled_together() -> None:
    house = House()
    house.erp.repeats = True
    house.deliver(*plain_rows(45))
    assert house.made == list(range(1, 46)) and house.context.begun == house.made
    together = [len(ahead) for ahead in house.context.ahead if ahead]
    assert together == [18, 19, 4], "the first one goes alone, as it is not known how long one takes"
    assert [len(settled) for settled in house.context.settled] == [20, 20]


def test_no_more_is_begun_ahead_than_goes_out_within_a_second() -> None:
    house = House()
    house.erp.repeats, house.erp.slow = True, 0.3
    house.deliver(*plain_rows(6))
    assert [ahead for ahead in house.context.ahead if ahead] == [[3, 4], [6]]
    house.erp.slow = 0.6
    house.deliver(*plain_rows(3))
    house.context.ahead.clear()
    house.deliver(*plain_rows(3))
    assert house.context.ahead == [[], [], []]


def test_what_may_not_be_repeated_is_begun_alone() -> None:
    house = House()
    house.deliver(*plain_rows(3))
    assert house.context.ahead == [[], [], []]
    house.erp.repeats = True
    own = {"dealName": "x", "entityId": 71}
    mixed = [delivery(1, data={"dealName": "x"}), delivery(2, data=own), delivery(3, data={}), *plain_rows(5)[3:]]
    house.deliver(*mixed)
    assert house.context.ahead[3:] == [[4, 5], [], [], []], "of the third there is nothing to be made"


def test_changes_of_deals_are_begun_one_by_one_as_each_may_change_what_the_next_one_does() -> None:
    house = House()
    house.erp.repeats = True
    house.deliver(*(change(number, lead_id=number, at=T) for number in range(1, 4)))
    assert house.context.ahead == [[], [], []]
