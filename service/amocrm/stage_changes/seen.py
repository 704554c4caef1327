"""Which changes of stage are known, deal by deal, kept in the key-value store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from service.amocrm.payloads import StatusChange
from service.amocrm.stage_changes.match import CREATED, Observation, Same, Verdict, classify_all

if TYPE_CHECKING:
    from outbox.shared import Entry, KeyValues

NAMESPACE = "changes"
KEPT, KEPT_SECONDS = 200, 14 * 24 * 3600.0
"""How many observations of one deal are kept, and for how long."""


LETTERS = {
    "e": "event_id",
    "p": "pipeline_id",
    "o": "old",
    "n": "new",
    "t": "at",
    "s": "seen_at",
    "a": "api_id",
    "v": "role",
    "of": "of",
    "x": "timed",
    "m": "mate",
}
"""The form in which observations are kept, since 0.1.0: letter -> field."""


class Changes:
    """The observations of all deals, as they are kept. Safe between the lane and the search for missed changes."""

    def __init__(self, key_values: KeyValues, now: Callable[[], float]) -> None:
        self._key_values = key_values
        self._now = now

    def settle(self, lead_id: int, observations: Sequence[Observation]) -> list[Verdict]:
        """Verdicts in the order given, committed. Those that must wait have changed nothing."""
        return self._classify(lead_id, observations, keep_new=True)

    def note(self, lead_id: int, observations: Sequence[Observation]) -> list[Verdict]:
        """The same, but a new change is only told, not kept: it has no event yet that could make its record."""
        return self._classify(lead_id, observations, keep_new=False)

    def known(self, lead_id: int, rows: Sequence[StatusChange], seen_at: float) -> list[bool]:
        """For rows of the log: whether each tells of a change that is known already; it is then kept beside it."""
        observations = []
        for row in rows:
            own_id = row.event_id or f"{row.pipeline_id}:{row.old_status_id}:{row.status_id}:{int(row.at)}"
            old = CREATED if row.is_new else row.old_status_id
            observations.append(Observation("", row.pipeline_id, old, row.status_id, row.at, seen_at, api_id=own_id))
        return [isinstance(verdict, Same) for verdict in self.note(lead_id, observations)]

    def foresee(self, observations: Mapping[int, Sequence[Observation]]) -> dict[int, list[Verdict]]:
        """What `settle` would say of these deals now. Nothing is kept."""
        entries = self._key_values.get_many(NAMESPACE, [str(lead_id) for lead_id in observations])
        now = self._now()
        found = {}
        for lead_id, group in observations.items():
            found[lead_id] = classify_all(_read(entries.get(str(lead_id))), group, now, keep_new=True)[1]
        return found

    def last(self, lead_ids: Sequence[int]) -> dict[int, Observation]:
        """The latest change of each deal that came with a time and all of its stages; deals without are left out."""
        found = {}
        for key, entry in self._key_values.get_many(NAMESPACE, [str(lead_id) for lead_id in lead_ids]).items():
            whole = [one for one in _read(entry) if None not in (one.at, one.pipeline_id, one.old, one.new)]
            if whole:
                found[int(key)] = max(whole, key=lambda one: one.at or 0.0)
        return found

    def _classify(self, lead_id: int, observations: Sequence[Observation], keep_new: bool) -> list[Verdict]:
        while True:
            entry = self._key_values.get(NAMESPACE, str(lead_id))
            before = _read(entry)
            now = self._now()
            kept, verdicts = classify_all(before, observations, now, keep_new)
            if kept == before:
                return verdicts
            version = entry.version if entry is not None else 0
            value = [_stored(one) for one in _pruned(kept, now)]
            if self._key_values.put(NAMESPACE, str(lead_id), value, version) is not None:
                return verdicts

    def sweep(self) -> int:
        """Forget the deals that nothing was heard of for as long as an observation is kept. -> how many."""
        return self._key_values.delete_old(NAMESPACE, self._now() - KEPT_SECONDS)


def _pruned(observations: list[Observation], now: float) -> list[Observation]:
    fresh = [one for one in observations if one.seen_at > now - KEPT_SECONDS]
    return sorted(fresh, key=lambda one: one.seen_at)[-KEPT:]


def _stored(one: Observation) -> dict[str, Any]:
    """One letter a name: a deal may have 200 of them."""
    return {letter: getattr(one, name) for letter, name in LETTERS.items() if letter != "m" or one.mate}


def _read(entry: Entry | None) -> list[Observation]:
    rows = entry.value if entry is not None else []
    return [Observation(**{name: row[letter] for letter, name in LETTERS.items() if letter in row}) for row in rows]
