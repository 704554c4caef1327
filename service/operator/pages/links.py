"""Addresses of what a page tells of: a deal, a record, a list of deliveries."""

from __future__ import annotations

from typing import Any

from flask import url_for

from outbox.whole_numbers import whole_number
from service.current import Dealpost


def deal_url(dealpost: Dealpost, lead_id: int | None) -> str:
    """The deal's card in amoCRM."""
    base = dealpost.settings.amocrm.base_url
    return f"{base}/leads/detail/{lead_id}" if base and lead_id else ""


def record_url(dealpost: Dealpost, entity_id: Any, record: str) -> str:
    """The record in Rukovoditel, whose API lives under the program's own address."""
    base = dealpost.settings.erp.url.rpartition("/api/")[0]
    if not base or whole_number(record) is None:
        return ""
    return f"{base}/index.php?module=items/info&path={entity_id or dealpost.settings.erp.entity_id}-{record}"


def list_url(**values: Any) -> str:
    return url_for("pages.deliveries", **{key: value for key, value in values.items() if value not in (None, "")})
