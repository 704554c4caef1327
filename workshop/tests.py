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
# Once a process has crashed, xdist with a new one in its place never ends: the other runs what is left.
TWO = ("-n", "2", "--dist", "loadfile", "--max-worker-restart", "0")
NONE_COLLECTED = 5


def main(arguments: list[str]) -> int:
    """-> pytest's exit code: of the first run that failed, or 5 when no run found any test."""
    if any((FOLDER / argument.partition("::")[0]).exists() for argument in arguments):
        return pytest(arguments)
    ignored = [word for file in ALONE for word in ("--ignore", file)]
    # What those in processes of their own run is not counted, so that counting would only make them slower.
    uncounted = [argument for argument in arguments if not argument.startswith("--cov")]
    codes = [pytest([*TWO, *ignored, *arguments]), pytest([*ALONE, *uncounted])]
    failed = [code for code in codes if code not in (0, NONE_COLLECTED)]
    return failed[0] if failed else min(codes)


def pytest(arguments: list[str]) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=FOLDER).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
