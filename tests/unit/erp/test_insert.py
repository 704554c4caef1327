"""A record is made once in Rukovoditel, with a key and without."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

import pytest

from outbox.outcome import DeliveryError, Later, LeaseLost, PauseKind
from service.config import Erp as Settings
from service.destinations.records.erp import InsertContext, Record, Saved
from service.destinations.records.rukovoditel.client import Client, Login
from service.destinations.records.rukovoditel.entity_fields import AREA_MAX, NameLimit
from service.destinations.records.rukovoditel.insert import QUIET, Rukovoditel
from service.destinations.records.rukovoditel.looks import AGAIN, key_of
from service.destinations.records.rukovoditel.replies import Refused
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

    def try_insert(self, number: int = 1, **what: Any) -> Saved | Later | DeliveryError:
        try:
            return self.insert(number, **what)
        except DeliveryError as error:
            return error

    def meets(self, *faults: str, action: str = "insert") -> None:
        self.erp.faults.setdefault(action, []).extend(faults)

    def loses(self, fault: str = "lost") -> None:
        """The answer of the next insert, and the look right after it."""
        self.meets(fault)
        first = [] if self.ours._looks._last else [""]
        self.meets(*first, "unreachable", action="select")


@pytest.fixture
def keyed() -> House:
    return House(field_key="field_1041")


@pytest.fixture
def plain() -> House:
    return House()


def test_what_is_sent(keyed: House) -> None:
    assert keyed.insert() == Saved("1", "70")
    assert keyed.erp.calls[0] == (
        {
            "key": KEY,
            "username": USER,
            "password": PASSWORD,
            "action": "insert",
            "entity_id": 70,
            "items": {"field_1039": "Курс", "field_1040": "100", "field_1041": "dp-event-1"},
        }
    )
    assert keyed.erp.asked() == ["insert"]


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
    assert keyed.erp.calls[1]["filters"] == {"1041": "dp-event-1"}


@pytest.mark.parametrize("fault", ["lost", "garbled", "bad gateway"])
@pytest.mark.parametrize("unique", ["1041", ""])
def test_with_a_key_its_row_is_looked_for_before_an_insert_is_repeated(keyed: House, fault: str, unique: str) -> None:
    keyed.erp.unique = unique
    if fault == "bad gateway":
        keyed.erp.rows.append({"id": "1", "1039": "Курс", "1041": "dp-event-1"})
    keyed.meets(fault)
    keyed.meets("unreachable", action="select")
    assert keyed.fails().outage
    made = keyed.insert()
    assert isinstance(made, Saved) and made.reference == "1" and "answer was lost" in made.note
    assert len(keyed.erp.rows) == len(keyed.erp.items()) == 1


@pytest.mark.parametrize("unique", ["1041", ""])
def test_with_a_key_a_slow_insert_is_waited_out(keyed: House, unique: str) -> None:
    keyed.erp.unique = unique
    keyed.meets("late")
    assert keyed.fails().cause == "erp_down"
    for _ in range(3):
        keyed.clock.now += 25
        waiting = keyed.insert()
        assert isinstance(waiting, Later) and waiting.seconds <= 30
    keyed.erp.catch_up()
    assert isinstance(keyed.insert(), Saved)
    assert len(keyed.erp.rows) == len(keyed.erp.items()) == 1


def test_with_a_key_that_is_unique_what_was_not_made_is_made_at_once(keyed: House) -> None:
    keyed.meets("bad gateway")
    assert keyed.fails().outage
    assert keyed.insert() == Saved("1", "70")


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("fault", ["bad gateway", "timeout"])
def test_with_a_key_that_is_not_unique_two_looks_after_a_quiet_time_come_first(
    keyed: House, fault: str, told: bool
) -> None:
    keyed.erp.unique = ""
    if not told:  # an older version does not tell of its fields
        keyed.meets(*["refuse:Action not found"] * 99, action="get_entity_fields")
    keyed.meets(fault)
    keyed.fails()
    failed_at = keyed.clock.now
    while isinstance(keyed.insert(), Later):
        assert len(keyed.erp.items()) == 1
        keyed.clock.now += 5
    assert keyed.clock.now - failed_at > 90 + AGAIN
    assert [row["1041"] for row in keyed.erp.rows] == ["dp-event-1"]
    assert keyed.erp.asked()[-3:] == ["select", "select", "insert"]


def test_with_a_key_the_record_counts_even_if_its_id_cannot_be_seen(keyed: House) -> None:
    keyed.erp.sees = "nothing"
    keyed.meets("lost")
    keyed.fails()
    made = keyed.insert()
    assert isinstance(made, Saved) and made.reference == "" and len(keyed.erp.rows) == 1


def test_with_a_key_that_is_not_unique_and_cannot_be_seen_a_person_decides(keyed: House) -> None:
    keyed.erp.unique, keyed.erp.sees = "", "nothing"
    keyed.meets("lost")
    keyed.fails()
    while isinstance(made := keyed.try_insert(), Later):
        keyed.clock.now += made.seconds
    assert isinstance(made, DeliveryError) and made.code == "ambiguous" and len(keyed.erp.rows) == 1


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


def test_an_entity_of_the_event_that_lacks_the_configured_fields_says_so(keyed: House) -> None:
    keyed.erp.entities = {70, 80}
    keyed.erp.get_entity_fields = lambda body: keyed.erp.said([{"id": "1040"}])  # type: ignore[method-assign]
    keyed.meets("refuse:Field field_1039 not found")
    error = keyed.fails(entity="80")
    assert (error.code, error.permanent) == ("refused", True)
    assert "entity 80, which the event asks for (entityId)" in error.message
    assert "it has no field_1039, field_1041" in error.message


def test_a_refusal_in_unknown_words_pauses_all_where_nothing_else_is_taken_either(keyed: House) -> None:
    keyed.meets(*["refuse:Module extension is not installed"] * 2)
    error = keyed.fails()
    assert (error.pause, error.permanent) == (PauseKind.SETTINGS, False) and "Module extension" in error.message


def test_one_record_that_is_refused_in_unknown_words_holds_up_nobody(keyed: House) -> None:
    words = "refuse:Something is odd"
    keyed.meets(words)
    error = keyed.fails(1)
    assert (error.pause, error.permanent, error.outage) == (None, False, False) and "Something is odd" in error.message
    keyed.insert(2)
    for number, pause in ((1, None), (1, None), (3, PauseKind.SETTINGS), (3, None)):
        keyed.meets(words)
        error = keyed.fails(number)
        assert (error.pause, error.permanent) == (pause, False)


def test_a_redirect_is_told_without_what_is_secret_in_it(keyed: House) -> None:
    keyed.meets("moved")
    error = keyed.fails()
    assert error.cause == "erp_moved" and error.pause == PauseKind.SETTINGS
    assert "https://erp.example.org/api/rest.php" in error.message and "secret" not in error.message
    assert keyed.insert() == Saved("1", "70")


@pytest.mark.parametrize("key", ["field_1041", ""])
def test_a_record_that_was_made_behind_a_warning_of_PHP_counts_and_the_warning_is_told(key: str) -> None:
    house = House(field_key=key)
    house.meets('<br/><b>Warning</b>: x on line 9 {"status":"success","data":{"id":"7"}}')
    made = house.insert()
    assert isinstance(made, Saved) and made.reference == "7"
    assert "Warning" in made.note and "display_errors" in made.note


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


@pytest.mark.parametrize("fault", ["timeout", "gateway", "bad gateway", "<html>Please wait</html>"])
def test_without_a_key_two_looks_after_a_quiet_time_come_before_a_second_insert(plain: House, fault: str) -> None:
    plain.insert(9)
    plain.meets(fault)
    plain.fails()
    failed_at = plain.clock.now
    while isinstance(plain.insert(), Later):
        assert len(plain.erp.items()) == 2
        plain.clock.now += 5
    assert plain.clock.now - failed_at > 90 + AGAIN
    assert len(plain.erp.rows) == 2


def test_without_a_key_a_row_that_comes_between_the_two_looks_is_found(plain: House) -> None:
    plain.insert(9)
    plain.meets("late")
    plain.fails()
    plain.clock.now += QUIET + 1
    assert isinstance(plain.insert(), Later)
    plain.erp.catch_up()
    plain.clock.now += AGAIN + 1
    made = plain.insert()
    assert isinstance(made, Saved) and made.reference == "2" and len(plain.erp.rows) == 2


def test_without_a_key_a_timeout_is_waited_out(plain: House) -> None:
    plain.insert(9)
    plain.meets("late")
    plain.fails()
    plain.clock.now += 5
    assert isinstance(plain.insert(), Later)
    plain.erp.catch_up()
    made = plain.insert()
    assert isinstance(made, Saved) and made.reference == "2", "found as soon as it is there"


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
    killed_at = plain.clock.now
    while isinstance(made := plain.insert(interrupted=True), Later):
        plain.clock.now += 5
    assert isinstance(made, Saved) and made.reference == "2"
    assert len(plain.erp.rows) == 2
    assert acted or plain.clock.now - killed_at > 30 + 90, "the request may have left just before the end of its time"


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
    seen_at = plain.clock.now
    while isinstance(made := plain.insert(1, interrupted=True), Later):
        plain.clock.now += 5
    assert made == Saved("1", "70") and plain.clock.now - seen_at > 90
    assert plain.fails(2, interrupted=True).code == "ambiguous"


def test_a_worker_that_died_with_a_unique_key_holds_up_nothing(keyed: House) -> None:
    assert keyed.insert(1, interrupted=True) == Saved("1", "70")
    keyed.restart()
    made = keyed.insert(1, interrupted=True)
    assert isinstance(made, Saved) and made.reference == "1" and len(keyed.erp.rows) == 1


def test_a_worker_that_died_with_a_key_that_is_not_unique_is_waited_out(keyed: House) -> None:
    keyed.erp.unique = ""
    seen_at = keyed.clock.now
    while isinstance(keyed.insert(1, interrupted=True), Later):
        keyed.clock.now += 5
    assert keyed.clock.now - seen_at > 90 and len(keyed.erp.rows) == 1


def test_only_where_the_erp_is_known_to_keep_the_key_unique_may_an_insert_be_repeated(
    keyed: House, plain: House
) -> None:
    course = Record("Курс", None, None)
    assert not keyed.ours.may_repeat(course) and keyed.erp.asked() == [], "nobody was asked, so it is not known"
    keyed.insert()
    assert keyed.ours.may_repeat(course) and not keyed.ours.may_repeat(Record("Курс", None, "71"))
    assert keyed.restart().may_repeat(course), "what is known is kept"
    keyed.clock.now += 2 * 3600
    assert not keyed.ours.may_repeat(course), "but not for ever"
    keyed.erp.unique = ""
    keyed.insert(2)
    assert not keyed.ours.may_repeat(course)
    plain.insert()
    assert not plain.ours.may_repeat(course)


def test_a_connection_that_was_never_made_leaves_no_doubt_even_if_the_row_says_interrupted(plain: House) -> None:
    plain.erp.row("Курс", "100")
    plain.meets("unreachable")
    plain.fails()
    assert plain.insert(interrupted=True) == Saved("2", "70")


def test_a_user_who_may_insert_but_not_see(plain: House) -> None:
    plain.erp.sees = "nothing"
    assert plain.insert(1) == Saved("1", "70")
    assert plain.insert(2) == Saved("2", "70")
    assert plain.erp.asked() == ["select", "login", "insert", "insert"]


@pytest.mark.parametrize("sees", ["nothing", "none"])
@pytest.mark.parametrize("fault", ["lost", "late", "bad gateway"])
def test_what_a_user_who_may_not_see_lost_is_for_a_person_to_decide(plain: House, sees: str, fault: str) -> None:
    plain.erp.sees = sees
    plain.insert(9)
    plain.meets(fault)
    plain.fails()
    while isinstance(made := plain.try_insert(), Later):
        plain.clock.now += made.seconds
    plain.erp.catch_up()
    assert isinstance(made, DeliveryError)
    assert (made.code, made.permanent, made.pause) == ("ambiguous", True, None)
    assert len(plain.erp.items()) == 2
    plain.insert(3)  # the others go on


def test_one_look_that_fails_is_no_sign_of_a_lacking_right(plain: House) -> None:
    plain.insert(9)
    plain.meets("timeout")
    plain.fails()
    plain.clock.now += QUIET + 1
    plain.meets("empty", action="select")
    assert isinstance(plain.insert(), Later)
    plain.clock.now += AGAIN + 1
    while isinstance(made := plain.insert(), Later):
        plain.clock.now += made.seconds
    assert made == Saved("2", "70")


def test_a_user_who_may_neither_see_nor_create_is_no_doubt(plain: House) -> None:
    plain.erp.sees, plain.erp.may_create = "nothing", False
    assert plain.fails().cause == "erp_unreadable"
    plain.clock.now += 300
    assert plain.fails().cause == "erp_unreadable"
    plain.erp.sees, plain.erp.may_create = "all", True
    assert plain.insert() == Saved("1", "70")


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


def test_questions_that_change_nothing() -> None:
    house = House(field_key="field_1041")
    client = Client(house.settings, cast(Http, house.erp), house.clock)
    assert client.login() == Login("Dealpost")
    assert client.may_create("70")
    house.erp.may_create = False
    assert not client.may_create("70")
    assert client.fields("70")["1041"].unique and not client.fields("70")["1039"].unique
    assert house.erp.rows == []
    with pytest.raises(Refused):
        client.may_create("71")
    wrong = Client(Settings(url=house.settings.url, key="wrong"), cast(Http, house.erp), house.clock)
    with pytest.raises(DeliveryError) as caught:
        wrong.login()
    assert caught.value.cause == "erp_settings"


def test_what_intake_is_told_of_the_names_length_comes_from_the_ERP(plain: House) -> None:
    plain.erp.kinds["1039"] = "fieldtype_textarea"
    limit = NameLimit(70, "field_1039", lambda: plain.key_values, plain.clock)
    assert limit() == 255
    plain.insert()
    assert limit() == 255, "looked up seldom"
    plain.clock.now += 60
    assert limit() == AREA_MAX
    long = plain.insert(2, name="я" * 300)
    assert isinstance(long, Saved) and not long.note and plain.erp.rows[-1]["1039"] == "я" * 300
