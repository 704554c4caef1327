"""What each process says of itself every few seconds: that it lives, since when, and which version it is."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from outbox.store import Store
from service.version import VERSION

logger = logging.getLogger(__name__)

NAMESPACE = "process"
WORKER_EVERY, WEB_EVERY = 2.0, 10.0
FORGOTTEN = 3600.0
"""Seconds after which a silent process is no longer shown."""


@dataclass
class Heartbeat:
    """One process's entry in the store's memory, under its name."""

    store: Store
    kind: str  # web or worker
    started_at: float
    name: str

    @classmethod
    def of(cls, store: Store, kind: str) -> Heartbeat:
        return cls(store, kind, store.now(), f"{kind}@{socket.gethostname()}:{os.getpid()}")

    def show(self) -> None:
        """Write that we live."""
        self.store.key_values.put(NAMESPACE, self.name, self.entry())

    def entry(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "version": VERSION,
            "started_at": self.started_at,
            "heartbeat_at": self.store.now(),
            "pid": os.getpid(),
            "host": socket.gethostname(),
        }

    def leave(self) -> None:
        """Write that we ended on purpose."""
        self.store.key_values.delete(NAMESPACE, [self.name])

    def tidy(self) -> None:
        """Forget processes that have been silent for long."""
        now = self.store.now()
        entries = self.store.key_values.items(NAMESPACE)
        silent = [name for name, entry in entries.items() if now - entry.value["heartbeat_at"] > FORGOTTEN]
        if silent:
            self.store.key_values.delete(NAMESPACE, silent)


def show_in_background(presence: Heartbeat, every: float) -> Callable[[], None]:
    """Show this process until the returned function is called, or the process ends."""
    over = threading.Event()

    def run() -> None:
        while True:
            try:
                presence.show()
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
