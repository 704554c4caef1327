"""Runs all tests, or those that the arguments name: two at a time, and then those of real processes one by one.

Processes that are killed and clocks that jump want the machine for themselves.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent.parent
PROCESSES = "tests/acceptance"
TWO = ("-n", "2", "--dist", "loadfile")
NONE_COLLECTED = 5


def main(arguments: list[str]) -> int:
    """-> pytest's exit code: of the first run that failed, or 5 when no run found any test."""
    if any((FOLDER / argument.partition("::")[0]).exists() for argument in arguments):
        return pytest(arguments)
    codes = [pytest([*TWO, "--ignore", PROCESSES, *arguments]), pytest([PROCESSES, *appended(arguments)])]
    failed = [code for code in codes if code not in (0, NONE_COLLECTED)]
    return failed[0] if failed else min(codes)


def appended(arguments: list[str]) -> list[str]:
    """The second run's figures of coverage are added to those of the first."""
    return [*arguments, "--cov-append"] if "--cov" in arguments else arguments


def pytest(arguments: list[str]) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=FOLDER).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
