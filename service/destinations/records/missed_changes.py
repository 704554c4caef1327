"""Changes of stage that no webhook told of: found in amoCRM's log of events, and taken in as if one had."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from outbox.message import Dedupe, NewDelivery, NewEvent, Receipt, new_id
from service.amocrm.client import AmocrmClient
from service.amocrm.payloads import StatusChange
from service.amocrm.stage_changes.seen import Changes
from service.closed_stages import CLOSED
from service.routing import AMOCRM, ERP, WEBHOOK

if TYPE_CHECKING:
    from outbox.shared import KeyValues
    from service.network.exchange import Exchange

SOURCE = "reconcile"
NAMESPACE, KEY = "reconcile", "position"
"""In the memory: {"at", "start"} by amoCRM's clock, "ran_at" by ours, {"rows", "taken"} of the last look."""

OVERLAP = 60
"""Seconds that are read again: amoCRM may show a row of its log a little after one that came later."""

WINDOW = 6 * 3600
"""Seconds of the log that are read and taken in at a time, so that a long gap survives a restart in the middle."""

AHEAD = 3600
"""amoCRM's clock may be ahead of ours by as much."""

SKEWED = 60
"""Seconds by which our position in amoCRM's log may be ahead of our clock without anything being wrong."""

LOOK_BACK = 24 * 3600

BUSY_ROWS = 100
REST_AFTER_MISSED, REST_AFTER_KNOWN = 115.0, 290.0
"""Seconds of rest after a look that read more rows than a page holds, by whether webhooks had missed any of them: so
that a launch costs few requests."""

CHUNK = 200


Accept = Callable[[Sequence[NewEvent]], Sequence[Receipt]]


@dataclass(frozen=True)
class Found:
    """What a look brought. rows: of the log; known: by webhooks; taken: as new events. began: it was the first one."""

    rows: int = 0
    known: int = 0
    taken: int = 0
    began: bool = False


class MissedChanges:
    """Goes on where the look before it ended. One process at a time."""

    def __init__(
        self,
        client: AmocrmClient,
        changes: Changes,
        accept: Accept,
        key_values: KeyValues,
        now: Callable[[], float],
        in_use: Callable[[], bool] = lambda: True,
        hear: Callable[[Sequence[tuple[int, str]]], None] = lambda witnesses: None,
        is_wanted: Callable[[int | None, int], bool] | None = None,
    ) -> None:
        """in_use: whether changes of stage are wanted at all; without it nothing is fetched. hear: is told of what the
        log tells: deal ids, and rows' ids. is_wanted: whether a deal made on this stage counts; None: none does."""
        self._client = client
        self._changes = changes
        self._in_use = in_use
        self._hear = hear
        self._is_wanted = is_wanted
        self._accept = accept
        self._key_values = key_values
        self._now = now
        self._looked = False

    def _there(self, at: int) -> float | None:
        """The time by amoCRM's clock; only where our position is in the future by ours is it worth a request. None: it
        does not tell."""
        now = self._now()
        if at <= now + SKEWED:
            return now
        dates: list[str] = []
        self._client.bound(record=lambda exchange: dates.append(_date_of(exchange))).account()
        try:
            return parsedate_to_datetime(dates[-1]).timestamp()
        except (IndexError, ValueError, TypeError):
            return None

    def fetch(self) -> int:
        """Take over what no webhook told of, if it is time for a look. -> how many. Raises DeliveryError, Stopping."""
        return self.run().taken if self._in_use() and self.is_due() else 0

    def is_due(self) -> bool:
        """Whether it is time for a look. A process that has just started always looks: there was a gap."""
        position = self._position()
        if not self._looked or position is None or int(position.get("rows") or 0) <= BUSY_ROWS:
            return True
        rest = REST_AFTER_MISSED if position.get("taken") else REST_AFTER_KNOWN
        return not 0 <= self._now() - float(position.get("ran_at") or 0.0) < rest

    def run(self) -> Found:
        """Take in what is new. The first look of all only marks where to begin: an account's past is not imported.

        Raises what fetch and accept raise; what was taken in until then stays, and the next look goes on from there.
        """
        now = self._now()
        position = self._position()
        if position is None:
            self._key_values.put(
                NAMESPACE, KEY, {"at": int(now), "start": int(now), "ran_at": now, "rows": 0, "taken": 0}
            )
            self._looked = True
            return Found(began=True)
        at, start = int(position["at"]), int(position["start"])
        there = self._there(at)
        if there is None:
            return Found()
        if at > there + SKEWED:
            # Our clock was ahead when that was written, and was set back since. What came meanwhile is known by hooks,
            # or is found in the log of the last day.
            if start > there:
                start = int(there - max(0.0, float(position.get("ran_at") or 0.0) - start))
            at = max(start, int(there) - LOOK_BACK)
        rows = known = taken = 0
        since = max(at - OVERLAP, start)
        while True:
            until = since + OVERLAP + WINDOW
            last = until >= there
            found = self._rows(since, int(there) + AHEAD if last else until)
            new = self._unknown(found, now)
            self._hear([(row.lead_id, id_of(row)) for row in found])
            for place in range(0, len(new), CHUNK):
                receipts = self._accept([event_of(row, now) for row in new[place : place + CHUNK]])
                taken += sum(1 for receipt in receipts if not receipt.duplicate)
            rows += len(found)
            known += len(found) - len(new)
            at = max([at, *(int(row.at) for row in found)] if last else [at, until])
            value = {"at": at, "start": start, "ran_at": now, "rows": rows, "taken": taken}
            self._key_values.put(NAMESPACE, KEY, value)
            if last:
                self._looked = True
                return Found(rows, known, taken)
            since = until

    def _position(self) -> dict[str, Any] | None:
        entry = self._key_values.get(NAMESPACE, KEY)
        return entry.value if entry is not None and isinstance(entry.value, dict) else None

    def _rows(self, since: int, until: int) -> list[StatusChange]:
        """Oldest first; what is no change of stage is left out."""
        told = self._client.status_changes(since, until, with_new=self._is_wanted is not None)
        found = sorted(told, key=lambda row: float(row.at))
        changes = [row for row in found if not row.is_new and row.status_id is not None and not _stays(row)]
        made = [row for row in found if row.is_new]
        if not made:
            return changes
        placed = self._placed(made, changes, up_to_now=until > self._now())
        return sorted([*placed, *changes], key=lambda row: float(row.at))

    def _placed(
        self, made: Sequence[StatusChange], changes: Sequence[StatusChange], up_to_now: bool
    ) -> list[StatusChange]:
        """Deals that were made on a wanted stage. The log does not tell which one that was, but the deal's first change
        does, or else the deal itself. up_to_now: whether these are all changes since."""
        first: dict[int, StatusChange] = {}
        for change in changes:
            first.setdefault(change.lead_id, change)
        unmoved = sorted({row.lead_id for row in made if row.status_id is None and row.lead_id not in first})
        for lead_id in [] if up_to_now else unmoved:
            at = min(int(row.at) for row in made if row.lead_id == lead_id)
            later = self._client.status_changes_of(lead_id, at, int(self._now()) + AHEAD)
            first.update({change.lead_id: change for change in later})  # newest first: the oldest stays
        deals = self._client.leads([one for one in unmoved if one not in first])
        found = []
        for row in made:
            pipeline_id, status_id = row.pipeline_id, row.status_id
            if status_id is None and row.lead_id in first:
                moved = first[row.lead_id]
                pipeline_id, status_id = moved.old_pipeline_id, moved.old_status_id
            elif status_id is None and (deal := deals.get(row.lead_id)) is not None and not deal.is_deleted:
                pipeline_id, status_id = deal.pipeline_id, deal.status_id
            if status_id is not None and self._is_wanted is not None and self._is_wanted(pipeline_id, status_id):
                found.append(replace(row, pipeline_id=pipeline_id, status_id=status_id))
        return found

    def _unknown(self, rows: Sequence[StatusChange], now: float) -> list[StatusChange]:
        by_deal: dict[int, list[StatusChange]] = {}
        for row in rows:
            by_deal.setdefault(row.lead_id, []).append(row)
        known: set[int] = set()
        for lead_id, group in by_deal.items():
            answers = self._changes.known(lead_id, group, now)
            known.update(id(row) for row, is_known in zip(group, answers, strict=True) if is_known)
        return [row for row in rows if id(row) not in known]


def event_of(row: StatusChange, now: float) -> NewEvent:
    """The event of a row of the log, like that of a webhook; the same row is taken once."""
    own_id = id_of(row)
    return NewEvent(
        id=new_id(now),
        name=WEBHOOK,
        data={
            "lead_id": row.lead_id,
            "pipeline_id": row.pipeline_id,
            "status_id": row.status_id,
            "old_status_id": row.old_status_id,
            "old_pipeline_id": row.old_pipeline_id,
            "at": int(row.at),
            "kind": "add" if row.is_new else "status",
            "amocrm_event_id": own_id,
        },
        source=SOURCE,
        sender=AMOCRM,
        received_at=now,
        deliveries=(NewDelivery(ERP, key=f"lead:{row.lead_id}"),),
        dedupe=Dedupe(f"api:{row.event_id}" if row.event_id else f"api:{row.lead_id}:{own_id}"),
        lead_id=row.lead_id,
    )


def id_of(row: StatusChange) -> str:
    """By which a row of the log is known again."""
    return row.event_id or f"{row.pipeline_id}:{row.old_status_id}:{row.status_id}:{int(row.at)}"


def _stays(row: StatusChange) -> bool:
    # 142 and 143 are stages of every pipeline: the same one of another pipeline is a change.
    unknown = row.old_pipeline_id is None and row.status_id not in CLOSED
    return row.status_id == row.old_status_id and (unknown or row.old_pipeline_id == row.pipeline_id)


def _date_of(exchange: Exchange) -> str:
    return next((value for name, value in exchange.response_headers.items() if name.lower() == "date"), "")
