"""What each process says of itself every few seconds: that it lives, since when, and which version it is."""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace

from outbox.message import StoreUnavailable
from outbox.shared import KeyValues
from outbox.store import Store
from service.network.http import Http, NoAnswer
from service.version import VERSION

logger = logging.getLogger(__name__)

WORKER_EVERY, WEB_EVERY = 2.0, 10.0
SILENT = 60.0
"""Seconds without a heartbeat after which a process counts as gone."""

FORGOTTEN = 3600.0
"""Seconds after which a silent process is no longer shown."""

PING_TOTAL = 10.0


def ping(url: str) -> bool:
    """Tell HEARTBEAT_URL ("": nobody) that the worker lives. -> whether somebody was told."""
    if not url:
        return False
    with suppress(NoAnswer):
        if Http(connect=5.0, total=PING_TOTAL).request("GET", url).status < 300:
            return True
    logger.warning("HEARTBEAT_URL did not take the heartbeat")
    return False


@dataclass(frozen=True)
class Process:
    """One process as it was heard last. kind: web or worker. Times are seconds since the epoch."""

    name: str
    kind: str
    version: str = ""
    started_at: float = 0.0
    heartbeat_at: float = 0.0
    pid: int = 0
    host: str = ""

    def age(self, now: float) -> float:
        """Seconds since it was heard, by a clock that may have been set back since."""
        return abs(now - self.heartbeat_at)


class Processes:
    """All processes that said of themselves that they live: the owner of their namespace."""

    NAMESPACE = "process"

    def __init__(self, key_values: KeyValues) -> None:
        self._key_values = key_values

    def all(self) -> list[Process]:
        """By name."""
        known = {field.name for field in fields(Process)} - {"name"}
        return [
            Process(name=name, **{key: value for key, value in entry.value.items() if key in known})
            for name, entry in sorted(self._key_values.items(self.NAMESPACE).items())
        ]

    def worker_age(self, now: float) -> float | None:
        """Seconds since any worker was heard; None: none ever was."""
        return min((process.age(now) for process in self.all() if process.kind == "worker"), default=None)

    def put(self, process: Process) -> None:
        self._key_values.put(self.NAMESPACE, process.name, asdict(process))

    def remove(self, *names: str) -> None:
        self._key_values.delete(self.NAMESPACE, names)


@dataclass
class Heartbeat:
    """One process's own entry."""

    store: Store
    process: Process
    token: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    @classmethod
    def of(cls, store: Store, kind: str) -> Heartbeat:
        host, pid = socket.gethostname(), os.getpid()
        return cls(store, Process(f"{kind}@{host}:{pid}", kind, VERSION, store.now(), store.now(), pid, host))

    @property
    def name(self) -> str:
        return self.process.name

    @property
    def owner(self) -> str:
        """In whose name this process takes leases: on two machines, containers above all, names can be the same."""
        return f"{self.name} {self.token}"

    def show(self) -> None:
        """Write that we live."""
        Processes(self.store.key_values).put(replace(self.process, heartbeat_at=self.store.now()))

    def leave(self) -> None:
        """Write that we ended on purpose."""
        Processes(self.store.key_values).remove(self.name)

    def tidy(self) -> None:
        """Forget processes that have been silent for long."""
        now, processes = self.store.now(), Processes(self.store.key_values)
        if silent := [process.name for process in processes.all() if process.age(now) > FORGOTTEN]:
            processes.remove(*silent)


def leave_as_web(store: Store) -> None:
    """Write that this web process ended on purpose, if that can be written."""
    with suppress(StoreUnavailable):
        Heartbeat.of(store, "web").leave()


def show_in_background(heartbeat: Heartbeat, every: float) -> Callable[[], None]:
    """Show this process until the returned function is called, or the process ends."""
    over = threading.Event()

    def run() -> None:
        while True:
            try:
                heartbeat.show()
            except Exception as error:
                logger.warning("The heartbeat could not be written: %s", error)
            if over.wait(every):
                return

    thread = threading.Thread(target=run, daemon=True, name="heartbeat")
    thread.start()

    def stop() -> None:
        over.set()
        thread.join(2.0)

    return stop
