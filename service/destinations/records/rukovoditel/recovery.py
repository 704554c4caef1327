"""Inserts whose end is not known: what is kept of each before it begins, and which row of the ERP is its own."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from outbox.whole_numbers import whole_number

if TYPE_CHECKING:
    from outbox.shared import KeyValues

OPEN = "erp-inserts"
"""In the memory, key "open": delivery id -> Insert, of those that began and whose end is not known."""

MADE = "erp-made"
"""Delivery id -> {"reference", "entity"}: for a worker that dies between the ERP's answer and our own record of it."""

KEPT = 7 * 24 * 3600.0
"""Seconds for which both are kept: longer than any delivery is tried."""

DAY = 24 * 3600.0
TAGS = re.compile(r"<[^>]*>")


LOOKS = 2
"""How many looks, with time between them, must find no row before an insert is sent again."""

LONGEST_WORK = DAY
"""More seconds than that no insert takes: a time that lies further ahead was written before the clock was set back."""


@dataclass(frozen=True)
class Insert:
    """One that began. above: the highest id known before; None: not known. taken: later ids that are of other
    deliveries. at, until: seconds since the epoch; until then the ERP may be at work on it. name "": it bears a key.
    looks: so many more must find nothing after that. blind: looks at which the ERP showed nothing at all. slow: the ERP
    was still at work on it when we gave up, as far as we know."""

    entity: str = ""
    name: str = ""
    amount: str | None = None
    above: int | None = None
    taken: tuple[int, ...] = ()
    at: float = 0.0
    until: float = 0.0
    looks: int = LOOKS
    blind: int = 0
    slow: bool = True

    def same(self, other: Insert) -> bool:
        """Whether their rows look alike."""
        mine = (self.entity, self.name, self.amount)
        return bool(self.name) and mine == (other.entity, other.name, other.amount)


class Recovery:
    """Kept in the store's memory; one process at a time writes it. start() begins each pass."""

    def __init__(self, key_values: KeyValues, now: Callable[[], float]) -> None:
        self._key_values = key_values
        self._now = now
        self._open: dict[str, Insert] = {}
        self._made: dict[str, Mapping[str, Any]] = {}
        self._swept_at = 0.0

    def start(self, delivery_ids: Sequence[int]) -> None:
        now = self._now()
        entry = self._key_values.get(OPEN, "open")
        kept = entry.value if entry is not None else {}
        made = self._key_values.get_many(MADE, list({*kept, *(str(one) for one in delivery_ids)}))
        self._made = {name: one.value for name, one in made.items()}
        found = {name: Insert(**{**one, "taken": tuple(one["taken"])}) for name, one in kept.items()}
        self._open = {n: one for n, one in found.items() if n not in self._made and one.at > now - KEPT}
        if not 0 <= now - self._swept_at < DAY:
            self._swept_at = now
            self._key_values.delete_old(MADE, now - KEPT)

    def made(self, delivery_id: int) -> Mapping[str, Any] | None:
        """What an earlier attempt of this delivery made: {"reference", "entity"}."""
        return self._made.get(str(delivery_id))

    def open(self, delivery_id: int) -> Insert | None:
        """The insert of this delivery whose end is not known."""
        return self._open.get(str(delivery_id))

    def left(self, delivery_id: int) -> float:
        """Seconds for which the ERP may still be at work on it; 0.0: it is over."""
        one = self.open(delivery_id)
        left = one.until - self._now() if one else 0.0
        return left if 0 < left <= LONGEST_WORK else 0.0

    def begin(self, delivery_id: int, insert: Insert) -> None:
        """Committed when it returns."""
        self._open[str(delivery_id)] = insert
        self._write()

    def looked(self, delivery_id: int, again_at: float) -> int:
        """A look after its time found nothing; the next one is due then. -> how many more are needed."""
        one = self._open[str(delivery_id)]
        self.begin(delivery_id, replace(one, until=again_at, looks=one.looks - 1))
        return one.looks - 1

    def saw_nothing(self, delivery_id: int, again_at: float) -> int:
        """A look after its time showed nothing at all. -> how many such there were."""
        one = self._open[str(delivery_id)]
        self.begin(delivery_id, replace(one, until=again_at, blind=one.blind + 1))
        return one.blind + 1

    def has_made(self, entity: str) -> bool:
        """Whether we have made a record of this entity, as far as is remembered."""
        return any(one.value.get("entity") == entity for one in self._key_values.items(MADE).values())

    def drop(self, delivery_id: int) -> None:
        """It is known that nothing was made, or a person will decide."""
        if self._open.pop(str(delivery_id), None) is not None:
            self._write()

    def close(self, delivery_id: int, one: Insert, reference: str) -> None:
        """It made this row, which no other one can claim any more."""
        # The entry among the open ones goes with the next write of theirs: start() knows which are made.
        self._open.pop(str(delivery_id), None)
        value = {"reference": reference, "entity": one.entity}
        self._key_values.put(MADE, str(delivery_id), value)
        self._made[str(delivery_id)] = value
        alike = [name for name, other in self._open.items() if one.same(other)]
        if alike and (made := whole_number(reference)) is not None:
            for name in alike:
                self._open[name] = replace(self._open[name], taken=(*self._open[name].taken, made))
            self._write()

    def alike(self, insert: Insert) -> int:
        """How many inserts in doubt would look like this one, itself included."""
        return max(sum(1 for one in self._open.values() if one.same(insert)), 1)

    def _write(self) -> None:
        self._key_values.put(OPEN, "open", {name: asdict(one) for name, one in self._open.items()})


def own_row(insert: Insert, found: Sequence[int], alike: int) -> int | Sequence[int] | None:
    """Which of the rows that look like it is its own: an id; None: it was not made; several ids: it cannot be told.

    found: ids of rows with this name and amount. alike: inserts in doubt that would look like this one: with several,
    which row is whose makes no difference, as long as none is taken twice.
    """
    new = sorted(one for one in found if one > (insert.above or 0) and one not in insert.taken)
    if not new:
        return None
    if insert.above is None or len(new) > alike:
        return new
    return new[0]


def matching(
    rows: Iterable[Mapping[str, Any]], name_field: str, amount_field: str, name: str, amount: str | None
) -> list[int]:
    """Ids of the rows that hold this name and amount, lowest first. Fields by their bare number.

    Every row is looked at here, since a filter that the ERP does not know gives all rows without a word.
    """
    return sorted(
        row_id(row)
        for row in rows
        if row_id(row)
        and same_text(str(row.get(name_field, "")), name)
        and (amount is None or same_amount(str(row.get(amount_field) or ""), amount))
    )


def row_id(row: Mapping[str, Any]) -> int:
    """The id of a row of a select; 0 for none."""
    return whole_number(str(row.get("id", "")).strip()) or 0


def highest(rows: Sequence[Mapping[str, Any]]) -> int:
    """The highest id among rows; 0 for none."""
    return max((row_id(row) for row in rows), default=0)


def same_text(shown: str, sent: str) -> bool:
    """The ERP shows a text without tags and outer spaces, perhaps with entities; its database ignores case."""
    return bool({_plain(shown), _plain(html.unescape(shown))} & {_plain(sent), _plain(TAGS.sub("", sent))})


def same_amount(shown: str, sent: str) -> bool:
    """The ERP may show 1500.5 as "1 500,50". What cannot be read as an amount at all is not held against the row."""
    figures = re.sub(r"[^0-9.,-]", "", shown)
    readings = set()
    for point in ".,":
        other = "," if point == "." else "."
        try:
            readings.add(Decimal(figures.replace(other, "").replace(point, ".")))
        except InvalidOperation:
            continue
    try:
        return not readings or Decimal(sent) in readings
    except InvalidOperation:
        return shown.strip() == sent.strip()


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
