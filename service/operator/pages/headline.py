"""The headline of a page: what is, what happens next, one line of support. Worst first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import gettext as _
from flask_babel import ngettext

from outbox.message import Delivery
from outbox.outcome import PauseKind
from service.heartbeat import SILENT
from service.operator import words
from service.operator.pages.destinations import DestinationStatus


@dataclass(frozen=True)
class Headline:
    """head is bold, then is grey. meaning: changes when the page should be read aloud again."""

    tone: str
    icon: str
    head: str
    then: str = ""
    support: str = ""
    meaning: str = ""


@dataclass(frozen=True)
class Situation:
    """What the overview's headline is made of. late: how many wait longer than five minutes; students: whether that
    counts students, or deliveries."""

    now: float
    destinations: Sequence[DestinationStatus]
    late: int = 0
    students: bool = False
    delivered_today: int = 0
    last: Delivery | None = None
    last_title: str = ""
    worker_age: float | None = 0.0


def overview(situation: Situation) -> Headline:
    """The worst thing that is true, in one sentence."""
    dead = sum(destination.dead for destination in situation.destinations)
    waiting = sum(destination.waiting for destination in situation.destinations)
    calm = _("New lessons are accepted as usual, nothing gets lost.")
    if situation.worker_age is None or situation.worker_age > SILENT:
        head = _("Nothing is being sent: the sending process is silent.")
        then = (
            ngettext("%(num)s delivery waits for it.", "%(num)s deliveries wait for it.", waiting)
            if waiting
            else _("It needs the school's developer.")
        )
        return Headline("bad", "alert", head, then, calm, f"silent:{waiting > 0}")
    needy = next((destination for destination in situation.destinations if destination.needs_person), None)
    if needy and needy.rest:
        return _needs_person(situation, needy, dead, calm)
    if dead:
        return _not_delivered(situation, dead, calm)
    if situation.late:
        return Headline("warn", "clock", _sentence(_late(situation)), _next(situation), calm, f"late:{situation.late}")
    return _resting(situation, calm) or _well(situation, waiting)


def _needs_person(situation: Situation, needy: DestinationStatus, dead: int, calm: str) -> Headline:
    assert needy.rest is not None
    if needy.rest.kind is PauseKind.RECONNECT:
        head = _("%(destination)s has to be connected again.", destination=needy.title)
    else:
        head = _sentence(words.cause_title(needy.rest.cause, needy.rest.params))
    then = (
        ngettext(
            "%(num)s delivery waits and goes out by itself after that.",
            "%(num)s deliveries wait and go out by themselves after that.",
            needy.waiting,
        )
        if needy.waiting
        else _("Nothing waits so far.")
    )
    return Headline("bad", "alert", head, then, calm, f"needs:{needy.name}:{needy.rest.cause}:{dead}")


def _not_delivered(situation: Situation, dead: int, calm: str) -> Headline:
    lost = ngettext(
        "%(count)s delivery did not arrive", "%(count)s deliveries did not arrive", dead, count=words.number(dead)
    )
    if not situation.late:
        then = ngettext("It needs your decision.", "They need your decision.", dead)
        return Headline("bad", "alert", _sentence(lost), then, calm, f"dead:{dead}")
    head = _sentence(_("%(first)s, %(second)s", first=_late(situation), second=lost))
    until = _until(situation)
    then = (
        _(
            "Those who wait go out by themselves %(time)s, the others need you.",
            time=words.in_words(until - situation.now),
        )
        if until is not None
        else _("Those who wait go out by themselves, the others need you.")
    )
    return Headline("bad", "alert", head, then, calm, f"dead:{dead}:late:{situation.late}")


def _resting(situation: Situation, calm: str) -> Headline | None:
    resting = next((destination for destination in situation.destinations if destination.rest), None)
    if resting and resting.rest:
        if resting.rest.kind is PauseKind.OPERATOR:
            head = _("Sending to %(destination)s is paused.", destination=resting.title)
            then = ngettext(
                "%(num)s delivery waits until you resume.", "%(num)s deliveries wait until you resume.", resting.waiting
            )
            return Headline("warn", "pause", head, then, calm, f"paused:{resting.name}")
        head = _sentence(words.cause_title(resting.rest.cause, resting.rest.params))
        return Headline("warn", "pause", head, _next(situation), calm, f"rest:{resting.name}:{resting.rest.cause}")
    bare = next(
        (destination for destination in situation.destinations if destination.missing and destination.waiting), None
    )
    if bare is not None:
        head = _("%(destination)s is not set up yet.", destination=bare.title)
        then = ngettext(
            "%(num)s delivery waits and goes out by itself after that.",
            "%(num)s deliveries wait and go out by themselves after that.",
            bare.waiting,
        )
        return Headline("warn", "plug", head, then, calm, f"bare:{bare.name}")
    return None


def _well(situation: Situation, waiting: int) -> Headline:
    today = ngettext(
        "%(count)s delivery arrived today", "%(count)s deliveries arrived today", situation.delivered_today,
        count=words.number(situation.delivered_today),
    )  # fmt: skip
    then = ""
    if situation.last is not None:
        then = _last(situation, situation.last)
    if waiting:
        head = ngettext("%(num)s delivery is on its way.", "%(num)s deliveries are on their way.", waiting)
        return Headline("ok", "tick", head, then, _("%(today)s.", today=today), "moving")
    if situation.last is None:
        return Headline("ok", "tick", _("Nobody waits."), _("Nothing has come in yet."), "", "empty")
    return Headline("ok", "tick", _("All delivered."), then, _("%(today)s, nobody is waiting.", today=today), "well")


def _last(situation: Situation, last: Delivery) -> str:
    time = words.ago_words(last.changed_at, situation.now)
    if last.event_name == "lesson.completed":
        return _("The last lesson reached %(destination)s %(time)s.", destination=situation.last_title, time=time)
    return _("The last delivery reached %(destination)s %(time)s.", destination=situation.last_title, time=time)


def _late(situation: Situation) -> str:
    if situation.students:
        return ngettext(
            "%(num)s student waits longer than 5\N{NO-BREAK SPACE}minutes",
            "%(num)s students wait longer than 5\N{NO-BREAK SPACE}minutes",
            situation.late,
        )
    return ngettext(
        "%(num)s delivery waits longer than 5\N{NO-BREAK SPACE}minutes",
        "%(num)s deliveries wait longer than 5\N{NO-BREAK SPACE}minutes",
        situation.late,
    )


def _until(situation: Situation) -> float | None:
    """When those who wait are tried next."""
    times = [
        destination.rest.until
        for destination in situation.destinations
        if destination.rest and destination.passes and destination.rest.until
    ]
    times += [
        destination.tally.next_due
        for destination in situation.destinations
        if destination.rest is None and destination.tally.next_due is not None
    ]
    later = [time for time in times if time > situation.now]
    return min(later) if later else None


def _next(situation: Situation) -> str:
    until = _until(situation)
    if until is None:
        return _("We keep trying by ourselves.")
    return _("We try again by ourselves %(time)s.", time=words.in_words(until - situation.now))


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
