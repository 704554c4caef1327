"""`flask tokens`: access to amoCRM."""

from __future__ import annotations

import sys

import click
from flask_babel import gettext as _

from outbox.outcome import DeliveryError
from service.commands.terminal import N_, Command, Group, fail, operator, say, table
from service.current import current
from service.practice import names_an_account
from service.status import iso

tokens = Group("tokens", help=N_("Access to amoCRM."))


@tokens.command("status", cls=Command, help=N_("Say how the access to amoCRM stands. Shows no token."))
def token_status() -> None:
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
    if not status.usable:
        sys.exit(1)


@tokens.command("refresh", cls=Command, help=N_("Renew the access now."))
def token_refresh() -> None:
    try:
        changed = current().wiring.amocrm.tokens.refresh(force=True)
    except DeliveryError as error:
        fail(error.message)
    say(_("The access is renewed.") if changed else _("Nothing was renewed: a long-lived token needs none."))


@tokens.command(
    "import",
    cls=Command,
    help=N_("Put tokens in by hand: they are asked for, or read from standard input, a line each (access first)."),
)
@click.option("--access", is_flag=True, help=N_("Ask for an access token (long-lived, or the first of a pair)."))
@click.option("--refresh", is_flag=True, help=N_("Ask for a refresh token."))
def token_import(access: bool, refresh: bool) -> None:
    if not access and not refresh:
        fail(_("Name what you have: --access, --refresh or both."))
    if not names_an_account(current().settings):
        fail(_("Nothing was stored: no account is configured. Set AMOCRM_SUBDOMAIN and the rest first: flask check"))
    hide = sys.stdin.isatty()
    first = click.prompt(_("access token"), hide_input=hide).strip() if access else ""
    second = click.prompt(_("refresh token"), hide_input=hide).strip() if refresh else ""
    try:
        current().wiring.amocrm.tokens.import_pair(first, second, who=operator())
    except (ValueError, RuntimeError) as error:
        fail(str(error))
    current().store.operations.log_action(operator(), "import_tokens", 1, {})
    say(_("The tokens are stored. Check them: flask check"))


@tokens.command("rotate-keys", cls=Command, help=N_("Seal the stored tokens with the newest of TOKEN_KEYS."))
def rotate_keys() -> None:
    if not current().wiring.amocrm.tokens.rotate_keys():
        fail(_("There are no tokens that the present TOKEN_KEYS can open."))
    say(_("Sealed with the newest key; older ones may be removed from TOKEN_KEYS."))
