"""What people call a destination."""

from __future__ import annotations

from flask_babel import gettext as _

from service.current import Dealpost
from service.routing import AMOCRM, ERP


def title(name: str, dealpost: Dealpost) -> str:
    """The destination's own name, as people call it."""
    if name == AMOCRM:
        return "Kommo" if dealpost.settings.amocrm.domain == "kommo.com" else "amoCRM"
    return {ERP: "ERP", "-": _("nowhere")}.get(name, name)
