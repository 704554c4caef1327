"""One change, one record: which hooks and which rows of amoCRM's log of events tell of the same change of stage.

A change has up to three kinds of witnesses: hooks that carry a time, rows of the log of events, hooks without a time.
Their times differ, none of the first two bears the other's id, and any of them may be missing, late or repeated. So
what is kept of a deal is the list of its witnesses, and the number of its changes is the least that explains them:
hooks plus rows, minus the most pairs that can be made of one hook and one row within a minute. A witness that raises
this number makes a record; every other one is a change that has its record already. However they are shuffled, the
number never exceeds the true one, and where the log of events is complete it reaches it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

TOLERANCE = 60.0
"""Seconds by which the times of one change may differ."""

UNTIMED = 2 * 3600.0
"""Seconds for which a hook without a time may repeat a change."""

PATIENCE = 10.0
"""Seconds that a hook which only differs by its time waits for a sign that the deal was elsewhere in between."""

BELIEVED = 30 * 24 * 3600.0
"""A time further from the clock than this places nothing: such a witness is placed by when it came."""

Item = dict[str, Any]
"""A witness as kept: e (our event, "" for one noted without), p, o, n (pipeline, old and new stage), t (its time or
None), s (when we saw it), a (its id in the log, "" for a hook), v (own: it made the record; same: of a change that has
one; again: repeats a hook, counts for nothing), of (the event with the record), x (no time of its own, found since)."""


@dataclass(frozen=True)
class Observation:
    """Something that tells of a change. Times: seconds since the epoch; at None: it tells none. api_id: in the log."""

    event_id: str
    pipeline_id: int | None
    old: int | None
    new: int | None
    at: float | None
    seen_at: float
    api_id: str = ""


@dataclass(frozen=True)
class New:
    """A change that has no record yet: this witness makes it."""


@dataclass(frozen=True)
class Same:
    """A change that has its record, made by the event `of` ("" where that is not known any more)."""

    of: str


@dataclass(frozen=True)
class Wait:
    """Cannot be told yet."""

    seconds: float


Verdict = New | Same | Wait


def judge(items: Sequence[Item], witness: Observation, now: float) -> tuple[list[Item], Verdict]:
    """-> what is to be kept from now on, and the verdict. The same event gets the same verdict again."""
    kept = [dict(item) for item in items]
    known = _known(kept, witness)
    if known is not None:
        return kept, known
    item = _item(witness)
    verdict = _untimed(kept, item) if witness.at is None else _timed(kept, item, now)
    if isinstance(verdict, Wait):
        return kept, verdict
    if isinstance(verdict, New):
        item["v"], item["of"] = "own", item["e"]
    else:
        item["v"], item["of"] = item["v"] or "same", verdict.of
    return [*kept, item], verdict


def _known(items: Iterable[Item], witness: Observation) -> Verdict | None:
    for item in items:
        if (witness.event_id and item["e"] == witness.event_id) or (witness.api_id and item["a"] == witness.api_id):
            own = item["v"] == "own" and item["e"] == witness.event_id
            return New() if own else Same(item["of"])
    return None


def _item(witness: Observation) -> Item:
    return {
        "e": witness.event_id,
        "p": witness.pipeline_id,
        "o": witness.old,
        "n": witness.new,
        "t": witness.at,
        "s": witness.seen_at,
        "a": witness.api_id,
        "v": "",
        "of": "",
        "x": False,
    }


def _timed(items: list[Item], item: Item, now: float) -> Verdict:
    alike = [one for one in items if _alike(one, item)]
    hooks = [one for one in alike if one["t"] is not None and not one["a"]]
    if not item["a"]:
        for one in hooks:
            if one["t"] == item["t"] and _exactly(one, item):
                return _again(item, one)
    counted = [one for one in items if one["t"] is not None and one["v"] != "again"]
    if pairs([*counted, item]) > pairs(counted):
        return Same(_nearest(alike, item)["of"])
    if (untimed := _found_time(items, alike, item)) is not None:
        untimed["x"] = True
        return Same(untimed["of"])
    if not item["a"]:
        near = [one for one in hooks if _apart(one, item) <= TOLERANCE and not _left_between(items, one, item)]
        if near:
            left = PATIENCE - (now - item["s"])
            return Wait(left) if 0 < left <= PATIENCE else _again(item, _nearest(near, item))
    return New()


def _again(item: Item, one: Item) -> Same:
    item["v"] = "again"
    return Same(one["of"])


def _untimed(items: list[Item], item: Item) -> Verdict:
    """A hook of the digital pipeline: no time, and repeated for up to an hour and a quarter."""
    alike = [one for one in items if _alike(one, item) and one["v"] != "again"]
    bare = [one["s"] for one in alike if one["t"] is None]
    for one in alike:
        # The other hook of a change whose time is known, however late the deal's next changes made it.
        place = _place(one)
        lonely = not any(abs(seen - place) <= TOLERANCE for seen in bare)
        if one["t"] is not None and abs(place - item["s"]) <= TOLERANCE and lonely:
            return Same(one["of"])
    changes = [one for one in alike if one["t"] is not None or one["v"] == "own"]
    last = max(changes, key=_place, default=None)
    if last is None or item["s"] - _place(last) > UNTIMED:
        return New()
    other = any(_came_after(one, last) and not _alike(one, item) for one in items)
    return New() if other else Same(last["of"])


def _found_time(items: list[Item], alike: list[Item], item: Item) -> Item | None:
    """The hook without a time that told of the same change."""
    bare = [one for one in alike if one["t"] is None and one["v"] == "own" and not one["x"]]
    place = _place(item)
    near = [one for one in bare if abs(one["s"] - place) <= TOLERANCE]
    if not near:
        near = [one for one in bare if abs(one["s"] - place) <= UNTIMED and not _other_between(items, one, item)]
    return min(near, key=lambda one: float(abs(one["s"] - place)), default=None)


def pairs(items: Sequence[Item]) -> int:
    """The most pairs of one hook and one row of the log that can tell of the same change (augmenting paths)."""
    hooks = [one for one in items if not one["a"]]
    rows = [one for one in items if one["a"]]
    edges = [
        sorted(
            (at for at, row in enumerate(rows) if _alike(hook, row) and _apart(hook, row) <= TOLERANCE),
            key=lambda at: (not _exactly(hook, rows[at]), _apart(hook, rows[at])),
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


def _alike(one: Item, other: Item) -> bool:
    """The same stages of the same pipeline; what one of them does not tell is not held against it."""
    return all(one[name] == other[name] or one[name] is None or other[name] is None for name in "pon")


def _exactly(one: Item, other: Item) -> bool:
    return all(one[name] == other[name] for name in "pon")


def _apart(one: Item, other: Item) -> float:
    return float(abs(one["t"] - other["t"]))


def _nearest(items: list[Item], item: Item) -> Item:
    return min(items, key=lambda one: (not _exactly(one, item), abs(_place(one) - _place(item))))


def _place(item: Item) -> float:
    """When it happened, as well as we know."""
    at, seen = item["t"], float(item["s"])
    return float(at) if at is not None and abs(at - seen) <= BELIEVED else seen


def _came_after(one: Item, last: Item) -> bool:
    """Times are in whole seconds: what came later and is placed in the same moment happened later."""
    return _place(one) > _place(last) or (one["s"] >= last["s"] and _place(one) > _place(last) - 2.0)


def _left_between(items: Iterable[Item], one: Item, other: Item) -> bool:
    """Whether the deal made another change between two hooks, so that they are two changes."""
    first, last = sorted((one["t"], other["t"]))
    return any(i["t"] is not None and first <= i["t"] <= last and not _alike(i, other) for i in items)


def _other_between(items: Iterable[Item], one: Item, other: Item) -> bool:
    first, last = sorted((_place(one), _place(other)))
    return any(first < _place(i) < last and not _alike(i, other) for i in items)


def judge_all(
    before: list[Item], witnesses: Sequence[Observation], now: float, keep_new: bool
) -> tuple[list[Item], list[Verdict]]:
    """The same for several; verdicts in the order given. keep_new: whether what is new is kept.

    They are looked at in the order of their times: what the deal did in between is then known as far as it can be.
    """
    order = sorted(range(len(witnesses)), key=lambda i: (witnesses[i].at or witnesses[i].seen_at, i))
    items = before
    verdicts: dict[int, Verdict] = {}
    for index in order:
        after, verdict = judge(items, witnesses[index], now)
        verdicts[index] = verdict
        if keep_new or not isinstance(verdict, New):
            items = after
    return items, [verdicts[index] for index in range(len(witnesses))]
