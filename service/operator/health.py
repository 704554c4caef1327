"""Whether we live, can accept, and send: for the host, its load balancer and Prometheus."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

from flask import Blueprint, Response, current_app, request
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily

from outbox.message import State
from outbox.store import Store
from service.current import Dealpost, current
from service.heartbeat import SILENT, Processes
from service.operator.auth import require_reader
from service.problem_json import Refusal
from service.status import destinations_now, token_now, workers_now, write_probe

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
            logger.warning("The store takes no writes: %s", error)
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


# --- figures ----------------------------------------------------------------------------------------------------------


class Figures:
    """Reads the store when Prometheus asks, so that the figures are right whichever process answers."""

    def __init__(self, dealpost: Dealpost) -> None:
        self._house = dealpost

    def collect(self) -> Iterator[Metric]:
        states = GaugeMetricFamily(
            "dealpost_deliveries", "Deliveries by destination and state", labels=["destination", "state"]
        )
        oldest = GaugeMetricFamily(
            "dealpost_oldest_pending_seconds", "How long the oldest pending delivery has waited", labels=["destination"]
        )
        hour = GaugeMetricFamily("dealpost_delivered_last_hour", "Delivered in the last hour", labels=["destination"])
        paused = GaugeMetricFamily("dealpost_paused", "1 while the destination is paused", labels=["destination"])
        for name, one in destinations_now(self._house).items():
            for state in State:
                states.add_metric([name, state.value], one["states"][state.value])
            oldest.add_metric([name], one["oldest_pending_seconds"] or 0)
            hour.add_metric([name], one["delivered_hour"])
            paused.add_metric([name], 1 if one["pause"] else 0)
        yield from (states, oldest, hour, paused)
        heard = GaugeMetricFamily("dealpost_worker_heartbeat_seconds", "Age of a worker's heartbeat", labels=["worker"])
        for process in workers_now(self._house):
            heard.add_metric([process["name"]], process["heartbeat_seconds"])
        yield heard
        token = token_now(self._house)
        connected = GaugeMetricFamily("dealpost_amocrm_token", "1 for the state that the token is in", labels=["state"])
        connected.add_metric([token["state"]], 1)
        yield connected


@bp.get("/metrics")
def metrics() -> Response:
    """Figures for Prometheus; an API key or the operator's sign-in."""
    require_reader(request)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures(current()))
    return Response(generate_latest(registry), content_type="text/plain; version=0.0.4; charset=utf-8")
