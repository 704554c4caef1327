"""ERP_FIELDS is checked at the start: every fault is named."""

import pytest

from service.config import ConfigError, load


def fields(text: str) -> tuple[tuple[str, str], ...]:
    return load({"ERP_FIELDS": text, "ERP_FIELD_KEY": "field_1041"}).erp.fields


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        fields(text)
    return caught.value.faults


def test_places_and_texts() -> None:
    assert fields(
        "field_1050={contact.email}, field_1051={custom:Город, район},field_1052=Урок {stage}, {data.utm.source}"
    ) == (
        ("field_1050", "{contact.email}"),
        ("field_1051", "{custom:Город, район}"),
        ("field_1052", "Урок {stage}, {data.utm.source}"),
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("field_1050={contact.mail}", "{contact.mail}"),
        ("field_1050={lead.name}", "{lead.name}"),
        ("field_1050={}", "{}"),
        ("field_1050={custom:}", "{custom:}"),
        ("field_1050={stage", "braces"),
        ("field_1050=stage}", "braces"),
        ("1050={stage}", "field_NNN"),
        ("field_1050=", "field_NNN"),
        ("field_1050={stage},field_1050={pipeline}", "field_1050"),
        ("field_1039={stage}", "field_1039"),
        ("field_1041={stage}", "field_1041"),
    ],
)
def test_faults(text: str, named: str) -> None:
    assert any(named in fault for fault in faults(text))


def test_all_faults_are_named_at_once() -> None:
    assert len(faults("field_1={a},field_2={b},field_1={stage}")) == 3


def test_name_amount_and_key_need_fields_of_their_own() -> None:
    with pytest.raises(ConfigError, match="three different fields"):
        load({"ERP_FIELD_KEY": "field_1039"})
