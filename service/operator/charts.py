"""The shapes of charts: places and sizes on an honest scale, which charts.html draws. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

PART = 0.64
"""How much of its slot a bar fills."""

THIN_PART, MANY = 0.84, 100
"""The same where there are many bars, which have no room for gaps between their parts."""

SECONDS_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 2 * 3600, 6 * 3600, 12 * 3600, 86400)


def nice(top: float, parts: int = 3) -> int:
    """The smallest round figure, divisible by `parts`, that nothing overtops: 56 -> 60."""
    step = max(1, math.ceil(top / parts))
    magnitude: int = 10 ** (len(str(step)) - 1)
    for factor in (1, 2, 3, 4, 5, 6, 8, 10):
        if magnitude * factor >= step:
            return magnitude * factor * parts
    return step * parts  # pragma: no cover - the factor 10 always reaches


def nice_seconds(top: float) -> int:
    """The next round time that nothing overtops: 6.1 -> 10."""
    for step in SECONDS_STEPS:
        if top <= step:
            return step
    return math.ceil(top / 86400) * 86400


@dataclass(frozen=True)
class Bar:
    """One piece of a stack, in percent of the chart from its upper left. series: from 1; 0 for what was lost."""

    x: float
    y: float
    width: float
    height: float
    series: int


@dataclass(frozen=True)
class Bars:
    bars: tuple[Bar, ...]
    thin: bool


@dataclass(frozen=True)
class Curves:
    """Lines as runs of (x, y) points, from the upper left: y in percent, x in slots of which there are `slots`."""

    slots: int
    slow: tuple[tuple[tuple[float, float], ...], ...]
    usual: tuple[tuple[tuple[float, float], ...], ...]


def bars(stacks: Sequence[Sequence[int]], lost: Sequence[int], top: int) -> Bars:
    """Stacked bars. stacks: per bar, the figure of each series from below; lost: what lies on top of it."""
    thin = len(stacks) > MANY
    slot, part = 100 / max(1, len(stacks)), THIN_PART if thin else PART
    found = []
    for index, (stack, dead) in enumerate(zip(stacks, lost, strict=True)):
        left, below = index * slot + slot * (1 - part) / 2, 0
        for series, figure in (*enumerate(stack, 1), (0, dead)):
            if figure:
                below += figure
                found.append(Bar(left, 100 - 100 * below / top, slot * part, 100 * figure / top, min(series, 3)))
    return Bars(tuple(found), thin)


def curves(slow: Sequence[float | None], usual: Sequence[float | None], top: float) -> Curves:
    """Two lines on one scale. A gap where nothing arrived."""
    return Curves(len(slow), _runs(slow, top), _runs(usual, top))


def _runs(values: Sequence[float | None], top: float) -> tuple[tuple[tuple[float, float], ...], ...]:
    runs: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((index + 0.5, 100 - 100 * min(value, top) / top))
    return tuple(tuple(run) if len(run) > 1 else _dash(*run[0]) for run in runs if run)


def _dash(x: float, y: float) -> tuple[tuple[float, float], ...]:
    """What stands for one point alone."""
    return (x - 0.3, y), (x + 0.3, y)
