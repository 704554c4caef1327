"""What a running Dealpost takes of its machine: memory under load, cold start, commands, imports, installed packages:
`python -m benchmarks.small [--minutes 60]`. Exits 1 when memory, its growth, or a start misses its mark.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import pathlib
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from importlib import metadata

from benchmarks._workers import KEPT
from sandbox import Sandbox
from workshop.processes import FOLDER, free_port

MEMORY, GROWTH = 150.0, 0.1
"""MiB that web and worker may take together, and MiB a minute by which they may grow once warm."""

START, COMMAND = 2.0, 0.5
"""Seconds from the start of the web to its first answer, and that `flask --help` takes of a processor."""

WARM = 0.4
"""The first part of the load, in which caches fill and threads start: no growth is taken from it."""

PACKAGES = 10
KEY = "key-of-the-benchmark-0123456789"
SIGN_IN = "operator", "password-of-the-benchmark"


class House:
    """The web as shipped and a worker, with a sandbox for amoCRM."""

    def __init__(self, sandbox: Sandbox, folder: str) -> None:
        self.port = free_port()
        self.environ = {
            **{name: os.environ[name] for name in KEPT if name in os.environ},
            **sandbox.env,
            "DEALPOST_ENV_FILE": "/dev/null",
            "SANDBOX": "1",
            "ALLOW_EPHEMERAL": "1",
            "DATABASE_URL": f"sqlite:///{folder}/small.db",
            "API_KEYS": f"program:{KEY}",
            "ADMIN_USERNAME": SIGN_IN[0],
            "ADMIN_PASSWORD": SIGN_IN[1],
            "PORT": str(self.port),
        }
        self.log = open(f"{folder}/log", "wb")  # noqa: SIM115
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> None:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=FOLDER, env=self.environ, stdout=self.log, stderr=self.log
        )
        self.started.append(process)

    def web(self) -> float:
        """-> seconds from its start to the first good answer."""
        began = time.monotonic()
        self.start("-m", "gunicorn", "wsgi:app")
        while time.monotonic() < began + 60:
            try:
                if self.get("/healthz") == 200:
                    return time.monotonic() - began
            except OSError:
                time.sleep(0.01)
        raise TimeoutError("the web gave no answer within a minute")

    def get(self, path: str) -> int:
        return self._ask("GET", path, None)

    def lesson(self, email: str, lesson: int) -> int:
        return self._ask("POST", "/api/tripwire/complete", {"email": email, "lesson": lesson})

    def _ask(self, method: str, path: str, body: object) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"Content-Type": "application/json"}
            if path.startswith("/outbox"):
                headers["Authorization"] = "Basic " + base64.b64encode(":".join(SIGN_IN).encode()).decode()
            else:
                headers["X-API-Key"] = KEY
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def memory(self) -> float:
        """MiB of all processes together; what they share counts once."""
        return sum(map(pss, family(process.pid for process in self.started))) / 1024

    def stop(self) -> None:
        for process in self.started:
            process.send_signal(signal.SIGTERM)
        for process in self.started:
            process.wait(60)
        self.started.clear()
        self.log.close()


def family(pids: Iterable[int]) -> list[int]:
    found = list(pids)
    for pid in found:
        found += map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return found


def pss(pid: int) -> int:
    """KiB; of pages that several processes share each has its part."""
    found = re.search(r"^Pss:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    assert found
    return int(found[1])


def load(house: House, minutes: float, per_second: int) -> list[tuple[float, float]]:
    """-> (minute, MiB). Lessons of ever other students, and the pages in turn."""
    pages = ("/outbox", "/outbox?chart=week", "/outbox/deliveries", "/outbox/students", "/api/outbox", "/metrics")
    found: list[tuple[float, float]] = []
    began, sent = time.monotonic(), 0
    while (past := time.monotonic() - began) < minutes * 60:
        if past / 60 >= len(found):
            found.append((past / 60, house.memory()))
            print(f"minute {len(found) - 1}: {found[-1][1]:.1f} MiB, {sent} lessons", file=sys.stderr, flush=True)
        status = house.lesson(f"learner-{sent % 5000}@example.com", 1 + sent // 5000 % 3)
        assert status == 202, status
        sent += 1
        if sent % per_second == 0:
            house.get(pages[sent // per_second % len(pages)])
        time.sleep(max(0.0, began + sent / per_second - time.monotonic()))
    found.append(((time.monotonic() - began) / 60, house.memory()))
    print(
        f"{sent:,} lessons in {minutes:g} minutes, {per_second} a second, each into another deal; a page each second.\n"
    )
    return found


def processor_seconds(*command: str) -> float:
    """What a process takes of a processor, at best: on a busy machine it waits longer, and takes little more."""
    took = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(5):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, cwd=FOLDER, env=alone(folder), check=True, stdout=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(took)


def alone(folder: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {
        **kept,
        "DEALPOST_ENV_FILE": "/dev/null",
        "DATABASE_URL": f"sqlite:///{folder}/alone.db",
        "ALLOW_EPHEMERAL": "1",
    }


def imports() -> tuple[float, list[tuple[str, float]]]:
    """-> milliseconds that the web process imports, and of them by package."""
    found: defaultdict[str, float] = defaultdict(float)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-X", "importtime", "-c", "import wsgi"]
        done = subprocess.run(command, cwd=FOLDER, env=alone(folder), check=True, capture_output=True, text=True)
    for own, module in re.findall(r"^import time: +(\d+) \| +\d+ \| +(\S+)$", done.stderr, re.M):
        name = module.split(".")[0]
        found["the standard library" if name in sys.stdlib_module_names else name] += int(own) / 1000
    return sum(found.values()), sorted(found.items(), key=lambda pair: -pair[1])


def installed() -> list[tuple[str, float]]:
    """The packages of requirements.txt by MiB, largest first."""
    names = re.findall(r"^([A-Za-z0-9_.-]+)(?:\[.*?\])?==", (FOLDER / "requirements.txt").read_text(), re.M)
    found = []
    for name in names:
        try:
            files = metadata.files(name) or []
        except metadata.PackageNotFoundError:  # for another system
            continue
        paths = [pathlib.Path(str(file.locate())) for file in files if file.suffix != ".pyc"]
        found.append((name, sum(path.stat().st_size for path in paths if path.exists()) / 2**20))
    return sorted(found, key=lambda pair: -pair[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--per-second", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
        sandbox.seed(students=5000)
        house = House(sandbox, folder)
        try:
            start = house.web()
            house.start("scheduler.py")
            memory = load(house, asked.minutes, asked.per_second)
        finally:
            house.stop()
    warm = [pair for pair in memory if pair[0] >= asked.minutes * WARM]
    slope = statistics.linear_regression(*zip(*warm, strict=True)).slope if len(warm) > 1 else 0.0
    command = processor_seconds(str(pathlib.Path(sys.executable).parent / "flask"), "--help")
    importing, parts = imports()
    packages = installed()
    good = memory[-1][1] <= MEMORY and slope <= GROWTH and start <= START and command <= COMMAND
    print("| | | the mark |\n|---|---|---|")
    print(f"| web (as shipped) and worker together, MiB at the end | {memory[-1][1]:.0f} | {MEMORY:.0f} |")
    print(f"| MiB a minute, from minute {warm[0][0]:.0f} on | {slope:.2f} | {GROWTH} |")
    print(f"| seconds from the start of the web to its first answer | {start:.2f} | {START} |")
    print(f"| processor seconds of `flask --help` | {command:.2f} | {COMMAND} |")
    print(f"| milliseconds of the web's imports | {importing:.0f} | |")
    print(f"| MiB of installed packages | {sum(size for _, size in packages):.0f} | |\n")
    print("MiB by minute: " + ", ".join(f"{one:.1f}" for _, one in memory) + "\n")
    print("| imports, ms | | packages, MiB | |\n|---|---|---|---|")
    for (module, took), (package, size) in zip(parts[:PACKAGES], packages[:PACKAGES], strict=True):
        print(f"| {module} | {took:.0f} | {package} | {size:.1f} |")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
