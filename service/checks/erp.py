"""The ERP: its login, the right to create, and the fields of the entity. Nothing is changed there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from flask_babel import gettext as _

from outbox.outcome import DeliveryError
from service.check_results import SAID, KeptCheck, KeptResults
from service.checks.check import FAULT, NOTE, OK, Check, Remaining, failed, not_set_up
from service.config import Erp
from service.current import Dealpost
from service.destinations.records.rukovoditel import fields
from service.destinations.records.rukovoditel.entity_fields import Field
from service.destinations.records.rukovoditel.refusals import error_of
from service.destinations.records.rukovoditel.replies import Garbled, Refused
from service.network.http import NoAnswer
from service.routing import ERP

ERP_FAULTS = (Refused, Garbled, NoAnswer)


def checks(dealpost: Dealpost) -> Iterator[Check]:
    """What was found is kept for the page, once all was asked."""
    found: list[Check] = []
    for check in _checks(dealpost):
        found.append(check)
        yield check
    kept = [KeptCheck(one.state, one.code, one.params) for one in found]
    KeptResults(dealpost.store.key_values).put(ERP, mark(dealpost.settings.erp), dealpost.store.now(), kept)


def mark(erp: Erp) -> str:
    """Changes with the settings."""
    return hashlib.sha256(json.dumps(asdict(erp), sort_keys=True, default=str).encode()).hexdigest()[:16]


def said(code: str, params: Mapping[str, Any]) -> tuple[str, str]:
    """(what is so, the mend) in the reader's language."""
    words, mend = SAID[code]
    return _(words) % params, _(mend)


def _told(name: str, state: str, code: str, **params: Any) -> Check:
    words, mend = said(code, params)
    return Check(name, state, words, mend, code=code, params=params)


def _checks(dealpost: Dealpost) -> Iterator[Check]:
    missing = dealpost.wiring.destinations[ERP].missing()
    if missing:
        erp = dealpost.settings.erp
        yield not_set_up("ERP", missing, any_set=any((erp.url, erp.key, erp.username, erp.password)))
        return
    client, erp = dealpost.wiring.erp_client, dealpost.settings.erp
    entity, left = str(erp.entity_id), Remaining()
    try:
        login = client.login(total=left())
    except DeliveryError as error:
        yield failed("ERP", error, _("Check CRM_API_URL, CRM_API_KEY, CRM_API_USERNAME and CRM_API_PASSWORD."))
        return
    if login.before:
        yield _told("ERP", NOTE, "erp_noisy", words=login.before)
    else:
        yield Check("ERP", OK, login.name or _("the login works"))
    try:
        may_create = client.may_create(entity, total=left())
    except ERP_FAULTS as fault:
        yield failed("ERP_ENTITY_ID", error_of(fault))
        return
    if not may_create:
        yield _told("ERP_ENTITY_ID", FAULT, "erp_no_right", id=entity)
    yield from _fields(dealpost, left)


def _fields(dealpost: Dealpost, left: Remaining) -> Iterator[Check]:
    erp = dealpost.settings.erp
    named = fields.configured(erp)
    known: dict[str, Field] | None = None
    try:
        known = dealpost.wiring.erp_client.fields(str(erp.entity_id), total=left())
    except ERP_FAULTS as fault:  # older versions cannot be asked
        words, mend = said("erp_fields_unread", {"id": erp.entity_id})
        yield Check("ERP_ENTITY_ID", NOTE, f"{words}: {fault}", mend, code="erp_fields_unread")
    lacking = [name for name in named if known is not None and fields.number(name) not in known]
    if lacking:
        yield _told("ERP_ENTITY_ID", FAULT, "erp_fields_lacking", id=erp.entity_id, fields=", ".join(lacking))
    elif known is not None:
        yield Check("ERP_ENTITY_ID", OK, f"{erp.entity_id}: {', '.join(named)}")
    key = known.get(fields.number(erp.field_key)) if known is not None and erp.field_key else None
    if key is not None and not key.unique:
        yield _told("ERP_FIELD_KEY", FAULT, "erp_key_repeats", field=erp.field_key)
    elif key is not None:
        yield Check("ERP_FIELD_KEY", OK, _("%(field)s is unique", field=erp.field_key))
    if not erp.field_key:
        yield _told("ERP_FIELD_KEY", NOTE, "erp_key_unset")
