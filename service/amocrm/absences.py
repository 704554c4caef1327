"""Deals that amoCRM does not show: asked for again until that is proven, and taken back when somebody tells otherwise.

An account that has moved, a deal in the second after its own webhook, a cut list: all of them answer "not there".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outbox.shared import KeyValues

NAMESPACE = "deals-unseen"
"""In the key-value store: deal id -> {"asks", "last", "gone", "witnesses"}."""

AGAIN = (20.0, 40.0, 60.0)
"""Seconds after which an absent deal is asked for again, after the first answer and after each further one. The one
after these is the proof; an answer that comes earlier does not count."""

STALE = 3600.0
"""Seconds after which an earlier answer says nothing any more."""

KEPT = 14 * 24 * 3600.0
WITNESSES = 50


class Absences:
    """Of each deal: how often amoCRM said that there is none, asked for that very one while it answered others."""

    def __init__(self, key_values: KeyValues, now: Callable[[], float], reopen: Callable[[int], int]) -> None:
        """reopen: lets wait again what was skipped since this deal counted as gone. -> how many."""
        self._key_values = key_values
        self._now = now
        self._reopen = reopen

    def note(self, lead_id: int) -> float:
        """amoCRM said so once more. -> seconds after which it is to be asked again; 0.0: it is gone."""
        now, value = self._now(), self._read(lead_id)
        if value["gone"]:
            return 0.0
        since = now - value["last"]
        if not 0 <= since <= STALE:
            value["asks"] = 0
        if value["asks"] and since < (wait := AGAIN[value["asks"] - 1]):
            return float(wait - since)
        value |= {"asks": value["asks"] + 1, "last": now}
        value["gone"] = value["asks"] > len(AGAIN)
        self._key_values.put(NAMESPACE, str(lead_id), value)
        return 0.0 if value["gone"] else AGAIN[value["asks"] - 1]

    def are_there(self, lead_ids: Sequence[int]) -> set[int]:
        """These were read. -> those of which something was skipped as they counted as gone; that waits again."""
        known = self._key_values.get_many(NAMESPACE, [str(one) for one in lead_ids])
        gone = {int(key) for key, entry in known.items() if entry.value["gone"]}
        back = {lead_id for lead_id in gone if self._reopen(lead_id)}
        if known:
            self._key_values.delete(NAMESPACE, list(known))
        return back

    def hear(self, witnesses: Sequence[tuple[int, str]]) -> None:
        """Somebody tells of these deals (id, by which event or row of the log): of one that counts as gone it is news,
        the first time, so that it is asked for anew and what was skipped is sent again."""
        known = self._key_values.get_many(NAMESPACE, sorted({str(lead_id) for lead_id, _ in witnesses}))
        for lead_id, witness in witnesses:
            entry = known.get(str(lead_id))
            if entry is None or not entry.value["gone"] or witness in (heard := entry.value["witnesses"]):
                continue
            fresh = {"asks": 0, "last": 0.0, "gone": False, "witnesses": [*heard, witness][-WITNESSES:]}
            self._key_values.put(NAMESPACE, str(lead_id), fresh)
            del known[str(lead_id)]
            self._reopen(lead_id)

    def sweep(self) -> int:
        """Forget the deals that nothing was heard of for two weeks. -> how many."""
        return self._key_values.delete_old(NAMESPACE, self._now() - KEPT)

    def _read(self, lead_id: int) -> dict[str, Any]:
        entry = self._key_values.get(NAMESPACE, str(lead_id))
        return dict(entry.value) if entry else {"asks": 0, "last": 0.0, "gone": False, "witnesses": []}
