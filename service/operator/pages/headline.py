"""The sentence on top of a page: what is, what happens next, one line of support. Worst first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import gettext as _
from flask_babel import ngettext

from outbox.message import Delivery
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
    """What the overview's sentence is made of. late: how many wait longer than five minutes; students: whether that
    counts students, or deliveries."""

    now: float
    places: Sequence[DestinationStatus]
    late: int = 0
    students: bool = False
    delivered_today: int = 0
    last: Delivery | None = None
    last_title: str = ""
    worker_age: float | None = 0.0


def overview(so: Situation) -> Headline:
    """The worst thing that is true, in one sentence."""
    dead = sum(place.dead for place in so.places)
    waiting = sum(place.waiting for place in so.places)
    calm = _("New lessons are accepted as usual, nothing gets lost.")
    if so.worker_age is None or so.worker_age > SILENT:
        head = _("Nothing is being sent: the sending process is silent.")
        then = (
            ngettext("%(num)s delivery waits for it.", "%(num)s deliveries wait for it.", waiting)
            if waiting
            else _("It needs the school's developer.")
        )
        return Headline("bad", "alert", head, then, calm, f"silent:{waiting > 0}")
    needy = next((place for place in so.places if place.needs_person), None)
    if needy and needy.rest:
        return _needs_person(so, needy, dead, calm)
    if dead:
        return _not_delivered(so, dead, calm)
    if so.late:
        return Headline("warn", "clock", _sentence(_late(so)), _next(so), calm, f"late:{so.late}")
    return _resting(so, calm) or _well(so, waiting)


def _needs_person(so: Situation, needy: DestinationStatus, dead: int, calm: str) -> Headline:
    assert needy.rest is not None
    if needy.rest.kind == "reconnect":
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


def _not_delivered(so: Situation, dead: int, calm: str) -> Headline:
    lost = ngettext(
        "%(count)s delivery did not arrive", "%(count)s deliveries did not arrive", dead, count=words.number(dead)
    )
    if not so.late:
        then = ngettext("It needs your decision.", "They need your decision.", dead)
        return Headline("bad", "alert", _sentence(lost), then, calm, f"dead:{dead}")
    head = _sentence(_("%(first)s, %(second)s", first=_late(so), second=lost))
    until = _until(so)
    then = (
        _("Those who wait go out by themselves %(time)s, the others need you.", time=words.in_words(until - so.now))
        if until is not None
        else _("Those who wait go out by themselves, the others need you.")
    )
    return Headline("bad", "alert", head, then, calm, f"dead:{dead}:late:{so.late}")


def _resting(so: Situation, calm: str) -> Headline | None:
    resting = next((place for place in so.places if place.rest), None)
    if resting and resting.rest:
        if resting.rest.kind == "operator":
            head = _("Sending to %(destination)s is paused.", destination=resting.title)
            then = ngettext(
                "%(num)s delivery waits until you resume.", "%(num)s deliveries wait until you resume.", resting.waiting
            )
            return Headline("warn", "pause", head, then, calm, f"paused:{resting.name}")
        head = _sentence(words.cause_title(resting.rest.cause, resting.rest.params))
        return Headline("warn", "pause", head, _next(so), calm, f"rest:{resting.name}:{resting.rest.cause}")
    bare = next((place for place in so.places if place.missing and place.waiting), None)
    if bare is not None:
        head = _("%(destination)s is not set up yet.", destination=bare.title)
        then = ngettext(
            "%(num)s delivery waits and goes out by itself after that.",
            "%(num)s deliveries wait and go out by themselves after that.",
            bare.waiting,
        )
        return Headline("warn", "plug", head, then, calm, f"bare:{bare.name}")
    return None


def _well(so: Situation, waiting: int) -> Headline:
    today = ngettext(
        "%(count)s delivery arrived today", "%(count)s deliveries arrived today", so.delivered_today,
        count=words.number(so.delivered_today),
    )  # fmt: skip
    then = ""
    if so.last is not None:
        then = _last(so, so.last)
    if waiting:
        head = ngettext("%(num)s delivery is on its way.", "%(num)s deliveries are on their way.", waiting)
        return Headline("ok", "tick", head, then, _("%(today)s.", today=today), "moving")
    if so.last is None:
        return Headline("ok", "tick", _("Nobody waits."), _("Nothing has come in yet."), "", "empty")
    return Headline("ok", "tick", _("All delivered."), then, _("%(today)s, nobody is waiting.", today=today), "well")


def _last(so: Situation, last: Delivery) -> str:
    time = words.ago_words(last.changed_at, so.now)
    if last.event_name == "lesson.completed":
        return _("The last lesson reached %(destination)s %(time)s.", destination=so.last_title, time=time)
    return _("The last delivery reached %(destination)s %(time)s.", destination=so.last_title, time=time)


def _late(so: Situation) -> str:
    if so.students:
        return ngettext(
            "%(num)s student waits longer than 5\N{NO-BREAK SPACE}minutes",
            "%(num)s students wait longer than 5\N{NO-BREAK SPACE}minutes",
            so.late,
        )
    return ngettext(
        "%(num)s delivery waits longer than 5\N{NO-BREAK SPACE}minutes",
        "%(num)s deliveries wait longer than 5\N{NO-BREAK SPACE}minutes",
        so.late,
    )


def _until(so: Situation) -> float | None:
    """When those who wait are tried next."""
    times = [place.rest.until for place in so.places if place.rest and place.passes and place.rest.until]
    times += [place.tally.next_due for place in so.places if place.rest is None and place.tally.next_due is not None]
    later = [time for time in times if time > so.now]
    return min(later) if later else None


def _next(so: Situation) -> str:
    until = _until(so)
    if until is None:
        return _("We keep trying by ourselves.")
    return _("We try again by ourselves %(time)s.", time=words.in_words(until - so.now))


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
