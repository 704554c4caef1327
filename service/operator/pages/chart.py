"""The overview's chart: what was delivered in an hour, a day or a week, and how fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import gettext as _

from outbox.queries import Bar
from service.current import Dealpost
from service.operator import charts, words
from service.operator.pages import destinations
from service.operator.words.numbers import ngettext

SPANS = {"hour": (60.0, 60), "day": (3600.0, 24), "week": (3600.0, 168)}


@dataclass(frozen=True)
class Chart:
    """Ready for the template. ticks: the labels below, one per equal cell."""

    span: str
    title: str
    series: tuple[tuple[str, int], ...]
    dead: int
    bars: charts.Bars
    top: int
    curves: charts.Curves
    slow_top: int
    slow: float | None
    usual: float | None
    ticks: tuple[str, ...]
    finding: str
    table: tuple[tuple[str, tuple[int, ...], int, str], ...]


def chart(dealpost: Dealpost, now: float, span: str) -> Chart:
    span = span if span in SPANS else "day"
    width, count = SPANS[span]
    # An hour and a day as the cards count them: the last 24 hours, not those of the clock.
    since = words.day_start(now - 6 * 86400) if span == "week" else now - count * width
    found = dealpost.store.reading.bars(since, width, count)
    # What part arrived within which time cannot be told from the bars' own figures.
    whole = dealpost.store.reading.bars(since, width * count, 1)[0]
    names = destinations.NAMES
    stacks = [tuple(bar.delivered.get(name, 0) for name in names) for bar in found]
    lost = [bar.dead for bar in found]
    top = charts.nice(max((sum(stack) + dead for stack, dead in zip(stacks, lost, strict=True)), default=1) or 1)
    slow = [bar.seconds_p99 for bar in found]
    usual = [bar.seconds_p50 for bar in found]
    slow_top = charts.nice_seconds(max((value for value in slow if value is not None), default=1.0))
    titles = {
        "hour": _("Delivered in an hour"),
        "day": _("Delivered in 24\N{NO-BREAK SPACE}hours"),
        "week": _("Delivered in a week"),
    }
    return Chart(
        span=span,
        title=titles[span],
        series=tuple(
            (destinations.title(name, dealpost), sum(stack[index] for stack in stacks))
            for index, name in enumerate(names)
        ),
        dead=sum(lost),
        bars=charts.bars(stacks, lost, top),
        top=top,
        curves=charts.curves(slow, usual, slow_top),
        slow_top=slow_top,
        slow=whole.seconds_p99,
        usual=whole.seconds_p50,
        ticks=_ticks(span, since),
        finding=_finding(found, stacks, span, now),
        table=tuple(
            (
                _bar_name(bar.start, span, now),
                stack,
                bar.dead,
                words.duration(bar.seconds_p99) if bar.seconds_p99 else "—",
            )
            for bar, stack in zip(found, stacks, strict=True)
            if sum(stack) + bar.dead
        ),
    )


def _ticks(span: str, since: float) -> tuple[str, ...]:
    if span == "week":
        return tuple(words.short_day(since + index * 86400) for index in range(7))
    step = 600.0 if span == "hour" else 3 * 3600.0
    cells = 6 if span == "hour" else 8
    return tuple(words.clock(since + index * step) for index in range(cells))


def _bar_name(start: float, span: str, now: float) -> str:
    return words.clock(start) if span == "hour" else words.when(start, now)


def _finding(found: Sequence[Bar], stacks: Sequence[tuple[int, ...]], span: str, now: float) -> str:
    """What the chart says, in words."""
    totals = [sum(stack) for stack in stacks]
    lost = [bar for bar in found if bar.dead]
    said = []
    if any(totals):
        best = max(range(len(totals)), key=totals.__getitem__)
        at = words.when(found[best].start, now)
        most = words.number(totals[best])
        said.append(
            _("Most in a minute: %(num)s, %(time)s.", num=most, time=at)
            if span == "hour"
            else _("Most in an hour: %(num)s, from %(time)s.", num=most, time=at)
        )
    else:
        said.append(_("Nothing was delivered in this time."))
    if lost:
        count, since = sum(bar.dead for bar in lost), words.since_when(lost[0].start, now)
        said.append(
            ngettext("%(num)s did not arrive %(since)s.", "%(num)s did not arrive %(since)s.", count, since=since)
        )
    return " ".join(said)
