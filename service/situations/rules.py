"""From signals to situations, worst first: a pure function. Nothing is well unless this finds nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from outbox.message import NOWHERE, Reason, State
from outbox.outcome import PauseKind
from outbox.pauses import Paused
from outbox.queries import CauseGroup
from outbox.retry import SCHEDULE
from service.amocrm.choices import ON_PAGE
from service.causes import CAUSES, MANAGER, NOBODY
from service.heartbeat import SILENT
from service.situations.signals import (
    DestinationSignals,
    Mend,
    Need,
    Signals,
    Situation,
    SourceSignals,
)

DAY = 86400.0
SETTLES = 5 * 60.0
"""Seconds after which a row that is tried again, and will be by itself, is trouble and not on its way."""

LOW_DISK = 200 * 1024 * 1024
"""Bytes: with less than that left, somebody should make room before events are refused."""

LONG_LIVED_ENDS = 14 * DAY
PERMISSION_ENDS = 14 * DAY
HISTORY = 28 * DAY
SEEN = 20
"""How many events of four weeks it takes to know what is usual."""

QUIET = 3 * DAY
"""A shorter silence is a weekend."""

GAPS = 8.0
"""How many usual gaps a silence has to last before it is one."""

RANK = {
    "store": 0,
    "disk": 1,
    "worker": 5,
    "stopped": 10,
    "dead": 20,
    "paused": 25,
    "failing": 30,
    "unmapped": 32,
    "refused": 34,
    "token": 36,
    "stage": 38,
    "hook": 40,
    "bare": 45,
    "source": 50,
    "job": 55,
    "process": 60,
    "pause": 70,
    "retrying": 75,
    "late": 80,
}
"""What is worse comes first; from "pause" on it passes by itself."""


def find(signals: Signals) -> list[Situation]:
    """Everything that is not as it should be, worst first; empty when all is well."""
    found = [
        *_store(signals),
        *_processes(signals),
        *(one for destination in signals.destinations for one in _destination(signals, destination)),
        *_groups(signals),
        *_unmapped(signals),
        *_refused(signals),
        *_token(signals),
        *_stages(signals),
        *_hook(signals),
        *(one for source in signals.sources if (one := _source(signals, source))),
        *_jobs(signals),
    ]
    found += _late(signals, found)
    return sorted(found, key=lambda one: (one.rank, -one.count, one.destination, one.cause))


def needs_person(cause: str) -> bool:
    """Whether what failed for this cause waits for somebody, however often it is tried."""
    return cause not in CAUSES or CAUSES[cause].who != NOBODY


def pause_need(pause: Paused) -> Need:
    """Who ends a pause: by its kind and by its cause, whichever asks for more."""
    by_itself = pause.kind.rules.by_itself and not needs_person(pause.cause)
    return Need.TIME if by_itself else Need.PERSON


def _of(code: str, need: Need, cause: str, **more: object) -> Situation:
    return Situation(code=code, need=need, cause=cause, rank=RANK[code], **more)  # type: ignore[arg-type]


# --- the machine ------------------------------------------------------------------------------------------------------


def _store(signals: Signals) -> Iterator[Situation]:
    store = signals.store
    megabytes = None if store.free is None else store.free // (1024 * 1024)
    params = {"fault": store.fault, "free": "—" if megabytes is None else megabytes}
    if store.fault:
        full = store.free is not None and store.free < 1024 * 1024
        yield _of("store", Need.PERSON, "store_full" if full else "store_refuses", mend=Mend.MACHINE, params=params)
    elif store.free is not None and store.free < LOW_DISK:
        yield _of("disk", Need.PERSON, "disk_low", mend=Mend.MACHINE, params=params)


def _processes(signals: Signals) -> Iterator[Situation]:
    workers = [one for one in signals.processes if one.kind == "worker"]
    age = min((one.age(signals.now) for one in workers), default=None)
    waiting = sum(one.waiting for one in signals.destinations)
    if age is None:
        yield _of("worker", Need.PERSON, "worker_never", count=waiting, mend=Mend.MACHINE)
    elif age > SILENT:
        heard = max(one.heartbeat_at for one in workers)
        yield _of("worker", Need.PERSON, "worker_silent", since=heard, count=waiting, mend=Mend.MACHINE)


# --- destinations -----------------------------------------------------------------------------------------------------


def _destination(signals: Signals, one: DestinationSignals) -> Iterator[Situation]:
    if one.missing:
        if one.waiting:
            lacks = tuple(name for name in one.missing if name not in ON_PAGE)
            funnel = one.missing == ("AMOCRM_PIPELINE_ID",)
            mend = Mend.SETTINGS if lacks else Mend.FUNNEL if funnel else Mend.CONNECT
            params = {"missing": ", ".join(lacks or one.missing[:1])}
            cause = "funnel_unset" if funnel else f"{one.name}_not_set_up"
            yield _of(
                "bare", Need.PERSON, cause if cause in CAUSES else "not_set_up",
                destination=one.name, since=one.oldest, count=one.waiting, mend=mend, params=params,
            )  # fmt: skip
        return
    if one.pause is not None:
        yield _pause(signals, one, one.pause)


def _pause(signals: Signals, one: DestinationSignals, pause: Paused) -> Situation:
    need = pause_need(pause)
    base = Situation(
        "stopped", need, pause.cause, one.name, pause.since or None, _next_try(signals, one, pause), count=one.waiting,
        params=pause.params, pause=pause, rank=RANK["stopped"],
    )  # fmt: skip
    if pause.kind is PauseKind.OPERATOR:
        return replace(base, code="paused", cause="operator", mend=Mend.RESUME, rank=RANK["paused"])
    if pause.kind is PauseKind.CAUSE:
        return _five(one, pause, base)
    if need is Need.TIME:
        return replace(base, code="pause", rank=RANK["pause"])
    if pause.kind is PauseKind.RECONNECT:
        return replace(base, mend=Mend.CONNECT)
    lesson = pause.params.get("lesson")
    if pause.cause == "stage_ambiguous" and lesson:
        return replace(base, mend=Mend.STAGE)
    if pause.cause == "amocrm_not_set_up" and "AMOCRM_STAGE" in str(pause.params.get("missing")):
        return replace(base, mend=Mend.STAGE, params={**pause.params, "lesson": 1})
    return replace(base, mend=Mend.TRY)


def _next_try(signals: Signals, one: DestinationSignals, pause: Paused) -> float | None:
    """When the first delivery is tried in this pause; None: not before somebody acts, or there is nothing to try."""
    if pause.until is None or one.due_at is None:
        return None
    return max(pause.until, one.due_at, signals.now)


def _five(one: DestinationSignals, pause: Paused, base: Situation) -> Situation:
    """Five that failed for one cause: the cause itself is named, with those five; or that their causes differ."""
    cause = str(pause.params.get("cause") or "same_cause")
    inner = pause.params.get("params")
    params = {**pause.params, **(inner if isinstance(inner, dict) else {})}
    words = {Reason(row.reason).words for row in one.tried}
    if cause in ("deal_refused", "erp_refused") and len(words) > 1:
        cause = "five_refused"
        params |= {"details": "; ".join(sorted(filter(None, words)))[:600]}
    mend = Mend.TRY
    if pause.until is not None:
        mend = Mend.NONE  # one is being tried right now
    elif pause.params.get("proved"):
        mend = Mend.REST
    elif cause == "stage_deleted":
        mend = Mend.STAGE
    return replace(base, need=Need.PERSON, cause=cause, params=params, mend=mend, rows=one.tried)


# --- rows -------------------------------------------------------------------------------------------------------------


def _groups(signals: Signals) -> Iterator[Situation]:
    stopped = {one.name: one for one in signals.destinations if one.pause or one.missing}
    named = 0
    for group in signals.groups:
        if group.state == State.DEAD:
            named += group.count
            yield _dead(group)
        elif not _told_by_pause(group, stopped.get(group.destination)):
            yield from _waiting_group(signals, group)
    if signals.dead > named:
        yield _of("dead", Need.PERSON, "dead_other", count=signals.dead - named, mend=Mend.LOOK)


def _dead(group: CauseGroup) -> Situation:
    mend = Mend.STAGE if group.cause == "stage_deleted" else Mend.SEND
    if group.destination == NOWHERE or group.cause == "erp_ambiguous":
        mend = Mend.LOOK
    return _of(
        "dead", Need.PERSON, group.cause, destination=group.destination, since=group.first_at, count=group.count,
        mend=mend, params=group.params, group=group,
    )  # fmt: skip


def _told_by_pause(group: CauseGroup, destination: DestinationSignals | None) -> bool:
    """Rows that failed of what the pause is for are part of it."""
    if destination is None or destination.pause is None:
        return destination is not None and bool(destination.missing)
    pause = destination.pause
    return not needs_person(group.cause) or group.cause in (pause.cause, pause.params.get("cause"))


def _waiting_group(signals: Signals, group: CauseGroup) -> Iterator[Situation]:
    person = needs_person(group.cause)
    old = max((signals.now - one.received_at for one in group.sample), default=0.0) > SETTLES
    if not person and not old:
        return
    until = None if group.due_at is None else max(group.due_at, signals.now)
    ends = max((tried_until(one.failures, one.due_at) for one in group.sample), default=None)
    pause = next((one.pause for one in signals.destinations if one.name == group.destination), None)
    if pause is not None:
        until = None if pause.until is None else max(pause.until, until or signals.now, signals.now)
    yield _of(
        "failing" if person else "retrying", Need.PERSON if person else Need.TIME, group.cause,
        destination=group.destination, since=group.first_at, until=until, ends=ends, count=group.count,
        mend=Mend.LOOK if person else Mend.NONE, params=group.params, group=group,
    )  # fmt: skip


def tried_until(failures: int, due_at: float) -> float:
    """When the schedule of a waiting row ends."""
    return due_at + sum(SCHEDULE[failures + 1 :]) if failures < len(SCHEDULE) else due_at


def _unmapped(signals: Signals) -> Iterator[Situation]:
    one = signals.unmapped
    if one.count:
        lessons = ", ".join(str(lesson) for lesson in one.unset or one.lessons)
        yield _of(
            "unmapped", Need.PERSON, "lesson_unmapped" if one.unset else "lesson_mapped_since", destination="amocrm",
            since=one.since, count=one.count, mend=Mend.STAGE if one.unset else Mend.SEND,
            params={"lessons": lessons, "lesson": one.unset[0] if one.unset else "", "max_id": one.max_id},
            rows=one.sample,
        )  # fmt: skip


def _late(signals: Signals, found: Sequence[Situation]) -> list[Situation]:
    """Those who wait for longer than people expect, where nothing else tells why."""
    told = {one.destination for one in found if one.code in ("stopped", "paused", "pause", "bare", "retrying")}
    if not signals.late or any(one.code == "worker" for one in found):
        return []
    waiting = [one for one in signals.destinations if one.waiting and one.name not in told]
    if not waiting:
        return []
    times = [one.due_at for one in waiting if one.due_at is not None]
    until = max(min(times), signals.now) if times else None
    return [_of("late", Need.TIME, "waits_long", since=signals.late_since, until=until, count=signals.late)]


# --- the rest ---------------------------------------------------------------------------------------------------------


def _refused(signals: Signals) -> Iterator[Situation]:
    for run in signals.refused:
        cause = "refused_hooks" if run.way == "webhook" else "refused_events"
        yield _of("refused", Need.PERSON, cause, since=run.first_at, count=0, refused=run)


def _token(signals: Signals) -> Iterator[Situation]:
    token, now = signals.token, signals.now
    if token.lost_keys:
        yield _of("token", Need.PERSON, "token_keys_lost", destination="amocrm", mend=Mend.CONNECT)
    if token.state == "long_lived" and token.expires_at is not None and token.expires_at - now < LONG_LIVED_ENDS:
        yield _of("token", Need.PERSON, "token_ends", destination="amocrm", mend=Mend.CONNECT,
                  ends=token.expires_at, params={"ends": token.expires_at})  # fmt: skip
    ends = token.refresh_expires_at
    if token.state == "connected" and ends is not None and ends - now < PERMISSION_ENDS:
        yield _of("token", Need.PERSON, "token_ends", destination="amocrm", mend=Mend.CONNECT, ends=ends,
                  params={"ends": ends})  # fmt: skip


def _stages(signals: Signals) -> Iterator[Situation]:
    """A stage that is gone is told before a lesson fails of it."""
    failed = {str(group.params.get("lesson")) for group in signals.groups if group.cause == "stage_deleted"}
    failed |= {
        str((one.pause.params.get("params") or {}).get("lesson") or one.pause.params.get("lesson"))
        for one in signals.destinations
        if one.pause is not None
    }
    for lesson, name in signals.stages_gone:
        if str(lesson) not in failed:
            yield _of("stage", Need.PERSON, "stage_deleted", destination="amocrm", mend=Mend.STAGE,
                      params={"lesson": lesson, "stage": name})  # fmt: skip


def _hook(signals: Signals) -> Iterator[Situation]:
    hook = signals.hook
    if hook.wanted and hook.found in ("hook_off", "hook_unknown"):
        yield _of("hook", Need.PERSON, hook.found, destination="amocrm", since=hook.at, mend=Mend.SUBSCRIBE)


def _source(signals: Signals, one: SourceSignals) -> Situation | None:
    """A way in from which nothing comes any more. "Usual" is said only after four weeks."""
    if one.count < SEEN or signals.now - one.since < HISTORY or one.source in ("reconcile", "operator"):
        return None
    usual = HISTORY / one.count
    silence = signals.now - one.last_at
    if silence <= max(QUIET, GAPS * usual):
        return None
    return _of("source", Need.PERSON, "source_silent", since=one.last_at, mend=Mend.NONE,
               params={"source": one.source, "event_name": one.event_name, "usual": usual})  # fmt: skip


def job_late(last_at: float | None, next_at: float | None, every: float, now: float) -> bool:
    """Whether a job should have run by now, whoever runs it."""
    following = next_at if next_at is not None else None if last_at is None else last_at + every
    return following is not None and now - following > max(2 * every, 180.0)


def _jobs(signals: Signals) -> Iterator[Situation]:
    workers_live = any(one.kind == "worker" and one.age(signals.now) <= SILENT for one in signals.processes)
    for job in signals.jobs:
        params = {"job": job.name, "detail": job.detail}
        if job.outcome == "failed":
            yield _of("job", Need.PERSON, "job_failed", since=job.last_at, until=job.next_at, params=params)
        elif workers_live and job_late(job.last_at, job.next_at, job.every, signals.now):
            yield _of("job", Need.PERSON, "job_late", since=job.next_at or job.last_at, params=params)


def who(one: Situation) -> str:
    """Who mends it, in the words of service/causes.py, to be translated."""
    return CAUSES[one.cause].who if one.cause in CAUSES else MANAGER
