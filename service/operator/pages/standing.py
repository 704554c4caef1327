"""How things stand, asked once for each page that is shown."""

from __future__ import annotations

from collections.abc import Iterable

from flask import current_app, g

from outbox.message import Delivery
from service.current import Dealpost
from service.heartbeat import SILENT, Processes
from service.operator.health import Readiness
from service.situations import gather, rules
from service.situations.rows import Standing, stand
from service.situations.signals import Signals, Situation


def signals(dealpost: Dealpost) -> Signals:
    """All signals, as they were when this request first asked."""
    if "signals" not in g:
        g.signals = gather.gather(dealpost, fault(dealpost))
    kept: Signals = g.signals
    return kept


def situations(dealpost: Dealpost) -> list[Situation]:
    """Everything that is not as it should be, worst first."""
    if "situations" not in g:
        g.situations = rules.find(signals(dealpost))
    kept: list[Situation] = g.situations
    return kept


def machine(dealpost: Dealpost) -> list[Situation]:
    """Only what concerns every page."""
    found = rules.find(gather.machine(dealpost, fault(dealpost)))
    return [one for one in found if one.code in ("store", "disk", "worker")]


def fault(dealpost: Dealpost) -> str:
    """Why nothing can be written, "" when it can."""
    readiness: Readiness = current_app.extensions.setdefault("dealpost.readiness", Readiness())
    return readiness.fault(dealpost.store)


def of_rows(dealpost: Dealpost, deliveries: Iterable[Delivery]) -> dict[int, Standing]:
    """How each of these waits, by its id."""
    rows = list(deliveries)
    now = dealpost.store.now()
    pauses = gather.standing_pauses(dealpost)
    age = Processes(dealpost.store.key_values).worker_age(now)
    silent = age is None or age > SILENT
    lanes = {name: gather.lane(dealpost, name, pauses, silent) for name in {row.destination for row in rows}}
    ahead = dealpost.store.reading.ahead([row.id for row in rows])
    return {row.id: stand(row, lanes[row.destination], now, ahead.get(row.id)) for row in rows}
