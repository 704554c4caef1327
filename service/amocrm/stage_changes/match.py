"""One change, one record: which hooks and which rows of amoCRM's log of events tell of the same change of stage.

A change is told of by up to three kinds of observations: hooks that carry a time, rows of the log of events, hooks
without a time. Their times differ, none of the first two bears the other's id, and any of them may be missing, late or
repeated. So what is kept of a deal is the list of these observations, and the number of its changes is the least that
explains them: hooks plus rows, minus the most pairs that can be made of one hook and one row within a minute. An
observation that raises this number makes a record; every other one is of a change that has its record already. However
they are shuffled, the number never exceeds the true one, and where the log of events is complete it reaches it.

A hook's time may be that of its sending, a minute or two off. So a hook and a row further apart, which have no nearer
partner, and between which the deal did nothing else, are one change as well: a loose pair. It ends when one of the two
turns out to have a nearer partner; whoever that is makes the record that is then lacking. A deal is created once,
whatever the times say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

TOLERANCE = 60.0
"""Seconds by which the times of one change may differ."""

LOOSE = 180.0
"""Seconds by which they may differ where nothing else explains either of them."""

UNTIMED = 2 * 3600.0
"""Seconds for which a hook without a time may repeat a change."""

PATIENCE = 10.0
"""Seconds that a hook which only differs by its time waits for a sign that the deal was elsewhere in between."""

CREATED = 0
"""The old stage of a deal that was made on its stage."""

BELIEVED = 30 * 24 * 3600.0
"""A time further from the clock than this places nothing: such an observation is placed by when it came."""


@dataclass(frozen=True)
class Observation:
    """Something that tells of a change. Times: seconds since the epoch; at None: it tells none.

    event_id: of our event, "" for what was noted without one. old, new: the stages. seen_at: when we saw it. api_id:
    its id in amoCRM's log, "" for a hook. role: "" while it is not classified; own: it made the record; same: of a
    change that has one; again: repeats a hook, counts for nothing. of: the event that made the record. mate: the name
    of the other one of a loose pair. timed: a row that tells the time of this hook without one was seen since.
    """

    event_id: str
    pipeline_id: int | None
    old: int | None
    new: int | None
    at: float | None
    seen_at: float
    api_id: str = ""
    role: str = ""
    of: str = ""
    timed: bool = False
    mate: str = ""

    @property
    def name(self) -> str:
        return self.api_id or self.event_id

    @property
    def moment(self) -> float:
        """When it happened, as well as we know."""
        return self.at if self.at is not None and abs(self.at - self.seen_at) <= BELIEVED else self.seen_at


@dataclass(frozen=True)
class New:
    """A change that has no record yet: this observation makes it."""


@dataclass(frozen=True)
class Same:
    """A change that has its record, made by the event `of` ("" where that is not known any more)."""

    of: str


@dataclass(frozen=True)
class Wait:
    """Cannot be told yet."""

    seconds: float


Verdict = New | Same | Wait


def classify(
    before: Sequence[Observation], observation: Observation, now: float, beside: Sequence[Observation] = ()
) -> tuple[list[Observation], Verdict]:
    """-> what is to be kept from now on, and the verdict. The same event gets the same verdict again.

    beside: others that came with it, which tell what the deal did in between.
    """
    kept = list(before)
    known = _known(kept, observation)
    if known is not None:
        return kept, known
    if observation.old == CREATED:
        made = next((other for other in kept if other.old == CREATED), None)
        return _with(kept, observation, New() if made is None else Same(made.of), "same")
    if observation.at is None:
        return _with(kept, observation, _untimed(kept, observation), "same")
    if (repeated := _repeated(kept, observation)) is not None:
        return _with(kept, observation, Same(repeated.of), "again")
    counted = [other for other in kept if other.at is not None and other.role != "again"]
    before_it, with_it = pairs(counted), pairs([*counted, observation])
    if with_it > before_it:
        ended = [one for one in _mated(counted, before_it) if one not in _mated([*counted, observation], with_it)]
        if not ended:
            of = _nearest([other for other in kept if _alike(other, observation)], observation).of
            return _with(kept, observation, Same(of), "same")
        left = [replace(other, mate="") if other is ended[0] else other for other in kept]
        return _with(left, observation, New(), "own")
    verdict, role, told = _timed(kept, counted, observation, now, [*kept, *beside])
    if told is not None and told.at is None:
        kept = [replace(other, timed=True) if other is told else other for other in kept]
    elif told is not None:
        observation = replace(observation, mate=told.name)
    return _with(kept, observation, verdict, role)


def _with(
    kept: list[Observation], observation: Observation, verdict: Verdict, role: str
) -> tuple[list[Observation], Verdict]:
    if isinstance(verdict, Wait):
        return kept, verdict
    if isinstance(verdict, New):
        return [*kept, replace(observation, role="own", of=observation.event_id)], verdict
    return [*kept, replace(observation, role=role, of=verdict.of)], verdict


def _known(kept: Iterable[Observation], observation: Observation) -> Verdict | None:
    for other in kept:
        same_event = bool(observation.event_id) and other.event_id == observation.event_id
        if same_event or (observation.api_id and other.api_id == observation.api_id):
            own = other.role == "own" and other.event_id == observation.event_id
            return New() if own else Same(other.of)
    return None


def _timed(
    kept: list[Observation],
    counted: list[Observation],
    observation: Observation,
    now: float,
    every: list[Observation],
) -> tuple[Verdict, str, Observation | None]:
    """Of one without a partner within a minute. -> the verdict, the role of one that is the same, and either the hook
    without a time whose time it tells, or the other one of a loose pair. every: kept, and what came with it."""
    alike = [other for other in kept if _alike(other, observation)]
    if (untimed := _found_time(kept, alike, observation)) is not None:
        return Same(untimed.of), "same", untimed
    if (lone := _lone(counted, observation, every)) is not None:
        return Same(lone.of), "same", lone
    if not observation.api_id:
        near = [
            other
            for other in alike
            if other.at is not None
            and not other.api_id
            and _apart(other, observation) <= TOLERANCE
            and not _left_between(kept, other, observation)
        ]
        if near:
            left = PATIENCE - (now - observation.seen_at)
            if 0 < left <= PATIENCE:
                return Wait(left), "", None
            return Same(_nearest(near, observation).of), "again", None
    return New(), "own", None


def _repeated(kept: list[Observation], observation: Observation) -> Observation | None:
    """The hook that this one repeats."""
    return next(
        (
            other
            for other in kept
            if not (other.api_id or observation.api_id)
            and other.at is not None
            and other.at == observation.at
            and _exactly(other, observation)
        ),
        None,
    )


def _mated(counted: list[Observation], whole: int) -> list[Observation]:
    """Those whose loose pair stands: neither of the two is needed for a nearer one. whole: the number of pairs."""
    by_name = {one.name: one for one in counted}
    return [
        one
        for one in counted
        if one.mate
        and (mate := by_name.get(one.mate)) is not None
        and pairs([other for other in counted if other is not one and other is not mate]) == whole
    ]


def _lone(counted: list[Observation], observation: Observation, every: list[Observation]) -> Observation | None:
    """The nearest one of the other kind that has no partner yet, and from which nothing divides this one."""
    mated = {one.mate for one in counted if one.mate} | {one.name for one in counted if one.mate}
    whole = pairs(counted)
    found = [
        other
        for other in counted
        if _pairable(other, observation, LOOSE)
        and other.name not in mated
        and not _divides(every, other, observation)
        and pairs([one for one in counted if one is not other]) == whole
    ]
    return _nearest(found, observation) if found else None


def _untimed(kept: list[Observation], observation: Observation) -> Verdict:
    """A hook of the digital pipeline: no time, and repeated for up to an hour and a quarter."""
    alike = [other for other in kept if _alike(other, observation) and other.role != "again"]
    bare = [other.seen_at for other in alike if other.at is None]
    for other in alike:
        # The other hook of a change whose time is known, however late the deal's next changes made it.
        lonely = not any(abs(seen - other.moment) <= TOLERANCE for seen in bare)
        if other.at is not None and abs(other.moment - observation.seen_at) <= TOLERANCE and lonely:
            return Same(other.of)
    changes = [other for other in alike if other.at is not None or other.role == "own"]
    last = max(changes, key=lambda other: other.moment, default=None)
    if last is None or observation.seen_at - last.moment > UNTIMED:
        return New()
    elsewhere = any(
        _came_after(other, last) and not _alike(other, observation) for other in kept if other.old != CREATED
    )
    return New() if elsewhere else Same(last.of)


def _found_time(kept: list[Observation], alike: list[Observation], observation: Observation) -> Observation | None:
    """The hook without a time that told of the same change."""
    bare = [other for other in alike if other.at is None and other.role == "own" and not other.timed]
    moment = observation.moment
    near = [other for other in bare if abs(other.seen_at - moment) <= TOLERANCE]
    if not near:
        near = [
            other
            for other in bare
            if abs(other.seen_at - moment) <= UNTIMED and not _other_between(kept, other, observation)
        ]
    return min(near, key=lambda other: abs(other.seen_at - moment), default=None)


def pairs(observations: Sequence[Observation]) -> int:
    """The most pairs of one hook and one row of the log that can tell of the same change (augmenting paths)."""
    hooks = [one for one in observations if not one.api_id]
    rows = [one for one in observations if one.api_id]
    edges = [
        sorted(
            (index for index, row in enumerate(rows) if _pairable(hook, row, TOLERANCE)),
            key=lambda index: (not _exactly(hook, rows[index]), _apart(hook, rows[index])),
        )
        for hook in hooks
    ]
    taken: dict[int, int] = {}

    def place(hook: int, tried: set[int]) -> bool:
        for row in edges[hook]:
            if row not in tried:
                tried.add(row)
                if row not in taken or place(taken[row], tried):
                    taken[row] = hook
                    return True
        return False

    return sum(place(hook, set()) for hook in range(len(hooks)))


def _stages(observation: Observation) -> tuple[int | None, int | None, int | None]:
    return observation.pipeline_id, observation.old, observation.new


def _alike(one: Observation, other: Observation) -> bool:
    """The same stages of the same pipeline; what one of them does not tell is not held against it."""
    if CREATED in (one.old, other.old):
        return one.old == other.old
    return all(a == b or a is None or b is None for a, b in zip(_stages(one), _stages(other), strict=True))


def _pairable(one: Observation, other: Observation, within: float) -> bool:
    """Whether a hook and a row may tell of the same change by their stages and times."""
    return bool(one.api_id) != bool(other.api_id) and _alike(one, other) and _apart(one, other) <= within


def _divides(every: Iterable[Observation], one: Observation, other: Observation) -> bool:
    """Whether the deal did something else between these two, so that they are two changes. Times are in whole seconds:
    what leaves the stage in the same second may have come after."""
    first, last = sorted((one.at or 0.0, other.at or 0.0))
    return any(
        i.at is not None
        and i.old != CREATED
        and not _alike(i, other)
        and (first < i.at < last or (first <= i.at <= last and i.old == other.new))
        for i in every
    )


def _exactly(one: Observation, other: Observation) -> bool:
    return _stages(one) == _stages(other)


def _apart(one: Observation, other: Observation) -> float:
    """Of two that tell their times."""
    return abs((one.at or 0.0) - (other.at or 0.0))


def _nearest(observations: list[Observation], to: Observation) -> Observation:
    return min(observations, key=lambda one: (not _exactly(one, to), abs(one.moment - to.moment)))


def _came_after(one: Observation, last: Observation) -> bool:
    """Times are in whole seconds: what came later and is placed in the same moment happened later."""
    return one.moment > last.moment or (one.seen_at >= last.seen_at and one.moment > last.moment - 2.0)


def _left_between(kept: Iterable[Observation], one: Observation, other: Observation) -> bool:
    """Whether the deal made another change between two hooks, so that they are two changes."""
    first, last = sorted((one.at or 0.0, other.at or 0.0))
    return any(i.at is not None and i.old != CREATED and first <= i.at <= last and not _alike(i, other) for i in kept)


def _other_between(kept: Iterable[Observation], one: Observation, other: Observation) -> bool:
    first, last = sorted((one.moment, other.moment))
    return any(first < i.moment < last and i.old != CREATED and not _alike(i, other) for i in kept)


def classify_all(
    before: Sequence[Observation], observations: Sequence[Observation], now: float, keep_new: bool
) -> tuple[list[Observation], list[Verdict]]:
    """The same for several; verdicts in the order given. keep_new: whether what is new is kept.

    They are looked at in the order of their times: what the deal did in between is then known as far as it can be.
    """
    order = sorted(range(len(observations)), key=lambda i: (observations[i].at or observations[i].seen_at, i))
    kept = list(before)
    verdicts: dict[int, Verdict] = {}
    for index in order:
        after, verdict = classify(kept, observations[index], now, observations)
        verdicts[index] = verdict
        if keep_new or not isinstance(verdict, New):
            kept = after
    return kept, [verdicts[index] for index in range(len(observations))]
