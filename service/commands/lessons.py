"""`flask complete-lesson`: the event that a student has finished a lesson, by hand."""

from __future__ import annotations

import click
from flask.cli import with_appcontext
from flask_babel import gettext as _

from outbox.message import NewEvent, new_id
from service.commands.terminal import N_, Command, fail, operator, say
from service.current import current
from service.practice import names_an_account
from service.routing import LESSON, Refused, route


@click.command(
    "complete-lesson",
    cls=Command,
    help=N_("Take the event that a student has finished a lesson, as the API does. Prints its id."),
)
@click.argument("email")
@click.argument("lesson", type=int)
@with_appcontext
def complete_lesson(email: str, lesson: int) -> None:
    dealpost = current()
    if not dealpost.settings.sandbox and not names_an_account(dealpost.settings):
        fail(
            _(
                "Nothing was stored: no account is configured, and no `make run` practises here, so the lesson would "
                "wait where nobody looks. Start `make run` to practise, or set up amoCRM first: flask check"
            )
        )
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
