"""Which field gets what, and which row of the ERP looks like what was sent."""

from decimal import Decimal

import pytest

from service.config import Erp
from service.destinations.records.erp import Record
from service.destinations.records.rukovoditel import fields
from service.destinations.records.rukovoditel.entity_fields import Field, fields_of
from service.destinations.records.rukovoditel.recovery import Insert, matching, own_row, same_amount, same_text


def record(amount: str | None = "100", name: str = "Курс", **places: str) -> Record:
    return Record(name, None if amount is None else Decimal(amount), None, places)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0"),
        ("0.00", "0"),
        ("1500", "1500"),
        ("1500.0", "1500"),
        ("1500.50", "1500.50"),
        ("1990.5", "1990.5"),
        ("1E+6", "1000000"),
        ("0.01", "0.01"),
    ],
)
def test_amounts_are_plain_and_exact(amount: str, text: str) -> None:
    assert fields.plain(Decimal(amount)) == text


def test_zero_is_an_amount_and_none_is_none() -> None:
    assert fields.items(Erp(), record("0"))[0] == {"field_1039": "Курс", "field_1040": "0"}
    assert fields.items(Erp(), record(None))[0] == {"field_1039": "Курс"}


def test_the_map_of_further_fields() -> None:
    erp = Erp(
        fields=(("field_1050", "{contact.email}"), ("field_1051", "{custom:Город }, Россия"), ("field_1052", "{stage}"))
    )
    made = record(**{"contact.email": "a@b.ru", "custom:город": "Казань"})
    assert fields.items(erp, made) == (
        {"field_1039": "Курс", "field_1040": "100", "field_1050": "a@b.ru", "field_1051": "Казань, Россия"},
        "",
    )
    assert fields.places(erp) == {"contact.email", "custom:Город", "stage"}


def test_what_the_ERP_would_cut_is_cut_and_told() -> None:
    items, note = fields.items(Erp(), record(name="я" * 300))
    assert items["field_1039"] == "я" * 255
    assert "field_1039 (255)" in note


def test_a_text_area_is_not_cut_where_its_kind_is_known() -> None:
    erp = Erp(
        fields=(("field_1050", "{data.answer}"), ("field_1051", "{data.answer}"), ("field_1052", "{data.answer}"))
    )
    kinds = {"1050": Field(type="fieldtype_textarea"), "1051": Field(type="fieldtype_input")}
    items, note = fields.items(erp, record(**{"data.answer": "я" * 3000}), lambda: kinds)
    assert [len(items[f"field_{number}"]) for number in (1050, 1051, 1052)] == [3000, 255, 255]
    assert "field_1050" not in note and "field_1051" in note and "field_1052" in note


def test_the_ERP_is_asked_for_its_fields_only_where_a_text_is_long() -> None:
    def never() -> None:
        raise AssertionError

    assert fields.items(Erp(), record(name="я" * 255), never)[1] == ""


@pytest.mark.parametrize(
    ("template", "places", "text"),
    [
        ("{contact.email}, {custom:Город}", {}, ""),
        ("UTM: {data.utm.source} / {data.utm.campaign}", {"data.utm.source": "  "}, ""),
        ("{custom:Город}, {contact.phone}", {"contact.phone": "+7"}, ", +7"),
        ("Заявка с сайта", {}, "Заявка с сайта"),
        ("{stage}{pipeline}", {"stage": "{pipeline}"}, "{pipeline}"),
    ],
)
def test_what_stands_between_places_goes_when_all_are_empty(template: str, places: dict[str, str], text: str) -> None:
    made = fields.items(Erp(fields=(("field_1050", template),)), record(**places))[0]
    assert made.get("field_1050", "") == text


@pytest.mark.parametrize("configuration", ['{"is_unique":"1"}', {"is_unique": 1}, '{"is_unique":true}'])
def test_what_the_ERP_tells_of_its_fields(configuration: object) -> None:
    rows = [
        {"id": "1041", "name": "Ключ", "type": "fieldtype_input", "configuration": configuration},
        {"id": 1042, "type": "fieldtype_textarea", "configuration": "?"},
        {"id": "field_1043", "configuration": {"is_unique": "0"}},
        {"name": "no id"},
    ]
    found = fields_of(rows)
    assert found == {
        "1041": Field("Ключ", "fieldtype_input", True),
        "1042": Field(type="fieldtype_textarea"),
        "1043": Field(),
    }
    assert fields_of({"1": rows[0]}) == {"1041": found["1041"]} and fields_of("") == {}


@pytest.mark.parametrize(
    "shown", ["1500.5", "1500.50", "1 500,50", "1,500.50", "1.500,50", "1500,5 ₽", "1\u00a0500,50"]
)
def test_an_amount_is_known_again_however_it_is_shown(shown: str) -> None:
    assert same_amount(shown, "1500.5")


@pytest.mark.parametrize("shown", ["1500", "15005", "150.50", "0"])
def test_another_amount_is_another(shown: str) -> None:
    assert not same_amount(shown, "1500.5")


def test_a_text_is_known_again_however_it_is_shown() -> None:
    assert same_text("Курс &amp; школа", "курс &  школа ")
    assert same_text("Курс", "<b>Курс</b>")
    assert same_text("a &lt; b", "a < b")
    assert not same_text("Курс 2", "Курс")


def test_rows_are_looked_at_one_by_one() -> None:
    rows = [
        {"id": "3", "1039": "Курс", "1040": "100"},
        {"id": "1", "1039": "Курс", "1040": "100.00"},
        {"id": "2", "1039": "Курс", "1040": "101"},
        {"id": "4", "1039": "Другой", "1040": "100"},
        {"id": "", "1039": "Курс", "1040": "100"},
    ]
    assert matching(rows, "1039", "1040", "Курс", "100") == [1, 3]
    assert matching(rows, "1039", "1040", "Курс", None) == [1, 2, 3]


def test_whose_row_it_is() -> None:
    insert = Insert("70", "Курс", "100", above=5)
    assert own_row(insert, [3, 5], 1) is None
    assert own_row(insert, [3, 6], 1) == 6
    assert own_row(insert, [6, 7], 1) == [6, 7]
    assert own_row(insert, [6, 7], 2) == 6
    assert own_row(Insert("70", "Курс", "100", above=5, taken=(6,)), [6], 1) is None
    assert own_row(Insert("70", "Курс", "100", above=None), [6], 1) == [6]
    assert own_row(Insert("70", "Курс", "100", above=None), [], 1) is None
