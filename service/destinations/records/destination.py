"""Records in an ERP, whichever it is: from which events they are made, in which order, and what became of each."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import TYPE_CHECKING, Any

from outbox.outcome import Delivered, DeliveryError, Later, Outcome, Skipped, Stopping
from service.destinations.records.changes import StageChanges, Work
from service.destinations.records.erp import Erp, InsertContext, Record, Saved
from service.destinations.records.places import Deal, texts_of
from service.routing import WEBHOOK

if TYPE_CHECKING:
    from outbox.message import Delivery
    from outbox.outcome import DeliveryContext
    from outbox.shared import KeyValues

FORGOTTEN = 90 * 24 * 3600.0
MADE = "records"
"""In the memory: deal id -> {"reference", "entity_id", "event_id", "at"} of the deal's latest record."""

BUDGET = 10.0
"""Seconds after which a pass ends: what it read from amoCRM grows old."""

SETTLE_EVERY, SETTLE_ROWS = 1.0, 20
"""Seconds, or rows, after which what was done is put on record: no more than that is in doubt when a worker dies. Nor
is more begun ahead."""


RecordOrEnd = Record | Skipped | Later | DeliveryError


class Records:
    """The destination. With the first row of a deal it wants all behind it: together they tell more of its changes."""

    batch = 250
    whole_keys = True
    newest_first = False

    def __init__(
        self,
        erp: Erp,
        deals: StageChanges,
        key_values: KeyValues,
        now: Callable[[], float],
        *,
        on_repeat: str = "insert",
        also: Callable[[], str] = lambda: "",
        monotonic: Callable[[], float] = time.monotonic,
        name: str = "erp",
    ) -> None:
        """on_repeat: insert, skip or update. also: changes when access to amoCRM does."""
        self.name = name
        self._erp = erp
        self._deals = deals
        self._key_values = key_values
        self._now = now
        self._on_repeat = on_repeat
        self._also = also
        self._monotonic = monotonic
        self._made: dict[str, Any] = {}  # on its way into the memory
        self._seconds = SETTLE_EVERY  # that the last record took

    @property
    def fingerprint(self) -> str:
        """Changes when settings change that may mend what the ERP, or amoCRM when asked for deals, refused."""
        text = json.dumps([self._erp.fingerprint, self._on_repeat, self._also()], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def missing(self) -> tuple[str, ...]:
        return self._erp.missing()

    def tidy(self) -> int:
        """Forget the records of deals that none was made of for long; where ERP_ON_REPEAT asks for them none is. -> how
        many. For a daily job."""
        return self._key_values.delete_old(MADE, self._now() - FORGOTTEN) if self._on_repeat == "insert" else 0

    def deliver(self, batch: Sequence[Delivery], context: DeliveryContext) -> Mapping[int, Outcome]:
        """Outcomes by delivery id. Rows without one were not begun: the time was over, or one before them failed."""
        outcomes: dict[int, Outcome] = {}
        self._made = {}
        self._erp.start([row.id for row in batch])
        end = self._monotonic() + BUDGET
        hooks = [row for row in batch if row.event_name == WEBHOOK]
        others = [row for row in batch if row.event_name != WEBHOOK]
        # What needs nothing of amoCRM goes first, as its trouble must not hold it up; nor may it hold up the hooks.
        goes_on = self._run(others, plain_record, outcomes, context, end - BUDGET / 2 if hooks else end)
        if goes_on and hooks:
            try:
                works = self._works(hooks, self._deals.sort_out(hooks, self._erp.places, context))
                self._run(hooks, works, outcomes, context, max(end, self._monotonic() + BUDGET / 2))
            except Stopping:
                pass
        self._keep_made()
        return outcomes

    def _works(self, hooks: Sequence[Delivery], works: dict[int, Work]) -> Callable[[Delivery], RecordOrEnd]:
        """For each row of a hook its record, or what became of it. With the first row of a deal all are confirmed."""
        groups: dict[str | None, list[Delivery]] = {}
        for row in hooks:
            groups.setdefault(row.key, []).append(row)

        def work_of(row: Delivery) -> RecordOrEnd:
            if group := groups.pop(row.key, None):
                works.update(self._deals.confirm(group, {one.id: works[one.id] for one in group}))
            work = works[row.id]
            return deal_record(row, work) if isinstance(work, Deal) else work

        return work_of

    def _run(
        self,
        rows: Sequence[Delivery],
        work_of: Callable[[Delivery], RecordOrEnd],
        outcomes: dict[int, Outcome],
        context: DeliveryContext,
        end: float,
    ) -> bool:
        """Make the records, in order, until `end` by the monotonic clock. -> whether it makes sense to go on."""
        held: set[str] = set()
        begun: set[int] = set()
        fresh: dict[int, Outcome] = {}
        settled_at = self._monotonic()
        outages = 0
        for place, row in enumerate(rows):
            if len(fresh) >= SETTLE_ROWS or (fresh and self._monotonic() - settled_at >= SETTLE_EVERY):
                self._keep_made()
                context.settle(fresh)
                fresh, settled_at = {}, self._monotonic()
            if self._monotonic() > end:
                return True
            if row.key in held:
                continue
            work = work_of(row)
            outcome: Outcome
            if isinstance(work, Record):
                room = min(SETTLE_ROWS - len(fresh), int(SETTLE_EVERY / max(self._seconds, 0.001)))
                begin = partial(self._begin, [row, *rows[place + 1 : place + room]], begun, context)
                began = self._monotonic()
                try:
                    outcome = self._make(row, work, context, begin)
                except DeliveryError as error:
                    outcome = error
                except Stopping:
                    return False
                self._seconds = self._monotonic() - began
            else:
                outcome = work
            outcomes[row.id] = fresh[row.id] = outcome
            failed = outcome if isinstance(outcome, DeliveryError) else None
            outages = outages + 1 if failed and failed.outage else 0 if isinstance(work, Record) else outages
            if failed and (failed.pause or outages > 1):
                return False
            if row.key and (isinstance(outcome, Later) or (failed and not failed.permanent)):
                held.add(row.key)  # what comes after it in its deal must not overtake it
        return True

    def _keep_made(self) -> None:
        """Before the deliveries themselves are settled: what is not yet on record is asked for again."""
        if self._made:
            self._key_values.put_many(MADE, self._made)
            self._made = {}

    def _begin(self, rows: Sequence[Delivery], begun: set[int], context: DeliveryContext) -> None:
        """Begin the first of these rows, and with it those that follow and may be repeated. begun: the ones so far."""
        ahead: list[int] = []
        if rows[0].id not in begun:
            ahead = [row.id for row in rows[1:] if self._may_repeat(row)] if self._may_repeat(rows[0]) else []
            begun.update(ahead)
        context.begin([rows[0].id], ahead)

    def _may_repeat(self, row: Delivery) -> bool:
        """Not where the ERP might make a second record, nor where what is done depends on what comes before it."""
        if row.key or row.event_name == WEBHOOK:
            return False
        record = plain_record(row)
        return isinstance(record, Record) and self._erp.may_repeat(record)

    def _make(self, row: Delivery, record: Record, context: DeliveryContext, begin: Callable[[], None]) -> Outcome:
        paper = InsertContext(
            delivery_id=row.id,
            event_id=row.event_id,
            interrupted=row.interrupted,
            begin=begin,
            keep=lambda exchange: context.exchange([row.id], exchange),
        )
        lead_id = row.lead_id if row.event_name == WEBHOOK else None
        made: Saved | Later | Skipped | None = None
        if lead_id is not None:
            made = self._repeat(row, record, paper, lead_id)
        if made is None:
            made = self._erp.insert(record, paper)
        if not isinstance(made, Saved):
            return made
        if lead_id is not None:
            value = {"reference": made.reference, "entity_id": made.entity, "event_id": row.event_id, "at": self._now()}
            self._made[str(lead_id)] = value
        facts: dict[str, Any] = {"entity_id": made.entity, "record": record.name}
        if record.amount is not None:
            facts["amount"] = format(record.amount, "f")
        if made.note:
            facts["note"] = made.note
        return Delivered(made.reference, facts=facts, person=record.value("contact.name") or None, lead_id=lead_id)

    def _repeat(self, row: Delivery, record: Record, paper: InsertContext, lead_id: int) -> Saved | Skipped | None:
        """What ERP_ON_REPEAT says about a deal that has a record; None: make one."""
        if self._on_repeat == "insert":
            return None
        entry = self._key_values.get(MADE, str(lead_id))
        known = self._made.get(str(lead_id)) or (entry.value if entry is not None else None)
        if known is None:
            return None
        reference, entity = str(known["reference"]), str(known["entity_id"])
        if known.get("event_id") == row.event_id and self._on_repeat == "skip":
            return Saved(reference, entity, "the record was made by an earlier attempt")
        if self._on_repeat == "skip":
            reason = f"superseded: the deal has the record {reference} already (ERP_ON_REPEAT=skip)"
            return Skipped(reason, reference=reference, lead_id=lead_id)
        return self._erp.update(reference, record, paper)


def plain_record(row: Delivery) -> Record | DeliveryError:
    """The record of crm/create-deal and erp/task.create."""
    data = row.data
    name = str(data.get("dealName") or "").strip()
    try:
        amount = amount_of(data.get("amount"))
    except InvalidOperation:
        amount = None
        name = ""
    if not name:
        message = "The event holds no dealName, or an amount that is no number. Correct the data, then send again"
        return DeliveryError(message, cause="erp_refused", code="refused", permanent=True, params={"detail": message})
    entity = data.get("entityId")
    places = {"deal.name": name, "deal.price": "" if amount is None else format(amount, "f")}
    return Record(name, amount, None if entity in (None, "") else _whole(entity), {**places, **event_places(row)})


def deal_record(row: Delivery, deal: Deal) -> Record:
    """The record of a deal's change of stage, from the deal as amoCRM has it now."""
    lead = deal.lead
    return Record(lead.name.strip() or f"#{lead.id}", lead.price, None, {**texts_of(deal), **event_places(row)})


def event_places(row: Delivery) -> dict[str, str]:
    """event.id, and data.<name> for what the event's data hold."""
    found = {"event.id": row.event_id, "event.name": row.event_name}

    def walk(node: Mapping[str, Any], path: str) -> None:
        for name, value in node.items():
            if isinstance(value, Mapping):
                walk(value, f"{path}.{name}")
            elif isinstance(value, str | int | float) and not isinstance(value, bool):
                found[f"{path}.{name}"] = str(value)

    walk(row.data, "data")
    return found


def amount_of(value: Any) -> Decimal | None:
    """A number or numeric text, exact; None for none. Raises decimal.InvalidOperation for anything else."""
    if value is None or value == "":
        return None
    amount = Decimal(str(value).strip()) if not isinstance(value, bool | list | dict) else Decimal("")
    if not amount.is_finite():
        raise InvalidOperation
    return amount


def _whole(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) else str(value).strip()
