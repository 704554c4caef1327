"""Sending again, by whatever way an operator asks: rows go out now; an event that went nowhere is routed anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from outbox.message import NOWHERE, RESENDABLE, Delivery, Event, NewEvent
from outbox.queries import Filter
from outbox.store import Store
from service.current import Dealpost
from service.routing import NAMES, WEBHOOK, Refused, route
from service.sources.amocrm_webhook_events import kept_events
from service.sources.intake import make_event

PAGE = 200


@dataclass(frozen=True)
class Rerouted:
    """A row of the destination "-", and what took its place."""

    delivery_id: int
    event_ids: tuple[str, ...]


def send_again(
    dealpost: Dealpost, where: Filter, who: str, expected: int | None = None, *, at_once: bool = False
) -> int:
    """The rows that match and can be sent again. -> how many are. As outbox.store.Operations.retry, but rows of the
    destination "-" are routed by today's rules; those that would go nowhere again stay as they are."""
    waiting = list(_nowhere(dealpost.store, where))
    count = dealpost.store.operations.retry(where, who, expected, at_once=at_once)
    return count + sum(reroute(dealpost, row, who) is not None for row in waiting)


def reroute(dealpost: Dealpost, row: Delivery, who: str) -> Rerouted | None:
    """Route the kept event of a row of the destination "-" anew. None: it goes nowhere still."""
    event = dealpost.store.reading.event(row.event_id)
    events = anew(dealpost, event) if event is not None else []
    if not events:
        return None
    ids = dealpost.store.operations.replace_nowhere(row.id, events, who)
    return Rerouted(row.id, tuple(ids)) if ids else None


def anew(dealpost: Dealpost, event: Event) -> list[NewEvent]:
    """What a kept event that went nowhere means by today's rules; empty: it goes nowhere still."""
    settings, now = dealpost.settings, dealpost.store.now()
    if event.name == WEBHOOK:
        found = kept_events(
            event,
            configured_subdomain=settings.amocrm.subdomain,
            account_id=dealpost.wiring.account_id(),
            now=now,
            creations=settings.amocrm.counts_creations,
        )
    elif event.name in NAMES:
        try:
            longest = dealpost.wiring.name_longest()
            routed = route(event.name, event.data, settings.amocrm.lesson_map, longest)
        except Refused:
            return []
        found = [make_event(event.name, routed, source=event.source, sender=event.sender, dedupe=None, now=now)]
    else:
        return []
    if all(one.destination == NOWHERE for new in found for one in new.deliveries):
        return []
    # It happened when it came in, not now: by that time changes of stage are told apart.
    return [replace(new, received_at=event.received_at) for new in found]


def _nowhere(store: Store, where: Filter) -> Iterator[Delivery]:
    """The rows of the destination "-" that match and can be sent again, newest first."""
    states = tuple(state for state in RESENDABLE if not where.states or state in where.states)
    if where.destination not in ("", NOWHERE) or not states:
        return
    narrowed = replace(where, destination=NOWHERE, states=states)
    after = None
    while True:
        page = store.reading.find(narrowed, PAGE, after)
        yield from page.rows
        if page.after is None or not page.rows:
            return
        after = page.after
