"""From signals to situations: over many worlds, nothing is called well that needs somebody, and times are true."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.message import Delivery, Reason, State
from outbox.outcome import PauseKind
from outbox.pauses import Paused
from outbox.queries import CauseGroup
from service.causes import CAUSES, NOBODY
from service.heartbeat import SILENT, Process
from service.job_results import JobResult
from service.refusals import RefusalRun
from service.situations.rows import Lane, stand
from service.situations.rules import find, needs_person
from service.situations.signals import (
    DestinationSignals,
    HookSignals,
    Mend,
    Need,
    Signals,
    SourceSignals,
    StoreSignals,
    TokenSignals,
    Unmapped,
)

NOW = 1_800_000_000.0
LIVES = Process("worker.1", "worker", heartbeat_at=NOW - 1)
CODES = sorted(CAUSES)


def row(id: int = 1, **more: Any) -> Delivery:
    values: dict[str, Any] = {
        "id": id, "event_id": str(id), "event_name": "lesson.completed", "destination": "amocrm", "key": "email:a@x",
        "state": State.PENDING, "reason": Reason(""), "cause": "", "reference": "", "due_at": NOW, "failures": 0,
        "created_at": NOW - 60, "changed_at": NOW, "data": {"lesson": 1}, "source": "lessons", "received_at": NOW - 60,
    }  # fmt: skip
    return Delivery(**{**values, **more})


def group(cause: str, state: State = State.DEAD, destination: str = "amocrm", **more: Any) -> CauseGroup:
    sample = (row(cause=cause, state=state, failures=1, received_at=NOW - 900, destination=destination),)
    values: dict[str, Any] = {
        "destination": destination, "cause": cause, "state": state, "count": 1, "first_at": NOW - 900,
        "last_at": NOW - 9, "params": {}, "reason": "", "sample": sample, "max_id": 1,
    }  # fmt: skip
    return CauseGroup(**{**values, **more})


def paused(kind: PauseKind, cause: str, until: float | None = None, /, **params: Any) -> Paused:
    return Paused(kind, until, cause, cause, NOW - 100, params=params)


kinds = st.sampled_from(list(PauseKind))
causes = st.sampled_from(CODES)
moments = st.floats(NOW - 5000, NOW + 5000)
pauses_of_all_kinds = st.none() | st.builds(paused, kinds, causes, st.none() | moments)
destinations = st.builds(
    DestinationSignals,
    name=st.sampled_from(["amocrm", "erp"]),
    missing=st.sampled_from([(), ("AMOCRM_SUBDOMAIN",)]),
    pause=pauses_of_all_kinds,
    waiting=st.integers(0, 20),
    oldest=st.none() | moments,
    due_at=st.none() | moments,
)
groups = st.builds(
    group, causes, st.sampled_from([State.DEAD, State.PENDING]), st.sampled_from(["amocrm", "erp", "-"]),
    count=st.integers(1, 9), due_at=st.none() | moments,
)  # fmt: skip
worlds = st.builds(
    Signals,
    now=st.just(NOW),
    destinations=st.lists(destinations, max_size=2, unique_by=lambda one: one.name).map(tuple),
    groups=st.lists(groups, max_size=4).map(tuple),
    late=st.integers(0, 5),
    unmapped=st.sampled_from([Unmapped(), Unmapped(2, (4,), (4,), NOW - 50)]),
    hook=st.builds(HookSignals, st.booleans(), st.sampled_from(["", "hook_on", "hook_off", "hook_unknown"])),
    jobs=st.lists(
        st.builds(JobResult, st.just("tokens"), st.just(60.0), moments, moments, st.sampled_from(["done", "failed"])),
        max_size=1,
    ).map(tuple),
    processes=st.sampled_from([(), (LIVES,), (replace(LIVES, heartbeat_at=NOW - 2 * SILENT),)]),
    refused=st.sampled_from([(), (RefusalRun("lessons", 401, "", 17, NOW - 900, NOW - 5),)]),
    store=st.sampled_from([StoreSignals(), StoreSignals("StoreUnavailable"), StoreSignals("", 1024)]),
).map(lambda one: replace(one, dead=sum(g.count for g in one.groups if g.state == State.DEAD)))


def somebody_is_needed(world: Signals) -> list[str]:
    """Told independently of the rules: what each signal means by itself."""
    found = []
    for one in world.destinations:
        if (
            one.pause is not None
            and not one.missing
            and (not one.pause.kind.rules.by_itself or CAUSES[one.pause.cause].who != NOBODY)
        ):
            found.append(f"pause of {one.name}")
        if one.missing and one.waiting:
            found.append(f"{one.name} not set up")
    found += ["dead"] if world.dead else []
    paused_ones = {one.name for one in world.destinations if one.pause or one.missing}
    for one_group in world.groups:
        waits = one_group.state == State.PENDING and one_group.destination not in paused_ones
        if waits and CAUSES[one_group.cause].who != NOBODY:
            found.append(f"tried in vain: {one_group.cause}")
    found += ["unmapped"] if world.unmapped.count else []
    found += ["hook"] if world.hook.wanted and world.hook.found in ("hook_off", "hook_unknown") else []
    found += ["job"] if any(one.outcome == "failed" for one in world.jobs) else []
    found += ["worker"] if not any(one.age(NOW) <= SILENT for one in world.processes) else []
    found += ["refused"] if world.refused else []
    found += ["store"] if world.store.fault or world.store.free is not None else []
    return found


@settings(max_examples=400, deadline=None)
@given(worlds)
def test_whoever_is_needed_is_told(world: Signals) -> None:
    needed = somebody_is_needed(world)
    told = [one for one in find(world) if one.need is Need.PERSON]
    assert bool(told) >= bool(needed), needed
    assert len(told) >= len({what.partition(":")[0] for what in needed if what not in ("dead",)}) - 1


@settings(max_examples=400, deadline=None)
@given(worlds)
def test_what_needs_a_person_stands_before_what_passes_and_bears_words(world: Signals) -> None:
    found = find(world)
    needs = [one.need is Need.PERSON for one in found]
    assert needs == sorted(needs, reverse=True)
    assert all(one.cause in CAUSES for one in found)
    assert all(CAUSES[one.cause].who for one in found if one.need is Need.PERSON)


@settings(max_examples=400, deadline=None)
@given(worlds)
def test_a_time_that_is_promised_is_not_over_and_belongs_to_something_that_will_be_tried(world: Signals) -> None:
    for one in find(world):
        if one.until is None or one.code == "job":
            continue
        assert one.until >= NOW
        of = next((d for d in world.destinations if d.name == one.destination), None)
        if one.pause is not None:
            assert of is not None and of.due_at is not None and one.pause.until is not None
            assert one.until == max(one.pause.until, of.due_at, NOW)


rows = st.builds(
    row, st.just(2), due_at=moments, failures=st.integers(0, 3), cause=st.sampled_from(["", *CODES]),
    state=st.sampled_from([State.PENDING, State.DEAD, State.SENDING, State.DELIVERED]),
)  # fmt: skip
lanes = st.builds(Lane, st.booleans(), pauses_of_all_kinds, st.booleans(), st.booleans())
earlier = st.none() | st.builds(
    row, st.just(1), due_at=moments, failures=st.integers(0, 3), cause=st.sampled_from(["", *CODES]),
    state=st.sampled_from([State.PENDING, State.SENDING]),
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(rows, lanes, earlier)
def test_a_row_says_what_keeps_it_and_when_it_is_tried(one: Delivery, lane: Lane, ahead: Delivery | None) -> None:
    standing = stand(one, lane, NOW, ahead)
    if one.state != State.PENDING:
        assert standing.code == ""
        return
    assert standing.behind is ahead
    if standing.at is not None:
        assert standing.at >= NOW
        assert not lane.silent and not lane.missing
    if lane.pause is not None and not (lane.silent or lane.missing):
        assert standing.code in ("paused", "stopped", "pause")
        assert standing.at is None or standing.at >= (lane.pause.until or 0)
        if not lane.pause.kind.rules.by_itself or needs_person(lane.pause.cause):
            assert standing.need is Need.PERSON
    if standing.code == "next":
        assert one.due_at <= NOW and ahead is None
    if standing.need is None:
        assert not (one.failures and one.cause and needs_person(one.cause)) or ahead is not None


def test_nothing_to_tell_is_nothing_told() -> None:
    well = Signals(NOW, (DestinationSignals("amocrm"),), processes=(LIVES,), hook=HookSignals(True, "hook_on"))
    assert find(well) == []


@pytest.mark.parametrize(
    ("signals", "code", "mend"),
    [
        ({"groups": (group("contact_not_found", State.PENDING, due_at=NOW + 480),)}, "failing", Mend.LOOK),
        ({"groups": (group("erp_unreadable", State.PENDING, "erp", due_at=NOW + 5),)}, "failing", Mend.LOOK),
        ({"groups": (group("unreadable_hook", State.DEAD, "-"),), "dead": 1}, "dead", Mend.LOOK),
        ({"dead": 2}, "dead", Mend.LOOK),
        ({"unmapped": Unmapped(1, (4,), (4,), NOW)}, "unmapped", Mend.STAGE),
        ({"unmapped": Unmapped(1, (4,), (), NOW)}, "unmapped", Mend.SEND),
        ({"hook": HookSignals(True, "hook_off")}, "hook", Mend.SUBSCRIBE),
        ({"token": TokenSignals(lost_keys=True)}, "token", Mend.CONNECT),
        ({"token": TokenSignals("long_lived", NOW + 86400)}, "token", Mend.CONNECT),
        ({"store": StoreSignals("StoreUnavailable")}, "store", Mend.MACHINE),
        ({"stages_gone": ((2, "Paid"),)}, "stage", Mend.STAGE),
        ({"refused": (RefusalRun("lessons", 401, "", 17, NOW - 900, NOW - 5),)}, "refused", Mend.NONE),
        ({"jobs": (JobResult("hook", 600, NOW - 9000, NOW - 8400, "done"),)}, "job", Mend.NONE),
        ({"sources": (SourceSignals("lessons", "lesson.completed", NOW - 4 * 86400, 100),)}, "source", Mend.NONE),
    ],
)
def test_each_signal_alone_is_enough(signals: dict[str, Any], code: str, mend: Mend) -> None:
    world = Signals(NOW, (DestinationSignals("amocrm"), DestinationSignals("erp")), processes=(LIVES,), **signals)
    (one,) = find(world)
    assert (one.code, one.mend, one.need) == (code, mend, Need.PERSON)


def five(cause: str, reasons: Sequence[str], **params: Any) -> Signals:
    tried = tuple(row(id, cause=cause, reason=Reason(f"refused: {words}")) for id, words in enumerate(reasons, 1))
    pause = paused(PauseKind.CAUSE, "same_cause", cause=cause, params={"lesson": 2}, rows=[1, 2, 3, 4, 5], **params)
    return Signals(NOW, (DestinationSignals("amocrm", pause=pause, waiting=14, tried=tried),), processes=(LIVES,))


def test_five_alike_name_their_cause_and_offer_its_mend() -> None:
    (one,) = find(five("stage_deleted", ["gone"] * 5))
    assert (one.cause, one.mend, one.params["lesson"], len(one.rows)) == ("stage_deleted", Mend.STAGE, 2, 5)


def test_five_that_were_refused_for_reasons_of_their_own_are_not_called_alike() -> None:
    (one,) = find(five("deal_refused", ["field 7", "field 8", "field 9", "closed", "locked"]))
    assert one.cause == "five_refused" and "field 8" in one.params["details"]
    (same,) = find(five("deal_refused", ["field 7"] * 5))
    assert same.cause == "deal_refused"


def test_after_one_went_through_the_others_are_offered() -> None:
    (one,) = find(five("stage_deleted", ["gone"] * 5, proved=3))
    assert one.mend is Mend.REST


def test_a_weekend_is_no_silence() -> None:
    quiet = SourceSignals("lessons", "lesson.completed", NOW - 2.6 * 86400, 100)
    assert find(Signals(NOW, sources=(quiet,), processes=(LIVES,))) == []
    new = SourceSignals("lessons", "lesson.completed", NOW - 9 * 86400, 100, since=NOW - 20 * 86400)
    assert find(Signals(NOW, sources=(new,), processes=(LIVES,))) == []
