"""The ERP: its login, the right to create, and the fields of the entity. Nothing is changed there."""

from __future__ import annotations

from collections.abc import Iterator

from flask_babel import gettext as _

from outbox.outcome import DeliveryError
from service.checks.check import FAULT, NOTE, OK, Check, Remaining, failed, not_set_up
from service.current import Dealpost
from service.destinations.records.rukovoditel import fields
from service.destinations.records.rukovoditel.entity_fields import Field
from service.destinations.records.rukovoditel.refusals import error_of
from service.destinations.records.rukovoditel.replies import Garbled, Refused
from service.network.http import NoAnswer
from service.routing import ERP

ERP_FAULTS = (Refused, Garbled, NoAnswer)


def checks(dealpost: Dealpost) -> Iterator[Check]:
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
        words = _("its PHP writes before its answers: %(words)s", words=login.before)
        yield Check("ERP", NOTE, words, _("Switch display_errors off in the ERP's PHP."))
    else:
        yield Check("ERP", OK, login.name or _("the login works"))
    try:
        may_create = client.may_create(entity, total=left())
    except ERP_FAULTS as fault:
        yield failed("ERP_ENTITY_ID", error_of(fault))
        return
    if not may_create:
        words = _("the ERP's user may not create records in entity %(id)s", id=entity)
        yield Check("ERP_ENTITY_ID", FAULT, words, _("Give this user the right to create and to see records there."))
    yield from _fields(dealpost, left)


def _fields(dealpost: Dealpost, left: Remaining) -> Iterator[Check]:
    erp = dealpost.settings.erp
    named = fields.configured(erp)
    known: dict[str, Field] | None = None
    try:
        known = dealpost.wiring.erp_client.fields(str(erp.entity_id), total=left())
    except ERP_FAULTS as fault:  # older versions cannot be asked
        words = _("the fields of entity %(id)s cannot be read", id=erp.entity_id)
        yield Check("ERP_ENTITY_ID", NOTE, f"{words}: {fault}", _("Look whether these fields are there."))
    lacking = [name for name in named if known is not None and fields.number(name) not in known]
    if lacking:
        words = _("entity %(id)s has no %(fields)s", id=erp.entity_id, fields=", ".join(lacking))
        yield Check("ERP_ENTITY_ID", FAULT, words, _("Correct the names of the fields, or make these fields."))
    elif known is not None:
        yield Check("ERP_ENTITY_ID", OK, f"{erp.entity_id}: {', '.join(named)}")
    key = known.get(fields.number(erp.field_key)) if known is not None and erp.field_key else None
    if key is not None and not key.unique:
        words = _("%(field)s is not unique: after a lost answer a record could be made twice", field=erp.field_key)
        yield Check("ERP_FIELD_KEY", FAULT, words, _('Switch "unique" on for this field in the ERP.'))
    elif key is not None:
        yield Check("ERP_FIELD_KEY", OK, _("%(field)s is unique", field=erp.field_key))
    if not erp.field_key:
        said = _("not set: after a broken connection a record may need a person's look")
        yield Check("ERP_FIELD_KEY", NOTE, said, _("Name a unique text field, and no record is ever made twice."))
