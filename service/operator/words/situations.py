"""What is so, and what comes next, as sentences: the only place where a situation gets its words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask_babel import gettext as _

from outbox.outcome import PauseKind
from service.operator.words.causes import cause_means, cause_title, cause_todo, cause_who, fill
from service.operator.words.events import source_title
from service.operator.words.jobs import job_title
from service.operator.words.numbers import ngettext, number
from service.operator.words.refusals import refusal_mend, refusal_title
from service.operator.words.states import sentence
from service.operator.words.times import day, duration, in_words, rough_words
from service.situations.rules import who
from service.situations.signals import Mend, Need, Situation


def shown(one: Situation, now: float) -> Mapping[str, Any]:
    """The params as people read them."""
    params = dict(one.params)
    if "ends" in params:
        params["ends"] = day(float(params["ends"]), now)
    if "usual" in params:
        params["usual"] = rough_words(float(params["usual"]))
    if one.code == "worker" and one.since is not None:
        params["time"] = duration(now - one.since)
    if one.code == "job":
        params["job"] = job_title(str(params.get("job", "")))
    if one.code == "source":
        params["source"] = source_title(str(params.get("source", "")), str(params.get("event_name", "")))
    return params


def situation_title(one: Situation, now: float, destination: str = "") -> str:
    """What is so, without a full stop. destination: as people call it."""
    if one.code == "paused" and destination:
        return _("Sending to %(destination)s is paused", destination=destination)
    if one.refused is not None:
        return refusal_title(one.refused, now)
    if one.code == "dead" and one.cause == "dead_other":
        return ngettext(
            "%(count)s delivery did not arrive",
            "%(count)s deliveries did not arrive",
            one.count,
            count=number(one.count),
        )
    return cause_title(one.cause, shown(one, now))


def situation_means(one: Situation, now: float) -> str:
    if one.code == "paused":
        by = str(one.params.get("who") or "")
        return (
            _("Paused by %(who)s. Events are accepted and wait.", who=by) if by else _("Events are accepted and wait.")
        )
    return cause_means(one.cause, shown(one, now))


def situation_todo(one: Situation, now: float) -> str:
    if one.refused is not None:
        return refusal_mend(one.refused)
    return cause_todo(one.cause, shown(one, now))


def situation_who(one: Situation) -> str:
    """Who mends it, for a label."""
    return fill(who(one), {}) if one.need is Need.PERSON else cause_who(one.cause)


def who_mends(one: Situation) -> str:
    """The same as a sentence."""
    return _("This is for %(who)s to mend.", who=situation_who(one))


def next_try(one: Situation, now: float) -> str:
    """What happens by itself and when, "" where nothing does."""
    if one.until is None:
        return ""
    if one.until - now < 1:
        return _("It is being tried right now.")
    return _("We try again by ourselves %(time)s.", time=in_words(one.until - now))


def what_next(one: Situation, now: float) -> str:
    """The grey half of a headline: what happens next, or who has to do something."""
    if one.need is Need.TIME:
        return next_try(one, now) or _goes_on(one)
    if one.code == "dead":
        return ngettext("It needs your decision.", "They need your decision.", one.count)
    if one.code == "paused":
        if not one.count:
            return _("Nothing waits so far.")
        return ngettext(
            "%(num)s delivery waits until somebody resumes.",
            "%(num)s deliveries wait until somebody resumes.",
            one.count,
        )
    if one.mend is Mend.REST:
        return _("One went through; the others wait for your word.")
    if one.code == "stopped" and one.mend is Mend.NONE:
        return _("One is being tried right now.")
    if one.code == "stopped" and one.pause is not None and one.pause.kind is PauseKind.CAUSE and one.count:
        return ngettext(
            "%(num)s delivery waits until it is mended.", "%(num)s deliveries wait until it is mended.", one.count
        )
    if one.code in ("stopped", "bare"):
        if not one.count:
            return _("Nothing waits so far.") + " " + who_mends(one)
        return ngettext(
            "%(num)s delivery waits and goes out by itself after that.",
            "%(num)s deliveries wait and go out by themselves after that.",
            one.count,
        )
    if one.code == "worker" and one.count:
        return ngettext("%(num)s delivery waits for it.", "%(num)s deliveries wait for it.", one.count)
    if one.code == "failing" and one.until is not None:
        if one.until - now < 1:
            return _("It is being tried right now, but may not pass by itself.")
        return _("We try again %(time)s, but it may not pass by itself.", time=in_words(one.until - now))
    return who_mends(one)


def _goes_on(one: Situation) -> str:
    return _("They are being sent.") if one.count else _("Nothing waits so far.")


def as_sentence(text: str) -> str:
    """With its full stop."""
    return text if text.endswith((".", "!", "?")) else sentence(text)
