"""`flask webhook`: amoCRM's webhook to this service."""

from __future__ import annotations

import click
from flask_babel import gettext as _

from outbox.outcome import DeliveryError
from service import checks
from service.commands.terminal import N_, Command, Group, fail, operator, say
from service.current import current

webhook = Group("webhook", help=N_("amoCRM's webhook to this service."))


@webhook.command(
    "subscribe", cls=Command, help=N_("Register the webhook in amoCRM, and switch it on if amoCRM has switched it off.")
)
@click.option("--url", default="", help=N_("The hook's address instead of PUBLIC_URL/webhooks/amocrm/<secret>."))
def subscribe(url: str) -> None:
    dealpost = current()
    address = url or dealpost.wiring.webhook.address()
    if not address:
        fail(_("Set PUBLIC_URL and WEBHOOK_SECRET, or give --url."))
    try:
        dealpost.wiring.webhook.subscribe(checks.DEADLINE, address)
    except DeliveryError as error:
        fail(error.message)
    dealpost.store.operations.log_action(operator(), "subscribe", 1, {})
    say(_("amoCRM sends its changes of stage here now."))


@webhook.command(
    "status", cls=Command, help=N_("Say whether amoCRM sends its webhooks here. Exit code 1 if it does not.")
)
def hook_status() -> None:
    try:
        hooks = current().wiring.webhook.ours(checks.DEADLINE)
    except DeliveryError as error:
        fail(error.message)
    if not hooks:
        fail(_("amoCRM has no webhook with our secret: flask webhook subscribe"))
    for hook in hooks:
        state = _("switched off by amoCRM") if hook.get("disabled") else _("on")
        say(f"{state}: {', '.join(hook.get('settings') or ())}")
    if all(hook.get("disabled") for hook in hooks):
        fail("flask webhook subscribe")
