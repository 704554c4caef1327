"""Run the benchmarks one after the other: `python -m benchmarks [--write] [name ...]`."""

from __future__ import annotations

import argparse
import pathlib
import pkgutil
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
DOCS = (HERE.parent / "docs" / "benchmarks.md", HERE.parent / "docs" / "ru" / "benchmarks.md")


def names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules([str(HERE)]) if not module.name.startswith("_"))


def run(name: str) -> tuple[int, str]:
    """-> exit code and what it printed, which is shown as it comes."""
    print(f"\n--- python -m benchmarks.{name}\n", flush=True)
    lines = []
    process = subprocess.Popen([sys.executable, "-m", f"benchmarks.{name}"], stdout=subprocess.PIPE, text=True)
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which ones: {', '.join(names())}")
    parser.add_argument("--write", action="store_true", help="put the results into docs/benchmarks.md and its twin")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(names()):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    failed = []
    for name in asked.names or names():
        code, output = run(name)
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
