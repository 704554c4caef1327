"""What an event means: the deliveries that it asks for, or every reason why it is refused. Pure.

A Fault's path is relative to the event's data, as in "email"; the ways in put their own prefix before it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from outbox.message import NOWHERE, Dedupe, Json, NewDelivery, State
from service.fields import NOTHING, TEXT_MAX, Amount, Email, Schema, Text, Whole, Wrong, got
from service.student_key import student_key

LESSON = "lesson.completed"
RECORDS = ("crm/create-deal", "erp/task.create")
NAMES = (LESSON, *RECORDS)
"""The names that a sender may use; `amocrm/webhook` is made by the webhook's route alone."""

WEBHOOK = "amocrm/webhook"
"""The event that a change of stage in amoCRM makes; no sender may send it."""

AMOCRM, ERP = "amocrm", "erp"
DAY = 24 * 3600.0
EMAIL = Email()
LESSON_NUMBER, LESSON_ID = Whole(), Whole(low=0)
DEAL_NAME = Text(TEXT_MAX, cut_by="the ERP")
AMOUNT = Amount()
ENTITY_ID = Whole(digits=9, empty_is_none=True)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: where, and what was got, what is expected."""

    path: str
    message: str


class Refused(Exception):
    """The event cannot be taken; faults names everything that is wrong with it."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{fault.path}: {fault.message}" for fault in faults))
        self.faults = faults


@dataclass(frozen=True)
class Routed:
    """A checked event. data: as sent, with what was worked out added (`lesson`)."""

    data: Mapping[str, Json]
    deliveries: tuple[NewDelivery, ...]
    email: str | None = None
    dedupe: Dedupe | None = None  # for an event that bears no id of its sender


def route(name: str, data: Any, lesson_map: Mapping[int, int], name_longest: int = TEXT_MAX) -> Routed:
    """Raises Refused with all faults. `name` must be one of NAMES. name_longest: characters that the ERP keeps of a
    record's name in the configured entity, as far as that is known; of another one nothing is."""
    if not isinstance(data, Mapping):
        raise Refused([Fault("", f"got {got(data)}, expected an object")])
    return _lesson(data, lesson_map) if name == LESSON else _record(data, name_longest)


def not_routed(name: str, data: Mapping[str, Json]) -> Routed:
    """An event that goes nowhere, kept so that a person can see that it came."""
    reason = f"not_routed: no destination takes events named {name}"
    return Routed(data, (NewDelivery(NOWHERE, state=State.SKIPPED, reason=reason),))


def _lesson(data: Mapping[str, Any], lesson_map: Mapping[int, int]) -> Routed:
    faults: list[Fault] = []
    email = _read(EMAIL, data, "email", faults)
    lesson = _read(LESSON_NUMBER, data, "lesson", faults)
    lesson_id = _read(LESSON_ID, data, "lesson_id", faults)
    if data.get("lesson") is None and data.get("lesson_id") is None:
        faults.append(Fault("lesson_id", "it is missing; expected lesson_id as on the platform, or lesson from 1"))
    if lesson_id is not None:
        mapped = lesson_map.get(lesson_id)
        if mapped is None:
            known = ", ".join(str(one) for one in lesson_map) or "none"
            faults.append(
                Fault("lesson_id", f"got {lesson_id}, expected one of those in LESSON_MAP ({known}); add it there")
            )
        elif lesson is not None and lesson != mapped:
            faults.append(
                Fault("lesson", f"got {lesson}, but lesson_id {lesson_id} is lesson {mapped}; send one, or both alike")
            )
        else:
            lesson = mapped
    if faults:
        raise Refused(faults)
    return Routed(
        {**data, "lesson": lesson},
        (NewDelivery(AMOCRM, key=student_key(email)),),
        email=email,
        dedupe=Dedupe(f"lesson:{email}:{lesson}", window=DAY),
    )


def _record(data: Mapping[str, Any], name_longest: int) -> Routed:
    faults: list[Fault] = []
    own_entity = data.get("entityId") not in (None, "")
    _read(DEAL_NAME if own_entity else replace(DEAL_NAME, longest=name_longest), data, "dealName", faults)
    kept = dict(data)
    for name, kind in (("amount", AMOUNT), ("entityId", ENTITY_ID)):
        value = _read(kind, data, name, faults)
        if name == "amount" or value is None:
            kept.update({name: value} if name in data else {})
    if faults:
        raise Refused(faults)
    return Routed(kept, (NewDelivery(ERP),))


def _read(kind: Any, data: Mapping[str, Any], name: str, faults: list[Fault]) -> Any:
    try:
        return kind.read(data.get(name))
    except Wrong as wrong:
        faults.append(Fault(name, str(wrong)))
        return None


# --- the same rules, as the API's description tells them --------------------------------------------------------------


def lesson_schema(lesson_map: Mapping[int, int]) -> Schema:
    """What `route` takes as the data of a lesson."""
    by_number: dict[int, list[int]] = {}
    for lesson_id, lesson in lesson_map.items():
        by_number.setdefault(lesson, []).append(lesson_id)
    number = {"anyOf": [one for one in LESSON_NUMBER.schema["anyOf"] if one != NOTHING]}
    alone = {"required": ["lesson"], "properties": {"lesson": number, "lesson_id": NOTHING}}
    mapped = [
        {
            "required": ["lesson_id"],
            "properties": {
                "lesson_id": LESSON_ID.exactly(ids),
                "lesson": {"anyOf": [LESSON_NUMBER.exactly([lesson]), NOTHING]},
            },
        }
        for lesson, ids in sorted(by_number.items())
    ]
    return {
        "type": "object",
        "required": ["email"],
        "properties": {
            "email": {**EMAIL.schema, "description": "As in the contact in amoCRM"},
            "lesson_id": {"description": "As on the platform; LESSON_MAP tells which lesson it is"},
            "lesson": {"description": "The lesson's number, from 1"},
        },
        "anyOf": [alone, *mapped],
    }


def record_schema() -> Schema:
    """What `route` takes as the data of a record."""
    return {
        "type": "object",
        "required": ["dealName"],
        "properties": {
            "dealName": DEAL_NAME.schema,
            "amount": AMOUNT.schema,
            "entityId": {**ENTITY_ID.schema, "description": "Another entity than ERP_ENTITY_ID"},
        },
    }


# --- how an event is known again --------------------------------------------------------------------------------------


def known_by_id(sender: str, name: str, own_id: str, data: Json) -> Dedupe:
    """By the id that its sender gave it: the same id with other data is a conflict."""
    return Dedupe(f"id:{sender}:{quote(name, '/')}:{own_id}", fingerprint=fingerprint(data))


def known_by_place(sender: str, name: str, key: str, index: int, data: Json) -> Dedupe:
    """By the Idempotency-Key of an array and the event's place in it."""
    return Dedupe(f"place:{sender}:{quote(name, '/')}:{index}:{key}", fingerprint=fingerprint(data))


def first_wins(dedupe: Dedupe) -> Dedupe:
    """The same, but other data are no conflict: the first one stays."""
    return Dedupe(dedupe.key)


def fingerprint(data: Json) -> str:
    """Of the canonical JSON: sorted keys, no spaces, 1.0 as 1. Reference: RFC 8785."""
    text = json.dumps(_plain(data), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value
