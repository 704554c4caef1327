"""A record is made once in Rukovoditel, with a key and without."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

import pytest

from outbox.outcome import DeliveryError, Later, LeaseLost, PauseKind
from service.config import Erp as Settings
from service.destinations.records.erp import InsertContext, Record, Saved
from service.destinations.records.rukovoditel.client import Client
from service.destinations.records.rukovoditel.insert import Rukovoditel, key_of
from service.network.http import Http
from tests.support.key_values import WatchedKeyValues
from tests.unit.erp.erp import KEY, PASSWORD, USER, Erp
from tests.unit.erp.fakes import Clock


class House:
    """One ERP and one of ours beside it, that may be started anew as another process would be."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.key_values = WatchedKeyValues(self.clock)
        self.erp = Erp()
        defaults = {"url": "https://erp.example/api/rest.php", "key": KEY, "username": USER, "password": PASSWORD}
        self.settings = Settings(**{**defaults, **settings})
        self.ours = self.restart()

    def restart(self) -> Rukovoditel:
        client = Client(self.settings, cast(Http, self.erp), self.clock)
        self.ours = Rukovoditel(self.settings, client, self.key_values, self.clock)
        return self.ours

    def paper(self, number: int, interrupted: bool = False, begin: Callable[[], None] = lambda: None) -> InsertContext:
        return InsertContext(number, f"event-{number}", interrupted, begin, lambda exchange: None)

    def insert(self, number: int = 1, name: str = "Курс", amount: str | None = "100", **paper: Any) -> Saved | Later:
        record = Record(name, None if amount is None else Decimal(amount), paper.pop("entity", None))
        self.ours.start([number])
        return self.ours.insert(record, self.paper(number, **paper))

    def fails(self, number: int = 1, **what: Any) -> DeliveryError:
        with pytest.raises(DeliveryError) as caught:
            self.insert(number, **what)
        return caught.value

    def meets(self, *faults: str, action: str = "insert") -> None:
        self.erp.faults.setdefault(action, []).extend(faults)

    def loses(self, fault: str = "lost") -> None:
        """The answer of the next insert, and the look right after it."""
        self.meets(fault)
        first = [] if self.ours._last else [""]
        self.meets(*first, "unreachable", action="select")


@pytest.fixture
def keyed() -> House:
    return House(field_key="field_1041")


@pytest.fixture
def plain() -> House:
    return House()


def test_what_is_sent(keyed: House) -> None:
    assert keyed.insert() == Saved("1", "70")
    assert keyed.erp.calls == [
        {
            "key": KEY,
            "username": USER,
            "password": PASSWORD,
            "action": "insert",
            "entity_id": 70,
            "items": {"field_1039": "Курс", "field_1040": "100", "field_1041": "dp-event-1"},
        }
    ]


def test_the_key_is_short_and_plain() -> None:
    assert key_of("0199f2a4-7c1e-7b52-9d0c-3f2b6a1e5d77") == "dp-0199f2a4-7c1e-7b52-9d0c-3f2b6a1e5d77"
    assert key_of("it's" * 100) == "dp-" + ("it-s" * 16)


def test_nothing_is_missing_only_with_all_four() -> None:
    assert House().ours.missing() == ()
    assert House(url="", password="").ours.missing() == ("CRM_API_URL", "CRM_API_PASSWORD")


# -- with a key


@pytest.mark.parametrize("fault", ["lost", "garbled"])
def test_with_a_key_a_lost_answer_is_looked_for_at_once(keyed: House, fault: str) -> None:
    keyed.meets(fault)
    made = keyed.insert()
    assert isinstance(made, Saved) and made.reference == "1" and "answer was lost" in made.note
    assert keyed.erp.asked() == ["insert", "select"]
    assert keyed.erp.calls[-1]["filters"] == {"1041": "dp-event-1"}


@pytest.mark.parametrize("fault", ["lost", "garbled"])
def test_with_a_key_an_insert_is_repeated_without_harm(keyed: House, fault: str) -> None:
    keyed.meets(fault)
    keyed.meets("unreachable", action="select")
    assert keyed.fails().outage
    made = keyed.insert()
    assert isinstance(made, Saved) and made.reference == "1" and "earlier attempt" in made.note
    assert len(keyed.erp.rows) == 1


def test_with_a_key_a_timeout_is_waited_out(keyed: House) -> None:
    keyed.meets("late")
    assert keyed.fails().cause == "erp_down"
    keyed.clock.now += 10
    waiting = keyed.insert()
    assert isinstance(waiting, Later) and waiting.seconds == 20
    keyed.erp.catch_up()
    keyed.clock.now += 20
    assert isinstance(keyed.insert(), Saved)
    assert len(keyed.erp.rows) == 1


def test_with_a_key_the_record_counts_even_if_its_id_cannot_be_seen(keyed: House) -> None:
    keyed.meets("lost")
    keyed.meets("empty", "empty", action="select")
    keyed.fails()
    made = keyed.insert()
    assert isinstance(made, Saved) and made.reference == ""


def test_with_a_key_rows_are_not_taken_by_a_filter_that_is_ignored(keyed: House) -> None:
    keyed.erp.row("Чужая", "1")
    keyed.meets("lost")
    keyed.meets("unreachable", action="select")
    keyed.fails()
    keyed.erp.select = lambda body: keyed.erp.said(keyed.erp.rows)  # type: ignore[method-assign]
    made = keyed.insert()
    assert isinstance(made, Saved) and made.reference == "2"


def test_another_unique_field_is_the_rows_own_fault(keyed: House) -> None:
    keyed.meets('{"status":"success","data":{"id":"","unique_fields_warning":[{"id":"1039","value":"Курс"}]}}')
    error = keyed.fails()
    assert (error.code, error.permanent, error.cause) == ("refused", True, "erp_refused")
    assert "field_1039" in error.message


def test_a_success_without_an_id_is_none(keyed: House) -> None:
    keyed.meets('{"status":"success","data":{"id":""}}')
    assert keyed.fails().cause == "erp_unreadable"
    assert keyed.insert() == Saved("1", "70")


def test_refusals(keyed: House) -> None:
    keyed.erp.entities = {71}
    assert keyed.fails().pause == PauseKind.SETTINGS
    assert keyed.insert(entity="71") == Saved("1", "71")
    assert keyed.fails(entity="72").permanent


# -- without


def test_without_a_key_one_look_and_one_insert(plain: House) -> None:
    assert plain.insert(1) == Saved("1", "70")
    assert plain.insert(2) == Saved("2", "70")
    assert plain.erp.asked() == ["select", "insert", "insert"]
    plain.clock.now += 61
    assert plain.insert(3) == Saved("3", "70")
    assert plain.erp.asked()[3:] == ["select", "insert"]


@pytest.mark.parametrize("fault", ["lost", "garbled"])
@pytest.mark.parametrize("restarted", [False, True])
def test_without_a_key_a_lost_answer_is_looked_for(plain: House, fault: str, restarted: bool) -> None:
    plain.erp.row("Курс", "100")
    plain.loses(fault)
    assert plain.fails().outage
    if restarted:
        plain.restart()
    made = plain.insert()
    assert isinstance(made, Saved) and made.reference == "2"
    assert len(plain.erp.rows) == 2


def test_without_a_key_most_lost_answers_are_found_at_once(plain: House) -> None:
    plain.erp.row("Курс", "100")
    plain.meets("lost")
    made = plain.insert()
    assert isinstance(made, Saved) and made.reference == "2" and "answer was lost" in made.note
    assert plain.erp.asked() == ["select", "insert", "select"]


@pytest.mark.parametrize("fault", ["empty", "<app_db_error>2006</app_db_error>", "unreachable"])
def test_without_a_key_what_was_not_made_is_made(plain: House, fault: str) -> None:
    plain.erp.row("Курс", "100")
    plain.meets(fault)
    assert plain.fails().outage
    assert plain.insert() == Saved("2", "70")
    assert len(plain.erp.rows) == 2


def test_without_a_key_the_look_is_for_what_was_sent(plain: House) -> None:
    plain.loses()
    plain.fails(name="Курс", amount="100")
    made = plain.insert(name="Переименован", amount="200")
    assert isinstance(made, Saved) and made.reference == "1"
    assert len(plain.erp.rows) == 1


def test_without_a_key_a_row_that_somebody_makes_meanwhile_cannot_be_told(plain: House) -> None:
    plain.loses()
    plain.fails()
    plain.erp.row("Курс", "100")
    error = plain.fails()
    assert (error.code, error.cause, error.permanent) == ("ambiguous", "erp_ambiguous", True)
    assert "1, 2" in error.message
    assert plain.insert() == Saved("3", "70"), "sent again by a person who looked, it is a new insert"


def test_without_a_key_a_row_that_was_found_is_not_taken_for_the_next_one(plain: House) -> None:
    plain.insert(1)
    plain.meets("lost", "lost")
    made = [plain.insert(2), plain.insert(3)]
    assert [one.reference for one in made if isinstance(one, Saved)] == ["2", "3"]


def test_without_a_key_two_in_doubt_get_a_row_each(plain: House) -> None:
    plain.loses()
    plain.fails(1)
    plain.loses()
    plain.fails(2)
    made = [plain.insert(1), plain.insert(2)]
    assert [one.reference for one in made if isinstance(one, Saved)] == ["1", "2"]
    assert len(plain.erp.rows) == 2


def test_without_a_key_one_of_two_in_doubt_takes_the_only_row(plain: House) -> None:
    plain.loses()
    plain.fails(1)
    plain.meets("empty")
    plain.fails(2)
    assert {one.reference for one in (plain.insert(2), plain.insert(1)) if isinstance(one, Saved)} == {"1", "2"}
    assert len(plain.erp.rows) == 2


def test_without_a_key_a_later_row_of_ours_is_not_taken_for_it(plain: House) -> None:
    plain.meets("empty")
    plain.fails(1)
    assert plain.insert(2) == Saved("1", "70")
    plain.restart()
    assert plain.insert(1) == Saved("2", "70")
    assert len(plain.erp.rows) == 2


def test_without_a_key_a_timeout_is_waited_out(plain: House) -> None:
    plain.insert(9)
    plain.meets("late")
    plain.fails()
    plain.clock.now += 5
    assert isinstance(plain.insert(), Later)
    plain.erp.catch_up()
    made = plain.insert()
    assert isinstance(made, Saved) and made.reference == "2", "found as soon as it is there"
    plain.meets("timeout")
    plain.fails(3, name="Другой")
    plain.clock.now += 31
    assert plain.insert(3, name="Другой") == Saved("3", "70")


def test_a_gateway_that_gave_up_leaves_the_ERP_at_work(plain: House) -> None:
    plain.meets("gateway")
    assert plain.fails().status == 504
    assert isinstance(plain.insert(), Later)


@pytest.mark.parametrize("acted", [True, False])
def test_a_worker_that_dies_in_the_middle_leaves_enough_to_tell(plain: House, acted: bool) -> None:
    class Killed(BaseException):
        pass

    inner = plain.erp.insert

    def dies(body: dict[str, Any]) -> Any:
        if acted:
            inner(body)
        raise Killed

    plain.erp.row("Курс", "100")
    plain.erp.insert = dies  # type: ignore[method-assign]
    with pytest.raises(Killed):
        plain.insert()
    plain.erp.insert = inner  # type: ignore[method-assign]
    plain.restart()
    plain.clock.now += 31
    made = plain.insert(interrupted=True)
    assert isinstance(made, Saved) and made.reference == "2"
    assert len(plain.erp.rows) == 2


def test_a_worker_that_dies_after_the_answer_knows_what_it_made(plain: House) -> None:
    plain.insert(1)
    plain.restart()
    made = plain.insert(1, interrupted=True)
    assert isinstance(made, Saved) and made.reference == "1"
    assert len(plain.erp.rows) == 1


def test_a_lease_that_was_lost_before_sending_leaves_no_doubt(plain: House) -> None:
    def lost() -> None:
        raise LeaseLost

    with pytest.raises(LeaseLost):
        plain.insert(begin=lost)
    assert plain.erp.asked() == ["select"]
    assert plain.insert() == Saved("1", "70")


def test_an_interrupted_attempt_of_which_nothing_is_known(plain: House) -> None:
    assert plain.insert(1, interrupted=True) == Saved("1", "70")
    assert plain.fails(2, interrupted=True).code == "ambiguous"


def test_a_user_who_may_insert_but_not_see(plain: House) -> None:
    plain.meets(*["empty"] * 9, action="select")
    assert plain.insert(1) == Saved("1", "70")
    assert plain.insert(2) == Saved("2", "70")
    assert plain.erp.asked() == ["select", "login", "insert", "insert"]


def test_a_wrong_password_sends_nothing(plain: House) -> None:
    plain.settings = Settings(url=plain.settings.url, key=KEY, username=USER, password="wrong")
    plain.restart()
    assert plain.fails().cause == "erp_unreadable"
    assert plain.erp.asked() == ["select", "login"]


def test_updates(keyed: House) -> None:
    keyed.insert(1)
    record = Record("Новое", Decimal("7"))
    assert keyed.ours.update("1", record, keyed.paper(2)) == Saved("1", "70")
    assert keyed.erp.rows[0]["1039"] == "Новое"
    assert keyed.erp.calls[-1]["update_by_field"] == {"id": "1"}
    assert keyed.ours.update("99", record, keyed.paper(2)) is None


def test_what_is_remembered_does_not_grow(plain: House) -> None:
    for number in range(1, 30):
        plain.insert(number)
        plain.clock.now += 86400
    assert len(plain.key_values.items("erp-made")) <= 8
    assert len(plain.key_values.items("erp-inserts")) == 1
    assert plain.key_values.kept["erp-inserts", "open"].value.keys() <= {"29"}


def test_fields_that_the_ERP_does_not_have() -> None:
    house = House(field_key="field_1041", fields=(("field_1050", "{stage}"),))
    client = Client(house.settings, cast(Http, house.erp), house.clock)
    house.erp.select = lambda body: house.erp.said(house.erp.rows)  # type: ignore[method-assign]
    assert client.unknown_fields() == ()
    house.erp.add(**{"1039": "x", "1040": "1", "1041": ""})
    assert client.unknown_fields() == ("field_1050",)
    assert house.erp.calls[-1]["select_fields"] == "1039,1040,1041,1050"
    house.erp.entities = set()
    with pytest.raises(DeliveryError) as caught:
        client.unknown_fields()
    assert caught.value.cause == "erp_settings"


def test_signing_in() -> None:
    house = House()
    client = Client(house.settings, cast(Http, house.erp), house.clock)
    assert client.login() == "Dealpost"
    wrong = Client(Settings(url=house.settings.url, key="wrong"), cast(Http, house.erp), house.clock)
    with pytest.raises(DeliveryError) as caught:
        wrong.login()
    assert caught.value.cause == "erp_settings"
