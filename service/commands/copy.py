"""`flask outbox copy`: move the store to another database, of whatever kind."""

from __future__ import annotations

import time

import click
from flask_babel import gettext as _

from outbox.engines import open_store
from outbox.sql.copying import CopyRefused, copy_store
from outbox.store import Store
from service.commands.outbox import outbox
from service.commands.terminal import Command, fail, say
from service.config import ConfigError, Settings, load
from service.current import current
from service.environment import ROOT
from service.heartbeat import SILENT, Processes
from service.network.redaction import masked_url

EVERY = 2.0
"""Seconds between two lines of progress."""


class Progress:
    """A line when a table begins and when it is done, and in between now and then."""

    def __init__(self) -> None:
        self._told = 0.0

    def __call__(self, table: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done in (0, total) or now - self._told >= EVERY:
            self._told = now
            say(_("%(table)s: %(done)s of %(total)s", table=table, done=f"{done:,}", total=f"{total:,}"))


@outbox.command("copy", cls=Command)
@click.option("--to", required=True, metavar="ADDRESS", help="As DATABASE_URL has it; an empty database.")
def copy(to: str) -> None:
    """Copy everything into another database, while the service is stopped. Can be run again."""
    dealpost = current()
    if not to.strip():
        fail(_("--to is empty; expected the address of another, empty database."))
    try:
        other = address(dealpost.settings, to)
    except ConfigError as error:
        fail(str(error).replace("DATABASE_URL", "--to"))
    if other.database_url == dealpost.settings.database_url:
        fail(_("--to is the store itself; expected the address of another, empty database."))
    try:
        target = open_store(other.database_url)
    except ValueError as error:
        fail(str(error).replace("DATABASE_URL", "--to"))
    try:
        refuse_in_use(dealpost.store)
        target.maintenance.migrate()
        refuse_in_use(target)
        totals = copy_store(dealpost.store, target, origin(dealpost.settings), Progress())
    except CopyRefused as error:
        fail(str(error))
    finally:
        target.close()
    count = sum(totals.values())
    say(_("%(count)s rows are there and the same, value by value.", count=f"{count:,}"))
    say(_("Now set DATABASE_URL to the new address and start the service. The old store stays as it is."))
    if dealpost.settings.on_sqlite and not other.on_sqlite:
        say(_("Set SECRET_KEY and TOKEN_KEYS as well, to what is in secret_key and token_keys beside the old file."))


def address(settings: Settings, to: str) -> Settings:
    """The settings that would open the target: so its address means what it will mean in DATABASE_URL."""
    values = {
        "DATABASE_URL": to,
        "SECRET_KEY": settings.secret_key,
        "TOKEN_KEYS": ",".join(settings.token_keys),
        "SANDBOX": "1" if settings.sandbox else "0",
        "ALLOW_EPHEMERAL": "1",
    }
    return load(values, root=ROOT)


def origin(settings: Settings) -> str:
    """Names the store that is copied, without a password."""
    if settings.on_sqlite:
        return str(settings.database_path)
    return masked_url(settings.database_url)


def refuse_in_use(store: Store) -> None:
    now = store.now()
    alive = [process.name for process in Processes(store.key_values).all() if process.age(now) < SILENT]
    if alive:
        fail(
            _(
                "In use by %(names)s: stop the service, web and worker. A process that was killed counts as gone "
                "after %(seconds)s s.",
                names=", ".join(alive),
                seconds=f"{SILENT:g}",
            )
        )
