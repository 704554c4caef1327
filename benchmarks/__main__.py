"""Run the benchmarks one after the other: `python -m benchmarks [--write] [name ...]`. Of a single one all other
options are its own: `python -m benchmarks launch_evening --odd`."""

from __future__ import annotations

import argparse
import pathlib
import pkgutil
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence

HERE = pathlib.Path(__file__).parent
DOCS = (HERE.parent / "docs" / "benchmarks.md", HERE.parent / "docs" / "ru" / "benchmarks.md")


def names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules([str(HERE)]) if not module.name.startswith("_"))


def run(name: str, options: Sequence[str] = ()) -> tuple[int, str]:
    """-> exit code and what it printed, which is shown as it comes."""
    print(f"\n--- {shlex.join(['python', '-m', f'benchmarks.{name}', *options])}\n", flush=True)
    lines = []
    command = [sys.executable, "-m", f"benchmarks.{name}", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process.stdout:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return process.wait(), "".join(lines).strip()


def written(text: str, name: str, output: str) -> str:
    """The page with this benchmark's output in its place; at the end where it has none yet."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    block = f"{begin}\n\n{output}\n\n{end}"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if pattern.search(text):
        return pattern.sub(lambda _: block, text)
    return f"{text.rstrip()}\n\n## `python -m benchmarks.{name}`\n\n{block}\n"


def apart(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """(ours, the benchmark's own: from the first option on that is none of ours)."""
    ours = ("--write", "-h", "--help")
    first = next((place for place, one in enumerate(given) if one.startswith("-") and one not in ours), len(given))
    return list(given[:first]), list(given[first:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which ones: {', '.join(names())}")
    parser.add_argument("--write", action="store_true", help="put the results into docs/benchmarks.md and its twin")
    own, options = apart(sys.argv[1:])
    asked = parser.parse_args(own)
    if options and len(asked.names) != 1:
        parser.error(f"options of a benchmark ({' '.join(options)}) need its name, and no other one")
    if options and asked.write:
        parser.error("--write is for benchmarks without options: the pages hold what they print by themselves")
    if unknown := set(asked.names) - set(names()):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    failed = []
    for name in asked.names or names():
        code, output = run(name, options)
        if code:
            failed.append(name)
        elif asked.write:
            for page in DOCS:
                page.write_text(written(page.read_text(), name, output))
    if failed:
        print(f"\nmissed their mark: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
