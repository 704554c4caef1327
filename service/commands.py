"""The `flask` commands, for the person at a terminal."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import click
from flask import Flask
from flask.cli import AppGroup, with_appcontext
from flask_babel import gettext as _
from flask_babel import ngettext

from outbox import pauses
from outbox.message import Delivery, NewEvent, State, StoreUnavailable, new_id
from outbox.outcome import DeliveryError
from outbox.queries import Filter
from service import checks
from service.current import current
from service.routing import AMOCRM, ERP, LESSON, Refused, route
from service.startup import said_plainly
from service.status import iso

DESTINATIONS = click.Choice([AMOCRM, ERP])
STATES = click.Choice([state.value for state in State])


class Command(click.Command):
    """One that tells in words, without a trace, that the store cannot be used."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except StoreUnavailable as error:
            fail(str(error) if self.name == "backup" else said_plainly(error))


outbox = AppGroup("outbox", help="Look into the outbox and repair it.")
tokens = AppGroup("tokens", help="Access to amoCRM.")
webhook = AppGroup("webhook", help="amoCRM's webhook to this service.")


def register(app: Flask) -> None:
    for command in (check, pipelines, find_lead, complete_lesson, outbox, tokens, webhook):
        app.cli.add_command(command)


def say(text: str = "") -> None:
    click.echo(text)


def fail(text: str) -> NoReturn:
    """End with exit code 1."""
    click.echo(text, err=True)
    sys.exit(1)


def table(rows: Iterable[Iterable[Any]]) -> None:
    """Columns as wide as they need to be."""
    lines = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def operator() -> str:
    """Who gives the command, for the action log."""
    try:
        return f"{getpass.getuser()} (flask)"
    except (KeyError, OSError):
        return "flask"


# --- at large ---------------------------------------------------------------------------------------------------------


@click.command("check", cls=Command)
@with_appcontext
def check() -> None:
    """Say what works and what does not, with the mend. Exit code 1 if anything has to be mended."""
    signs = {checks.OK: "ok", checks.NOTE: "--", checks.FAULT: "!!"}
    faults = 0
    for one in checks.run(current()):
        say(f"{signs[one.state]}  {one.name}: {one.words}")
        if one.mend:
            say(f"      {one.mend}")
        faults += one.state == checks.FAULT
    if faults:
        fail(ngettext("%(num)s fault has to be mended.", "%(num)s faults have to be mended.", faults))
    say(_("All is well."))


@click.command("pipelines", cls=Command)
@with_appcontext
def pipelines() -> None:
    """List amoCRM's pipelines and stages with their ids."""
    try:
        found = current().wiring.amocrm.pipelines.all(max_age=5.0, deadline=checks.DEADLINE)
    except DeliveryError as error:
        fail(error.message)
    ours = current().settings.amocrm.pipeline_id
    for pipeline in found:
        say(f"{pipeline.id}  {pipeline.name}{'  <- AMOCRM_PIPELINE_ID' if pipeline.id == ours else ''}")
        for stage in pipeline.stages:
            say(f"    {stage.id}  {stage.name}")


@click.command("find-lead", cls=Command)
@click.argument("email")
@with_appcontext
def find_lead(email: str) -> None:
    """Show which deal a lesson of this student would move."""
    try:
        found = current().wiring.amocrm.find_lead(email.strip().casefold())
    except DeliveryError as error:
        fail(error.message)
    for one in found.leads:
        sign = "->" if one.chosen else "  "
        say(f"{sign} {one.lead.id}  {one.lead.name}  {one.pipeline_name} / {one.stage_name}  ({one.contact.name})")
    if found.chosen is None:
        fail(found.why)
    say(found.why)


@click.command("complete-lesson", cls=Command)
@click.argument("email")
@click.argument("lesson", type=int)
@with_appcontext
def complete_lesson(email: str, lesson: int) -> None:
    """Take the event that a student has finished a lesson, as the API does. Prints its id."""
    dealpost = current()
    try:
        routed = route(LESSON, {"email": email, "lesson": lesson}, dealpost.settings.amocrm.lesson_map)
    except Refused as refused:
        fail("\n".join(f"{fault.path}: {fault.message}" for fault in refused.faults))
    now = dealpost.store.now()
    event = NewEvent(
        new_id(now),
        LESSON,
        routed.data,
        "operator",
        operator(),
        now,
        routed.deliveries,
        routed.dedupe,
        email=routed.email,
    )
    receipt = dealpost.store.intake.accept([event])[0]
    say(receipt.id)
    if receipt.duplicate:
        click.echo(_("This lesson was taken before; nothing new is sent."), err=True)


# --- outbox -----------------------------------------------------------------------------------------------------------


@outbox.command("list", cls=Command)
@click.option("--state", "states", type=STATES, multiple=True, help="Only these states.")
@click.option("--destination", type=DESTINATIONS, default=None, help="Only this destination.")
@click.option("--search", default="", help="An e-mail, a deal's or record's id, an event's or delivery's id.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
def list_(states: tuple[str, ...], destination: str | None, search: str, limit: int) -> None:
    """List deliveries, newest first."""
    where = Filter(states=tuple(State(one) for one in states), destination=destination or "", search=search)
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


@outbox.command("show", cls=Command)
@click.argument("delivery_id", type=int)
def show(delivery_id: int) -> None:
    """Show a delivery with its event and attempts."""
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


@outbox.command("retry", cls=Command)
@click.argument("delivery_ids", type=int, nargs=-1)
@click.option("--dead", is_flag=True, help="All that did not arrive.")
def retry(delivery_ids: tuple[int, ...], dead: bool) -> None:
    """Send deliveries again now."""
    store = current().store
    if dead == bool(delivery_ids):
        fail(_("Name deliveries by their ids, or --dead for all that did not arrive."))
    if dead:
        count = store.operations.retry(Filter(states=(State.DEAD,)), operator())
    else:
        count = sum(store.operations.retry_one(_delivery(one).id, operator()) for one in delivery_ids)
    _told(count, ngettext("%(num)s delivery is sent again.", "%(num)s deliveries are sent again.", count))


@outbox.command("discard", cls=Command)
@click.argument("delivery_ids", type=int, nargs=-1, required=True)
def discard(delivery_ids: tuple[int, ...]) -> None:
    """Do not send these deliveries."""
    count = sum(current().store.operations.discard_one(_delivery(one).id, operator()) for one in delivery_ids)
    _told(count, ngettext("%(num)s delivery will not be sent.", "%(num)s deliveries will not be sent.", count))


def _told(count: int, words: str) -> None:
    if count:
        say(words)
    else:
        fail(_("Nothing was changed: those are delivered, or being sent."))


@outbox.command("pause", cls=Command)
@click.argument("destination", type=DESTINATIONS)
@click.option("--reason", default="", help="Why, for the page.")
def pause(destination: str, reason: str) -> None:
    """Send nothing to a destination until it is resumed."""
    pauses.pause(current().store, destination, operator(), reason)
    say(_("%(destination)s is paused.", destination=destination))


@outbox.command("resume", cls=Command)
@click.argument("destination", type=DESTINATIONS)
def resume(destination: str) -> None:
    """End a pause; what waits goes out now."""
    count = pauses.resume(current().store, destination, operator())
    say(ngettext("Resumed; %(num)s delivery is due now.", "Resumed; %(num)s deliveries are due now.", count))


@outbox.command("prune", cls=Command)
@click.option("--days", type=click.IntRange(7), default=None, help="Instead of RETENTION_DAYS.")
def prune(days: int | None) -> None:
    """Clear delivered and skipped deliveries that ended long ago."""
    dealpost = current()
    before = dealpost.store.now() - (days or dealpost.settings.retention_days) * 86400.0
    count = 0
    while part := dealpost.store.maintenance.prune(before):
        count += part
    say(ngettext("%(num)s delivery was cleared.", "%(num)s deliveries were cleared.", count))


@outbox.command("migrate", cls=Command)
def migrate() -> None:
    """Bring the store's schema up to date."""
    current().store.maintenance.migrate()
    say(_("The schema is up to date."))


@outbox.command("verify", cls=Command)
def verify() -> None:
    """Look for damage in the store."""
    if faults := current().store.maintenance.verify():
        fail("\n".join(faults))
    say(_("The store is sound."))


@outbox.command("backup", cls=Command)
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
def backup(path: Path) -> None:
    """Copy the store into a file while it is in use."""
    current().store.maintenance.backup(str(path))
    say(_("Copied to %(path)s.", path=path))


@outbox.command("forget", cls=Command)
@click.argument("email")
@click.option("--yes", is_flag=True, help="Do not ask, even at a terminal.")
def forget(email: str, yes: bool) -> None:
    """Erase everything about a student. What has not been sent yet is not sent."""
    if not yes and sys.stdin.isatty():
        click.confirm(_("Erase everything about this student? It cannot be undone."), abort=True)
    count = current().store.maintenance.forget(email.strip().casefold(), operator())
    say(ngettext("%(num)s event was erased.", "%(num)s events were erased.", count))


# --- tokens -----------------------------------------------------------------------------------------------------------


@tokens.command("status", cls=Command)
def token_status() -> None:
    """Say how the access to amoCRM stands. Shows no token."""
    status = current().wiring.token_status()
    table(
        [
            [_("state"), status.state],
            [_("account"), f"{status.account_name} {status.account_id or ''} {status.host}".strip()],
            [_("connected by"), status.who],
            [_("access until"), iso(status.expires_at) or ""],
            [_("permission until"), iso(status.refresh_expires_at) or ""],
            [_("last renewed"), iso(status.last_refresh) or ""],
            [_("next renewal"), iso(status.next_refresh) or ""],
            [_("detail"), status.detail],
        ]
    )
    if status.state not in ("connected", "long_lived"):
        sys.exit(1)


@tokens.command("refresh", cls=Command)
def token_refresh() -> None:
    """Renew the access now."""
    try:
        changed = current().wiring.amocrm.tokens.refresh(force=True)
    except DeliveryError as error:
        fail(error.message)
    say(_("The access is renewed.") if changed else _("Nothing was renewed: a long-lived token needs none."))


@tokens.command("import", cls=Command)
@click.option("--access", is_flag=True, help="Ask for an access token (long-lived, or the first of a pair).")
@click.option("--refresh", is_flag=True, help="Ask for a refresh token.")
def token_import(access: bool, refresh: bool) -> None:
    """Put tokens in by hand: they are asked for, or read from standard input, a line each (access first)."""
    if not access and not refresh:
        fail(_("Name what you have: --access, --refresh or both."))
    hide = sys.stdin.isatty()
    first = click.prompt(_("access token"), hide_input=hide).strip() if access else ""
    second = click.prompt(_("refresh token"), hide_input=hide).strip() if refresh else ""
    try:
        current().wiring.amocrm.tokens.import_pair(first, second, who=operator())
    except (ValueError, RuntimeError) as error:
        fail(str(error))
    current().store.operations.log_action(operator(), "import_tokens", 1, {})
    say(_("The tokens are stored. Check them: flask check"))


@tokens.command("rotate-keys", cls=Command)
def rotate_keys() -> None:
    """Seal the stored tokens with the newest of TOKEN_KEYS."""
    if not current().wiring.amocrm.tokens.rotate_keys():
        fail(_("There are no tokens that the present TOKEN_KEYS can open."))
    say(_("Sealed with the newest key; older ones may be removed from TOKEN_KEYS."))


# --- webhook ----------------------------------------------------------------------------------------------------------


@webhook.command("subscribe", cls=Command)
@click.option("--url", default="", help="The hook's address instead of PUBLIC_URL/webhooks/amocrm/<secret>.")
def subscribe(url: str) -> None:
    """Register the webhook in amoCRM, and switch it on if amoCRM has switched it off."""
    dealpost = current()
    address = url or dealpost.wiring.hook_address()
    if not address:
        fail(_("Set PUBLIC_URL and WEBHOOK_SECRET, or give --url."))
    try:
        dealpost.wiring.subscribe_hook(checks.DEADLINE, address)
    except DeliveryError as error:
        fail(error.message)
    dealpost.store.operations.log_action(operator(), "subscribe", 1, {})
    say(_("amoCRM sends its changes of stage here now."))


@webhook.command("status", cls=Command)
def hook_status() -> None:
    """Say whether amoCRM sends its webhooks here. Exit code 1 if it does not."""
    try:
        hooks = current().wiring.our_hooks(checks.DEADLINE)
    except DeliveryError as error:
        fail(error.message)
    if not hooks:
        fail(_("amoCRM has no webhook with our secret: flask webhook subscribe"))
    for hook in hooks:
        state = _("switched off by amoCRM") if hook.get("disabled") else _("on")
        say(f"{state}: {', '.join(hook.get('settings') or ())}")
    if all(hook.get("disabled") for hook in hooks):
        fail("flask webhook subscribe")
