"""Which field of the ERP gets what: the name, the amount and the map of further fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal

from service.config import Erp
from service.destinations.records.erp import Record
from service.destinations.records.rukovoditel.entity_fields import Field
from service.fields import TEXT_MAX

PLACE = re.compile(r"\{([^{}]*)\}")


def places(settings: Erp) -> frozenset[str]:
    """The places that the templates of ERP_FIELDS name."""
    return frozenset(name.strip() for _, template in settings.fields for name in PLACE.findall(template))


def filled(template: str, value: Callable[[str], str]) -> str:
    """A template with its places filled in; "" where all of them are empty, whatever stands between them."""
    texts = [value(name.strip()) for name in PLACE.findall(template)]
    if texts and not any(text.strip() for text in texts):
        return ""
    left = iter(texts)
    return PLACE.sub(lambda _: next(left), template)


def items(
    settings: Erp, record: Record, known: Callable[[], Mapping[str, Field] | None] = lambda: None
) -> tuple[dict[str, str], str]:
    """-> (field_NNN: text, what was cut, in words). A mapped field without a value is left out.

    known: the entity's fields, which is asked only where a text is long; a field of unknown kind is cut as an input.
    """
    found = {settings.field_name: record.name}
    if record.amount is not None:
        found[settings.field_amount] = plain(record.amount)
    for name, template in settings.fields:
        if text := filled(template, record.value).strip():
            found[name] = text
    if all(len(text) <= TEXT_MAX for text in found.values()):
        return found, ""
    kinds = known() or {}
    longest = {name: kinds.get(number(name), Field()).longest for name in found}
    cut = [f"{name} ({longest[name]})" for name, text in found.items() if len(text) > longest[name]]
    note = f"cut to so many characters, more the ERP does not keep: {', '.join(cut)}" if cut else ""
    return {name: text[: longest[name]] for name, text in found.items()}, note


def plain(amount: Decimal) -> str:
    """An amount in digits: 0, 1500, 1500.5; never an exponent, and no decimals where there are none."""
    whole = amount.to_integral_value()
    return format(whole, "f") if amount == whole else format(amount, "f")


def number(field: str) -> str:
    """field_1041 as select wants it: the bare number. With the prefix it would be ignored and give all rows."""
    return field.removeprefix("field_")


def configured(settings: Erp) -> tuple[str, ...]:
    """All fields that the settings name."""
    names = (settings.field_name, settings.field_amount, settings.field_key, *(name for name, _ in settings.fields))
    return tuple(name for name in names if name)


def fingerprint(settings: Erp) -> Mapping[str, object]:
    """All that may change what the ERP says."""
    return {
        "url": settings.url,
        "key": settings.key,
        "username": settings.username,
        "password": settings.password,
        "entity": settings.entity_id,
        "fields": [settings.field_name, settings.field_amount, settings.field_key, *map(list, settings.fields)],
    }
