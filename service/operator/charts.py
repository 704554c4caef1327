"""Charts as SVG from the server: shapes only, by attributes; every label is HTML beside them. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

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


def bars(stacks: Sequence[Sequence[int]], lost: Sequence[int], top: int) -> Markup:
    """Stacked bars on a grid of thirds. stacks: per bar, the figure of each series from below; lost: hatched on top."""
    thin = len(stacks) > MANY
    slot, part = 100 / max(1, len(stacks)), THIN_PART if thin else PART
    shapes = [_grid(), _hatch()]
    for place, (stack, dead) in enumerate(zip(stacks, lost, strict=True)):
        left, below = place * slot + slot * (1 - part) / 2, 0
        for series, figure in enumerate(stack, 1):
            if figure:
                shapes.append(_bar(left, slot * part, below, figure, top, f'class="bar s{min(series, 3)}"'))
                below += figure
        if dead:
            shapes.append(_bar(left, slot * part, below, dead, top, 'class="bar" fill="url(#hatch)"'))
    shapes.append('<line class="axis" x1="0" x2="100%" y1="100%" y2="100%"/>')
    kinds = "bars-svg thin" if thin else "bars-svg"
    return Markup('<svg class="{}" aria-hidden="true" focusable="false">{}</svg>').format(
        kinds, Markup("".join(shapes))
    )


def curves(slow: Sequence[float | None], usual: Sequence[float | None], top: float) -> Markup:
    """Two lines on one honest scale: 99 % (whole) and 50 % (dashed). A gap where nothing arrived."""
    lines = "".join(_curve(values, top, kind) for values, kind in ((slow, "curve"), (usual, "curve dashed")))
    return Markup(
        '<svg class="lines-svg" aria-hidden="true" focusable="false" viewBox="0 0 {} 100" preserveAspectRatio="none">'
        '<line class="grid" x1="0" x2="{}" y1="0" y2="0" vector-effect="non-scaling-stroke"/>{}'
        '<line class="axis" x1="0" x2="{}" y1="100" y2="100" vector-effect="non-scaling-stroke"/></svg>'
    ).format(len(slow), len(slow), Markup(lines), len(slow))


def meter(part: float, tone: str = "", wide: bool = False) -> Markup:
    """How much of something is used, from 0 to 1; what it means stands beside it in words."""
    width = round(100 * min(1.0, max(0.0, part)), 1)
    kinds = " ".join(filter(None, ("meter", "wide" if wide else "", tone)))
    return Markup(
        '<svg class="{}" aria-hidden="true" focusable="false" height="6">'
        '<rect class="bg" width="100%" height="6" rx="3"/><rect class="fg" width="{}%" height="6" rx="3"/></svg>'
    ).format(kinds, width)


def _grid() -> str:
    levels = ("0", "33.33%", "66.67%")
    return "".join(f'<line class="grid" x1="0" x2="100%" y1="{level}" y2="{level}"/>' for level in levels)


def _hatch() -> str:
    return (
        '<defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect class="hatch-bg" width="5" height="5"/><line class="hatch-fg" x1="1" x2="1" y1="0" y2="5"/>'
        "</pattern></defs>"
    )


def _bar(left: float, width: float, below: int, figure: int, top: int, dress: str) -> str:
    height = 100 * figure / top
    upper = 100 - 100 * (below + figure) / top
    return f'<rect {dress} x="{left:.2f}%" y="{upper:.2f}%" width="{width:.2f}%" height="{height:.2f}%"/>'


def _curve(values: Sequence[float | None], top: float, kind: str) -> str:
    runs: list[list[str]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{place + 0.5:.1f},{100 - 100 * min(value, top) / top:.1f}")
    drawn = []
    for run in runs:
        if len(run) == 1:  # one point alone is drawn as a short dash
            left, _, height = run[0].partition(",")
            run = [f"{float(left) - 0.3:.1f},{height}", f"{float(left) + 0.3:.1f},{height}"]
        if run:
            points = " ".join(run)
            drawn.append(f'<polyline class="{kind}" points="{points}" vector-effect="non-scaling-stroke"/>')
    return "".join(drawn)
