"""What amoCRM's answers hold, as typed rows: strict in what they mean, liberal in how a figure is written.

Reference: https://www.amocrm.ru/developers/content/crm_platform/leads-api
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from service.closed_stages import CLOSED
from service.email_address import canonical

STAGE_CHANGED, DEAL_ADDED = "lead_status_changed", "lead_added"
"""Types of rows of the log of events."""


class Unreadable(ValueError):
    """An answer whose body is not what its status promises. The text holds nothing of the body."""


@dataclass(frozen=True)
class Stage:
    """A status of a pipeline. type 1: incoming ("unsorted"), which no request can set."""

    id: int
    name: str
    sort: int
    type: int = 0


@dataclass(frozen=True)
class Pipeline:
    """A funnel with its stages, by sort."""

    id: int
    name: str
    sort: int = 0
    is_main: bool = False
    is_archive: bool = False
    stages: tuple[Stage, ...] = ()

    def stage(self, status_id: int) -> Stage | None:
        """The stage with this id, or None."""
        return next((stage for stage in self.stages if stage.id == status_id), None)


@dataclass(frozen=True, slots=True)
class Lead:
    """A deal. price: exact, in the account's currency. Times: seconds since the epoch. custom_fields: as amoCRM gave
    them."""

    id: int
    name: str
    price: Decimal
    status_id: int
    pipeline_id: int
    updated_at: float = 0.0
    closed_at: float | None = None
    is_deleted: bool = False
    contact_ids: tuple[int, ...] = ()
    main_contact_id: int | None = None
    custom_fields: tuple[Mapping[str, Any], ...] = ()
    tags: tuple[str, ...] = ()

    @property
    def is_closed(self) -> bool:
        return self.status_id in CLOSED


@dataclass(frozen=True, slots=True)
class Contact:
    """A person. emails: in their canonical form. phones: as they are written there. lead_ids: only where the list was
    asked for with=leads."""

    id: int
    name: str
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    custom_fields: tuple[Mapping[str, Any], ...] = ()
    lead_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class StatusChange:
    """A change of stage from the account's log of events, or the making of a deal (is_new), of which amoCRM's log does
    not tell the stage. at: seconds since the epoch. Ids that it lacks are None."""

    event_id: str
    lead_id: int
    at: float
    old_pipeline_id: int | None
    old_status_id: int | None
    pipeline_id: int | None
    status_id: int | None
    is_new: bool = False


def document(body: bytes) -> dict[str, Any]:
    """A JSON object out of a body; numbers with a fraction become Decimal. Raises Unreadable."""
    try:
        found = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unreadable(f"expected a JSON object, got {len(body)} bytes of something else")
    return found


def embedded(node: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The objects of `_embedded.<name>`; a missing list is an empty one. Raises Unreadable for another shape."""
    outer = node.get("_embedded")
    if outer is None or outer == []:  # PHP writes an empty object as an empty list
        return []
    inner = outer.get(name) if isinstance(outer, Mapping) else None
    if inner is None and isinstance(outer, Mapping):
        return []
    if isinstance(inner, Mapping):  # and a list with gaps as an object
        inner = list(inner.values())
    if not isinstance(inner, list):
        raise Unreadable(f"expected a list under _embedded.{name}, got something else")
    return [item for item in inner if isinstance(item, Mapping)]


def whole(value: Any) -> int | None:
    """A whole number, also out of text; None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        return int(str(value).strip())
    except ValueError:
        return None


def lead(node: Mapping[str, Any]) -> Lead:
    """Raises Unreadable when the id or the stage is missing. A deleted deal may have none: it gets the stage 0."""
    number, status, pipeline = (whole(node.get(name)) for name in ("id", "status_id", "pipeline_id"))
    is_deleted = node.get("is_deleted") in (True, 1, "1", "true")
    if is_deleted:
        status, pipeline = status or 0, pipeline or 0
    if number is None or status is None or pipeline is None:
        raise Unreadable("expected a deal with id, status_id and pipeline_id, got another object")
    people = embedded(node, "contacts")
    contacts = tuple(_ids(people))
    main = next((whole(one.get("id")) for one in people if one.get("is_main")), None)
    return Lead(
        id=number,
        name=_text(node.get("name")),
        price=_price(node),
        status_id=status,
        pipeline_id=pipeline,
        updated_at=_time(node.get("updated_at")) or 0.0,
        closed_at=_time(node.get("closed_at")),
        is_deleted=is_deleted,
        contact_ids=contacts,
        main_contact_id=main if main is not None else (contacts[0] if contacts else None),
        custom_fields=_fields(node),
        tags=tuple(_text(tag.get("name")) for tag in embedded(node, "tags")),
    )


def contact(node: Mapping[str, Any]) -> Contact:
    """Raises Unreadable when the id is missing."""
    number = whole(node.get("id"))
    if number is None:
        raise Unreadable("expected a contact with an id, got another object")
    fields = _fields(node)
    return Contact(
        id=number,
        name=_text(node.get("name")),
        emails=tuple(dict.fromkeys(filter(None, map(canonical, _texts(fields, "EMAIL"))))),
        phones=tuple(dict.fromkeys(filter(None, map(str.strip, _texts(fields, "PHONE"))))),
        custom_fields=fields,
        lead_ids=tuple(_ids(embedded(node, "leads"))),
    )


def pipeline(node: Mapping[str, Any]) -> Pipeline:
    """Raises Unreadable when the id is missing."""
    number = whole(node.get("id"))
    if number is None:
        raise Unreadable("expected a pipeline with an id, got another object")
    stages = [
        Stage(status, _text(row.get("name")), whole(row.get("sort")) or 0, whole(row.get("type")) or 0)
        for row in embedded(node, "statuses")
        if (status := whole(row.get("id"))) is not None
    ]
    return Pipeline(
        id=number,
        name=_text(node.get("name")),
        sort=whole(node.get("sort")) or 0,
        is_main=bool(node.get("is_main")),
        is_archive=bool(node.get("is_archive")),
        stages=tuple(sorted(stages, key=place)),
    )


def place(stage: Stage) -> tuple[int, int]:
    """The order of stages. 142 and 143 are last whatever their sort says."""
    return (CLOSED.index(stage.id) + 1 if stage.id in CLOSED else 0, stage.sort)


def status_change(node: Mapping[str, Any]) -> StatusChange | None:
    """A row of the log of events, or None when it tells of no deal's change of stage or making."""
    number, at, kind = whole(node.get("entity_id")), _time(node.get("created_at")), node.get("type", STAGE_CHANGED)
    if number is None or at is None or kind not in (STAGE_CHANGED, DEAL_ADDED):
        return None
    before, after = _status(node.get("value_before")), _status(node.get("value_after"))
    if kind == DEAL_ADDED:
        before = (None, None)
    return StatusChange(_text(node.get("id")), number, at, *before, *after, is_new=kind == DEAL_ADDED)


def _status(node: Any) -> tuple[int | None, int | None]:
    """(pipeline id, status id) of value_before or value_after."""
    first = node[0] if isinstance(node, list) and node else node
    inner = first.get("lead_status") if isinstance(first, Mapping) else None
    if not isinstance(inner, Mapping):
        return None, None
    return whole(inner.get("pipeline_id")), whole(inner.get("id"))


def _ids(nodes: Iterable[Mapping[str, Any]]) -> list[int]:
    return [number for node in nodes if (number := whole(node.get("id"))) is not None]


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _time(value: Any) -> float | None:
    number = whole(value)
    return float(number) if number else None


def _fields(node: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    found = node.get("custom_fields_values")
    return tuple(item for item in found if isinstance(item, Mapping)) if isinstance(found, list) else ()


def _texts(fields: Iterable[Mapping[str, Any]], code: str) -> Iterable[str]:
    for field in fields:
        values = field.get("values")
        if str(field.get("field_code", "")).upper() == code and isinstance(values, list):
            for value in values:
                if isinstance(value, Mapping) and isinstance(value.get("value"), str):
                    yield value["value"]


def _price(node: Mapping[str, Any]) -> Decimal:
    """price is cut to whole units, and large ones wrap; price_with_minor_units, where given, is exact, in whole units
    with decimals."""
    exact = _decimal(node.get("price_with_minor_units"))
    return exact if exact is not None else _decimal(node.get("price")) or Decimal(0)


def _decimal(value: Any) -> Decimal | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None
