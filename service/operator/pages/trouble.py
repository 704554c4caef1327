"""The two kinds of trouble, never mixed: what needs a person, and what passes by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import url_for
from flask_babel import gettext as _
from flask_babel import ngettext

from outbox.message import Delivery, State
from outbox.outcome import PauseKind
from outbox.queries import CauseGroup, Filter
from service.current import Dealpost
from service.operator import words
from service.operator.pages import delivery_row
from service.operator.pages.destinations import DestinationStatus
from service.operator.pages.links import list_url


@dataclass(frozen=True)
class Need:
    """Something that a person has to decide. lesson: the one whose stage has to be chosen, if that is the mend."""

    title: str
    why: str
    count: int
    since: str = ""
    touched: tuple[tuple[int, str], ...] = ()
    others: int = 0
    who: str = ""
    then: str = ""
    todo: str = ""
    lesson: int | None = None
    pipeline: str = ""
    cause: str = ""
    destination: str = ""
    confirm: str = ""
    all: str = ""
    connect: bool = False
    resume: bool = False
    rest: str = ""


@dataclass(frozen=True)
class Passing:
    """Something that passes without anybody. waits: (delivery, who and what, since when) of those who wait longest."""

    title: str
    why: str
    count: int
    until: float | None
    part: float
    waits: tuple[tuple[int, str, float], ...] = ()
    others: int = 0
    late_only: bool = False
    all: str = ""


@dataclass(frozen=True)
class Trouble:
    needs: tuple[Need, ...] = ()
    passing: tuple[Passing, ...] = ()
    dead: int = 0
    waiting: int = field(default=0)


def look(dealpost: Dealpost, destinations: Sequence[DestinationStatus], now: float) -> Trouble:
    """Everything that is not as it should be; nothing when all is well."""
    dead = sum(destination.dead for destination in destinations)
    failing = any(destination.waiting for destination in destinations)
    groups = dealpost.store.reading.causes(Filter(states=(State.DEAD, State.PENDING))) if dead or failing else []
    needs = [_stopped(dealpost, destination, now) for destination in destinations if destination.needs_person]
    needs += [dead_group(dealpost, group, now) for group in groups if group.state == State.DEAD]
    passing = [_pause(dealpost, destination, now) for destination in destinations if destination.passes]
    resting = {destination.name for destination in destinations if destination.rest or destination.missing}
    passing += [
        _retrying(dealpost, group, now)
        for group in groups
        if group.state == State.PENDING and group.destination not in resting and _long(group, now)
    ]
    return Trouble(tuple(needs), tuple(passing), dead, sum(one.count for one in passing))


def _long(group: CauseGroup, now: float) -> bool:
    """A row that failed a moment ago is on its way, not in trouble."""
    return any(now - one.received_at > words.LATE for one in group.sample)


def dead_group(dealpost: Dealpost, group: CauseGroup, now: float) -> Need:
    """A group of deliveries that failed alike, with the control that mends it."""
    lesson = group.params.get("lesson") if group.cause == "stage_deleted" else None
    where: dict[str, Any] = {"state": "dead", "destination": group.destination, "cause": group.cause}
    return Need(
        title=words.cause_title(group.cause, group.params),
        why=words.cause_means(group.cause, group.params),
        count=group.count,
        since=_since(group, now),
        touched=tuple((one.id, delivery_row.person(one)) for one in group.sample),
        others=group.count - len(group.sample),
        who=words.cause_who(group.cause),
        then=_("the deals move to the new stage; those that are further stay") if lesson else "",
        todo=words.cause_todo(group.cause, group.params),
        lesson=int(lesson) if lesson else None,
        pipeline=str(group.params.get("pipeline") or ""),
        cause=group.cause,
        destination=group.destination,
        confirm=url_for("pages.confirm", act="retry", **where, max_id=group.max_id),
        all=list_url(**where),
    )


def _since(group: CauseGroup, now: float) -> str:
    if group.count == 1 or words.clock(group.first_at) == words.clock(group.last_at):
        return words.when(group.first_at, now)
    since, last = words.since_when(group.first_at, now), words.at_when(group.last_at, now)
    return _("%(since)s, last %(last)s", since=since, last=last)


def _stopped(dealpost: Dealpost, destination: DestinationStatus, now: float) -> Need:
    rest = destination.rest
    assert rest is not None
    params = {**rest.params, "missing": ", ".join(destination.to_set) or rest.params.get("missing", "")}
    return Need(
        title=words.cause_title(rest.cause, params),
        why=words.cause_means(rest.cause, params),
        count=destination.waiting,
        since=words.when(rest.since, now) if rest.since else "",
        who=words.cause_who(rest.cause),
        then=_("everything that waits goes out by itself"),
        todo=words.cause_todo(rest.cause, params),
        cause=rest.cause,
        destination=destination.name,
        all=list_url(state="pending", destination=destination.name),
        connect=rest.kind is PauseKind.RECONNECT,
        resume=rest.kind is not PauseKind.RECONNECT,
        rest=rest.kind,
    )


def _pause(dealpost: Dealpost, destination: DestinationStatus, now: float) -> Passing:
    rest = destination.rest
    assert rest is not None
    waits, late = _longest(dealpost, Filter(states=(State.PENDING,), destination=destination.name), now)
    part = 0.0
    if rest.until and rest.since and rest.until > rest.since:
        part = 1 - (rest.until - now) / (rest.until - rest.since)
    return Passing(
        title=words.cause_title(rest.cause, rest.params),
        why=words.cause_means(rest.cause, rest.params),
        count=destination.waiting,
        until=rest.until,
        part=part,
        waits=waits,
        others=max(0, destination.waiting - len(waits)),
        late_only=bool(waits) and len(waits) == late,
        all=list_url(state="pending", destination=destination.name),
    )


def _retrying(dealpost: Dealpost, group: CauseGroup, now: float) -> Passing:
    where = Filter(states=(State.PENDING,), destination=group.destination, cause=group.cause, max_id=group.max_id)
    waits, late = _longest(dealpost, where, now)
    due = min((one.due_at for one in group.sample), default=None)
    return Passing(
        title=words.cause_title(group.cause, group.params),
        why=words.cause_means(group.cause, group.params),
        count=group.count,
        until=due,
        part=0.0,
        waits=waits,
        others=max(0, group.count - len(waits)),
        late_only=bool(waits) and len(waits) == late,
        all=list_url(state="pending", destination=group.destination, cause=group.cause),
    )


def _longest(dealpost: Dealpost, where: Filter, now: float) -> tuple[tuple[tuple[int, str, float], ...], int]:
    """Those who wait longest, and how many of them are late."""
    found: Sequence[Delivery] = dealpost.store.reading.find(where, 3, oldest_first=True).rows
    waits = tuple(
        (one.id, f"{delivery_row.person(one)}, {delivery_row.event(one, dealpost)}", one.received_at) for one in found
    )
    return waits, sum(now - one.received_at > words.LATE for one in found)


def others(count: int) -> str:
    return ngettext("and %(count)s more", "and %(count)s more", count, count=words.number(count))
