"""What is remembered of an e-mail, and the form in which the memory holds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outbox.shared import Entry

NAMESPACE = "directory"


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
    missing: tuple[int, ...] = ()
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
    missing: Iterable[int] = (),
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
    if gone := sorted(set(missing)):
        value["missing"] = gone
    return value


def from_entry(email: str, entry: Entry) -> Person:
    value = entry.value
    contacts = {int(number): str(name) for number, name in value["contacts"].items()}
    missing = tuple(map(int, value.get("missing", ())))  # a mapping by them in version 0.1
    return Person(
        email,
        contacts,
        tuple(value["leads"]),
        tuple(value.get("dull", ())),
        False,
        missing,
        tuple(value.get("phones", ())),
    )
