"""`flask user`: sign-ins with a name of their own."""

from __future__ import annotations

import secrets

import click
from flask_babel import gettext as _
from werkzeug.security import generate_password_hash

from service.commands.terminal import N_, Command, Group, fail, say, table
from service.current import current
from service.secret_strength import weakness
from service.users import ADMIN, NAME, ROLES, VIEWER, NamedUser, entry

user = Group("user", help=N_("Sign-ins to the page with a name of their own."))


@user.command(
    "add",
    cls=Command,
    help=N_("Print the line for the settings that lets NAME sign in. Put it into USERS and restart."),
)
@click.argument("name")
@click.option(
    "--role", type=click.Choice(ROLES), default=ADMIN, show_default=True, help=N_("May change, or only look.")
)
@click.option("--generate", is_flag=True, help=N_("Make a password and print it, in place of asking for one."))
def add(name: str, role: str, generate: bool) -> None:
    name = name.strip()
    if not NAME.fullmatch(name):
        fail(_("Got a name with a colon or a comma, or none; expected one of up to 64 characters without them."))
    settings = current().settings
    others = [one for one in settings.users if one.name != name]
    for setting, taken, password in (
        ("ADMIN_USERNAME", settings.admin_username, settings.admin_password),
        ("VIEWER_USERNAME", settings.viewer_username, settings.viewer_password),
    ):
        if name == taken and password:
            fail(_("%(name)s is %(setting)s already; take another name.", name=name, setting=setting))
    if generate:
        password = secrets.token_urlsafe(12)
    else:
        password = click.prompt(_("Password"), hide_input=True, confirmation_prompt=_("Once more"))
        if weakness(password, (name,)):
            fail(_("This password is too easy to guess; take a longer random one, as --generate makes."))
    made = NamedUser(name, generate_password_hash(password), role)
    if generate:
        say(_("Password, shown only now: %(password)s", password=password))
    say(_("Put this line into the settings in place of the old one, and restart:"))
    say("USERS=" + ",".join(entry(one) for one in [*others, made]))


@user.command("list", cls=Command, help=N_("Who may sign in, with the role; no password."))
def list_users() -> None:
    settings = current().settings
    shared = [(settings.admin_username, ADMIN, "ADMIN_PASSWORD")] if settings.admin_password else []
    if settings.viewer_password:
        shared.append((settings.viewer_username, VIEWER, "VIEWER_PASSWORD"))
    if rows := [*shared, *((one.name, one.role, "USERS") for one in settings.users)]:
        table(rows)
