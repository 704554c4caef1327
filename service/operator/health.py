"""Whether we live, can accept, and send: for the host and its load balancer."""

from __future__ import annotations

import logging
import threading
import time

from flask import Blueprint, Response, current_app

from outbox.store import Store
from service.current import current
from service.heartbeat import SILENT, Processes
from service.problem_json import Refusal
from service.status import write_probe

bp = Blueprint("health", __name__)
logger = logging.getLogger(__name__)


@bp.get("/healthz")
def alive() -> Response:
    """The web process answers."""
    return _plain("ok")


@bp.get("/healthz/worker")
def worker() -> Response:
    """200 while a worker's heartbeat is fresh, else 503."""
    store = current().store
    age = Processes(store.key_values).worker_age(store.now())
    if age is None:
        raise Refusal(503, "No worker has been seen yet. Start it: python scheduler.py")
    if age > SILENT:
        raise Refusal(503, f"The worker was last seen {age:.0f} s ago. Start it: python scheduler.py")
    return _plain("ok")


class Readiness:
    """A write that tells whether events can be stored; its answer holds for a second, so that probes cost little.

    It is made in a thread of its own: who asks gets an answer in time, also while the write hangs.
    """

    def __init__(self, holds: float = 1.0, patience: float = 2.0) -> None:
        self._holds, self._patience = holds, patience
        self._lock = threading.Lock()
        self._until = 0.0
        self._fault = ""
        self._thread: threading.Thread | None = None

    def fault(self, store: Store) -> str:
        """What is wrong, or "" when all is well."""
        with self._lock:
            if time.monotonic() < self._until:
                return self._fault
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._try, args=[store], daemon=True, name="readiness")
                self._thread.start()
            self._thread.join(self._patience)
            if self._thread.is_alive():
                return "the write has no turn"
            self._until = time.monotonic() + self._holds
            return self._fault

    def _try(self, store: Store) -> None:
        try:
            write_probe(store)
            self._fault = ""
        except Exception as error:
            logger.warning("The store takes no events: %s", error)
            self._fault = type(error).__name__


@bp.get("/readyz")
def ready() -> Response:
    """200 while events can be stored, else 503. Says nothing about the worker."""
    readiness: Readiness = current_app.extensions.setdefault("dealpost.readiness", Readiness())
    if fault := readiness.fault(current().store):
        raise Refusal(503, f"Events cannot be stored now ({fault}). Look at the disk and the log.")
    return _plain("ready")


def _plain(word: str) -> Response:
    return Response(f'{{"status":"{word}"}}', content_type="application/json")
