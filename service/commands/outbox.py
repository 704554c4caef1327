"""`flask outbox list`, `show`, `retry`, `discard`, `pause`, `resume`: look into the outbox and repair it."""

from __future__ import annotations

import json

import click
from flask_babel import gettext as _
from flask_babel import ngettext

from outbox import pauses
from outbox.message import Delivery, State
from outbox.queries import Filter
from service.commands.terminal import N_, Command, Group, fail, operator, say, table
from service.current import current
from service.email_address import canonical
from service.rerouting import send_again
from service.routing import AMOCRM, ERP
from service.status import iso

DESTINATIONS = click.Choice([AMOCRM, ERP])
STATES = click.Choice([state.value for state in State])

outbox = Group("outbox", help=N_("Look into the outbox and repair it."))


@outbox.command("list", cls=Command, help=N_("List deliveries, newest first."))
@click.option("--state", "states", type=STATES, multiple=True, help=N_("Only these states."))
@click.option("--destination", type=DESTINATIONS, default=None, help=N_("Only this destination."))
@click.option("--search", default="", help=N_("An e-mail, a deal's or record's id, an event's or delivery's id."))
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
def list_(states: tuple[str, ...], destination: str | None, search: str, limit: int) -> None:
    where = Filter(
        states=tuple(State(one) for one in states),
        destination=destination or "",
        search=canonical(search) if "@" in search else search,
    )
    found = current().store.reading.find(where, limit)
    if not found.rows:
        say(_("No delivery matches."))
        return
    table(
        [one.id, iso(one.created_at), one.state.value, one.destination, one.event_name, _whose(one), one.reason[:60]]
        for one in found.rows
    )
    if found.after is not None:
        say(_("There are more: raise --limit or narrow the search."))


def _whose(delivery: Delivery) -> str:
    return delivery.email or str(delivery.lead_id or "")


@outbox.command("show", cls=Command, help=N_("Show a delivery with its event and attempts."))
@click.argument("delivery_id", type=int)
def show(delivery_id: int) -> None:
    store = current().store
    delivery = _delivery(delivery_id)
    event = store.reading.event(delivery.event_id)
    table(
        [
            ["delivery", delivery.id],
            ["event", f"{delivery.event_id} {delivery.event_name}"],
            ["received", iso(delivery.received_at)],
            ["destination", delivery.destination],
            ["state", delivery.state.value],
            ["reason", delivery.reason],
            ["reference", delivery.reference],
            ["due", iso(delivery.due_at) if delivery.state == State.PENDING else ""],
            ["data", json.dumps(dict(event.data) if event else {}, ensure_ascii=False)],
        ]
    )
    for attempt in store.reading.attempts([delivery_id]).get(delivery_id, []):
        say(f"{iso(attempt.at)}  {attempt.outcome}  {attempt.status or ''}  {attempt.detail}")


def _delivery(delivery_id: int) -> Delivery:
    found = current().store.reading.delivery(delivery_id)
    if found is None:
        fail(_("There is no delivery %(id)s.", id=delivery_id))
    return found


@outbox.command("retry", cls=Command, help=N_("Send deliveries again now."))
@click.argument("delivery_ids", type=int, nargs=-1)
@click.option("--dead", is_flag=True, help=N_("All that did not arrive."))
def retry(delivery_ids: tuple[int, ...], dead: bool) -> None:
    if dead == bool(delivery_ids):
        fail(_("Name deliveries by their ids, or --dead for all that did not arrive."))
    if dead:
        count = send_again(current(), Filter(states=(State.DEAD,)), operator())
    else:
        rows = (Filter(ids=(_delivery(delivery_id).id,)) for delivery_id in delivery_ids)
        count = sum(send_again(current(), row, operator(), at_once=True) for row in rows)
    _told(count, ngettext("%(num)s delivery is sent again.", "%(num)s deliveries are sent again.", count))


@outbox.command("discard", cls=Command, help=N_("Do not send these deliveries."))
@click.argument("delivery_ids", type=int, nargs=-1, required=True)
def discard(delivery_ids: tuple[int, ...]) -> None:
    rows = (Filter(ids=(_delivery(delivery_id).id,)) for delivery_id in delivery_ids)
    count = sum(current().store.operations.discard(row, operator()) for row in rows)
    _told(count, ngettext("%(num)s delivery will not be sent.", "%(num)s deliveries will not be sent.", count))


def _told(count: int, words: str) -> None:
    if count:
        say(words)
    else:
        fail(_("Nothing was changed: those are delivered, being sent, or go nowhere by today's rules."))


@outbox.command("pause", cls=Command, help=N_("Send nothing to a destination until it is resumed."))
@click.argument("destination", type=DESTINATIONS)
@click.option("--reason", default="", help=N_("Why, for the page."))
def pause(destination: str, reason: str) -> None:
    pauses.pause(current().store, destination, operator(), reason)
    say(_("%(destination)s is paused.", destination=destination))


@outbox.command("resume", cls=Command, help=N_("End a pause; what waits goes out now."))
@click.argument("destination", type=DESTINATIONS)
def resume(destination: str) -> None:
    count = pauses.resume(current().store, destination, operator())
    say(ngettext("Resumed; %(num)s delivery is due now.", "Resumed; %(num)s deliveries are due now.", count))
