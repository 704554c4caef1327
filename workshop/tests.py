"""Runs all tests, or those that the arguments name: two at a time; then, two at a time but away from the others, those
that wait for processes which are killed or whose clocks jump; last, one by one, what wants the machine for itself."""

from __future__ import annotations

import pathlib
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent.parent
APART = (
    "tests/browser/test_practice.py",
    *(
        f"tests/acceptance/test_{name}.py"
        for name in ("clock_set_back", "failpoints", "ledger", "postgres", "situations")
    ),
)
ALONE = ("tests/acceptance/test_benchmarks.py", "tests/acceptance/test_chaos.py")
TWO = ("-n", "2", "--dist", "loadfile")
NONE_COLLECTED = 5


def main(arguments: list[str]) -> int:
    """-> pytest's exit code: of the first run that failed, or 5 when no run found any test."""
    if any((FOLDER / argument.partition("::")[0]).exists() for argument in arguments):
        return pytest(arguments)
    ignored = [word for file in (*APART, *ALONE) for word in ("--ignore", file)]
    # What those in processes of their own run is not counted, so that counting would only make them slower.
    uncounted = [argument for argument in arguments if not argument.startswith("--cov")]
    codes = [
        pytest([*TWO, *ignored, *arguments]),
        pytest([*TWO, *APART, *uncounted]),
        pytest([*ALONE, *uncounted]),
    ]
    failed = [code for code in codes if code not in (0, NONE_COLLECTED)]
    return failed[0] if failed else min(codes)


def pytest(arguments: list[str]) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=FOLDER).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
