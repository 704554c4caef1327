"""Real worker processes against a sandbox at its real limits, and lessons put straight into their store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from outbox.message import NewDelivery, NewEvent, State, new_id
from outbox.queries import Filter
from outbox.sqlite import SqliteStore
from sandbox import Sandbox
from service.environment import read_settings
from workshop.processes import FOLDER

KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
RPS, LIMIT = 6, 7


class Workers:
    """The amoCRM side of a Dealpost whose worker processes are started and killed at will."""

    def __init__(self, sandbox: Sandbox, folder: str, **settings: str) -> None:
        self.environ = {
            **{name: os.environ[name] for name in KEPT if name in os.environ},
            **sandbox.env,
            "DEALPOST_ENV_FILE": "/dev/null",
            "SANDBOX": "1",
            "ALLOW_EPHEMERAL": "1",  # a temporary folder may lie in memory
            "DATABASE_URL": f"sqlite:///{folder}/bench.db",
            "AMOCRM_RPS": str(RPS),
            "LOG_FORMAT": "text",
            **settings,
        }
        for erp in ("CRM_API_URL", "CRM_API_KEY", "CRM_API_USERNAME", "CRM_API_PASSWORD", "WEBHOOK_SECRET"):
            self.environ.pop(erp, None)
        self.folder = Path(folder)
        self.store = SqliteStore(str(read_settings(self.environ).database_path))
        self.store.maintenance.migrate()
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        log = (self.folder / f"worker-{len(self.processes)}.log").open("wb")
        with log:
            process = subprocess.Popen(
                [sys.executable, "scheduler.py"],
                cwd=FOLDER,
                env=self.environ,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.store.close()

    def lessons(self, emails: Sequence[str], lesson: int) -> float:
        """Accept a lesson of each. -> when (seconds since the epoch)."""
        for start in range(0, len(emails), 1000):
            now = self.store.now()
            self.store.intake.accept([event(email, lesson, now) for email in emails[start : start + 1000]])
        return self.store.now()

    def delivered(self) -> int:
        return self.store.reading.count(Filter(states=(State.DELIVERED,), destination="amocrm"))

    def wait_for(self, count: int, within: float, every: float = 0.25) -> None:
        """Until so many are delivered."""
        end = time.monotonic() + within
        while self.delivered() < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.delivered()} of {count} delivered within {within:g} s; see {self.folder}")
            time.sleep(every)


def event(email: str, lesson: int, now: float) -> NewEvent:
    data: dict[str, Any] = {"email": email, "lesson": lesson}
    delivery = NewDelivery("amocrm", f"email:{email}")
    return NewEvent(new_id(now), "lesson.completed", data, "lessons", "bench", now, (delivery,), email=email)
