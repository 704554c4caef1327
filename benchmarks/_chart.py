"""Figures as horizontal bars: an SVG that is read in light and in dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

ROW, BAR, LEFT, WIDTH = 30, 18, 250, 760

STYLE = """<style>
text { font: 14px system-ui, sans-serif; fill: #333 }
.own { fill: #2563eb } .other { fill: #9aa4b2 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .own { fill: #6ea0ff } .other { fill: #5d6675 } }
</style>"""


def bars(title: str, rows: Sequence[tuple[str, float, bool]]) -> str:
    """rows: words, figure, whether it is ours."""
    most = max(figure for _, figure, _ in rows)
    height = ROW * (len(rows) + 1) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        STYLE,
        f'<text x="0" y="18" font-weight="600">{escape(title)}</text>',
    ]
    for place, (words, figure, own) in enumerate(rows, start=1):
        top, long = place * ROW, (WIDTH - LEFT - 80) * figure / most
        lines.append(f'<text x="{LEFT - 10}" y="{top + 14}" text-anchor="end">{escape(words)}</text>')
        kind = "own" if own else "other"
        lines.append(f'<rect class="{kind}" x="{LEFT}" y="{top}" width="{long:.1f}" height="{BAR}" rx="3"/>')
        lines.append(f'<text x="{LEFT + long + 8:.1f}" y="{top + 14}">{figure:,.0f}</text>')
    return "\n".join([*lines, "</svg>", ""])
