"""What all processes know of the pace towards amoCRM: what it asked for, how big batches may be, who goes alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from outbox.clock import from_future

if TYPE_CHECKING:
    from outbox.shared import KeyValues

NAMESPACE = "pace"
LIMITS, BATCH, FORBIDDEN = "amocrm", "amocrm-batch", "amocrm-forbidden"


class PaceStore:
    """The owner of the namespace. Times: seconds since the epoch."""

    def __init__(self, key_values: KeyValues) -> None:
        self._key_values = key_values

    def limits(self, now: float) -> dict[str, Any]:
        """{"factor", "since", "until"}: nothing is sent by any process before `until`; from `since` on the speed grows
        from that part to all. {}: amoCRM asked for nothing, or before the clock was set back."""
        entry = self._key_values.get(NAMESPACE, LIMITS)
        if entry is None or not isinstance(entry.value, dict) or from_future(entry.updated_at, now):
            return {}
        return entry.value

    def keep_limits(self, factor: float, since: float, until: float) -> None:
        self._key_values.put(NAMESPACE, LIMITS, {"factor": factor, "since": since, "until": until})

    def batch_size(self) -> tuple[int, float] | None:
        """(the size to which batches shrank, when); None: they never did."""
        entry = self._key_values.get(NAMESPACE, BATCH)
        return (int(entry.value["size"]), entry.updated_at) if entry is not None else None

    def keep_batch_size(self, size: int) -> None:
        self._key_values.put(NAMESPACE, BATCH, {"size": size})

    def forbidden(self) -> dict[str, Any] | None:
        """{"rows": delivery ids, "checked", "since"}: whose request was answered with 403; None: nobody's."""
        entry = self._key_values.get(NAMESPACE, FORBIDDEN)
        return dict(entry.value) if entry is not None else None

    def keep_forbidden(self, rows: Sequence[int], kept: Mapping[str, float]) -> None:
        """rows: delivery ids; without any it is forgotten. kept: checked, since."""
        if rows:
            self._key_values.put(NAMESPACE, FORBIDDEN, {**kept, "rows": list(rows)})
        else:
            self._key_values.delete(NAMESPACE, [FORBIDDEN])
