"""How a waiting delivery stands and when it goes out, in words."""

from __future__ import annotations

from flask_babel import gettext as _

from outbox.message import Delivery, State
from outbox.outcome import PauseKind
from service.operator.words.numbers import ngettext
from service.operator.words.situations import as_sentence, situation_title, situation_todo, who_mends
from service.operator.words.states import chip
from service.operator.words.times import clock, in_words, when
from service.situations.rows import Standing
from service.situations.signals import Situation

RESTS = ("paused", "stopped", "pause")


def row_chip(delivery: Delivery, standing: Standing, now: float, title: str) -> tuple[str, str, str]:
    """(icon, tone, words) of a delivery's state. title: of its destination."""
    if delivery.state == State.SENDING and standing.code:
        return "clock", "warn", _("Sending broke off")
    if standing.code == "silent":
        return "clock", "warn", _("Waiting: nothing is being sent")
    rests = title if standing.code in RESTS else ""
    icon, tone, words = chip(delivery, now, rests, standing.code == "bare", standing.behind is not None)
    return icon, "warn" if standing.need and tone == "quiet" and standing.code != "bare" else tone, words


def next_words(standing: Standing, now: float) -> str:
    """When the next thing happens to it, for a cell of a table; "" where it does not wait."""
    if standing.behind is not None and standing.code == "behind":
        return _("after No. %(id)s", id=standing.behind.id)
    if standing.at is not None:
        ahead = standing.at - now
        if ahead <= 0:
            return _("now")
        return in_words(ahead) if ahead < 3600 else when(standing.at, now)
    return {
        "": "",
        "silent": _("once sending runs"),
        "bare": _("after connecting"),
        "paused": _("when resumed"),
        "stopped": _("once it is mended"),
        "pause": _("after the pause"),
    }.get(standing.code, "")


HELD = ("silent", "bare", "paused", "stopped", "pause")
"""How one stands that waits for more than its turn."""


def goes_out(standing: Standing, now: float, title: str) -> str:
    """When a delivery goes out that somebody has just sent: a sentence. title: of its destination."""
    if standing.code in HELD:
        return _held(standing, now, title, 1)
    if standing.behind is not None:
        return _("It goes out after this student's earlier delivery, No. %(id)s.", id=standing.behind.id)
    return _("It goes out now.")


def all_go_out(standing: Standing, now: float, title: str) -> str:
    """The same of many that stand like this one."""
    return _held(standing, now, title, MANY)


MANY = 1000
"""A number whose plural no language takes for one or a few."""


def _held(standing: Standing, now: float, title: str, count: int) -> str:
    to = {"destination": title}
    if standing.code == "silent":
        return ngettext("It goes out by itself once the sending process runs again.",
                        "They go out by themselves once the sending process runs again.", count)  # fmt: skip
    if standing.code == "bare":
        return ngettext("It goes out by itself once %(destination)s is connected.",
                        "They go out by themselves once %(destination)s is connected.", count, **to)  # fmt: skip
    if standing.code == "paused":
        return ngettext("It goes out when somebody resumes sending to %(destination)s.",
                        "They go out when somebody resumes sending to %(destination)s.", count, **to)  # fmt: skip
    if standing.code == "stopped":
        return ngettext("It goes out by itself once %(destination)s takes deliveries again; until then it waits.",
                        "They go out by themselves once %(destination)s takes deliveries again; until then they wait.",
                        count, **to)  # fmt: skip
    if standing.at is None or standing.at - now < 1:
        return ngettext("It goes out after the pause of %(destination)s.",
                        "They go out after the pause of %(destination)s.", count, **to)  # fmt: skip
    return ngettext("It goes out after the pause of %(destination)s, %(time)s.",
                    "They go out after the pause of %(destination)s, %(time)s.", count,
                    time=in_words(standing.at - now), **to)  # fmt: skip


def behind_words(standing: Standing, now: float) -> str:
    """Which earlier one it waits for, and when that is tried: sentences."""
    if standing.behind is None:
        return ""
    said = _("It waits for this student's earlier delivery, No. %(id)s.", id=standing.behind.id)
    if standing.code != "behind":
        return said
    if standing.at is None:
        return said + " " + _("That one is being sent right now.")
    if standing.at - now < 1:
        return said + " " + _("That one is next in line.")
    return said + " " + _("That one is tried again %(time)s, at %(clock)s.", time=in_words(standing.at - now),
                          clock=clock(standing.at, seconds=True))  # fmt: skip


def rest_words(standing: Standing, one: Situation | None, now: float, title: str) -> tuple[str, str]:
    """(what keeps it, what happens and who has to do something), of one whose destination rests. one: the situation
    of that destination."""
    head = as_sentence(situation_title(one, now, title)) if one is not None else ""
    if standing.code == "paused":
        return head, _("It goes out when somebody resumes.")
    if standing.at is not None and standing.at - now >= 1:
        time = in_words(standing.at - now)
        head += " " + (
            _("We go on %(time)s.", time=time) if standing.code == "pause" else _("We ask again %(time)s.", time=time)
        )
    if standing.code == "pause":
        return head.strip(), _("Nothing has to be done: the pause uses up no attempts.")
    todo = situation_todo(one, now) if one is not None else ""
    alike = standing.pause is not None and standing.pause.kind is PauseKind.CAUSE
    said = [_("It waits until that is mended.") if alike else _("It goes out by itself after that.")]
    if one is not None:
        said = [todo, who_mends(one), *said]
    return head.strip(), " ".join(filter(None, said))
