"""What would change if a delivery went out now, looked up without doing it."""

from __future__ import annotations

from dataclasses import dataclass

from flask_babel import gettext as _
from werkzeug.wrappers import Response

from outbox.message import Delivery
from outbox.outcome import DeliveryError
from service.current import Dealpost
from service.operator import words
from service.operator.pages import destinations, links
from service.operator.pages.blueprint import bp, find_or_404, show
from service.operator.turns import waits_for_others
from service.routing import ERP


@bp.get("/<int:delivery_id>/preview")
@waits_for_others
def preview(delivery_id: int) -> Response:
    """What would change if it went out now, looked up without doing it."""
    dealpost, delivery, _event = find_or_404(delivery_id)
    foreseen = foresee(dealpost, delivery)
    return show(
        "preview.html",
        "pages.deliveries",
        delivery=delivery,
        foreseen=foreseen,
        at=words.clock(dealpost.store.now()),
        deal=links.deal_url(dealpost, foreseen.lead_id),
        title=destinations.title(delivery.destination, dealpost),
    )


@dataclass(frozen=True)
class Foreseen:
    """words: a sentence. before, after: stages, where a deal would move. looked_up: in amoCRM, just now."""

    words: str
    before: str = ""
    after: str = ""
    lead_id: int | None = None
    looked_up: bool = False


def foresee(dealpost: Dealpost, delivery: Delivery) -> Foreseen:
    if delivery.destination == ERP:
        if delivery.data.get("dealName"):
            return Foreseen(_("A record “%(name)s” will be made in the ERP.", name=delivery.data["dealName"]))
        return Foreseen(_("The deal will be read in amoCRM and become a record in the ERP."))
    try:
        seen = dealpost.wiring.previewer.preview(delivery)
    except DeliveryError as error:
        why = words.cause_title(error.cause, error.params)
        return Foreseen(_("It cannot be looked up now: %(cause)s.", cause=why))
    if seen.verdict == "move":
        said = _("It will move the deal in the funnel “%(funnel)s”:", funnel=seen.pipeline_name)
        return Foreseen(said, seen.from_name, seen.to_name, seen.lead_id, True)
    if seen.verdict == "not_found":
        return Foreseen(_("Nothing will change: amoCRM has no student or deal for this e-mail."), looked_up=True)
    if seen.verdict == "stage_gone":
        return Foreseen(
            _("It cannot be moved: its stage is gone from the funnel."), lead_id=seen.lead_id, looked_up=True
        )
    said = _("Nothing will change: %(reason)s.", reason=words.reason_words(seen.verdict))
    return Foreseen(said, lead_id=seen.lead_id, looked_up=True)
