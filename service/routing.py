"""What an event means: the deliveries that it asks for, or every reason why it is refused. Pure.

A Fault's path is relative to the event's data, as in "email"; the ways in put their own prefix before it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from outbox.message import NOWHERE, Dedupe, Json, NewDelivery, State

LESSON = "lesson.completed"
RECORDS = ("crm/create-deal", "erp/task.create")
NAMES = (LESSON, *RECORDS)
"""The names that a sender may use; `amocrm/webhook` is made by the webhook's route alone."""

WEBHOOK = "amocrm/webhook"
"""The event that a change of stage in amoCRM makes; no sender may send it."""

AMOCRM, ERP = "amocrm", "erp"
DAY = 24 * 3600.0
TEXT_MAX = 255
"""Characters that the ERP keeps of a text; what is longer it would cut without a word."""
EMAIL_MAX = 254
NUMBER_MAX = 10**15

EMAIL = re.compile(
    r"[^\s@,;:<>()\[\]\\\"\x00-\x1f\x7f]{1,64}@(?:[^\s@,;:<>()\[\]\\\".\x00-\x1f\x7f]{1,63}\.)+[^\W\d_][\w-]*"
)
WHOLE = re.compile(r"[0-9]{1,15}")
AMOUNT = re.compile(r"[0-9]+(?:\.[0-9]{1,2})?")


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


def route(name: str, data: Any, lesson_map: Mapping[int, int]) -> Routed:
    """Raises Refused with all faults. `name` must be one of NAMES."""
    if not isinstance(data, Mapping):
        raise Refused([Fault("", f"got {got(data)}, expected an object")])
    return _lesson(data, lesson_map) if name == LESSON else _record(data)


def not_routed(name: str, data: Mapping[str, Json]) -> Routed:
    """An event that goes nowhere, kept so that a person can see that it came."""
    reason = f"not_routed: no destination takes events named {name}"
    return Routed(data, (NewDelivery(NOWHERE, state=State.SKIPPED, reason=reason),))


def _lesson(data: Mapping[str, Any], lesson_map: Mapping[int, int]) -> Routed:
    faults: list[Fault] = []
    email = _email(data.get("email"), faults)
    lesson = _whole(data, "lesson", 1, faults)
    lesson_id = _whole(data, "lesson_id", 0, faults)
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
        (NewDelivery(AMOCRM, key=f"email:{email}"),),
        email=email,
        dedupe=Dedupe(f"lesson:{email}:{lesson}", window=DAY),
    )


def _record(data: Mapping[str, Any]) -> Routed:
    faults: list[Fault] = []
    name = data.get("dealName")
    if not isinstance(name, str) or not name.strip():
        faults.append(Fault("dealName", f"got {got(name)}, expected a text that is not empty"))
    elif len(name) > TEXT_MAX:
        faults.append(
            Fault("dealName", f"got {len(name)} characters, expected at most {TEXT_MAX}: the ERP would cut the rest")
        )
    amount = data.get("amount")
    if amount is not None and not _is_amount(amount):
        faults.append(
            Fault("amount", f"got {got(amount)}, expected a number from zero with at most two decimals, as 1500.50")
        )
    _whole(data, "entityId", 1, faults, 10**9)
    if faults:
        raise Refused(faults)
    return Routed(data, (NewDelivery(ERP),))


def normal_email(value: str) -> str | None:
    """The e-mail trimmed and casefolded, or None for what is none."""
    value = value.strip()
    if len(value) > EMAIL_MAX or not EMAIL.fullmatch(value):
        return None
    return value.casefold()


def _email(value: Any, faults: list[Fault]) -> str:
    if value is None:
        faults.append(Fault("email", "it is missing; expected an address such as student@example.com"))
        return ""
    email = normal_email(value) if isinstance(value, str) else None
    if email is None:
        faults.append(Fault("email", f"got {got(value)}, expected an address such as student@example.com"))
        return ""
    return email


def _whole(data: Mapping[str, Any], name: str, low: int, faults: list[Fault], high: int = NUMBER_MAX) -> int | None:
    """A whole number, also as text or as 67.0; a bool is none."""
    value = data.get(name)
    if value is None:
        return None
    number = None
    if isinstance(value, float) and value.is_integer():
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and WHOLE.fullmatch(value.strip()):
        number = int(value)
    if number is None or not low <= number <= high:
        faults.append(Fault(name, f"got {got(value)}, expected a whole number from {low} to {high}"))
        return None
    return number


def _is_amount(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return value >= 0 and len(str(value)) <= TEXT_MAX
    if isinstance(value, float):
        if not 0 <= value < float("inf"):
            return False
        value = format(Decimal(repr(value)).normalize(), "f")
    return isinstance(value, str) and len(value) <= TEXT_MAX and bool(AMOUNT.fullmatch(value.strip()))


def got(value: Any) -> str:
    """A value as an error may show it: short, and with its kind."""
    if value is None:
        return "nothing"
    kind = (
        "true or false" if isinstance(value, bool)
        else "a number" if isinstance(value, (int, float))
        else "a text" if isinstance(value, str)
        else "an object" if isinstance(value, Mapping)
        else "an array"
    )  # fmt: skip
    if isinstance(value, (Mapping, list)):
        return kind
    shown = json.dumps(value, ensure_ascii=True)
    return f"{shown if len(shown) <= 60 else shown[:57] + '...'} ({kind})"


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
