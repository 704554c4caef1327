"""The filter of a list, kept wholly in the address: read from it, and written back into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from outbox.message import State
from outbox.queries import Filter
from outbox.whole_numbers import whole_number
from service.email_address import canonical

SPANS = {"hour": 3600.0, "day": 86400.0, "week": 7 * 86400.0, "month": 30 * 86400.0}
NAMES = ("q", "state", "destination", "event", "when", "cause", "since", "until", "overdue", "email", "deal")
"""The arguments that narrow a list."""


@dataclass(frozen=True)
class Query:
    """where: what the store is asked. values: the same as arguments of an address, without empty ones."""

    where: Filter
    values: Mapping[str, str]

    def link(self, **changes: Any) -> dict[str, Any]:
        """The arguments with some changed; None or "" takes one away."""
        merged = {**self.values, **{name: "" if value is None else str(value) for name, value in changes.items()}}
        return {name: value for name, value in merged.items() if value}

    @property
    def state(self) -> State | None:
        return self.where.states[0] if len(self.where.states) == 1 else None

    def frozen(self, max_id: int) -> Query:
        """The same set, but no row that came after it was shown: "the last day" becomes a moment."""
        values = {name: value for name, value in self.values.items() if name != "when"}
        if self.where.since is not None:
            values["since"] = f"{self.where.since:.3f}"
        values["max_id"] = str(max_id)
        return Query(replace(self.where, max_id=max_id), values)


def read(args: Mapping[str, str], now: float) -> Query:
    """What cannot be read does not narrow: an address that somebody mistyped still shows a list."""
    values = {name: args.get(name, "").strip()[:200] for name in (*NAMES, "max_id")}
    values = {name: value for name, value in values.items() if value}
    states = tuple(State(one) for one in values.get("state", "").split(",") if one in set(State))
    if "state" in values and not states:
        values.pop("state")
    when = values.get("when", "")
    if when and when not in SPANS:
        values.pop("when")
    since = _number(values, "since")
    if since is None and when in SPANS:
        since = now - SPANS[when]
    return Query(
        Filter(
            states=states,
            destination=values.get("destination", ""),
            event_name=values.get("event", ""),
            cause=values.get("cause", ""),
            search=canonical(search) if "@" in (search := values.get("q", "")) else search,
            email=canonical(values.get("email", "")),
            lead_id=_whole(values, "deal"),
            since=since,
            until=_number(values, "until"),
            overdue_at=now if values.get("overdue") else None,
            max_id=_whole(values, "max_id"),
        ),
        values,
    )


def narrows(args: Mapping[str, str]) -> bool:
    """Whether an address asks for a list at all."""
    return any(args.get(name) for name in NAMES)


def _number(values: dict[str, str], name: str) -> float | None:
    try:
        figure = float(values.get(name, ""))
    except ValueError:
        values.pop(name, None)
        return None
    return figure if abs(figure) < 1e12 else None


def _whole(values: dict[str, str], name: str) -> int | None:
    number = whole_number(values.get(name))
    if number is None:
        values.pop(name, None)
    return number
