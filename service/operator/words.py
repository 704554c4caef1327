"""The page's words: numbers, times, durations, states and causes as people say them, in the reader's language.

Needs an application context for the language and the time zone; everything else is an argument. A space before a unit
does not break.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from babel.dates import format_datetime, get_timezone_location
from babel.numbers import format_decimal
from flask_babel import get_locale, ngettext, pgettext, to_user_timezone
from flask_babel import gettext as _

from outbox.message import Delivery, State
from service.causes import CAUSES, N_, Cause

NBSP = "\N{NO-BREAK SPACE}"
LATE = 5 * 60.0
"""Seconds after which somebody who waits is worth a colour."""

OVERDUE = 60.0
"""Seconds after its time when a delivery that nothing took counts as late."""

ICONS = {
    State.PENDING: "clock",
    State.SENDING: "arrow",
    State.DELIVERED: "tick",
    State.SKIPPED: "minus",
    State.DEAD: "alert",
    State.DISCARDED: "stroke",
}

TONES = {
    State.PENDING: "quiet",
    State.SENDING: "blue",
    State.DELIVERED: "ok",
    State.SKIPPED: "quiet",
    State.DEAD: "bad",
    State.DISCARDED: "quiet",
}


# --- numbers and money ------------------------------------------------------------------------------------------------


def number(value: float, digits: int = 1) -> str:
    """24 900 in Russian, 24,900 in English; at most `digits` decimals."""
    return plain(round(value, digits) if isinstance(value, float) else value)


def plain(value: float | Decimal, pattern: str | None = None) -> str:
    """Grouped by the language's rules, with the one non-breaking space that all fonts have."""
    return format_decimal(value, format=pattern, locale=get_locale() or "en").replace("\u202f", NBSP)


def percent(value: int) -> str:
    return f"{value}{NBSP}%" if language() == "ru" else f"{value}%"


def money(value: Any) -> str:
    """An amount in the shop's money, or the text as it came."""
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        return str(value)
    if not amount.is_finite():
        return str(value)
    whole = amount == amount.to_integral_value()
    text = plain(int(amount)) if whole else plain(amount, "#,##0.00")
    return f"{text}{NBSP}₽" if language() == "ru" else f"₽{text}"


def language() -> str:
    """ "ru" or "en"."""
    locale = get_locale()
    return "ru" if locale and locale.language == "ru" else "en"


# --- times ------------------------------------------------------------------------------------------------------------


def local(at: float) -> datetime:
    """This moment in the school's time zone."""
    moment: datetime = to_user_timezone(datetime.fromtimestamp(at, UTC))  # type: ignore[no-untyped-call]
    return moment


def zone(name: str) -> str:
    """The city that a time zone is named after, in the reader's language."""
    return str(get_timezone_location(name, locale=get_locale() or "en", return_city=True))


def day_start(now: float) -> float:
    """When the school's day began, in seconds since the epoch."""
    return local(now).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


def clock(at: float, seconds: bool = False) -> str:
    return local(at).strftime("%H:%M:%S" if seconds else "%H:%M")


def formatted(at: float, pattern: str) -> str:
    """The moment in the school's zone and the reader's language. Reference: Unicode TR 35, date patterns."""
    return format_datetime(local(at).replace(tzinfo=None), pattern, locale=get_locale() or "en")


def exact(at: float) -> str:
    """The whole moment, for titles and details: 21 November 2026, 14:36:08."""
    return formatted(at, "d MMMM y, HH:mm:ss")


def day(at: float, now: float) -> str:
    """18 November; with the year when it is another one."""
    pattern = "d MMMM" if local(at).year == local(now).year else "d MMMM y"
    return formatted(at, pattern).replace(" ", NBSP, 1)


def short_day(at: float) -> str:
    return formatted(at, "d MMM").replace(" ", NBSP)


def days_from_today(at: float, now: float) -> int:
    return (local(at).date() - local(now).date()).days


def when(at: float, now: float) -> str:
    """A clock time today, else the day with it: "14:35", "yesterday, 17:05", "18 November, 14:35"."""
    away = days_from_today(at, now)
    if away == 0:
        return clock(at)
    if away == -1:
        return _("yesterday, %(time)s", time=clock(at))
    if away == 1:
        return _("tomorrow, %(time)s", time=clock(at))
    return f"{day(at, now)}, {clock(at)}"


def at_when(at: float, now: float) -> str:
    """In a sentence: "at 14:35", "tomorrow at 02:00", "on 18 November at 04:00"."""
    away = days_from_today(at, now)
    if away == 0:
        return _("at %(time)s", time=clock(at))
    if away == 1:
        return _("tomorrow at %(time)s", time=clock(at))
    if away == -1:
        return _("yesterday at %(time)s", time=clock(at))
    return _("on %(day)s at %(time)s", day=day(at, now), time=clock(at))


def since_when(at: float, now: float) -> str:
    """In a sentence: "since 14:35", "since yesterday, 17:05", "since 18 November"."""
    away = days_from_today(at, now)
    if away == 0:
        return _("since %(time)s", time=clock(at))
    if away == -1:
        return _("since yesterday, %(time)s", time=clock(at))
    return _("since %(day)s", day=day(at, now))


def heading(at: float, now: float) -> str:
    """The head of a day in a list: "Today, 21 November"."""
    away = days_from_today(at, now)
    if away == 0:
        return _("Today, %(day)s", day=day(at, now))
    if away == -1:
        return _("Yesterday, %(day)s", day=day(at, now))
    weekday = formatted(at, "EEEE")
    return f"{weekday[:1].upper()}{weekday[1:]}, {day(at, now)}"


def span(first: float, last: float, now: float) -> str:
    """From when to when: "today, 12:41–14:29", "15–18 November", "yesterday, 17:05"."""
    if days_from_today(first, now) == days_from_today(last, now):
        away = days_from_today(first, now)
        head = _("today") if away == 0 else _("yesterday") if away == -1 else day(first, now)
        times = clock(first) if clock(first) == clock(last) else f"{clock(first)}–{clock(last)}"
        return f"{head}, {times}"
    if local(first).month == local(last).month and local(first).year == local(last).year:
        return f"{local(first).day}–{day(last, now)}"
    return f"{day(first, now)} – {day(last, now)}"


def ago(at: float, now: float) -> str:
    """Relative under an hour, a clock time today, the date before that."""
    passed = max(0.0, now - at)
    if passed < 60:
        return _("%(time)s ago", time=seconds_word(int(passed)))
    if passed < 3600:
        return _("%(time)s ago", time=minutes_word(int(passed // 60)))
    if days_from_today(at, now) == 0:
        return clock(at)
    return day(at, now)


def ago_words(at: float, now: float) -> str:
    """The same in a sentence, with whole words: "12 seconds ago", "at 09:14", "on 18 November"."""
    passed = max(0, int(now - at))
    if passed < 60:
        return ngettext("%(num)s second ago", "%(num)s seconds ago", passed)
    if passed < 3600:
        return ngettext("%(num)s minute ago", "%(num)s minutes ago", passed // 60)
    return at_when(at, now)


# --- durations --------------------------------------------------------------------------------------------------------


def seconds_word(count: float) -> str:
    return _("%(num)s\N{NO-BREAK SPACE}s", num=number(count))


def minutes_word(count: int) -> str:
    return _("%(num)s\N{NO-BREAK SPACE}min", num=count)


def hours_word(count: int) -> str:
    return _("%(num)s\N{NO-BREAK SPACE}h", num=count)


def duration(seconds: float) -> str:
    """0.4 s, 12 s, 6 min 12 s, 2 h 05 min, 3 days."""
    seconds = max(0.0, seconds)
    if seconds < 10 and round(seconds, 1) != int(seconds):
        return seconds_word(round(seconds, 1))
    whole = int(seconds + 0.5)
    if whole < 60:
        return seconds_word(whole)
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return minutes_word(minutes) + (NBSP + _("%(num)s\N{NO-BREAK SPACE}s", num=f"{rest:02d}") if rest else "")
    if whole < 48 * 3600:
        hours, rest = divmod(whole // 60, 60)
        return hours_word(hours) + (NBSP + _("%(num)s\N{NO-BREAK SPACE}min", num=f"{rest:02d}") if rest else "")
    return days_word(whole // 86400)


def rough(seconds: float) -> str:
    """One unit only, rounded down: what is left of an access."""
    if seconds < 60:
        return seconds_word(int(max(0.0, seconds)))
    if seconds < 3600:
        return minutes_word(int(seconds // 60))
    if seconds < 48 * 3600:
        return hours_word(int(seconds // 3600))
    return days_word(int(seconds // 86400))


def rough_words(seconds: float) -> str:
    """One unit, as a whole word: "40 seconds", "4 minutes", "15 hours", "89 days"."""
    if seconds < 60:
        return ngettext("%(num)s second", "%(num)s seconds", int(max(0.0, seconds)))
    if seconds < 3600:
        return ngettext("%(num)s minute", "%(num)s minutes", int(seconds // 60))
    if seconds < 48 * 3600:
        return ngettext("%(num)s hour", "%(num)s hours", int(seconds // 3600))
    return days_word(int(seconds // 86400))


def in_words(seconds: float) -> str:
    """ "in 40 seconds", "in 4 minutes", "in 3 days"; "now" when it is time."""
    if seconds < 1:
        return _("right now")
    if seconds < 60:
        return ngettext("in %(num)s second", "in %(num)s seconds", int(seconds + 0.5))
    if seconds < 3600:
        return ngettext("in %(num)s minute", "in %(num)s minutes", max(1, int(seconds / 60 + 0.5)))
    if seconds < 48 * 3600:
        return ngettext("in %(num)s hour", "in %(num)s hours", max(1, int(seconds / 3600 + 0.5)))
    return ngettext("in %(num)s day", "in %(num)s days", int(seconds // 86400))


def days_word(count: int) -> str:
    return ngettext("%(num)s\N{NO-BREAK SPACE}day", "%(num)s\N{NO-BREAK SPACE}days", count)


def big(seconds: float) -> list[tuple[str, str]]:
    """A duration as (figure, unit) pairs, for the large figures of a card."""
    return [(figure, unit) for figure, unit in re.findall(r"(\d[\d.,]*)\s*([^\d\s]+)", duration(seconds))]


# --- states -----------------------------------------------------------------------------------------------------------


def state_word(state: State) -> str:
    """One delivery's state."""
    return {
        State.PENDING: _("Waiting"),
        State.SENDING: _("Sending"),
        State.DELIVERED: _("Delivered"),
        State.SKIPPED: _("Not needed"),
        State.DEAD: _("Not delivered"),
        State.DISCARDED: _("Cancelled"),
    }[state]


def states_word(state: State) -> str:
    """The state of many, as a tab names it."""
    return {
        State.PENDING: pgettext("many", "Waiting"),
        State.SENDING: pgettext("many", "Sending"),
        State.DELIVERED: pgettext("many", "Delivered"),
        State.SKIPPED: pgettext("many", "Not needed"),
        State.DEAD: pgettext("many", "Not delivered"),
        State.DISCARDED: pgettext("many", "Cancelled"),
    }[state]


def is_late(delivery: Delivery, now: float, resting: bool = False) -> bool:
    """It waits longer than people expect, or its time is over and nothing took it. resting: its destination pauses."""
    if delivery.state != State.PENDING:
        return False
    return now - delivery.created_at > LATE or (not resting and now - delivery.due_at > OVERDUE)


def chip(delivery: Delivery, now: float, pause: str = "", not_set_up: bool = False) -> tuple[str, str, str]:
    """(icon, tone, words) of a delivery's state. pause: the name of its destination while that rests."""
    icon, tone = ICONS[delivery.state], TONES[delivery.state]
    if delivery.state != State.PENDING:
        return icon, tone, state_word(delivery.state)
    if not_set_up:
        return "plug", "quiet", _("Waits for the connection")
    late = is_late(delivery, now, bool(pause))
    tone = "warn" if late else "quiet"
    if pause:
        return icon, tone, _("Waiting: %(destination)s is paused", destination=pause)
    if delivery.failures:
        return icon, tone, _("Waits for attempt %(num)s", num=delivery.failures + 1)
    if late:
        return icon, tone, _("Is delayed")
    return icon, tone, state_word(State.PENDING)


# --- reasons and causes -----------------------------------------------------------------------------------------------


def reason_words(reason: str) -> str:
    """Why a delivery was not needed, or what became of it, by the code that its reason begins with."""
    code, _colon, rest = reason.partition(":")
    known = {
        "already_further": _("the deal is already further"),
        "already_there": _("the deal is already on this stage"),
        "deal_closed": _("the deal is closed"),
        "deal_gone": _("the deal is no longer there"),
        "superseded": _("replaced by a newer one"),
        "no_stage": _("no stage is chosen for this lesson"),
        "not_routed": _("we send such events nowhere"),
        "foreign_account": _("it came from another account"),
        "echo": _("we changed the stage ourselves"),
        "not_found": _("not found"),
        "refused": _("refused"),
        "exhausted": _("all attempts are used up"),
        "ambiguous": _("it is not certain whether it arrived"),
        "unreadable": _("it could not be read"),
    }
    return known.get(code.strip()) or rest.strip() or code.strip()


class _Holes(dict[str, Any]):
    """Params where a text's missing place shows as a dash, never as an error."""

    def __missing__(self, key: str) -> str:
        return "—"


def fill(text: str, params: Mapping[str, Any]) -> str:
    """Translate and put the params in their places."""
    if not text:
        return ""
    shown = {key: number(value) if isinstance(value, float) else value for key, value in params.items()}
    return str(_(text)) % _Holes(shown)


def cause_of(code: str) -> Cause:
    """What is known of a cause; one that the page does not know names itself."""
    return CAUSES.get(code) or Cause(title=N_("A failure that has no words yet"), means="", who="", todo="")


def cause_title(code: str, params: Mapping[str, Any]) -> str:
    if code == "stage_deleted" and params.get("stage"):
        funnel = params.get("pipeline")
        if funnel:
            return _("The stage “%(stage)s” is gone from the funnel “%(funnel)s”", stage=params["stage"], funnel=funnel)
        return _("The stage “%(stage)s” is gone from the funnel", stage=params["stage"])
    return fill(cause_of(code).title, params)


def cause_means(code: str, params: Mapping[str, Any]) -> str:
    return fill(cause_of(code).means, params)


def cause_who(code: str) -> str:
    return fill(cause_of(code).who, {})


def cause_todo(code: str, params: Mapping[str, Any]) -> str:
    return fill(cause_of(code).todo, params)


def needs_person(code: str) -> bool:
    return cause_of(code).needs_person


# --- events and sources -----------------------------------------------------------------------------------------------


def event_words(name: str, data: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> str:
    """What happened, in a few words: "finished lesson 2", "deal moved to “Paid”"."""
    if name == "lesson.completed":
        lesson = lesson_of(data, facts)
        return _("finished lesson %(lesson)s", lesson=lesson) if lesson else _("finished a lesson")
    if name == "amocrm/webhook":
        stage = (facts or {}).get("stage")
        return _("deal moved to “%(stage)s”", stage=stage) if stage else _("deal changed its stage")
    if name == "crm/create-deal":
        return _("new deal “%(name)s”", name=data["dealName"]) if data.get("dealName") else _("new deal")
    if name == "erp/task.create":
        return _("record for “%(name)s”", name=data["dealName"]) if data.get("dealName") else _("record for the ERP")
    return name


def event_kind(name: str) -> str:
    """The event's name for filters and lists."""
    return {
        "lesson.completed": _("lesson finished"),
        "amocrm/webhook": _("stage changed in amoCRM"),
        "crm/create-deal": _("new deal"),
        "erp/task.create": _("record for the ERP"),
    }.get(name, name)


def lesson_of(data: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> Any:
    return (facts or {}).get("lesson") or data.get("lesson")


def source_title(source: str, event_name: str) -> str:
    """Who sends what: "Platform: lessons"."""
    if source in ("lessons", "events", "inngest") and event_name == "lesson.completed":
        return _("Platform: lessons")
    if source == "webhook":
        return _("amoCRM: stage changes")
    if event_name == "crm/create-deal":
        return _("Website: new deals")
    if event_name == "erp/task.create":
        return _("Website: records for the ERP")
    if source == "reconcile":
        return _("Comparing with amoCRM")
    if source == "operator":
        return _("Sent by hand")
    return event_name


def source_words(source: str) -> str:
    return {
        "lessons": _("the platform"),
        "events": _("the platform"),
        "inngest": _("the platform, by Inngest"),
        "webhook": _("amoCRM, by its webhook"),
        "reconcile": _("comparing with amoCRM"),
        "operator": _("by hand"),
    }.get(source, source)


# --- who did what -----------------------------------------------------------------------------------------------------


def action_words(what: str) -> str:
    return {
        "retry": _("sent again"),
        "discard": _("cancelled"),
        "pause": _("paused"),
        "resume": _("resumed"),
        "correct": _("corrected and sent"),
        "connect": _("connected amoCRM"),
        "disconnect": _("disconnected amoCRM"),
        "choose_stage": _("chose a stage"),
        "subscribe": _("subscribed the webhook"),
        "forget": _("erased a person"),
        "import": _("brought in a token"),
        "refresh": _("renewed the access"),
        "prune": _("cleared old records"),
        "alert": _("sent a test alert"),
    }.get(what, what)


def counted(count: int, kind: str) -> str:
    """The head of a list: "14 deliveries", "14 deliveries of this cause"."""
    if kind == "cause":
        return ngettext(
            "%(count)s delivery of this cause", "%(count)s deliveries of this cause", count, count=number(count)
        )
    return ngettext("%(count)s delivery", "%(count)s deliveries", count, count=number(count))
