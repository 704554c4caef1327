"""Moments and durations as people say them, in the school's time zone and the reader's language."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from babel.dates import format_datetime, get_timezone_location
from flask_babel import get_locale, to_user_timezone
from flask_babel import gettext as _

from service.operator.words.numbers import NBSP, ngettext, number


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
