"""Asking for what the steps of the set-up go by: the store and the wiring, and nobody on the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.message import Delivery, State
from outbox.queries import Filter
from service.amocrm.account_facts import AccountFacts
from service.amocrm.choices import ON_PAGE, StageChoices
from service.check_results import KeptResults
from service.checks.erp import mark
from service.job_results import JobResults
from service.routing import AMOCRM, ERP, LESSON
from service.setup.notes import SetupNotes
from service.setup.steps import SetupFacts
from service.situations.gather import known_lessons
from service.situations.signals import Need, Signals, Situation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.current import Dealpost


def gather(dealpost: Dealpost, signals: Signals, situations: Sequence[Situation]) -> SetupFacts:
    """signals: as they were gathered for this page. situations: everything that is not as it should be, by them."""
    settings, store, wiring = dealpost.settings, dealpost.store, dealpost.wiring
    notes, account = SetupNotes(store.key_values), AccountFacts(store.key_values, store.now)
    choices, hook = StageChoices(store.key_values), JobResults(store.key_values).get("hook")
    funnel = choices.funnel()
    missing = {name: tuple(one.missing()) for name, one in wiring.destinations.items()}
    token = wiring.token_status()
    trial = notes.trial()
    stopped = next((one for one in situations if one.destination == ERP and one.code == "stopped"), None)
    if stopped is not None and stopped.need is not Need.PERSON:
        stopped = None
    erp = settings.erp
    return SetupFacts(
        worker=next((one.cause for one in situations if one.code == "worker"), ""),
        lacks=tuple(name for name in missing.get(AMOCRM, ()) if name not in ON_PAGE),
        token=token.state,
        account=token.account_name or token.host,
        connected_by=token.who,
        funnels=account.pipelines(),
        funnel_id=choices.funnel_id(settings.amocrm.pipeline_id),
        funnel_by="setting" if settings.amocrm.pipeline_id is not None else funnel.who or "?" if funnel else "",
        funnel_name=funnel.name if funnel and settings.amocrm.pipeline_id is None else "",
        lessons=tuple(known_lessons(dealpost)),
        secret=bool(settings.webhook_secrets),
        address=bool(wiring.webhook.address()),
        hook=hook.detail if hook is not None and hook.last_at is not None else "",
        hook_at=hook.last_at if hook is not None else None,
        registered_at=account.hook_registered(),
        heard_at=heard_at(signals),
        erp_lacks=missing.get(ERP, ()),
        erp_given=any((erp.url, erp.key, erp.username, erp.password)),
        erp_waits=store.reading.count(Filter(states=(State.PENDING,), destination=ERP)) if missing.get(ERP) else 0,
        erp_fault=stopped.cause if stopped else "",
        erp_params=dict(stopped.params) if stopped else {},
        erp_checks=KeptResults(store.key_values).get(ERP, mark(erp)),
        trial=store.reading.delivery(trial) if trial else None,
        arrived=arrived(dealpost),
        alerts=len(settings.alert_urls),
        alert=notes.alert(),
        practice=settings.sandbox,
        without=notes.without(),
    )


def heard_at(signals: Signals) -> float | None:
    """When amoCRM last told us of something by a webhook."""
    return max((one.last_at for one in signals.sources if one.source == "webhook"), default=None)


def arrived(dealpost: Dealpost) -> Delivery | None:
    """The last lesson that moved a deal."""
    rows = dealpost.store.reading.find(Filter(states=(State.DELIVERED,), event_name=LESSON), 1).rows
    return rows[0] if rows else None
