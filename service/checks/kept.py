"""What a check found last, kept so that pages can tell it without asking again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from outbox.message import Json
from outbox.shared import KeyValues
from service.checks.check import FAULT, Check


@dataclass(frozen=True)
class KeptCheck:
    """One finding: its state, and the code and params of its words."""

    state: str
    code: str
    params: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class KeptChecks:
    """All findings of one part. at: seconds since the epoch."""

    at: float
    found: Sequence[KeptCheck]

    @property
    def fault(self) -> KeptCheck | None:
        """The first that has to be mended."""
        return next((one for one in self.found if one.state == FAULT), None)

    def of(self, code: str) -> KeptCheck | None:
        return next((one for one in self.found if one.code == code), None)


class KeptResults:
    """The owner of the namespace: under the part {"at", "by", "found": [[state, code, params]]}."""

    NAMESPACE = "checks"

    def __init__(self, key_values: KeyValues) -> None:
        self._key_values = key_values

    def put(self, part: str, fingerprint: str, at: float, found: Sequence[Check]) -> None:
        """fingerprint: of the settings that were checked."""
        rows = [[one.state, one.code, dict(one.params)] for one in found]
        self._key_values.put(self.NAMESPACE, part, {"at": at, "by": fingerprint, "found": rows})

    def get(self, part: str, fingerprint: str) -> KeptChecks | None:
        """None: never checked, or the settings were others."""
        entry = self._key_values.get(self.NAMESPACE, part)
        if entry is None or entry.value.get("by") != fingerprint:
            return None
        return KeptChecks(float(entry.value["at"]), tuple(KeptCheck(*row) for row in entry.value["found"]))
