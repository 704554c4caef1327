"""Looking in Rukovoditel for the row of an insert whose end is not known, as long as it takes to be sure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from outbox.outcome import DeliveryError, Later
from outbox.whole_numbers import whole_number
from service.config import Erp
from service.destinations.records.erp import InsertContext, Saved
from service.destinations.records.rukovoditel import fields, recovery
from service.destinations.records.rukovoditel.client import Client, number_of
from service.destinations.records.rukovoditel.entity_fields import Field, KnownFields
from service.destinations.records.rukovoditel.recovery import Insert, Recovery
from service.destinations.records.rukovoditel.replies import Garbled, rows_of

AGAIN = 30.0
"""Seconds between two looks for a row that is not there."""

FRESH = 60.0
"""Seconds for which the id of our last insert is the highest one, for all that matters."""

ID_LONGEST = 64
FOUND = "found in the ERP after its answer was lost"


class Looks:
    """Asks by the key, or without one for rows of the same name and amount. One process at a time.

    All may raise Refused, Garbled, NoAnswer, and DeliveryError for what cannot be told.
    """

    def __init__(
        self, settings: Erp, client: Client, doubts: Recovery, known_fields: KnownFields, now: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._client = client
        self._doubts = doubts
        self._known_fields = known_fields
        self._now = now
        self._last: dict[str, tuple[int, float]] = {}  # by entity: the id of our last insert, and when
        self._may_select = True

    def again(self, begun: Insert, paper: InsertContext) -> Saved | Later | int | None:
        """What becomes of an insert that began earlier: its record, or when to look again. Else it may be sent again:
        the highest id that a row like it has now, None where that is not known or not needed."""
        kept, left = self._doubts, self._doubts.left(paper.delivery_id)
        unique = not begun.name and self.is_unique(begun.entity)
        if unique and not begun.slow:  # the ERP refuses a second one, unless both are at work at a time
            left = 0.0
        try:
            found = self.find(begun, paper)
        except Garbled:
            # An empty page is what a wrong password gets, and also a user who may insert but not see.
            self._client.call("login", {}, paper.keep)
            return None if unique and not left else self._blind(begun.entity, paper)
        if isinstance(found, Saved):
            return found
        if left:
            return _still_at_work(left)
        if unique:
            return None
        if self._shows_nothing(begun.entity, paper):
            return self._blind(begun.entity, paper)
        if begun.looks > 1:
            kept.looked(paper.delivery_id, self._now() + AGAIN)
            return _still_at_work(AGAIN)
        return found

    def find(self, begun: Insert, paper: InsertContext) -> Saved | int:
        """The record of an insert; else the highest id that a row like it has now."""
        if not begun.name:
            if reference := self.by_key(begun.entity, paper):
                self.close(begun, reference, paper)
                return Saved(reference, begun.entity, FOUND)
            return 0
        rows = self._rows_like(begun, paper)
        numbers = (fields.number(self._settings.field_name), fields.number(self._settings.field_amount))
        alike = recovery.matching(rows, *numbers, begun.name, begun.amount)
        own = recovery.own_row(begun, alike, self._doubts.alike(begun))
        if own is None:
            return recovery.highest(rows)
        if not isinstance(own, int):
            self._doubts.drop(paper.delivery_id)  # a person decides; sent again, it is a new insert
            raise _ambiguous(f"it may be {', '.join(str(one) for one in own[:5])}")
        self.close(begun, str(own), paper)
        return Saved(str(own), begun.entity, FOUND)

    def close(self, insert: Insert, reference: str, paper: InsertContext) -> None:
        """The insert made this row."""
        if insert.name:
            self._doubts.close(paper.delivery_id, insert, reference)
        else:
            self._doubts.drop(paper.delivery_id)
        if (made := whole_number(reference)) is not None:
            highest = max(made, self._last.get(insert.entity, (0, 0.0))[0])
            self._last[insert.entity] = (highest, self._now())

    def highest(self, insert: Insert, paper: InsertContext) -> int | None:
        """The highest id that a row like this one has now; None: this user may not see rows."""
        last = self._last.get(insert.entity)
        if last is not None and 0 <= self._now() - last[1] < FRESH:
            return last[0]
        if not self._may_select:
            return None
        try:
            return recovery.highest(self._rows_like(insert, paper))
        except Garbled:
            self._client.call("login", {}, paper.keep)
            self._may_select = False
            return None

    def is_unique(self, entity: str) -> bool:
        """Whether the ERP keeps our key unique; not known is no."""
        return self._unique(self._known_fields.of(entity))

    def is_surely_unique(self, entity: str) -> bool:
        """The same by what is known already: the ERP is not asked."""
        return self._unique(self._known_fields.kept(entity))

    def _unique(self, known: Mapping[str, Field] | None) -> bool:
        key = self._settings.field_key
        one = (known or {}).get(fields.number(key)) if key else None
        return one is not None and one.unique

    def by_key(self, entity: str, paper: InsertContext) -> str:
        """The id of the row with this delivery's key; "" for none."""
        number, key = fields.number(self._settings.field_key), key_of(paper.event_id)
        rows = self._select(entity, {number: key}, [number], paper)
        ids = sorted(recovery.row_id(row) for row in rows if str(row.get(number, "")).strip() == key)
        return str(ids[0]) if ids else ""

    def _blind(self, entity: str, paper: InsertContext) -> Later:
        """The ERP takes our records, and shows none: nothing will ever tell."""
        if left := self._doubts.left(paper.delivery_id):
            return _still_at_work(left)
        if not self._client.may_create(entity, paper.keep):
            raise Garbled("an empty page: the user may neither see nor create records", 500, ended=True)
        if self._doubts.saw_nothing(paper.delivery_id, self._now() + AGAIN) < recovery.LOOKS:
            return _still_at_work(AGAIN)
        self._doubts.drop(paper.delivery_id)
        raise _ambiguous("the ERP's user may not see records")

    def _shows_nothing(self, entity: str, paper: InsertContext) -> bool:
        """Whether this user sees no record at all although we have made some."""
        if entity not in self._last and not self._doubts.has_made(entity):
            return False
        number = fields.number(self._settings.field_name)
        parameters = {"entity_id": number_of(entity), "select_fields": number, "limit": 1}
        return not rows_of(self._client.call("select", parameters, paper.keep).data)

    def _rows_like(self, insert: Insert, paper: InsertContext) -> list[Mapping[str, Any]]:
        numbers = [fields.number(self._settings.field_name), fields.number(self._settings.field_amount)]
        return self._select(insert.entity, {numbers[0]: insert.name}, numbers, paper)

    def _select(
        self, entity: str, filters: Mapping[str, str], columns: Sequence[str], paper: InsertContext
    ) -> list[Mapping[str, Any]]:
        parameters = {"entity_id": number_of(entity), "filters": filters, "select_fields": ",".join(columns)}
        return rows_of(self._client.call("select", parameters, paper.keep).data)


def key_of(event_id: str) -> str:
    """The value of ERP_FIELD_KEY: short and of plain characters, since the ERP's query does not escape it."""
    return "dp-" + re.sub(r"[^A-Za-z0-9_.:-]", "-", event_id)[:ID_LONGEST]


def _still_at_work(seconds: float) -> Later:
    reason = "erp_down: the ERP may still be at work on an insert whose answer did not come; we look again after that"
    return Later(min(seconds, AGAIN), reason, "erp_down")


def _ambiguous(why: str) -> DeliveryError:
    return DeliveryError(
        f"It is not certain whether the ERP made the record: {why}. Look into the ERP: if the record is missing, send "
        "again; if it is there, discard this delivery",
        cause="erp_ambiguous",
        code="ambiguous",
        permanent=True,
        params={"detail": why},
    )
