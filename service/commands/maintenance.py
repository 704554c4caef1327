"""`flask outbox prune`, `migrate`, `verify`, `backup`, `forget`: look after the store itself."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from flask_babel import gettext as _
from flask_babel import ngettext

from service.commands.outbox import outbox
from service.commands.terminal import Command, fail, operator, say
from service.current import current
from service.email_address import ascii_form, canonical


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
    one = canonical(email)
    # Events of earlier versions bear the address as it was sent.
    spellings = dict.fromkeys((one, ascii_form(one), email.strip().casefold()))
    count = sum(current().store.maintenance.forget(spelling, operator()) for spelling in spellings)
    say(ngettext("%(num)s event was erased.", "%(num)s events were erased.", count))
