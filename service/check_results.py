"""What a check found last, kept so that pages can tell it without asking again, and the words of what is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from outbox.message import Json
from outbox.shared import KeyValues
from service.causes import N_

OK, NOTE, FAULT = "ok", "note", "fault"

SAID: Mapping[str, tuple[str, str]] = {
    "erp_noisy": (
        N_("its PHP writes before its answers: %(words)s"),
        N_("Switch display_errors off in the ERP's PHP."),
    ),
    "erp_no_right": (
        N_("the ERP's user may not create records in entity %(id)s"),
        N_("Give this user the right to create and to see records there."),
    ),
    "erp_fields_unread": (
        N_("the fields of entity %(id)s cannot be read"),
        N_("Look whether these fields are there."),
    ),
    "erp_fields_lacking": (
        N_("entity %(id)s has no %(fields)s"),
        N_("Correct the names of the fields, or make these fields."),
    ),
    "erp_key_repeats": (
        N_("%(field)s is not unique: after a lost answer a record could be made twice"),
        N_('Switch "unique" on for this field in the ERP.'),
    ),
    "erp_key_unset": (
        N_("not set: after a broken connection a record may need a person's look"),
        N_("Name a unique text field, and no record is ever made twice."),
    ),
}
"""What is so, and the mend, by the code that is kept of a check."""


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

    def put(self, part: str, fingerprint: str, at: float, found: Sequence[KeptCheck]) -> None:
        """fingerprint: of the settings that were checked."""
        rows = [[one.state, one.code, dict(one.params)] for one in found]
        self._key_values.put(self.NAMESPACE, part, {"at": at, "by": fingerprint, "found": rows})

    def get(self, part: str, fingerprint: str) -> KeptChecks | None:
        """None: never checked, or the settings were others."""
        entry = self._key_values.get(self.NAMESPACE, part)
        if entry is None or entry.value.get("by") != fingerprint:
            return None
        return KeptChecks(float(entry.value["at"]), tuple(KeptCheck(*row) for row in entry.value["found"]))
