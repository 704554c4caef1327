"""`flask outbox prune`, `migrate`, `verify`, `backup`, `restore`, `forget`: look after the store itself."""

from __future__ import annotations

from pathlib import Path

import click
from flask_babel import gettext as _
from flask_babel import ngettext

from service.commands.outbox import outbox
from service.commands.terminal import N_, Command, fail, operator, say
from service.current import current
from service.email_address import ascii_form, canonical
from service.practice import SETTINGS, names_an_account
from service.status import iso


@outbox.command("prune", cls=Command, help=N_("Clear delivered and skipped deliveries that ended long ago."))
@click.option("--days", type=click.IntRange(7), default=None, help=N_("Instead of RETENTION_DAYS."))
def prune(days: int | None) -> None:
    dealpost = current()
    before = dealpost.store.now() - (days or dealpost.settings.retention_days) * 86400.0
    count = 0
    while part := dealpost.store.maintenance.prune(before):
        count += part
    say(ngettext("%(num)s delivery was cleared.", "%(num)s deliveries were cleared.", count))


@outbox.command("migrate", cls=Command, help=N_("Bring the store's schema up to date."))
def migrate() -> None:
    current().store.maintenance.migrate()
    say(_("The schema is up to date."))


@outbox.command("verify", cls=Command, help=N_("Look for damage in the store."))
def verify() -> None:
    if faults := current().store.maintenance.verify():
        fail("\n".join(faults))
    say(_("The store is sound."))


@outbox.command("backup", cls=Command, help=N_("Copy the store into a file while it is in use."))
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
def backup(path: Path) -> None:
    current().store.maintenance.backup(str(path))
    say(_("Copied to %(path)s.", path=path))


@outbox.command(
    "restore", cls=Command, help=N_("Put a backup in the place of the store, while the service is stopped.")
)
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
def restore(path: Path) -> None:
    dealpost = current()
    if not dealpost.settings.on_sqlite:
        fail(_("DATABASE_URL names a server: its own tools restore a backup of it."))
    target = dealpost.settings.database_path
    practised = (target.with_name(f"{target.stem}-sandbox{target.suffix}"), target.with_name(SETTINGS))
    real = dealpost.settings.sandbox or names_an_account(dealpost.settings) or target.exists()
    if not real and any(one.exists() for one in practised):
        fail(
            _(
                "Nothing was changed: no account is configured, and only practice was here so far. To put a copy of "
                "practice back: SANDBOX=1 flask outbox restore FILE. For a real store configure its account first."
            )
        )
    from outbox.sqlite.restore import restore as put_back  # an engine's own, and nobody else needs it

    done = put_back(str(path), str(dealpost.settings.database_path), dealpost.store.now())
    if done.aside:
        say(_("The store that was there, with its log, is now %(path)s.", path=done.aside))
    say(
        ngettext(
            "%(path)s has been put in its place: %(num)s event, the newest of %(time)s.",
            "%(path)s has been put in its place: %(num)s events, the newest of %(time)s.",
            done.events,
            path=path,
            time=iso(done.newest) or "-",
        )
    )
    say(_("What was sent after that backup was made is sent again. Start the service now."))


@outbox.command(
    "forget", cls=Command, help=N_("Erase everything about a student. What has not been sent yet is not sent.")
)
@click.argument("email")
@click.option("--yes", is_flag=True, help=N_("Do not ask."))
def forget(email: str, yes: bool) -> None:
    if not yes:
        click.confirm(_("Erase everything about this student? It cannot be undone."), abort=True)
    one = canonical(email)
    # Events of earlier versions bear the address as it was sent.
    spellings = dict.fromkeys((one, ascii_form(one), email.strip().casefold()))
    count = sum(current().store.maintenance.forget(spelling, operator()) for spelling in spellings)
    say(ngettext("%(num)s event was erased.", "%(num)s events were erased.", count))
    say(
        _(
            "Not erased: what amoCRM, the ERP and the platform keep of this student, logs of this server, and backups "
            "of the store; those that are made from now on no longer hold it."
        )
    )
