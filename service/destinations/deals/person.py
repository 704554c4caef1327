"""What is remembered of an e-mail, and the form in which the memory holds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from outbox.shared import Entry

NAMESPACE = "directory"


PROOF, LOOKS, LOOK_EVERY = 120.0, 3, 20.0
"""Seconds and answers after which it counts as proven that a deal is gone, and seconds between two answers that count:
one that was found meanwhile, by a process that died before it could say so, is not gone for one odd answer more."""


class Missing(NamedTuple):
    """A deal that amoCRM did not find: since when, when it was last asked for, and how many of its answers count."""

    since: float
    last: float
    looks: int

    def again(self, now: float) -> Missing:
        """It was not found once more. Times from before the clock was set back would keep the proof off until the clock
        has caught up."""
        since, last = min(self.since, now), min(self.last, now)
        counts = not self.looks or now - last >= LOOK_EVERY
        return Missing(since, now if counts else last, self.looks + counts)

    def is_proven(self, now: float) -> bool:
        return self.looks >= LOOKS and now - self.since >= PROOF


@dataclass(frozen=True)
class Person:
    """What is known of an e-mail. contacts: names by id. phones: theirs, as they are written there. lead_ids: the deals
    to look at; inactive_lead_ids: those that were closed or in other pipelines when they were last read. searched:
    amoCRM's own search was asked in this pass. missing: deals that are looked for, since amoCRM did not find them when
    it was asked."""

    email: str
    contacts: Mapping[int, str]
    lead_ids: tuple[int, ...]
    inactive_lead_ids: tuple[int, ...] = ()
    searched: bool = False
    missing: Mapping[int, Missing] = field(default_factory=dict)
    phones: tuple[str, ...] = ()

    @property
    def watched(self) -> tuple[int, ...]:
        """The deals that have to be read to know which one is meant."""
        return tuple(dict.fromkeys((*self.lead_ids, *self.missing)))

    def name(self, contact_ids: Sequence[int] = ()) -> str:
        """The name of the contact who bears this e-mail and belongs to the deal with these contacts."""
        own = [self.contacts[number] for number in contact_ids if number in self.contacts]
        return next(iter([*own, *self.contacts.values()]), "")


def as_value(
    contacts: Mapping[int, str],
    lead_ids: Iterable[int],
    inactive_lead_ids: Iterable[int] = (),
    scan: str = "",
    missing: Mapping[int, Missing] | None = None,
    phones: Sequence[str] = (),
) -> Any:
    """An entry as the memory keeps it. scan: the reading by pages that it came from, which may not be whole yet."""
    value: dict[str, Any] = {"contacts": {str(number): name for number, name in contacts.items()}}
    value["leads"] = sorted(set(lead_ids))
    if dull := sorted(set(inactive_lead_ids)):
        value["dull"] = dull
    if scan:
        value["scan"] = scan
    if phones:
        value["phones"] = list(phones)
    if missing:
        value["missing"] = {str(number): list(one) for number, one in missing.items()}
    return value


def from_entry(email: str, entry: Entry) -> Person:
    value = entry.value
    contacts = {int(number): str(name) for number, name in value["contacts"].items()}
    missing = {int(number): _missing(one) for number, one in value.get("missing", {}).items()}
    return Person(
        email,
        contacts,
        tuple(value["leads"]),
        tuple(value.get("dull", ())),
        False,
        missing,
        tuple(value.get("phones", ())),
    )


def _missing(value: Any) -> Missing:
    if isinstance(value, list):
        since, last, looks = value
        return Missing(float(since), float(last), int(looks))
    return Missing(float(value), float(value), 1)  # as version 0.1 kept it
