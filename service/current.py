"""What the whole web application shares, and how a request finds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from flask import current_app

from outbox.store import Store
from service.authentication import ApiKeys
from service.config import Settings

if TYPE_CHECKING:
    from service.wiring import Wiring


@dataclass
class Dealpost:
    """Kept as app.extensions["dealpost"]."""

    settings: Settings
    store: Store
    wiring: Wiring
    keys: ApiKeys


def current() -> Dealpost:
    """That of the application that is serving the request or the command."""
    return cast(Dealpost, current_app.extensions["dealpost"])
