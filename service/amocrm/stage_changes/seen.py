"""Which changes of stage are known, deal by deal, kept in the store's memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from service.amocrm.stage_changes.match import Item, Observation, Same, Verdict, judge_all

if TYPE_CHECKING:
    from outbox.shared import KeyValues

NAMESPACE = "changes"
KEPT, KEPT_SECONDS = 200, 14 * 24 * 3600.0
"""How many witnesses of one deal are kept, and for how long."""


class Logged(Protocol):
    """A row of amoCRM's log of events that tells of a change of stage. event_id: amoCRM's."""

    @property
    def event_id(self) -> str: ...
    @property
    def pipeline_id(self) -> int | None: ...
    @property
    def status_id(self) -> int | None: ...
    @property
    def old_status_id(self) -> int | None: ...
    @property
    def at(self) -> float: ...


class Changes:
    """The witnesses of all deals, in the store's memory. Safe between the lane and the search for missed changes."""

    def __init__(self, key_values: KeyValues, now: Callable[[], float]) -> None:
        self._key_values = key_values
        self._now = now

    def settle(self, lead_id: int, witnesses: Sequence[Observation]) -> list[Verdict]:
        """Verdicts in the order given, committed. Those that must wait have changed nothing."""
        return self._judge(lead_id, witnesses, keep_new=True)

    def note(self, lead_id: int, witnesses: Sequence[Observation]) -> list[Verdict]:
        """The same, but a new change is only told, not kept: it has no event yet that could make its record."""
        return self._judge(lead_id, witnesses, keep_new=False)

    def known(self, lead_id: int, rows: Sequence[Logged], seen_at: float) -> list[bool]:
        """For rows of the log: whether each tells of a change that is known already; it then counts as its witness."""
        witnesses = []
        for row in rows:
            own_id = row.event_id or f"{row.pipeline_id}:{row.old_status_id}:{row.status_id}:{int(row.at)}"
            witnesses.append(
                Observation("", row.pipeline_id, row.old_status_id, row.status_id, row.at, seen_at, api_id=own_id)
            )
        return [isinstance(verdict, Same) for verdict in self.note(lead_id, witnesses)]

    def foresee(self, witnesses: Mapping[int, Sequence[Observation]]) -> dict[int, list[Verdict]]:
        """What `settle` would say of these deals now. Nothing is kept."""
        entries = self._key_values.get_many(NAMESPACE, [str(lead_id) for lead_id in witnesses])
        now = self._now()
        found = {}
        for lead_id, group in witnesses.items():
            entry = entries.get(str(lead_id))
            found[lead_id] = judge_all(entry.value if entry is not None else [], group, now, keep_new=True)[1]
        return found

    def _judge(self, lead_id: int, witnesses: Sequence[Observation], keep_new: bool) -> list[Verdict]:
        while True:
            entry = self._key_values.get(NAMESPACE, str(lead_id))
            before: list[Item] = entry.value if entry is not None else []
            now = self._now()
            items, found = judge_all(before, witnesses, now, keep_new)
            if items == before:
                return found
            version = entry.version if entry is not None else 0
            if self._key_values.put(NAMESPACE, str(lead_id), _pruned(items, now), version) is not None:
                return found

    def sweep(self) -> int:
        """Forget the deals that nothing was heard of for as long as a witness is kept. -> how many."""
        old = self._now() - KEPT_SECONDS
        keys = [key for key, entry in self._key_values.items(NAMESPACE).items() if entry.updated_at < old]
        self._key_values.delete(NAMESPACE, keys)
        return len(keys)


def _pruned(items: list[Item], now: float) -> list[Item]:
    fresh = [item for item in items if item["s"] > now - KEPT_SECONDS]
    return sorted(fresh, key=lambda item: float(item["s"]))[-KEPT:]
