"""Charts: shapes by attributes on an honest scale."""

import re
from typing import Any

import pytest
from jinja2 import Environment, FileSystemLoader

from service.operator import charts
from service.operator.pages.blueprint import TEMPLATES


def drawn(macro: str, *args: Any) -> str:
    """What a macro of charts.html makes of these."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    return str(getattr(environment.get_template("charts.html").module, macro)(*args))


@pytest.mark.parametrize(
    ("top", "expected"), [(0, 3), (1, 3), (3, 3), (4, 6), (56, 60), (60, 60), (61, 90), (1000, 1200)]
)
def test_the_scale_is_round_and_in_thirds(top: int, expected: int) -> None:
    assert charts.nice(top) == expected
    assert charts.nice(top) % 3 == 0 and charts.nice(top) >= top


@pytest.mark.parametrize(("top", "expected"), [(0.2, 1), (6.1, 10), (61, 120), (360, 600), (200_000, 259_200)])
def test_the_scale_of_seconds_is_a_round_time(top: float, expected: int) -> None:
    assert charts.nice_seconds(top) == expected


def heights(svg: str) -> list[float]:
    return [float(one) for one in re.findall(r'<rect class="bar[^>]*height="([\d.]+)%"', svg)]


def test_bars_stand_on_each_other_and_reach_no_further_than_the_scale() -> None:
    svg = drawn("bars_svg", charts.bars([(30, 15), (0, 0)], [15, 0], 60))
    assert heights(svg) == [50.0, 25.0, 25.0]
    assert re.findall(r'<rect class="bar[^>]* y="([\d.]+)%"', svg) == ["50.00", "25.00", "0.00"]
    assert svg.count('fill="url(#hatch)"') == 1 and 'id="hatch"' in svg


def test_a_chart_has_no_style_and_says_nothing_to_a_reader_aloud() -> None:
    for svg in (
        drawn("bars_svg", charts.bars([(1,)], [0], 3)),
        drawn("curves_svg", charts.curves([1.0, None, 2.0], [0.5, None, None], 2)),
        drawn("meter", 0.5),
    ):
        assert 'aria-hidden="true"' in svg and "style" not in svg and "<text" not in svg


def test_many_bars_are_drawn_without_gaps_between_their_parts() -> None:
    assert "thin" in drawn("bars_svg", charts.bars([(1, 1)] * 168, [0] * 168, 3))


def test_a_curve_has_a_gap_where_nothing_arrived_and_a_dash_for_one_alone() -> None:
    svg = drawn("curves_svg", charts.curves([1.0, 2.0, None, 1.0], [None] * 4, 2))
    assert re.findall(r'points="([^"]+)"', svg) == ["0.5,50.0 1.5,0.0", "3.2,50.0 3.8,50.0"]


@pytest.mark.parametrize(("part", "width"), [(-1, "0.0%"), (0.355, "35.5%"), (3, "100.0%")])
def test_a_meter_stays_within_itself(part: float, width: str) -> None:
    assert f'class="fg" width="{width}"' in drawn("meter", part)
