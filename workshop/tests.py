"""Runs all tests, or those that the arguments name: two at a time, and then one by one those that want the machine for
themselves, since processes are killed, clocks jump or speeds are compared in them."""

from __future__ import annotations

import pathlib
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent.parent
ALONE = (
    "tests/browser/test_practice.py",
    *(
        f"tests/acceptance/test_{name}.py"
        for name in ("benchmarks", "chaos", "clock_set_back", "failpoints", "ledger", "situations")
    ),
)
# In the order of the folders: the long ones come first, so that none is left for one process alone at the end.
TWO = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
NONE_COLLECTED = 5


def main(arguments: list[str]) -> int:
    """-> pytest's exit code: of the first run that failed, or 5 when no run found any test."""
    if any((FOLDER / argument.partition("::")[0]).exists() for argument in arguments):
        return pytest(arguments)
    ignored = [word for file in ALONE for word in ("--ignore", file)]
    codes = [pytest([*TWO, *ignored, *arguments]), pytest([*ALONE, *appended(arguments)])]
    failed = [code for code in codes if code not in (0, NONE_COLLECTED)]
    return failed[0] if failed else min(codes)


def appended(arguments: list[str]) -> list[str]:
    """The second run's figures of coverage are added to those of the first."""
    return [*arguments, "--cov-append"] if "--cov" in arguments else arguments


def pytest(arguments: list[str]) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=FOLDER).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
