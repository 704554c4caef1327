"""Figures for Prometheus: gauges read from the store when it asks, counters that outlive processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from outbox.message import State
from outbox.outcome import PauseKind
from service import counters
from service.counters import BOUNDS, Series
from service.current import Dealpost, current
from service.heartbeat import Processes
from service.operator.auth import require_reader
from service.status import destinations_now, token_now, workers_now

bp = Blueprint("metrics", __name__)

COUNTED = (
    (counters.EVENTS_ACCEPTED, "Events that were stored, without repeats", ("source",)),
    (counters.REFUSED, "Requests that were refused at the door", ("way", "status")),
    (counters.ATTEMPTS, "Attempts by how they ended", ("destination", "outcome")),
    (counters.AMOCRM_REQUESTS, "Requests to amoCRM by the status of the answer", ("status",)),
    (counters.ALERTS, "Alerts that were told", ("cause",)),
)


class Figures:
    """Reads the store when Prometheus asks, so that the figures are right whichever process answers."""

    def __init__(self, dealpost: Dealpost) -> None:
        self._dealpost = dealpost

    def collect(self) -> Iterator[Metric]:
        yield from self._destinations()
        yield from self._processes()
        yield from self._amocrm()
        yield from self._store()
        yield from self._counters()

    def _destinations(self) -> Iterator[Metric]:
        labels = ["destination"]
        states = _gauge("deliveries", "Deliveries by destination and state", [*labels, "state"])
        backlog = _gauge("backlog_seconds", "How long the oldest pending delivery has waited", labels)
        oldest = _gauge("oldest_pending_seconds", "As dealpost_backlog_seconds: the name of version 0.1", labels)
        hour = _gauge("delivered_last_hour", "Delivered in the last hour", labels)
        paused = _gauge("paused", "1 while the destination is paused, by the kind of pause", [*labels, "kind"])
        rests = self._dealpost.wiring.pauses()
        for name, one in destinations_now(self._dealpost).items():
            for state in State:
                states.add_metric([name, state.value], one["states"][state.value])
            backlog.add_metric([name], one["oldest_pending_seconds"] or 0)
            oldest.add_metric([name], one["oldest_pending_seconds"] or 0)
            hour.add_metric([name], one["delivered_hour"])
            rest = rests.get(name)
            for kind in PauseKind:
                paused.add_metric([name, kind.value], 1 if rest and rest.kind is kind else 0)
        yield from (states, backlog, oldest, hour, paused)

    def _processes(self) -> Iterator[Metric]:
        now = self._dealpost.store.now()
        youngest: dict[str, float] = {}
        for process in Processes(self._dealpost.store.key_values).all():
            youngest[process.kind] = min(process.age(now), youngest.get(process.kind, process.age(now)))
        roles = _gauge("process_heartbeat_seconds", "Age of the youngest heartbeat of a role", ["role"])
        for role, age in sorted(youngest.items()):
            roles.add_metric([role], round(age, 3))
        workers = _gauge("worker_heartbeat_seconds", "Age of a worker's heartbeat", ["worker"])
        for worker in workers_now(self._dealpost):
            workers.add_metric([worker["name"]], worker["heartbeat_seconds"])
        yield from (roles, workers)

    def _amocrm(self) -> Iterator[Metric]:
        state = _gauge("amocrm_token", "1 for the state that the token is in", ["state"])
        state.add_metric([token_now(self._dealpost)["state"]], 1)
        yield state
        until = self._dealpost.wiring.token_status().expires_at
        left = _gauge("amocrm_token_seconds", "How long the access to amoCRM lasts; absent where it has no end", [])
        if until is not None:
            left.add_metric([], round(max(0.0, until - self._dealpost.store.now()), 3))
        yield left

    def _store(self) -> Iterator[Metric]:
        size = _gauge("store_bytes", "Size of the store, the embedded one with its log", [])
        size.add_metric([], self._dealpost.store.maintenance.size())
        yield size

    def _counters(self) -> Iterator[Metric]:
        self._dealpost.wiring.figures.flush()
        counted = self._dealpost.wiring.counters.stored()
        for name, help, labels in COUNTED:
            family = CounterMetricFamily(f"dealpost_{name}", help, labels=labels)
            for series, count in counted.items():
                if series[0] == name:
                    family.add_metric(series[1:], count)
            yield family
        yield _histogram(counted)


def _gauge(name: str, help: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"dealpost_{name}", help, labels=labels)


def _histogram(counted: Mapping[Series, float]) -> HistogramMetricFamily:
    name = counters.DELIVERY_SECONDS
    family = HistogramMetricFamily(
        f"dealpost_{name}", "From the acceptance of an event to its delivery", labels=["destination"]
    )
    for series, total in counted.items():
        if series[0] != f"{name}_sum":
            continue
        count, buckets = 0.0, []
        for bound in (*(str(bound) for bound in BOUNDS), "+Inf"):
            count += counted.get((f"{name}_bucket", series[1], bound), 0.0)
            buckets.append((bound, count))
        family.add_metric([series[1]], buckets, total)
    return family


@bp.get("/metrics")
def metrics() -> Response:
    """Figures for Prometheus; an API key or the operator's sign-in."""
    require_reader(request)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures(current()))
    return Response(generate_latest(registry), content_type="text/plain; version=0.0.4; charset=utf-8")
