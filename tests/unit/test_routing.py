"""What events mean, and what is wrong with those that mean nothing."""

import pytest

from outbox.message import NewDelivery, State
from service.email_address import normal_email
from service.routing import (
    ERP,
    NAMES,
    Refused,
    fingerprint,
    first_wins,
    known_by_id,
    known_by_place,
    not_routed,
    route,
)

LESSONS = {67: 1, 68: 2}


def faults(name, data, lessons=LESSONS):
    with pytest.raises(Refused) as refused:
        route(name, data, lessons)
    return {fault.path: fault.message for fault in refused.value.faults}


# --- lessons ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lesson", [{"lesson": 1}, {"lesson_id": 67}, {"lesson": 1, "lesson_id": 67}, {"lesson_id": "67"}]
)
def test_a_lesson_goes_to_amocrm_under_its_students_key(lesson):
    routed = route("lesson.completed", {"email": " Anna@Example.COM ", **lesson}, LESSONS)
    assert routed.deliveries == (NewDelivery("amocrm", key="email:anna@example.com"),)
    assert routed.email == "anna@example.com"
    assert routed.data["lesson"] == 1


def test_what_was_sent_stays_beside_what_was_worked_out():
    sent = {"email": " Anna@Example.COM ", "lesson_id": "67", "course": {"deep": [1, None]}}
    assert route("lesson.completed", sent, LESSONS).data == {**sent, "lesson": 1}


def test_a_lesson_is_known_for_a_day_by_student_and_number():
    dedupe = route("lesson.completed", {"email": "A@b.ru", "lesson_id": 68}, LESSONS).dedupe
    assert dedupe is not None
    assert (dedupe.key, dedupe.window, dedupe.fingerprint) == ("lesson:a@b.ru:2", 86400.0, None)


def test_a_lesson_may_lie_outside_the_map_when_it_is_named_by_its_number():
    assert route("lesson.completed", {"email": "a@b.ru", "lesson": 9}, LESSONS).data["lesson"] == 9


def test_every_fault_of_a_lesson_is_named_at_once():
    assert set(faults("lesson.completed", {"email": "nobody", "lesson": 0})) == {"email", "lesson"}
    assert set(faults("lesson.completed", {})) == {"email", "lesson_id"}


def test_a_lesson_id_outside_the_map_is_refused():
    assert "LESSON_MAP" in faults("lesson.completed", {"email": "a@b.ru", "lesson_id": 99})["lesson_id"]


def test_a_lesson_and_a_lesson_id_that_disagree_are_refused():
    assert "lesson 2" in faults("lesson.completed", {"email": "a@b.ru", "lesson": 1, "lesson_id": 68})["lesson"]


@pytest.mark.parametrize("lesson", [True, False, 1.5, "one", "", -1, "-1", [1], {}, 10**16, "1" * 5000, "١"])
def test_a_lesson_is_a_whole_number(lesson):
    assert "lesson" in faults("lesson.completed", {"email": "a@b.ru", "lesson": lesson})


@pytest.mark.parametrize("data", [None, [], "text", 5, True])
def test_data_are_an_object(data):
    assert "expected an object" in faults("lesson.completed", data)[""]


# --- e-mails ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("a@b.ru", "a@b.ru"),
        ("  First.Last+tag@Sub.Example.com\n", "first.last+tag@sub.example.com"),
        ("ИВАН@почта.рф", "иван@почта.рф"),
        ("o'neil_%x@example.co.uk", "o'neil_%x@example.co.uk"),
        ("x@xn--80a1acny.xn--p1ai", "x@почта.рф"),
        ("x@Bücher.Example", "x@bücher.example"),
        ("x@XN--bcher-kva.example", "x@bücher.example"),
        ("x@xn--0.example", "x@xn--0.example"),
    ],
)
def test_an_email_is_trimmed_and_casefolded(sent, kept):
    assert normal_email(sent) == kept


@pytest.mark.parametrize(
    "sent",
    ["", " ", "a", "a@", "@b.ru", "a@b", "a@@b.ru", "a b@c.ru", "a@b..ru", "a@.ru", "a@b.ru.", "a,b@c.ru", "a@b.r\0u",
     "a@b.ru, c@d.ru",
     "a\u200bb@c.ru", "\ufeffa@b.ru", "a@b.ru\u2060", "a@b\u00ad.ru", "a@b.\u202eru", "<a@b.ru>", "a@b.1",
     "x" * 65 + "@b.ru", "a@" + "b" * 250 + ".ru"],
)  # fmt: skip
def test_what_is_no_email_is_refused(sent):
    assert normal_email(sent) is None


def test_a_long_text_that_is_no_email_is_told_apart_at_once():
    assert normal_email("a@" + "b." * 120 + "!") is None


# --- records ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["crm/create-deal", "erp/task.create"])
def test_both_names_make_a_record_in_the_erp_without_a_key(name):
    routed = route(name, {"dealName": "Course", "amount": 4900, "entityId": 71, "more": 1}, LESSONS)
    assert routed.deliveries == (NewDelivery(ERP),)
    assert routed.data == {"dealName": "Course", "amount": 4900, "entityId": 71, "more": 1}
    assert routed.dedupe is None


@pytest.mark.parametrize(
    "amount", [None, 0, 0.0, 1500, 1500.5, 1500.55, "0", "1500", "1500.5", "1500.50", " 7 ", 10**30, 1e3]
)
def test_an_amount_is_zero_or_more_with_two_decimals_at_most(amount):
    route("crm/create-deal", {"dealName": "x", "amount": amount}, LESSONS)


@pytest.mark.parametrize(
    "amount",
    [-1, -0.01, "-1", 1.005, "1.005", "1 000", "1,5", "", " ", "abc", True, False, [], {}, float("inf"), float("nan"),
     "1e3", "0x10", "٣", "1" * 256, 1e-9, ".5", "5."],
)  # fmt: skip
def test_what_is_no_amount_is_refused(amount):
    assert set(faults("crm/create-deal", {"dealName": "x", "amount": amount})) == {"amount"}


@pytest.mark.parametrize(
    ("computed", "meant"),
    [
        (0.1 + 0.2, 0.3), (0.1 + 0.7, 0.8), (1.1 * 3, 3.3), (4.35 * 100, 435), (1e8 + 0.1 + 0.2, 100000000.3),
        ("0.30000000000000004", "0.30"), ("0.7999999999999999", "0.80"), (-0.0, 0), (1499.9999999999998, 1500),
    ],
)  # fmt: skip
def test_an_amount_that_floating_point_has_moved_is_moved_back(computed, meant):
    data = route("crm/create-deal", {"dealName": "x", "amount": computed}, LESSONS).data
    assert data["amount"] == meant and str(data["amount"])[0] != "-"


@pytest.mark.parametrize("entity", ["", " ", None])
def test_an_empty_entity_is_none(entity):
    assert route("crm/create-deal", {"dealName": "x", "entityId": entity}, LESSONS).data["entityId"] is None


def test_an_invisible_character_is_told_by_its_number():
    assert "U+200B" in faults("lesson.completed", {"email": "a@b\u200b.ru", "lesson": 1})["email"]


@pytest.mark.parametrize("name", [None, "", "  ", 5, True, [], "x" * 256])
def test_a_deals_name_is_a_text_that_the_erp_keeps_whole(name):
    assert set(faults("crm/create-deal", {"dealName": name})) == {"dealName"}


def test_a_deals_name_of_255_characters_is_kept_whole():
    route("crm/create-deal", {"dealName": "Ж" * 255}, LESSONS)


@pytest.mark.parametrize("entity", [0, -1, "x", 1.5, True, 10**10])
def test_an_entity_is_a_positive_whole_number(entity):
    assert set(faults("crm/create-deal", {"dealName": "x", "entityId": entity})) == {"entityId"}


def test_an_error_never_repeats_a_long_value():
    assert all(
        len(message) < 200 for message in faults("lesson.completed", {"email": "x" * 9000, "lesson": 1}).values()
    )


# --- what goes nowhere, and what is known -----------------------------------------------------------------------------


def test_an_unknown_name_is_kept_as_one_row_that_goes_nowhere():
    (delivery,) = not_routed("shop/opened", {"a": 1}).deliveries
    assert (delivery.destination, delivery.state) == ("-", State.SKIPPED)
    assert delivery.reason.startswith("not_routed: ")


def test_a_webhook_cannot_be_made_by_a_sender():
    assert "amocrm/webhook" not in NAMES


def test_the_same_data_have_one_fingerprint_however_they_are_written():
    assert fingerprint({"a": 1, "b": [1.0, {"c": "я"}]}) == fingerprint({"b": [1, {"c": "я"}], "a": 1.0})
    assert fingerprint({"a": 1}) != fingerprint({"a": "1"})
    assert fingerprint({"a": 2**60 + 1}) != fingerprint({"a": 2**60})


def test_ids_of_different_senders_and_names_are_different_ids():
    keys = [
        known_by_id("one", "a", "1", {}),
        known_by_id("two", "a", "1", {}),
        known_by_id("one", "b", "1", {}),
        known_by_id("one", "a", "b:1", {}),
        known_by_id("one", "a:b", "1", {}),
        known_by_place("one", "a", "1", 0, {}),
        known_by_place("one", "a", "1", 1, {}),
        known_by_id("one", "a", "0:1", {}),
    ]
    assert len({dedupe.key for dedupe in keys}) == len(keys)


def test_where_the_first_one_wins_nothing_is_compared():
    assert first_wins(known_by_id("one", "a", "1", {"x": 1})).fingerprint is None


def test_a_name_may_be_as_long_as_the_configured_entity_keeps_it() -> None:
    data = {"dealName": "я" * 300}
    assert route("crm/create-deal", data, {}, name_longest=16_000).data == data
    for refused in ({**data, "entityId": 80}, {"dealName": "я" * 16_001}):
        with pytest.raises(Refused) as caught:
            route("crm/create-deal", refused, {}, name_longest=16_000)
        assert [fault.path for fault in caught.value.faults] == ["dealName"]
    with pytest.raises(Refused):
        route("crm/create-deal", data, {})
