"""The overview's quieter parts: a destination's figures, what comes in, what is scheduled, which processes run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from flask_babel import gettext as _
from flask_babel import pgettext

from outbox.message import Reason
from outbox.outcome import PauseKind
from outbox.queries import EVENT_NAMES
from service.current import Dealpost
from service.heartbeat import FORGOTTEN, SILENT, Processes
from service.job_results import JobResult, JobResults
from service.operator import words
from service.operator.pages.destinations import DestinationStatus
from service.operator.words.numbers import ngettext
from service.routing import AMOCRM, NAMES, WEBHOOK
from service.situations.rules import job_late

MINUTE = 60


@dataclass(frozen=True)
class Card:
    """A destination's card. pace: (used, allowed, usual) requests a second, or None where there is no pace."""

    destination: DestinationStatus
    state: tuple[str, str, str]
    waiting: int
    oldest: float | None
    late: bool
    speed: tuple[str, str, str] | None
    pace: tuple[float, float, float] | None
    access: str
    access_note: str
    paused: bool


def card(dealpost: Dealpost, destination: DestinationStatus, now: float) -> Card:
    tally = destination.tally
    oldest = None if tally.oldest_pending is None else max(0.0, now - tally.oldest_pending)
    speed = None
    if tally.seconds_p50 is not None and tally.seconds_p99 is not None:
        span = _("in the last hour") if now - tally.seconds_since < 7200 else _("in the last 24 hours")
        speed = (words.duration(tally.seconds_p50), words.duration(tally.seconds_p99), span)
    access, note = access_words(dealpost, destination, now)
    return Card(
        destination=destination,
        state=destination.state(now),
        waiting=destination.waiting,
        oldest=oldest,
        late=oldest is not None and oldest > words.LATE,
        speed=speed,
        pace=pace(dealpost, destination),
        access=access,
        access_note=note,
        paused=destination.rest is not None and destination.rest.kind is PauseKind.OPERATOR,
    )


def pace(dealpost: Dealpost, destination: DestinationStatus) -> tuple[float, float, float] | None:
    if destination.name != AMOCRM:
        return None
    usual = dealpost.settings.amocrm.rps
    return dealpost.store.rate_limiter.used(AMOCRM, MINUTE) / MINUTE, dealpost.wiring.amocrm.pace.per_second(), usual


def access_words(dealpost: Dealpost, destination: DestinationStatus, now: float) -> tuple[str, str]:
    """(how long the access lasts, what happens by itself)."""
    if destination.missing:
        return _("not set up"), ", ".join(destination.to_set)
    if destination.name != AMOCRM:
        return _("does not expire"), ""
    token = dealpost.wiring.token_status()
    if not token.usable:
        return _("not connected"), _("connect on the page “Connections”")
    if token.expires_at is None:
        return _("does not expire"), ""
    note = _("renews itself %(time)s", time=words.at_when(token.next_refresh, now)) if token.next_refresh else ""
    return _left(token.expires_at, now), note


def _left(until: float | None, now: float) -> str:
    return _("%(time)s left", time=words.rough((until or now) - now))


# --- coming in --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    title: str
    at: float
    ago: str
    today: str


SOURCES = 20
"""The ways that are shown, those with the newest events first."""

KNOWN = (*NAMES, WEBHOOK)


def sources(dealpost: Dealpost, now: float) -> list[Source]:
    """Each way in with the age of its last event, latest first: silence shows."""
    ways: dict[str, tuple[float, int]] = {}
    names: Counter[str] = Counter()
    for tally in dealpost.store.reading.sources(words.day_start(now), known=KNOWN):
        names[tally.source] += 1
        title = words.source_title(tally.source, tally.event_name)
        last, count = ways.get(title, (0.0, 0))
        ways[title] = (max(last, tally.last_at), count + tally.count)
    told = sorted(ways.items(), key=lambda item: -item[1][0])
    # Of a source with too many names the store tells the first ones.
    more = [Source(_("Others, under further names"), 0.0, "", "")]
    cut = len(told) > SOURCES or any(count >= EVENT_NAMES for count in names.values())
    return [
        Source(
            title,
            last,
            words.ago(last, now),
            ngettext("%(count)s today", "%(count)s today", count, count=words.number(count))
            if count
            else _("nothing today"),
        )
        for title, (last, count) in told[:SOURCES]
    ] + (more if cut else [])


# --- by the clock -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """ok None: it has not run yet, or waits for something."""

    title: str
    ok: bool | None
    last: str
    last_at: float | None
    note: str


def jobs(dealpost: Dealpost, now: float) -> list[Job]:
    """What runs by the clock, most seldom last."""
    return [_job(result, now) for result in JobResults(dealpost.store.key_values).all()]


def _job(result: JobResult, now: float) -> Job:
    last, following, every = result.last_at, result.next_at, result.every
    parts = [words.job_detail(result.detail, result.params)]
    if result.outcome == "failed":
        parts = [_("failed, the log has the details")]
    if result.outcome == "waits":
        parts = [words.cause_title(Reason(result.detail).code, result.params)]
    if every and every < 3600:
        parts.append(_("every %(time)s", time=words.duration(every)))
    if following and every >= 600:
        parts.append(_("next %(time)s", time=words.at_when(following, now)) if following > now else _("next now"))
    ok = {"done": True, "failed": False}.get(result.outcome)
    if result.detail in ("hook_off", "hook_unknown"):
        ok = False
    elif job_late(last, following, every, now):
        ok = False
        parts = [_("has not run in time")]
    elif result.detail in ("hook_unset", "no_address"):
        ok = None
    return Job(
        words.job_title(result.name),
        ok,
        words.ago(last, now) if last else _("not yet"),
        last,
        ", ".join(filter(None, parts)),
    )


@dataclass(frozen=True)
class Process:
    """state: (icon, tone, words)."""

    title: str
    name: str
    version: str
    ago: str
    state: tuple[str, str, str]


def processes(dealpost: Dealpost, now: float) -> list[Process]:
    """Those that live, and of each kind the one that died last: those that ended on purpose have taken their leave."""
    titles = {"web": _("Receiving events"), "worker": pgettext("process", "Sending")}
    known = [one for one in Processes(dealpost.store.key_values).all() if one.kind in titles]
    shown = [(one, ("tick", "ok", _("in order"))) for one in known if one.age(now) <= SILENT]
    for kind in titles:
        gone = [one for one in known if one.kind == kind and SILENT < one.age(now) < FORGOTTEN]
        last = max(gone, key=lambda one: one.heartbeat_at, default=None)
        if last is None:
            continue
        replaced = any(one.kind == kind for one, _state in shown)
        state = ("minus", "quiet", _("died, another runs")) if replaced else ("alert", "bad", _("silent"))
        shown.append((last, state))
    if not any(one.kind == "worker" for one, _state in shown):
        old = max((one for one in known if one.kind == "worker"), key=lambda one: one.heartbeat_at, default=None)
        shown += [(old, ("alert", "bad", _("silent")))] if old is not None else []
    shown.sort(key=lambda pair: (pair[0].kind, pair[0].age(now)))
    return [
        Process(titles[one.kind], one.name, one.version, words.ago(one.heartbeat_at, now), state)
        for one, state in shown
    ]
