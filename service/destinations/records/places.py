"""A deal of amoCRM with its person, and the texts that a record may take from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from service.amocrm.payloads import Contact, Lead


@dataclass(frozen=True)
class Deal:
    """A deal of which a record is to be made. stage, pipeline: the names of where the change brought it."""

    lead: Lead
    contact: Contact | None = None
    stage: str = ""
    pipeline: str = ""


def texts_of(deal: Deal) -> dict[str, str]:
    """The places of a deal: deal.*, contact.*, stage, pipeline, and custom:<name, code or id> (the deal's first)."""
    lead, contact = deal.lead, deal.contact
    found = {
        "deal.id": str(lead.id),
        "deal.name": lead.name,
        "deal.price": format(lead.price, "f"),
        "stage": deal.stage,
        "pipeline": deal.pipeline,
    }
    if contact is not None:
        custom = custom_texts(contact.custom_fields)
        found |= custom
        found |= {
            "contact.id": str(contact.id),
            "contact.name": contact.name,
            "contact.email": first(contact.custom_fields, "EMAIL"),
            "contact.phone": first(contact.custom_fields, "PHONE"),
        }
    return found | custom_texts(lead.custom_fields)


def custom_texts(fields: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """custom:<name>, custom:<code> and custom:<id>, in lower case -> the values, comma separated."""
    found: dict[str, str] = {}
    for one in fields:
        text = ", ".join(_values(one))
        for name in ("field_name", "field_code", "field_id"):
            if text and one.get(name):
                found.setdefault(f"custom:{str(one[name]).strip().casefold()}", text)
    return found


def first(fields: Iterable[Mapping[str, Any]], code: str) -> str:
    """The first value of the field with this code."""
    values = [text for one in fields if str(one.get("field_code", "")).upper() == code for text in _values(one)]
    return values[0] if values else ""


def _values(one: Mapping[str, Any]) -> list[str]:
    listed = one.get("values")
    values = [item.get("value") for item in listed if isinstance(item, Mapping)] if isinstance(listed, list) else []
    return [str(value).strip() for value in values if value not in (None, "") and not isinstance(value, dict | list)]
