"""Asking for every signal: the store, the wiring and the disk, and nobody on the network."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from outbox.message import Delivery, State
from outbox.outcome import PauseKind
from outbox.pauses import Paused
from outbox.queries import Filter, Tally
from service.amocrm.account_facts import AccountFacts
from service.amocrm.choices import StageChoices
from service.amocrm.lesson_stages import LessonStage, lesson_stages
from service.heartbeat import Processes
from service.job_results import JobResults
from service.routing import AMOCRM, ERP, NAMES, WEBHOOK
from service.situations.rows import Lane
from service.situations.rules import HISTORY, SEEN
from service.situations.signals import (
    DestinationSignals,
    HookSignals,
    Signals,
    SourceSignals,
    StoreSignals,
    TokenSignals,
    Unmapped,
)

if TYPE_CHECKING:
    from service.current import Dealpost

LATE = 5 * 60.0
"""Seconds after which somebody who waits has waited for longer than people expect."""

DISTINCT = 200
"""Up to so many late deliveries are counted by student."""

UNMAPPED = "lesson_unmapped"
USUAL = 5 * SEEN
"""How many events of a way in are counted: more would not tell more of what is usual."""


def gather(dealpost: Dealpost, fault: str = "") -> Signals:
    """Everything at this moment. fault: why nothing can be written, as the caller has just tried. Raises what the
    store raises."""
    reading, now = dealpost.store.reading, dealpost.store.now()
    tallies = reading.tallies()
    pauses = standing_pauses(dealpost)
    waits = any(tally.states.get(State.PENDING) or tally.states.get(State.SENDING) for tally in tallies.values())
    dead = sum(tally.states.get(State.DEAD, 0) for tally in tallies.values())
    groups = reading.causes(Filter(states=(State.DEAD, State.PENDING))) if waits or dead else []
    late, students = late_ones(dealpost, now) if waits else (0, False)
    lessons = known_lessons(dealpost)
    kept = machine(dealpost, fault)
    return Signals(
        now=now,
        destinations=tuple(
            _destination(dealpost, name, tallies.get(name), pauses.get(name))
            for name in dict.fromkeys((AMOCRM, ERP, *(one for one in tallies if one != "-")))
        ),
        groups=tuple(groups),
        dead=dead,
        late=late,
        late_since=min((t.oldest_pending for t in tallies.values() if t.oldest_pending is not None), default=None),
        students=students,
        unmapped=unmapped(dealpost, tallies, lessons),
        stages_gone=tuple((one.lesson, one.name) for one in lessons if one.state == "gone"),
        token=_token(dealpost),
        hook=_hook(dealpost),
        jobs=tuple(JobResults(dealpost.store.key_values).all()),
        sources=tuple(
            SourceSignals(one.source, one.event_name, one.last_at, one.count, one.first_at)
            for one in reading.sources(now - HISTORY, USUAL, (*NAMES, WEBHOOK))
        ),
        processes=kept.processes,
        refused=tuple(dealpost.wiring.refusals.all()),
        store=kept.store,
        tallies=tallies,
    )


def machine(dealpost: Dealpost, fault: str = "") -> Signals:
    """Only what concerns every page: the processes and the store."""
    processes = tuple(Processes(dealpost.store.key_values).all())
    return Signals(dealpost.store.now(), processes=processes, store=StoreSignals(fault, free_bytes(dealpost)))


def lane(dealpost: Dealpost, name: str, pauses: Mapping[str, Paused], silent: bool) -> Lane:
    """What the rows of a destination go by."""
    destination = dealpost.wiring.destinations.get(name)
    missing = bool(destination.missing()) if destination else False
    return Lane(missing, pauses.get(name), silent, bool(destination and destination.whole_keys))


def standing_pauses(dealpost: Dealpost) -> dict[str, Paused]:
    """Pauses by destination; access that is lost stops everything, also while nothing was sent that found it out."""
    pauses = dealpost.wiring.pauses()
    token = dealpost.wiring.token_status()
    if AMOCRM not in pauses and token.state in ("reconnect", "expired"):
        pauses[AMOCRM] = Paused(PauseKind.RECONNECT, None, "amocrm_reconnect", "amocrm_reconnect", since=0.0)
    return pauses


def late_ones(dealpost: Dealpost, now: float) -> tuple[int, bool]:
    """(how many wait longer than five minutes, whether that counts students)."""
    where = Filter(states=(State.PENDING, State.SENDING), until=now - LATE)
    count = dealpost.store.reading.count(where)
    if not count or count > DISTINCT:
        return count, False
    found: Sequence[Delivery] = dealpost.store.reading.find(where, DISTINCT).rows
    people = {delivery.email or delivery.lead_id for delivery in found}
    return (len(people), True) if None not in people else (count, False)


def known_lessons(dealpost: Dealpost) -> list[LessonStage]:
    """The lessons' stages, without asking amoCRM."""
    key_values = dealpost.store.key_values
    pipelines = AccountFacts(key_values, dealpost.store.now).pipelines() or ()
    choices, one = StageChoices(key_values), dealpost.settings.amocrm
    return lesson_stages(one, choices.all(), pipelines, choices.funnel_id(one.pipeline_id))


def unmapped(dealpost: Dealpost, tallies: Mapping[str, Tally], lessons: Sequence[LessonStage]) -> Unmapped:
    """Lessons that moved nothing for want of a stage."""
    tally = tallies.get(AMOCRM)
    if tally is None or not tally.states.get(State.SKIPPED):
        return Unmapped()
    where = Filter(states=(State.SKIPPED,), destination=AMOCRM, cause=UNMAPPED)
    rows = dealpost.store.reading.find(where, DISTINCT).rows
    if not rows:
        return Unmapped()
    numbers = sorted({int(row.data["lesson"]) for row in rows if isinstance(row.data.get("lesson"), int)})
    set_up = {one.lesson for one in lessons if one.state != "unset"}
    oldest = dealpost.store.reading.find(where, 3, oldest_first=True).rows
    return Unmapped(
        dealpost.store.reading.count(where),
        tuple(numbers),
        tuple(one for one in numbers if one not in set_up),
        oldest[0].received_at,
        rows[0].received_at,
        oldest,
        max(row.id for row in rows),
    )


def _destination(dealpost: Dealpost, name: str, tally: Tally | None, pause: Paused | None) -> DestinationSignals:
    destination = dealpost.wiring.destinations.get(name)
    states = tally.states if tally else {}
    waiting = states.get(State.PENDING, 0) + states.get(State.SENDING, 0)
    ids = pause.params.get("rows") if pause is not None else None
    tried = dealpost.store.reading.find(Filter(ids=tuple(ids)), len(ids)).rows if ids else ()
    return DestinationSignals(
        name=name,
        missing=tuple(destination.missing()) if destination else (),
        pause=pause,
        waiting=waiting,
        oldest=tally.oldest_pending if tally else None,
        due_at=dealpost.store.lanes.next_due(name) if waiting else None,
        tried=tuple(tried),
    )


def _token(dealpost: Dealpost) -> TokenSignals:
    status = dealpost.wiring.token_status()
    return TokenSignals(status.state, status.expires_at, status.refresh_expires_at, status.unreadable)


def _hook(dealpost: Dealpost) -> HookSignals:
    """As the last look at the webhook left it."""
    result = JobResults(dealpost.store.key_values).get("hook")
    found = result.detail if result is not None and result.last_at is not None else ""
    return HookSignals(bool(dealpost.settings.webhook_secrets), found, result.last_at if result else None)


def free_bytes(dealpost: Dealpost) -> int | None:
    """Room on the disk of the embedded store; None where there is none to look at."""
    if not dealpost.settings.on_sqlite:
        return None
    try:
        return shutil.disk_usage(dealpost.settings.database_path.parent).free
    except OSError:
        return None
