"""What we know of changes of stage: those that we made ourselves, and those that amoCRM told us of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from service.amocrm.stage_changes.match import Observation
from service.amocrm.stage_changes.seen import Changes

if TYPE_CHECKING:
    from outbox.shared import KeyValues

NAMESPACE = "echoes"
LAST_FEW = 8
"""So many of our own changes are kept per deal."""


@dataclass(frozen=True)
class OwnChange:
    """A change of stage that we made. at: seconds since the epoch, by our clock. sure: False while amoCRM has not
    confirmed it. delivery: the id of the delivery that it was made for."""

    status_id: int
    old_status_id: int
    pipeline_id: int
    at: float
    delivery: int = 0
    sure: bool = True


@dataclass(frozen=True)
class Known:
    """The last changes of a deal: the last that we asked for, the last of ours that amoCRM confirmed, and the last that
    amoCRM told us of, if that is none of ours and none is later."""

    asked: OwnChange | None = None
    ours: OwnChange | None = None
    theirs: Observation | None = None


class OwnChanges:
    """By deal id: our own changes, the last few, oldest first."""

    def __init__(self, key_values: KeyValues, now: Callable[[], float]) -> None:
        self._key_values = key_values
        self._seen = Changes(key_values, now)

    def keep(self, changes: Mapping[int, OwnChange]) -> None:
        """Remember these changes by deal id, in place of what was said of the same deliveries. To be called before a
        write leaves too (sure=False), since its hook may be here before its answer."""
        kept = self._key_values.get_many(NAMESPACE, [str(lead_id) for lead_id in changes])
        values: dict[str, Any] = {}
        for lead_id, change in changes.items():
            entry = kept.get(str(lead_id))
            before = [one for one in (entry.value if entry else []) if one.get("delivery") != change.delivery]
            values[str(lead_id)] = [*before, asdict(change)][-LAST_FEW:]
        self._key_values.put_many(NAMESPACE, values)

    def known(self, lead_ids: Sequence[int]) -> dict[int, Known]:
        """What is known of these deals; each of them is in the answer."""
        keys = [str(lead_id) for lead_id in lead_ids]
        own = self._key_values.get_many(NAMESPACE, keys)
        told = self._seen.last(lead_ids)
        found = {}
        for lead_id, key in zip(lead_ids, keys, strict=True):
            ours = self._read(own.get(key))
            last = next((one for one in reversed(ours) if one.sure), None)
            seen = told.get(lead_id)
            if seen and last and (seen.new == last.status_id or (seen.at or 0.0) < last.at):
                seen = None  # it is our own change, or older
            found[lead_id] = Known(ours[-1] if ours else None, last, seen)
        return found

    def of(self, lead_id: int) -> list[OwnChange]:
        """The last few that we made, oldest first."""
        return self._read(self._key_values.get(NAMESPACE, str(lead_id)))

    def tidy(self, older_than: float) -> int:
        """Forget deals that we have not moved since then (seconds since the epoch). -> how many."""
        return self._key_values.delete_old(NAMESPACE, older_than)

    @staticmethod
    def _read(entry: Any) -> list[OwnChange]:
        return [OwnChange(**one) for one in entry.value] if entry is not None else []
