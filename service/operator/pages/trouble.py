"""The two kinds of trouble, never mixed: what needs a person, and what passes by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import url_for
from flask_babel import gettext as _

from outbox.message import RESENDABLE, Delivery, State
from outbox.outcome import PauseKind
from outbox.queries import Filter
from outbox.whole_numbers import whole_number
from service.checks.settings import source_words
from service.current import Dealpost
from service.operator import words
from service.operator.pages import delivery_row
from service.operator.pages.links import list_url
from service.operator.words.numbers import ngettext
from service.settings_reader import Origin
from service.situations.gather import UNMAPPED
from service.situations.signals import Mend, Need, Situation

SHOWN = 8
"""How many situations are named in a block; the rest is counted."""


@dataclass(frozen=True)
class Needed:
    """Something that a person has to do. mend: the control. lesson: whose stage is to be chosen. after: what the
    chooser does when it has saved: "try" one, or send those of a cause. went: what became of the one that was tried,
    as (tone, words, its delivery)."""

    title: str
    why: str
    count: int
    mend: Mend
    since: str = ""
    touched: tuple[tuple[int, str], ...] = ()
    others: int = 0
    who: str = ""
    then: str = ""
    todo: str = ""
    lesson: int | None = None
    after: str = ""
    destination: str = ""
    confirm: str = ""
    all: str = ""
    tone: str = "bad"
    dead: bool = False
    moved_nothing: bool = False
    settings: tuple[tuple[str, str], ...] = ()
    by_itself: str = ""
    went: tuple[str, str, int] | None = None


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
    all: str = ""


@dataclass(frozen=True)
class Trouble:
    needs: tuple[Needed, ...] = ()
    passing: tuple[Passing, ...] = ()
    dead: int = 0
    waiting: int = 0


def look(dealpost: Dealpost, found: Sequence[Situation], titles: Mapping[str, str], now: float) -> Trouble:
    """Everything that is not as it should be; nothing when all is well."""
    needs = [_needed(dealpost, one, titles, now) for one in found if one.need is Need.PERSON]
    passing = [_passing(dealpost, one, titles, now) for one in found if one.need is Need.TIME]
    dead = sum(one.count for one in needs if one.dead)
    return Trouble(tuple(needs), tuple(passing), dead, sum(one.count for one in passing))


def _needed(dealpost: Dealpost, one: Situation, titles: Mapping[str, str], now: float) -> Needed:
    rows = one.rows or (one.group.sample if one.group is not None else ())
    count = one.count
    stage = one.mend is Mend.STAGE
    confirm = _confirm(one)
    return Needed(
        title=words.situation_title(one, now, titles.get(one.destination, "")),
        why=words.situation_means(one, now),
        count=count,
        mend=one.mend,
        since=_since(one, now),
        touched=tuple((row.id, delivery_row.person(row)) for row in rows),
        others=max(0, count - len(rows)),
        who=words.situation_who(one),
        then=_then(one),
        todo=words.situation_todo(one, now),
        lesson=_lesson(one) if stage else None,
        after=_after(one) if stage and count else "",
        destination=one.destination,
        confirm=confirm,
        all=_all(one),
        tone="warn" if one.code == "paused" else "bad",
        dead=one.code == "dead",
        moved_nothing=one.code == "unmapped",
        settings=_settings(dealpost, one),
        by_itself=words.next_try(one, now),
        went=_went(dealpost, one),
    )


def _settings(dealpost: Dealpost, one: Situation) -> tuple[tuple[str, str], ...]:
    """(name, where it is set) of the settings that a refusal speaks of, by the names under which they are given."""
    found = []
    for name in filter(None, str(one.params.get("settings") or "").split(", ")):
        also = name.replace("CRM_API_", "ERP_API_")
        origins = {other: dealpost.settings.origins.get(other, Origin()) for other in (name, also)}
        given = next((other for other, origin in origins.items() if origin.key), name)
        found.append((origins[given].key or given, source_words(origins[given])))
    return tuple(found)


def _after(one: Situation) -> str:
    if one.code == "stopped":
        return "try" if one.pause is not None and one.pause.kind is PauseKind.CAUSE else ""
    return UNMAPPED if one.code == "unmapped" else one.cause


def _lesson(one: Situation) -> int | None:
    return whole_number(str(one.params.get("lesson") or ""))


def _then(one: Situation) -> str:
    if one.code == "dead" and one.mend is Mend.STAGE:
        return _("the deals move to the new stage; those that are further stay")
    if one.mend in (Mend.TRY, Mend.STAGE) and one.code == "stopped" and one.pause is not None:
        if one.pause.kind is PauseKind.CAUSE:
            return _("one delivery goes out; when it went through, you send the others")
        return _("one delivery goes out; when it went through, the others follow by themselves")
    if one.code in ("stopped", "bare", "worker", "paused"):
        return _("everything that waits goes out by itself")
    return ""


def _since(one: Situation, now: float) -> str:
    group = one.group
    if group is None:
        return words.when(one.since, now) if one.since else ""
    if group.count == 1 or words.clock(group.first_at) == words.clock(group.last_at):
        return words.when(group.first_at, now)
    since, last = words.since_when(group.first_at, now), words.at_when(group.last_at, now)
    return _("%(since)s, last %(last)s", since=since, last=last)


def _where(one: Situation) -> dict[str, Any]:
    if one.code == "unmapped":
        return {"state": State.SKIPPED.value, "destination": one.destination, "cause": UNMAPPED}
    if one.group is not None:
        return {"state": one.group.state.value, "destination": one.destination, "cause": one.group.cause}
    if one.code == "dead":
        return {"state": State.DEAD.value}
    return {"state": State.PENDING.value, "destination": one.destination} if one.count else {}


def _confirm(one: Situation) -> str:
    """The question before rows are sent again, where that is a mend."""
    where = _where(one)
    resend = one.mend is Mend.SEND or (one.mend is Mend.STAGE and one.group is not None)
    if not resend or one.destination == "-" or State(where["state"]) not in RESENDABLE:
        return ""
    max_id = one.group.max_id if one.group is not None else one.params.get("max_id")
    return url_for("pages.confirm", act="retry", **where, max_id=max_id)


def _all(one: Situation) -> str:
    if one.code in ("hook", "stage", "token"):
        return url_for("pages.connections")
    where = _where(one)
    return list_url(**where) if where else ""


def _went(dealpost: Dealpost, one: Situation) -> tuple[str, str, int] | None:
    """What became of the delivery that somebody has tried."""
    if one.pause is None:
        return None
    proved, failed = one.pause.params.get("proved"), one.pause.params.get("failed") or {}
    tried = proved or failed.get("delivery")
    row = dealpost.store.reading.delivery(int(tried)) if tried else None
    if row is None:
        return None
    name = delivery_row.person(row)
    if proved:
        said = _(
            "%(who)s went through: %(what)s.", who=name, what=delivery_row.done(row) or words.state_word(row.state)
        )
        return "ok", said, row.id
    cause = words.cause_title(str(failed["cause"]), failed.get("params") or {})
    return "bad", _("%(who)s was tried and did not go through: %(cause)s.", who=name, cause=cause), row.id


def _passing(dealpost: Dealpost, one: Situation, titles: Mapping[str, str], now: float) -> Passing:
    pause, where = one.pause, Filter(states=(State.PENDING,), destination=one.destination)
    if one.group is not None:
        where = Filter(states=(State.PENDING,), destination=one.destination, cause=one.cause, max_id=one.group.max_id)
    waits = _longest(dealpost, where)
    part = 0.0
    if pause is not None and one.until and pause.since and one.until > pause.since:
        part = max(0.0, 1 - (one.until - now) / (one.until - pause.since))
    shown = _where(one) or {"state": State.PENDING.value}
    return Passing(
        title=words.situation_title(one, now, titles.get(one.destination, "")),
        why=words.situation_means(one, now),
        count=one.count,
        until=one.until,
        part=part,
        waits=waits,
        others=max(0, one.count - len(waits)),
        all=list_url(**shown),
    )


def _longest(dealpost: Dealpost, where: Filter) -> tuple[tuple[int, str, float], ...]:
    """Those who wait longest."""
    found: Sequence[Delivery] = dealpost.store.reading.find(where, 3, oldest_first=True).rows
    return tuple(
        (one.id, f"{delivery_row.person(one)}, {delivery_row.event(one, dealpost)}", one.received_at) for one in found
    )


def others(count: int) -> str:
    return ngettext("and %(count)s more", "and %(count)s more", count, count=words.number(count))
