"""The headline of a page: what is, what happens next, one line of support. Worst first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import gettext as _

from outbox.message import Delivery
from service.operator import words
from service.operator.words.numbers import ngettext
from service.situations.signals import Need, Signals, Situation

BLOCKING = ("worker", "stopped", "paused", "bare", "failing")
"""What keeps those who wait until somebody acts."""

DRESS = {
    "paused": ("warn", "pause"),
    "bare": ("warn", "plug"),
    "failing": ("warn", "clock"),
    "pause": ("warn", "pause"),
    "retrying": ("warn", "clock"),
    "late": ("warn", "clock"),
    "source": ("warn", "warning"),
    "job": ("warn", "warning"),
    "token": ("warn", "warning"),
    "disk": ("warn", "warning"),
    "refused": ("warn", "warning"),
    "unmapped": ("warn", "warning"),
}
"""(tone, icon) by the situation's code; all others are red."""


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
class Today:
    """What the calm sentence tells. waiting: deliveries on their way. empty: nothing ever came."""

    delivered: int = 0
    waiting: int = 0
    last: Delivery | None = None
    last_title: str = ""


def overview(signals: Signals, found: Sequence[Situation], today: Today, titles: dict[str, str]) -> Headline:
    """The worst thing that is true, in one sentence. found: worst first. titles: what destinations are called."""
    if not found:
        return _well(today, signals.now)
    first = found[0]
    tone, icon = dress(first)
    head, then = _words(signals, found, titles)
    meaning = f"{first.code}:{first.destination}:{first.cause}:{first.count}:{len(found)}"
    return Headline(tone, icon, words.as_sentence(head), then, _support(found), meaning)


def dress(one: Situation) -> tuple[str, str]:
    return DRESS.get(one.code, ("bad", "alert"))


def _words(signals: Signals, found: Sequence[Situation], titles: dict[str, str]) -> tuple[str, str]:
    first, now = found[0], signals.now
    if first.code == "dead":
        return _not_delivered(signals, found)
    late_first = first.need is Need.TIME and signals.late > 0
    head = _late(signals) if late_first else words.situation_title(first, now, titles.get(first.destination, ""))
    return head, words.what_next(first, now)


def _support(found: Sequence[Situation]) -> str:
    """What else needs somebody, and whether events are accepted."""
    shut = any(one.code == "store" for one in found)
    needy = sum(one.need is Need.PERSON for one in found[1:] if one.code != found[0].code or one.code != "dead")
    more = ngettext("%(num)s more thing needs somebody.", "%(num)s more things need somebody.", needy) if needy else ""
    calm = (
        _("New lessons are refused, and the platform has to send them again. Those accepted before are safe.")
        if shut
        else _("New lessons are accepted as usual, nothing gets lost.")
    )
    return " ".join(filter(None, (more, calm)))


def _not_delivered(signals: Signals, found: Sequence[Situation]) -> tuple[str, str]:
    dead = signals.dead
    lost = ngettext(
        "%(count)s delivery did not arrive", "%(count)s deliveries did not arrive", dead, count=words.number(dead)
    )
    if not signals.late:
        return lost, ngettext("It needs your decision.", "They need your decision.", dead)
    head = _("%(first)s, %(second)s", first=_late(signals), second=lost)
    if any(one.code in BLOCKING and one.count for one in found):
        return head, _("All of them need you.")
    times = [one.until for one in found if one.need is Need.TIME and one.until is not None]
    if not times:
        return head, _("Those who wait go out by themselves, the others need you.")
    time = words.in_words(min(times) - signals.now)
    return head, _("Those who wait go out by themselves %(time)s, the others need you.", time=time)


def _well(today: Today, now: float) -> Headline:
    arrived = ngettext(
        "%(count)s delivery arrived today", "%(count)s deliveries arrived today", today.delivered,
        count=words.number(today.delivered),
    )  # fmt: skip
    then = "" if today.last is None else _last(today, today.last, now)
    if today.waiting:
        head = ngettext("%(num)s delivery is on its way.", "%(num)s deliveries are on their way.", today.waiting)
        return Headline("ok", "tick", head, then, _("%(today)s.", today=arrived), "moving")
    if today.last is None:
        return Headline("ok", "tick", _("Nobody waits."), _("Nothing has come in yet."), "", "empty")
    return Headline("ok", "tick", _("All delivered."), then, _("%(today)s, nobody is waiting.", today=arrived), "well")


def _last(today: Today, last: Delivery, now: float) -> str:
    time = words.ago_words(last.changed_at, now)
    if last.event_name == "lesson.completed":
        return _("The last lesson reached %(destination)s %(time)s.", destination=today.last_title, time=time)
    return _("The last delivery reached %(destination)s %(time)s.", destination=today.last_title, time=time)


def _late(signals: Signals) -> str:
    if signals.students:
        return ngettext(
            "%(num)s student waits longer than 5\N{NO-BREAK SPACE}minutes",
            "%(num)s students wait longer than 5\N{NO-BREAK SPACE}minutes",
            signals.late,
        )
    return ngettext(
        "%(num)s delivery waits longer than 5\N{NO-BREAK SPACE}minutes",
        "%(num)s deliveries wait longer than 5\N{NO-BREAK SPACE}minutes",
        signals.late,
    )
