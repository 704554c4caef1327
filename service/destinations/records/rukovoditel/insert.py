"""Making a record in Rukovoditel once, although the answer to an insert may be lost or late.

With ERP_FIELD_KEY the ERP itself refuses a second row of the same key, if it keeps that field unique. Before an insert
is repeated its row is looked for: by the key, or without one among the rows of the same name and amount those that came
after the insert began. To tell those, the highest id known before is kept with each insert. Where the ERP may still be
at work, that is not before a quiet time, and twice. What cannot be told becomes a dead letter, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from outbox.outcome import DeliveryError, Later
from service.config import Erp
from service.destinations.records.erp import InsertContext, Record, Saved
from service.destinations.records.rukovoditel import fields, refusals
from service.destinations.records.rukovoditel.client import TOTAL, Client, number_of
from service.destinations.records.rukovoditel.entity_fields import KnownFields
from service.destinations.records.rukovoditel.looks import Looks, key_of
from service.destinations.records.rukovoditel.recovery import Insert, Recovery
from service.destinations.records.rukovoditel.replies import Garbled, Refused, Success, inserted_id, taken_fields
from service.network.http import NoAnswer

if TYPE_CHECKING:
    from outbox.shared import KeyValues

QUIET = 100.0
"""Seconds after the failure of an insert for which the ERP may still be at work on it: it was seen to take 75."""

EARLIER = "the record was made by an earlier attempt"

T = TypeVar("T")


class Rukovoditel:
    """An ERP as service.destinations.erp wants it. One process at a time."""

    def __init__(self, settings: Erp, client: Client, key_values: KeyValues, now: Callable[[], float]) -> None:
        self._settings = settings
        self._client = client
        self._now = now
        self._doubts = Recovery(key_values, now)
        self._known_fields = KnownFields(client.fields, key_values, now)
        self._looks = Looks(settings, client, self._doubts, self._known_fields, now)
        self._unclear: set[int] = set()  # deliveries refused in unknown words, with no success since

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

    def may_repeat(self, record: Record) -> bool:
        return self._looks.is_surely_unique(record.entity or str(self._settings.entity_id))

    def insert(self, record: Record, paper: InsertContext) -> Saved | Later:
        entity = record.entity or str(self._settings.entity_id)
        items, note = fields.items(self._settings, record, lambda: self._known_fields.of(entity))
        try:
            made = self._insert(entity, items, note, paper)
        except (Refused, Garbled, NoAnswer) as fault:
            raise self._error_of(fault, entity, paper) from None
        if isinstance(made, Saved):
            self._unclear.clear()
            self._known_fields.of(str(self._settings.entity_id))  # intake asks how long a name may be
        return made

    def update(self, reference: str, record: Record, paper: InsertContext) -> Saved | None:
        entity = record.entity or str(self._settings.entity_id)
        items, note = fields.items(self._settings, record, lambda: self._known_fields.of(entity))
        paper.begin()
        try:
            parameters = {"entity_id": number_of(entity), "data": items, "update_by_field": {"id": reference}}
            done = self._client.call("update", parameters, paper.keep)
        except (Refused, Garbled, NoAnswer) as fault:
            raise self._error_of(fault, entity, paper) from None
        return Saved(reference, entity, _and(note, _before(done))) if inserted_id(done.data) else None

    # -- what was refused

    def _error_of(self, fault: Refused | Garbled | NoAnswer, entity: str, paper: InsertContext) -> DeliveryError:
        own = entity if entity != str(self._settings.entity_id) else ""
        error = refusals.error_of(fault, entity=own)
        if not isinstance(fault, Refused):
            return error
        if own and error.permanent:
            return refusals.refused(fault, own, self._lacking(own))
        if refusals.is_known(fault) or not _seen(lambda: self._client.may_create(entity, paper.keep)):
            return error
        # All else is good: one record refused so may be odd, two running are not.
        first = not self._unclear or paper.delivery_id in self._unclear
        self._unclear.add(paper.delivery_id)
        return refusals.unclear(fault) if first else error

    def _lacking(self, entity: str) -> str:
        known = self._known_fields.of(entity, fresh=True)
        lacking = [name for name in fields.configured(self._settings) if fields.number(name) not in (known or {})]
        return f"it has no {', '.join(lacking)}" if known and lacking else ""

    # -- one insert

    def _insert(self, entity: str, items: dict[str, str], note: str, paper: InsertContext) -> Saved | Later:
        key = self._settings.field_key
        if (made := self._doubts.made(paper.delivery_id)) is not None:
            return Saved(made["reference"], made["entity"], EARLIER)
        begun = self._doubts.open(paper.delivery_id)
        if begun is None and paper.interrupted:
            # When the request left is not known, nor how the ERP looked before.
            begun = Insert(entity) if key else self._describe(entity, items, None, QUIET)
            if not key or not self._looks.is_unique(entity):
                self._doubts.begin(paper.delivery_id, replace(begun, at=self._now(), until=self._now() + QUIET))
        above: int | None = None
        if begun is not None and begun.looks:
            found = self._looks.again(begun, paper)
            if isinstance(found, Saved | Later):
                return found
            above = found
        elif not key:
            above = self._looks.highest(self._describe(entity, items, None), paper)
        if key:
            return self._insert_once(Insert(entity), {**items, key: key_of(paper.event_id)}, note, paper)
        return self._insert_once(self._describe(entity, items, above, TOTAL + QUIET), items, note, paper)

    def _insert_once(self, insert: Insert, items: dict[str, str], note: str, paper: InsertContext) -> Saved:
        """One insert. Without a key all that is needed to find its row is committed before it begins."""
        kept, keyed = self._doubts, not insert.name
        if not keyed:
            kept.begin(paper.delivery_id, insert)
        begun = False
        try:
            paper.begin()
            begun = True
            parameters = {"entity_id": number_of(insert.entity), "items": items}
            said = self._client.call("insert", parameters, paper.keep)
            if not inserted_id(said.data) and not taken_fields(said.data):
                raise Garbled("a success that names no record", 200, ended=True)
        except (Garbled, NoAnswer) as fault:
            self._doubt(insert, fault, paper)
            if _may_be_there(fault):
                found = _seen(lambda: self._looks.find(insert, paper))
                if isinstance(found, Saved):
                    return found
            raise
        except Refused:
            kept.drop(paper.delivery_id)
            raise
        except BaseException:
            if not begun and not keyed:
                kept.drop(paper.delivery_id)
            raise
        return self._taken(insert, said, note, paper)

    def _doubt(self, insert: Insert, fault: Garbled | NoAnswer, paper: InsertContext) -> None:
        """Keep what the failure of an insert leaves open: for how long, and how often its row is to be looked for."""
        now = self._now()
        if isinstance(fault, NoAnswer) and not fault.acted:
            if insert.name:  # the row may be told to have been interrupted, which it was not
                self._doubts.begin(paper.delivery_id, replace(insert, until=0.0, looks=0))
        elif isinstance(fault, Garbled) and fault.ended:
            self._doubts.begin(paper.delivery_id, replace(insert, at=now, until=0.0, looks=1))
        else:
            self._doubts.begin(paper.delivery_id, replace(insert, at=now, until=now + QUIET, slow=_is_slow(fault)))

    def _taken(self, insert: Insert, said: Success, note: str, paper: InsertContext) -> Saved:
        """What an answer that names a record, or a unique field, comes to."""
        note = _and(note, _before(said))
        if reference := inserted_id(said.data):
            self._looks.close(insert, reference, paper)
            return Saved(reference, insert.entity, note)
        taken = taken_fields(said.data)
        if insert.name or fields.number(self._settings.field_key) not in taken:
            self._doubts.drop(paper.delivery_id)
            raise _not_unique(taken)
        try:
            reference = self._looks.by_key(insert.entity, paper)
        except (Refused, Garbled):  # it is there all the same; a user may insert without the right to see
            reference = ""
        self._doubts.drop(paper.delivery_id)
        return Saved(reference, insert.entity, _and(EARLIER, note))

    def _describe(self, entity: str, items: Mapping[str, str], above: int | None, quiet: float = 0.0) -> Insert:
        settings, now = self._settings, self._now()
        name, amount = items[settings.field_name], items.get(settings.field_amount)
        return Insert(entity, name, amount, above, at=now, until=now + quiet)


def _seen(look: Callable[[], T]) -> T | None:
    """A question right after a failure; its own failure says nothing new."""
    try:
        return look()
    except (Refused, Garbled, NoAnswer):
        return None


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


def _may_be_there(fault: Garbled | NoAnswer) -> bool:
    """Whether a look makes sense at once. An empty 500 is what a wrong password gets, a timeout is still at work."""
    if isinstance(fault, NoAnswer) and not fault.acted:
        return False
    return not _is_slow(fault) and not (isinstance(fault, Garbled) and fault.is_empty_500)


def _is_slow(fault: Garbled | NoAnswer) -> bool:
    """Whether the ERP is most likely still at work: nobody said that it stopped."""
    return fault.kind == "timeout" if isinstance(fault, NoAnswer) else fault.status == 504


def _before(said: Success) -> str:
    """PHP's own words before an answer: a person should switch their display off."""
    return f"the ERP's PHP wrote before its answer: {said.before}; switch display_errors off" if said.before else ""


def _and(*notes: str) -> str:
    return "; ".join(filter(None, notes))
