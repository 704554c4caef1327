"""Making a record in Rukovoditel once, although the answer to an insert may be lost.

With ERP_FIELD_KEY the ERP itself refuses a second row of the same key. Without it the row is looked for after a failure
that leaves it open: among the rows of the same name and amount, those that came after the insert began. To tell those,
the highest id known before is kept with each insert. What cannot be told becomes a dead letter, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from outbox.outcome import DeliveryError, Later
from service.config import Erp
from service.destinations.records.erp import InsertContext, Record, Saved
from service.destinations.records.rukovoditel import fields, recovery
from service.destinations.records.rukovoditel.client import (
    Client,
    Garbled,
    Refused,
    error_of,
    inserted_id,
    rows_of,
    taken_fields,
)
from service.destinations.records.rukovoditel.recovery import Insert, Recovery
from service.network.http import NoAnswer

if TYPE_CHECKING:
    from outbox.shared import KeyValues

SETTLE = 30.0
"""Seconds after which an insert whose answer did not come is not at work in the ERP any more."""

FRESH = 60.0
"""Seconds for which the id of our last insert is the highest one, for all that matters."""

ID_LONGEST = 64
EARLIER = "the record was made by an earlier attempt"
FOUND = "found in the ERP after its answer was lost"

T = TypeVar("T")


class Rukovoditel:
    """An ERP as service.destinations.erp wants it. One process at a time."""

    def __init__(self, settings: Erp, client: Client, key_values: KeyValues, now: Callable[[], float]) -> None:
        self._settings = settings
        self._client = client
        self._now = now
        self._doubts = Recovery(key_values, now)
        self._last: dict[str, tuple[int, float]] = {}  # by entity: the id of our last insert, and when
        self._may_select = True

    @property
    def places(self) -> frozenset[str]:
        return fields.places(self._settings)

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        return fields.fingerprint(self._settings)

    def missing(self) -> tuple[str, ...]:
        settings = self._settings
        named = {
            "CRM_API_URL": settings.url,
            "CRM_API_KEY": settings.key,
            "CRM_API_USERNAME": settings.username,
            "CRM_API_PASSWORD": settings.password,
        }
        return tuple(name for name, value in named.items() if not value)

    def start(self, delivery_ids: Sequence[int]) -> None:
        self._doubts.start(delivery_ids)

    def insert(self, record: Record, paper: InsertContext) -> Saved | Later:
        entity = record.entity or str(self._settings.entity_id)
        items, note = fields.items(self._settings, record)
        if (left := self._doubts.left(paper.delivery_id)) and self._settings.field_key:
            # The ERP selects, then inserts, without a lock: two of one key at a time would both be made.
            return _still_at_work(left)
        try:
            if self._settings.field_key:
                return self._with_key(entity, items, note, paper)
            return self._without_key(entity, items, note, paper)
        except (Refused, Garbled, NoAnswer) as fault:
            raise error_of(fault, own_entity=entity != str(self._settings.entity_id)) from None

    def update(self, reference: str, record: Record, paper: InsertContext) -> Saved | None:
        entity = record.entity or str(self._settings.entity_id)
        items, note = fields.items(self._settings, record)
        paper.begin()
        try:
            parameters = {"entity_id": _number(entity), "data": items, "update_by_field": {"id": reference}}
            done = self._client.call("update", parameters, paper.keep)
        except (Refused, Garbled, NoAnswer) as fault:
            raise error_of(fault) from None
        return Saved(reference, entity, note) if inserted_id(done.data) else None

    # -- with a key

    def _with_key(self, entity: str, items: dict[str, str], note: str, paper: InsertContext) -> Saved:
        key = key_of(paper.event_id)
        paper.begin()
        try:
            data = self._insert(entity, {**items, self._settings.field_key: key}, paper)
        except (Garbled, NoAnswer) as fault:
            if _is_slow(fault):
                self._doubts.settle(paper.delivery_id, self._now() + SETTLE)
            elif _is_over(fault) and (reference := self._seen(lambda: self._by_key(entity, key, paper))):
                return Saved(reference, entity, _and(FOUND, note))
            raise
        if reference := inserted_id(data):
            return Saved(reference, entity, note)
        taken = taken_fields(data)
        if fields.number(self._settings.field_key) not in taken:
            raise _not_unique(taken)
        try:
            reference = self._by_key(entity, key, paper)
        except (Refused, Garbled):  # it is there all the same; a user may insert without the right to see
            reference = ""
        return Saved(reference, entity, _and(EARLIER, note))

    def _by_key(self, entity: str, key: str, paper: InsertContext) -> str:
        """The id of the row with this key; "" for none."""
        number = fields.number(self._settings.field_key)
        rows = self._select(entity, {number: key}, [number], paper)
        ids = sorted(recovery.row_id(row) for row in rows if str(row.get(number, "")).strip() == key)
        return str(ids[0]) if ids else ""

    # -- without

    def _without_key(self, entity: str, items: dict[str, str], note: str, paper: InsertContext) -> Saved | Later:
        if (made := self._doubts.made(paper.delivery_id)) is not None:
            return Saved(made["reference"], made["entity"], EARLIER)
        begun = self._doubts.open(paper.delivery_id)
        if begun is None and paper.interrupted:
            begun = self._describe(entity, items, None)  # how the ERP looked before is not known
        above: int | None
        if begun is not None and begun.name:
            rows = self._look(begun, paper)
            if (found := self._own_row(begun, rows, paper)) is not None:
                return found
            if left := self._doubts.left(paper.delivery_id):
                return _still_at_work(left)
            above = recovery.highest(rows)
        else:
            above = self._highest(self._describe(entity, items, None), paper)
        return self._insert_once(self._describe(entity, items, above), items, note, paper)

    def _insert_once(self, insert: Insert, items: dict[str, str], note: str, paper: InsertContext) -> Saved:
        """One insert, with all that is needed to find its row committed before it begins."""
        kept = self._doubts
        kept.begin(paper.delivery_id, insert)
        begun = False
        try:
            paper.begin()
            begun = True
            data = self._insert(insert.entity, items, paper)
        except (Garbled, NoAnswer) as fault:
            if isinstance(fault, NoAnswer) and not fault.acted:
                kept.drop(paper.delivery_id)
            elif not _is_slow(fault):
                kept.settle(paper.delivery_id, 0.0)
            if _is_over(fault) and (
                found := self._seen(lambda: self._own_row(insert, self._look(insert, paper), paper))
            ):
                return found
            raise
        except Refused:
            kept.drop(paper.delivery_id)
            raise
        except BaseException:
            if not begun:
                kept.drop(paper.delivery_id)
            raise
        reference = inserted_id(data)
        if not reference:
            kept.drop(paper.delivery_id)
            raise _not_unique(taken_fields(data))
        self._close(insert, reference, paper)
        return Saved(reference, insert.entity, note)

    def _close(self, insert: Insert, reference: str, paper: InsertContext) -> None:
        self._doubts.close(paper.delivery_id, reference)
        if reference.isascii() and reference.isdigit():
            highest = max(int(reference), self._last.get(insert.entity, (0, 0.0))[0])
            self._last[insert.entity] = (highest, self._now())

    def _own_row(self, begun: Insert, rows: Sequence[Mapping[str, Any]], paper: InsertContext) -> Saved | None:
        """The row of an insert whose answer was lost; None: it was not made. Raises DeliveryError if it is unclear."""
        numbers = (fields.number(self._settings.field_name), fields.number(self._settings.field_amount))
        alike = recovery.matching(rows, *numbers, begun.name, begun.amount)
        own = recovery.own_row(begun, alike, self._doubts.alike(begun))
        if own is None:
            return None
        if not isinstance(own, int):
            self._doubts.drop(paper.delivery_id)  # a person decides; sent again, it is a new insert
            ids = ", ".join(str(one) for one in own[:5])
            raise DeliveryError(
                f"It is not certain whether the ERP made the record: it may be {ids}. Look into the ERP: if the record "
                "is missing, send again; if it is there, discard this delivery",
                cause="erp_ambiguous",
                code="ambiguous",
                permanent=True,
                params={"detail": ids},
            )
        if self._doubts.open(paper.delivery_id) is None:
            self._doubts.begin(paper.delivery_id, begun)
        self._close(begun, str(own), paper)
        return Saved(str(own), begun.entity, FOUND)

    def _highest(self, insert: Insert, paper: InsertContext) -> int | None:
        """The highest id that a row like this one has now; None: this user may not see rows."""
        last = self._last.get(insert.entity)
        if last is not None and 0 <= self._now() - last[1] < FRESH:
            return last[0]
        if not self._may_select:
            return None
        try:
            return recovery.highest(self._look(insert, paper))
        except Garbled:
            # An empty page is what a wrong password gets, and also a user who may insert but not see.
            self._client.call("login", {}, paper.keep)
            self._may_select = False
            return None

    def _look(self, insert: Insert, paper: InsertContext) -> list[Mapping[str, Any]]:
        numbers = [fields.number(self._settings.field_name), fields.number(self._settings.field_amount)]
        return self._select(insert.entity, {numbers[0]: insert.name}, numbers, paper)

    def _describe(self, entity: str, items: Mapping[str, str], above: int | None) -> Insert:
        settings, now = self._settings, self._now()
        name, amount = items[settings.field_name], items.get(settings.field_amount)
        return Insert(entity, name, amount, above, at=now, until=now + SETTLE)

    # -- what both need

    def _seen(self, look: Callable[[], T]) -> T | None:
        """A look right after an answer was lost: most often the row is there. Its own failure says nothing new."""
        try:
            return look()
        except (Refused, Garbled, NoAnswer):
            return None

    def _insert(self, entity: str, items: Mapping[str, str], paper: InsertContext) -> Any:
        """The data of a success that says what was done. Raises Refused, Garbled, NoAnswer."""
        data = self._client.call("insert", {"entity_id": _number(entity), "items": items}, paper.keep).data
        if not inserted_id(data) and not taken_fields(data):
            raise Garbled("a success that names no record", 200)
        return data

    def _select(
        self, entity: str, filters: Mapping[str, str], columns: Sequence[str], paper: InsertContext
    ) -> list[Mapping[str, Any]]:
        parameters = {"entity_id": _number(entity), "filters": filters, "select_fields": ",".join(columns)}
        return rows_of(self._client.call("select", parameters, paper.keep).data)


def key_of(event_id: str) -> str:
    """The value of ERP_FIELD_KEY: short and of plain characters, since the ERP's query does not escape it."""
    return "dp-" + re.sub(r"[^A-Za-z0-9_.:-]", "-", event_id)[:ID_LONGEST]


def _still_at_work(seconds: float) -> Later:
    reason = "erp_down: the ERP may still be at work on an insert whose answer did not come; we ask again after that"
    return Later(seconds, reason, "erp_down")


def _not_unique(numbers: Sequence[str]) -> DeliveryError:
    names = ", ".join(f"field_{one}" for one in numbers)
    return DeliveryError(
        f"The ERP did not accept the record: another one has the same value in {names}, which must be unique",
        cause="erp_refused",
        code="refused",
        permanent=True,
        status=200,
        params={"detail": f"not unique: {names}"},
    )


def _is_slow(fault: Garbled | NoAnswer) -> bool:
    """Whether the ERP may still be working: nobody said that it stopped."""
    return fault.kind == "timeout" if isinstance(fault, NoAnswer) else fault.status == 504


def _is_over(fault: Garbled | NoAnswer) -> bool:
    """Whether the ERP has ended its work, and may have done it. An empty 500 is what a wrong password gets."""
    return fault.kind == "dropped" if isinstance(fault, NoAnswer) else fault.status == 200


def _and(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _number(entity: str) -> int | str:
    return int(entity) if entity.isascii() and entity.isdigit() else entity
