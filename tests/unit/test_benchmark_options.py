"""Which options of `python -m benchmarks` are its own, and which are handed on to the one benchmark that is named."""

from __future__ import annotations

import pytest

from benchmarks import __main__ as benchmarks


def test_from_the_first_option_that_is_not_ours_on_all_are_the_benchmark_s() -> None:
    given = ["launch_evening", "--odd", "--students", "30"]
    assert benchmarks.apart(given) == (["launch_evening"], ["--odd", "--students", "30"])
    assert benchmarks.apart(["--write", "hooks", "small"]) == (["--write", "hooks", "small"], [])


def test_they_are_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.setattr(benchmarks, "run", lambda name, options: ran.append((name, options)) or (0, ""))
    monkeypatch.setattr("sys.argv", ["benchmarks", "launch_evening", "--odd"])
    assert benchmarks.main() == 0 and ran == [("launch_evening", ["--odd"])]


def test_what_only_helps_a_benchmark_is_none() -> None:
    assert "launch_evening" in benchmarks.names() and not [name for name in benchmarks.names() if "odd" in name]


@pytest.mark.parametrize("given", [["--odd"], ["hooks", "small", "--odd"], ["hooks", "--write", "--odd"]])
def test_options_without_the_one_benchmark_that_they_are_for_are_refused(
    given: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks", *given])
    with pytest.raises(SystemExit):
        benchmarks.main()
    assert "--odd" in capsys.readouterr().err or "--write" in given
