"""What is known of the fields of an entity of Rukovoditel: which there are, which keep long texts, which are unique."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from service.destinations.records.rukovoditel.replies import Garbled, Refused, rows_of
from service.fields import TEXT_MAX
from service.network.http import NoAnswer

if TYPE_CHECKING:
    from outbox.shared import KeyValues

NAMESPACE = "erp-fields"
"""In the key-value store: entity -> {field number: Field}, as the ERP told it last."""

AREA_MAX = 16_000
"""Characters that a text area keeps whatever they are: its column holds 65,535 bytes."""

FRESH, AGAIN = 3600.0, 60.0
"""Seconds for which an answer counts, and after which the ERP is asked again where it gave none."""

LOOKED_UP_EVERY = 30.0


@dataclass(frozen=True)
class Field:
    """type: as Rukovoditel names it (fieldtype_input, fieldtype_textarea, ...)."""

    name: str = ""
    type: str = ""
    unique: bool = False

    @property
    def longest(self) -> int:
        """Characters that it surely keeps of a text; the rest it may cut without a word."""
        return AREA_MAX if self.type.startswith("fieldtype_textarea") else TEXT_MAX


def fields_of(data: Any) -> dict[str, Field]:
    """The answer of get_entity_fields, by bare numbers."""
    found = {}
    for row in rows_of(data):
        number = str(row.get("id") or "").strip().removeprefix("field_")
        if number:
            found[number] = Field(
                str(row.get("name") or ""), str(row.get("type") or ""), _is_unique(row.get("configuration"))
            )
    return found


def _is_unique(configuration: Any) -> bool:
    """The configuration comes as the database keeps it, JSON in a text, or as an object."""
    if isinstance(configuration, str):
        try:
            configuration = json.loads(configuration)
        except ValueError:
            return False
    return isinstance(configuration, Mapping) and str(configuration.get("is_unique") or "0") in ("1", "true", "True")


class KnownFields:
    """By entity, kept from process to process. Not known is None, and as strict as can be."""

    def __init__(self, ask: Callable[[str], dict[str, Field]], key_values: KeyValues, now: Callable[[], float]) -> None:
        """ask: the ERP for the fields of an entity; may raise Refused, Garbled, NoAnswer."""
        self._ask = ask
        self._key_values = key_values
        self._now = now
        self._known: dict[str, tuple[dict[str, Field] | None, float]] = {}

    def of(self, entity: str, *, fresh: bool = False) -> dict[str, Field] | None:
        """fresh: asked now, whatever was told before."""
        now = self._now()
        if self._is_fresh(entity, now) and not fresh:
            return self._known[entity][0]
        try:
            found = self._ask(entity)
        except (Refused, Garbled, NoAnswer):
            # An older version, a lost connection: nothing waits for what is only good to know.
            self._known[entity] = (None, now + AGAIN)
            return None
        self._known[entity] = (found or None, now + (FRESH if found else AGAIN))
        if found:
            self._key_values.put(NAMESPACE, entity, {k: asdict(one) for k, one in found.items()})
        return found or None

    def kept(self, entity: str) -> dict[str, Field] | None:
        """What is known without asking."""
        return self._known[entity][0] if self._is_fresh(entity, self._now()) else None

    def _is_fresh(self, entity: str, now: float) -> bool:
        if entity not in self._known and (entry := self._key_values.get(NAMESPACE, entity)) is not None:
            self._known[entity] = ({k: Field(**one) for k, one in entry.value.items()}, entry.updated_at + FRESH)
        return entity in self._known and 0 <= self._known[entity][1] - now <= FRESH


class NameLimit:
    """How many characters the field of a record's name keeps, as far as it is stored: asks nobody, and looks seldom."""

    def __init__(
        self,
        entity: int,
        field_name: str,
        key_values: Callable[[], KeyValues],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._entity, self._number = str(entity), field_name.removeprefix("field_")
        self._key_values = key_values
        self._monotonic = monotonic
        self._known = (TEXT_MAX, 0.0)

    def at_once(self) -> int | None:
        """The same, or None when it is time to look."""
        longest, until = self._known
        return longest if self._monotonic() < until else None

    def __call__(self) -> int:
        now = self._monotonic()
        if self._known[1] <= now:
            entry = self._key_values().get(NAMESPACE, self._entity)
            told = entry.value.get(self._number) if entry is not None else None
            self._known = (Field(**told).longest if told else TEXT_MAX, now + LOOKED_UP_EVERY)
        return self._known[0]
