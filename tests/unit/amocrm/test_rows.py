"""What amoCRM's rows are read as, however the figures are written."""

from decimal import Decimal
from typing import Any

import pytest

from service.amocrm import payloads


def lead(**changes: Any) -> payloads.Lead:
    return payloads.lead({"id": 5, "status_id": 101, "pipeline_id": 10, **changes})


def test_ids_may_be_texts_and_missing_parts_are_empty() -> None:
    found = payloads.lead({"id": "5", "status_id": "101", "pipeline_id": "10", "updated_at": "1790000000", "new": [1]})
    assert (found.id, found.status_id, found.pipeline_id, found.updated_at) == (5, 101, 10, 1790000000.0)
    assert (found.name, found.contact_ids, found.tags, found.custom_fields) == ("", (), (), ())
    assert found.main_contact_id is None and found.closed_at is None and not found.is_deleted


@pytest.mark.parametrize(
    "node", [{}, {"id": 5}, {"id": 5, "status_id": 1}, {"id": None, "status_id": 1, "pipeline_id": 2}]
)
def test_a_deal_without_its_place_is_unreadable(node: dict[str, Any]) -> None:
    with pytest.raises(payloads.Unreadable):
        payloads.lead(node)


@pytest.mark.parametrize(
    ("given", "price"),
    [
        ({"price": 1490, "price_with_minor_units": Decimal("1490.50")}, "1490.50"),
        ({"price": 1490, "price_with_minor_units": "1490.5"}, "1490.5"),
        ({"price": 0, "price_with_minor_units": Decimal("12.5")}, "12.5"),
        ({"price": 1490, "price_with_minor_units": 149050}, "149050"),  # whole units, whatever the price beside it
        ({"price": -1294967296, "price_with_minor_units": 3000000000}, "3000000000"),
        ({"price": 1490, "price_with_minor_units": None}, "1490"),
        ({"price": 0, "price_with_minor_units": 0}, "0"),
        ({"price": 0, "price_with_minor_units": Decimal("0.5")}, "0.5"),
        ({"price": None}, "0"),
        ({"price": "4900"}, "4900"),
        ({"price": "много"}, "0"),
        ({"price": True}, "0"),
        (
            {"price": 90071992547409931, "price_with_minor_units": Decimal("90071992547409931.07")},
            "90071992547409931.07",
        ),
    ],
)
def test_price_is_exact(given: dict[str, Any], price: str) -> None:
    assert lead(**given).price == Decimal(price)


def test_an_exact_price_survives_the_reading_of_json() -> None:
    node = payloads.document(
        b'{"id":5,"status_id":1,"pipeline_id":2,"price":90071992547409931,"price_with_minor_units":90071992547409931.07}'
    )
    assert payloads.lead(node).price == Decimal("90071992547409931.07")


def test_contacts_of_a_deal_and_its_main_one() -> None:
    people = [{"id": 1, "is_main": False}, {"id": "2", "is_main": True}]
    found = lead(_embedded={"contacts": people, "tags": [{"id": 1, "name": "VIP"}]})
    assert found.contact_ids == (1, 2) and found.main_contact_id == 2 and found.tags == ("VIP",)
    assert lead(_embedded={"contacts": [{"id": 9}]}).main_contact_id == 9


@pytest.mark.parametrize(
    "fields", [None, [], {}, [{"field_code": "EMAIL"}], [{"field_code": "EMAIL", "values": None}], ["x"]]
)
def test_a_contact_may_bear_no_email(fields: Any) -> None:
    assert payloads.contact({"id": 1, "custom_fields_values": fields}).emails == ()


def test_emails_are_trimmed_and_casefolded_and_only_those_of_email_fields() -> None:
    fields = [
        {"field_code": "PHONE", "values": [{"value": "anna@phone.example"}]},
        {"field_code": "EMAIL", "values": [{"value": " Anna@Example.COM "}, {"value": ""}, {"value": None}]},
        {"field_code": "email", "values": [{"value": "anna@example.com"}, {"value": "b@example.com"}]},
        {"field_code": None, "field_name": "Email 2", "values": [{"value": "c@example.com"}]},
    ]
    assert payloads.contact({"id": 1, "custom_fields_values": fields}).emails == ("anna@example.com", "b@example.com")


@pytest.mark.parametrize("outer", [None, [], {}, {"leads": None}, {"leads": []}, {"leads": {}}])
def test_a_missing_list_is_an_empty_one(outer: Any) -> None:
    assert payloads.embedded({"_embedded": outer}, "leads") == []


def test_a_list_with_gaps_is_written_as_an_object_by_php() -> None:
    assert payloads.embedded({"_embedded": {"leads": {"1": {"id": 4}, "3": {"id": 5}}}}, "leads") == [
        {"id": 4},
        {"id": 5},
    ]


@pytest.mark.parametrize("outer", ["text", 5, [1], {"leads": "text"}, {"leads": 5}])
def test_another_shape_is_unreadable(outer: Any) -> None:
    with pytest.raises(payloads.Unreadable):
        payloads.embedded({"_embedded": outer}, "leads")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"5", b"null", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_object_is_unreadable(body: bytes) -> None:
    with pytest.raises(payloads.Unreadable) as fault:
        payloads.document(body)
    assert "html" not in str(fault.value)


def test_stages_are_ordered_by_sort_and_closed_ones_are_last_whatever_their_sort() -> None:
    stages = [{"id": 143, "sort": 1}, {"id": 142, "sort": 5}, {"id": "7", "sort": "20"}, {"id": 8, "sort": 10}, {}]
    found = payloads.pipeline({"id": 1, "_embedded": {"statuses": stages}})
    assert [stage.id for stage in found.stages] == [8, 7, 142, 143]


def test_changes_of_stage_out_of_the_log_of_events() -> None:
    def value(status: int, pipeline: int) -> list[dict[str, Any]]:
        return [{"lead_status": {"id": status, "pipeline_id": pipeline}}]

    row = {"id": "01h", "type": "lead_status_changed", "entity_id": 9, "created_at": 1790000000}
    found = payloads.status_change({**row, "value_before": value(101, 10), "value_after": value(102, 10)})
    assert found == payloads.StatusChange("01h", 9, 1790000000.0, 10, 101, 10, 102)
    assert payloads.status_change({**row, "value_before": [], "value_after": value(102, 10)}) == payloads.StatusChange(
        "01h", 9, 1790000000.0, None, None, 10, 102
    )
    made = payloads.status_change({**row, "type": "lead_added"})
    assert made is not None and made.is_new and made.lead_id == 9
    assert payloads.status_change({**row, "type": "lead_deleted"}) is None
    assert payloads.status_change({"id": "x"}) is None


def test_a_contacts_telephones_are_those_of_its_phone_fields_as_they_are_written() -> None:
    phones = [{"value": " +7 912 345-67-89 "}, {"value": ""}, {"value": None}, {"value": "+7 912 345-67-89"}]
    fields = [{"field_code": "PHONE", "values": phones}, {"field_code": "EMAIL", "values": [{"value": "a@x"}]}]
    assert payloads.contact({"id": 1, "custom_fields_values": fields}).phones == ("+7 912 345-67-89",)
