"""Whose fault it is that Rukovoditel did not do as asked: the row's, our settings', or nobody's."""

from __future__ import annotations

import re

from outbox.outcome import DeliveryError, PauseKind
from service.destinations.records.rukovoditel.replies import Garbled, Moved, Refused
from service.network.http import NoAnswer

ROW_AT_FAULT = re.compile(
    r"\b(unique|duplicate|already (exists|taken|used|in use|there))\b"
    r"|\b(choice|option|value)s?\b.*\b(not found|not exist|unknown|unreadable|invalid|incorrect|wrong|not in)\b"
    r"|\b(unknown|unreadable|invalid|incorrect|wrong|no such) (choice|option|value)",
    re.IGNORECASE,
)
"""What a refusal speaks of when another record, or none, would be taken: a unique value, a choice that is not there."""

ASKED_FOR = re.compile(r"\b(entity|field)\w*", re.IGNORECASE)
"""What it speaks of when the entity that an event asks for is not there, or has not the configured fields."""

SETTINGS_AT_FAULT = re.compile(
    r"\bAPI\b|\bkey\b|login|passw|username|access|denied|allowed|permission|\bIP\b|\baction\b|\b(parameter|param)\b"
    r"|\b(entity|field)\w*.*\b(not found|not exist|unknown|required|missing|invalid|disabled)"
    r"|(unknown|no such|missing|invalid|wrong|bad) (entity|field)",
    re.IGNORECASE,
)
"""What it speaks of when no record would be taken: our access, or an entity or field of our settings."""

ITEMS_LACKING = re.compile(r"\bitems\b.*\brequired\b", re.IGNORECASE)
"""The answer to an insert of nothing, where everything but that is good."""


def is_known(fault: Refused) -> bool:
    """Whether the words tell whose fault it is."""
    return (
        isinstance(fault, Moved)
        or fault.code in ("login_fail", "ip_not_allowed")
        or bool(ROW_AT_FAULT.search(fault.words) or SETTINGS_AT_FAULT.search(fault.words))
    )


def error_of(fault: Refused | Garbled | NoAnswer, *, entity: str = "") -> DeliveryError:
    """The error of a request. entity: where it came with the event, not from the settings.

    What is not known to be the row's own fault is the settings': all records wait.
    """
    if isinstance(fault, NoAnswer):
        message = f"The ERP did not answer ({fault.kind}); we try again by ourselves. {fault}"
        return DeliveryError(message, cause="erp_down", outage=True, params={"kind": fault.kind, "detail": str(fault)})
    if isinstance(fault, Garbled):
        return DeliveryError(
            f"The ERP answered with something unreadable ({fault.status}): {fault}",
            cause="erp_unreadable",
            outage=True,
            status=fault.status,
            retry_after=fault.retry_after,
            params={"status": fault.status, "detail": str(fault)},
        )
    if isinstance(fault, Moved):
        return DeliveryError(
            f"The ERP's address answers with {fault.words}. All records wait; correct CRM_API_URL",
            cause="erp_moved",
            pause=PauseKind.SETTINGS,
            status=fault.status,
            params={"status": fault.status, "detail": fault.words},
        )
    access = fault.code in ("login_fail", "ip_not_allowed")
    if not access and ROW_AT_FAULT.search(fault.words):
        return refused(fault)
    if entity and not access and ASKED_FOR.search(fault.words) and not re.search("entity_id", fault.words):
        return refused(fault, entity)
    return settings_refused(fault)


BY_WORD = (
    (r"\bkey\b", ("CRM_API_KEY",)),
    (r"log\s?in|passw|user", ("CRM_API_USERNAME", "CRM_API_PASSWORD")),
    (r"entity", ("ERP_ENTITY_ID",)),
    (r"field", ("ERP_FIELD_NAME", "ERP_FIELD_AMOUNT", "ERP_FIELD_KEY", "ERP_FIELDS")),
)
"""Which settings a refusal may mean, by what it speaks of."""


def settings_meant(fault: Refused) -> str:
    """Their names; where it speaks of none, all that go into a request."""
    text = f"{fault.code} {fault.words}"
    named = [name for word, names in BY_WORD if re.search(word, text, re.IGNORECASE) for name in names]
    return ", ".join(named or [name for _word, names in BY_WORD for name in names])


def settings_refused(fault: Refused) -> DeliveryError:
    """All records wait."""
    return DeliveryError(
        f"The ERP does not accept our settings: {fault.words}. All records wait; check {settings_meant(fault)} "
        "(`flask check`)",
        cause="erp_settings",
        pause=PauseKind.SETTINGS,
        status=fault.status,
        params={"status": fault.status, "detail": fault.words, "settings": settings_meant(fault)},
    )


def refused(fault: Refused, entity: str = "", lacking: str = "") -> DeliveryError:
    """This record alone. entity: where it came with the event. lacking: what more is known of the reason."""
    detail, into = fault.words, ""
    mend = "Correct the data or the ERP's field, then send again"
    if entity:
        into = f" in entity {entity}, which the event asks for (entityId)"
        detail = f"entity {entity}: {', '.join(filter(None, (fault.words, lacking)))}"
        mend = "Fields belong to one entity: send no entityId, or one that has the configured fields"
    return DeliveryError(
        f"The ERP did not accept the record{into}: {detail}. {mend}",
        cause="erp_refused",
        code="refused",
        permanent=True,
        status=fault.status,
        params={"status": fault.status, "detail": detail},
    )


def unclear(fault: Refused) -> DeliveryError:
    """Refused in words that are not known, while the ERP takes our access and rights: it may be this record, it may be
    all. It is tried again on the schedule, and the next one refused so, with no success between, makes it all."""
    return DeliveryError(
        f"The ERP did not accept the record, in words that do not tell why: {fault.words}. We try again by ourselves; "
        "look at the record's fields and at `flask check`",
        cause="erp_settings",
        status=fault.status,
        params={"status": fault.status, "detail": fault.words, "settings": settings_meant(fault)},
    )
