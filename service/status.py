"""How things stand now, read from the store: what the API, the figures and the page agree on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from outbox.message import NOWHERE, State
from outbox.store import Store
from service.current import Dealpost
from service.heartbeat import Processes
from service.routing import AMOCRM, ERP


def iso(seconds: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def destinations_now(dealpost: Dealpost) -> dict[str, dict[str, Any]]:
    """By name: states (all of them, zeros too), oldest_pending_seconds, pause, delivered_hour."""
    now = dealpost.store.now()
    tallies = dealpost.store.reading.tallies()
    pauses = dealpost.wiring.pauses()
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys((AMOCRM, ERP, NOWHERE, *tallies)):
        tally = tallies.get(name)
        if tally is None and name == NOWHERE:
            continue
        oldest = tally.oldest_pending if tally else None
        pause = pauses.get(name)
        found[name] = {
            "states": {state.value: tally.states.get(state, 0) if tally else 0 for state in State},
            "oldest_pending_seconds": None if oldest is None else round(max(0.0, now - oldest), 3),
            "pause": None if pause is None else {"until": iso(pause.until), "reason": pause.reason},
            "delivered_hour": tally.delivered_hour if tally else 0,
        }
    return found


def workers_now(dealpost: Dealpost) -> list[dict[str, Any]]:
    """The worker processes: name and heartbeat_seconds."""
    now = dealpost.store.now()
    return [
        {"name": process.name, "heartbeat_seconds": round(process.age(now), 3)}
        for process in Processes(dealpost.store.key_values).all()
        if process.kind == "worker"
    ]


def write_probe(store: Store) -> None:
    """A write that proves that events can be stored. Raises what the store raises."""
    store.maintenance.probe()


def token_now(dealpost: Dealpost) -> dict[str, Any]:
    """amoCRM's token: state and expires_at."""
    status = dealpost.wiring.token_status()
    return {"state": status.state, "expires_at": iso(status.expires_at)}
