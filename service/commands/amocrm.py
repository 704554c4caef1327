"""`flask pipelines` and `flask find-lead`: what amoCRM shows of itself."""

from __future__ import annotations

import click
from flask.cli import with_appcontext
from flask_babel import gettext as _

from outbox.outcome import DeliveryError
from service import checks
from service.commands.terminal import N_, Command, fail, say
from service.current import current
from service.email_address import canonical


@click.command("pipelines", cls=Command, help=N_("List amoCRM's pipelines and stages with their ids."))
@with_appcontext
def pipelines() -> None:
    try:
        found = current().wiring.amocrm.pipelines.within(checks.DEADLINE).all(max_age=5.0)
    except DeliveryError as error:
        fail(error.message)
    ours = current().wiring.amocrm.pipelines.funnel_id()
    by = "AMOCRM_PIPELINE_ID" if current().settings.amocrm.pipeline_id is not None else _("chosen on the page")
    for pipeline in found:
        say(f"{pipeline.id}  {pipeline.name}{f'  <- {by}' if pipeline.id == ours else ''}")
        for stage in pipeline.stages:
            say(f"    {stage.id}  {stage.name}")


@click.command("find-lead", cls=Command, help=N_("Show which deal a lesson of this student would move."))
@click.argument("email")
@with_appcontext
def find_lead(email: str) -> None:
    try:
        found = current().wiring.previewer.find_lead(canonical(email))
    except DeliveryError as error:
        fail(error.message)
    for one in found.leads:
        sign = "->" if one.chosen else "  "
        say(f"{sign} {one.lead.id}  {one.lead.name}  {one.pipeline_name} / {one.stage_name}  ({one.contact.name})")
    if found.chosen is None:
        fail(found.why)
    say(found.why)
