"""The verdict of the simulated year: red where something grows on after the store has its usual size."""

import pytest

from benchmarks.year import STEADY, Month, growth


def months(**last: float) -> list[Month]:
    found = [Month(1000 * number, 200.0, 90.0, [0.3], [0.4], 1500.0) for number in range(1, 13)]
    for name, value in last.items():
        setattr(found[-1], name, value)
    return found


def test_figures_that_stay_as_they_are_are_good() -> None:
    assert growth(months()) == []
    assert growth(months(megabytes=219.0, memory=94.0, accepts=[0.39], claims=[0.41], free=3000.0)) == []


@pytest.mark.parametrize(
    ("figure", "value"),
    [("megabytes", 230.0), ("memory", 110.0), ("accepts", [0.6]), ("claims", [0.7]), ("free", 4000.0)],
)
def test_each_figure_that_grows_is_told(figure: str, value: float) -> None:
    (said,) = growth(months(**{figure: value}))
    assert said.startswith("month 12: ") and f"month {STEADY + 1}" in said
