"""Which deal a lesson of one student would move: the whole way through amoCRM, for a trial address."""

from __future__ import annotations

from collections.abc import Iterator

from flask_babel import gettext as _

from outbox.outcome import DeliveryError
from service.checks.check import DEADLINE, FAULT, NOTE, OK, Check, failed
from service.current import Dealpost
from service.email_address import canonical
from service.routing import AMOCRM


def checks(dealpost: Dealpost, email: str) -> Iterator[Check]:
    name = _("student")
    if dealpost.wiring.destinations[AMOCRM].missing() or not dealpost.wiring.token_status().usable:
        yield Check(
            name, NOTE, _("was not looked for: amoCRM cannot be asked"), _("Mend what is said of amoCRM first.")
        )
        return
    try:
        found = dealpost.wiring.previewer.find_lead(canonical(email), DEADLINE)
    except DeliveryError as error:
        yield failed(name, error)
        return
    for one in found.leads:
        sign = "-> " if one.chosen else ""
        yield Check(name, OK, f"{sign}{one.lead.id}  {one.lead.name}  {one.pipeline_name} / {one.stage_name}")
    if found.chosen is None:
        mend = _("Look at the contact in amoCRM: this e-mail in its e-mail field, and an open deal in the pipeline.")
        yield Check(name, FAULT, found.why, mend)
    else:
        yield Check(name, OK, found.why)
