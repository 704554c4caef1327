"""How soon webhooks are answered, 200 a second, while the worker makes records: `python -m benchmarks.hooks`."""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode, urlsplit

from sandbox import defaults
from workshop.calls import answers, call
from workshop.processes import FOLDER, Crew, free_port

PYTHON = sys.executable
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
API_KEY = "hooks-key-51c09e"
SENDERS = 64


def environ(folder: str, sandbox_url: str, port: int) -> dict[str, str]:
    return {
        **{name: os.environ[name] for name in KEPT if name in os.environ},
        **defaults.SETTINGS(sandbox_url),
        "DEALPOST_ENV_FILE": "/dev/null",
        "SANDBOX": "1",
        "ALLOW_EPHEMERAL": "1",  # a temporary folder may lie in memory
        "DATABASE_URL": f"sqlite:///{folder}/hooks.db",
        "API_KEYS": f"bench:{API_KEY}",
        "PORT": str(port),
    }


def wait_for(url: str, within: float = 30.0) -> None:
    end = time.monotonic() + within
    while not answers(url):
        if time.monotonic() > end:
            raise TimeoutError(f"{url} does not answer")
        time.sleep(0.1)


def seed(sandbox_url: str, count: int) -> list[int]:
    """Deals on their first stage."""
    with ThreadPoolExecutor(8) as pool:
        made = pool.map(
            lambda n: call("POST", f"{sandbox_url}/_sandbox/deals", body={"name": f"Deal {n}"}), range(count)
        )
        return [body["id"] for _, body in made]


def body_of(deal_id: int, at: int) -> bytes:
    """What amoCRM sends for a change of stage."""
    fields: dict[str, Any] = {
        "id": deal_id, "name": "Deal", "status_id": defaults.STAGE_PAID, "old_status_id": defaults.STAGE_NEW,
        "price": 1500, "responsible_user_id": 9410233, "last_modified": at, "modified_user_id": 9410233,
        "created_user_id": 9410233, "date_create": at - 86400, "pipeline_id": defaults.PIPELINE_ID,
        "account_id": defaults.ACCOUNT_ID, "created_at": at - 86400, "updated_at": at,
    }  # fmt: skip
    pairs = [(f"leads[status][0][{name}]", value) for name, value in fields.items()]
    pairs += [
        ("account[subdomain]", defaults.SUBDOMAIN),
        ("account[id]", defaults.ACCOUNT_ID),
        ("account[_links][self]", f"https://{defaults.SUBDOMAIN}.amocrm.ru"),
    ]
    return urlencode(pairs).encode()


class Load:
    """Sends on a timetable, whatever the answers do: a late answer delays nobody but itself."""

    def __init__(self, url: str, bodies: list[bytes], per_second: float) -> None:
        self._address = urlsplit(url)
        self._bodies = bodies
        self._per_second = per_second
        self._next = 0
        self._mutex = threading.Lock()
        self.seconds: list[float] = []
        self.bad: list[int] = []

    def run(self) -> None:
        self._began = time.monotonic() + 0.2
        threads = [threading.Thread(target=self._send) for _ in range(SENDERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _send(self) -> None:
        while True:
            with self._mutex:
                place, self._next = self._next, self._next + 1
            if place >= len(self._bodies):
                return
            due = self._began + place / self._per_second
            time.sleep(max(due - time.monotonic(), 0.0))
            status = self._post(self._bodies[place])
            self.seconds.append(time.monotonic() - due)
            if status != 200:
                self.bad.append(status)

    def _post(self, body: bytes) -> int:
        """amoCRM opens a connection for each hook."""
        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=10)
        headers = {"User-Agent": "amoCRM-WebHook-client/1.0", "Content-Type": "application/x-www-form-urlencoded"}
        try:
            connection.request("POST", self._address.path, body, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except OSError:
            return 0
        finally:
            connection.close()


def states(url: str) -> dict[str, int]:
    status, body = call("GET", f"{url}/api/outbox", headers={"X-API-Key": API_KEY})
    found: dict[str, int] = body["destinations"].get("erp", {}).get("states", {}) if status == 200 else {}
    return found


def run(folder: str, seconds: float, per_second: float) -> int:
    sandbox_url = f"http://127.0.0.1:{free_port()}"
    url = f"http://127.0.0.1:{(port := free_port())}"
    crew = Crew(lambda name, line: None)
    sandbox = subprocess.Popen(
        [PYTHON, "-m", "sandbox", "--port", sandbox_url.rpartition(":")[2]], cwd=FOLDER, stdout=subprocess.DEVNULL
    )
    try:
        wait_for(f"{sandbox_url}/_sandbox/settings")
        env = environ(folder, sandbox_url, port)
        crew.start("web", [PYTHON, "-m", "gunicorn", "wsgi:app"], env)
        wait_for(f"{url}/readyz")
        crew.start("worker", [PYTHON, "scheduler.py"], env)
        now = int(time.time())
        deals = seed(sandbox_url, int(seconds * per_second))
        load = Load(
            f"{url}/webhooks/amocrm/{defaults.WEBHOOK_SECRET}", [body_of(one, now) for one in deals], per_second
        )
        load.run()
        during = states(url)
        end = time.monotonic() + 120
        while time.monotonic() < end and any(states(url).get(state) for state in ("pending", "sending")):
            time.sleep(0.2)
        after = states(url)
    finally:
        crew.stop()
        sandbox.terminate()
        sandbox.wait(10)
    times = sorted(one * 1000 for one in load.seconds)
    p99 = times[int(len(times) * 0.99)]
    print(
        f"{len(times)} hooks at {per_second:g} a second: median {statistics.median(times):.1f} ms, p99 {p99:.1f} ms, "
        f"longest {times[-1]:.1f} ms; not 200: {len(load.bad)}; records made meanwhile: {during.get('delivered', 0)}, "
        f"in all: {after.get('delivered', 0)}"
    )
    return 0 if p99 < 100 and not load.bad and after.get("delivered", 0) == len(times) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--per-second", type=float, default=200.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return run(folder, asked.seconds, asked.per_second)


if __name__ == "__main__":
    sys.exit(main())
