"""From the body of a webhook to the events that it means. Pure, but for the random part of new ids."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from outbox.message import NOWHERE, Dedupe, Json, NewDelivery, NewEvent, State, new_id
from service.routing import AMOCRM, ERP, WEBHOOK
from service.sources import amocrm_webhook_form, bracket_form
from service.sources.amocrm_webhook_form import Hook, StageChange, UnreadableHook

SOURCE = "webhook"
DAY = 24 * 3600.0
RAW_KEPT = 16 * 1024
"""Characters of a body that could not be read."""

OTHERS_KEPT = 50


def hook_events(body: bytes, *, configured_subdomain: str | None, account_id: int | None, now: float) -> list[NewEvent]:
    """The events to accept, all or none: one for each change of stage, or one that says why there is none.

    configured_subdomain, account_id: of the connected account, empty or None while unknown. A body that tells neither
    is believed: it came with the secret. Never raises.
    """
    try:
        hook = amocrm_webhook_form.read(bracket_form.parse(body))
    except (bracket_form.FormError, UnreadableHook) as error:
        return [_unreadable(body, str(error), now)]
    if reason := _foreign(hook, configured_subdomain, account_id):
        return [_nowhere(body, hook, reason, now)]
    if not hook.changes:
        kinds = ", ".join(sorted({f"{entity}[{action}]" for entity, action, _ in hook.others})[:5])
        return [_nowhere(body, hook, f"not_routed: {kinds} is no change of stage", now)]
    seen: Counter[str] = Counter()
    return [_change(change, hook, seen, now) for change in hook.changes]


def change_data(change: StageChange) -> dict[str, Json]:
    """The data of an event that tells of a change of stage."""
    return {
        "lead_id": change.lead_id,
        "pipeline_id": change.pipeline_id,
        "status_id": change.status_id,
        "old_status_id": change.old_status_id,
        "old_pipeline_id": change.old_pipeline_id,
        "at": change.at,
        "kind": "status",
    }


def _change(change: StageChange, hook: Hook, seen: Counter[str], now: float) -> NewEvent:
    dedupe = None
    if change.at is not None:
        stages = f"{change.pipeline_id}:{change.old_status_id}:{change.status_id}"
        key = f"hook:{change.lead_id}:{stages}:{change.at}"
        # There and back again within one second and one body: the same entry twice is two changes.
        seen[key] += 1
        dedupe = Dedupe(key if seen[key] == 1 else f"{key}:{seen[key]}")
    return NewEvent(
        id=new_id(now),
        name=WEBHOOK,
        data={**change_data(change), **_account(hook)},
        source=SOURCE,
        sender=AMOCRM,
        received_at=now,
        deliveries=(NewDelivery(ERP, key=f"lead:{change.lead_id}"),),
        dedupe=dedupe,
        lead_id=change.lead_id,
    )


def _foreign(hook: Hook, subdomain: str | None, account_id: int | None) -> str:
    if hook.account_id is not None and account_id is not None and hook.account_id != account_id:
        return f"foreign_account: the hook is of account {hook.account_id}, the connected one is {account_id}"
    if hook.subdomain and subdomain and hook.subdomain.lower() != subdomain.lower():
        return f"foreign_account: the hook is of {hook.subdomain[:63]}, the connected account is {subdomain}"
    return ""


def _nowhere(body: bytes, hook: Hook, reason: str, now: float) -> NewEvent:
    """One row that needs no work, so that a person can see that the hook came."""
    changes = [change_data(change) for change in hook.changes[:OTHERS_KEPT]]
    others = [list(other) for other in hook.others[:OTHERS_KEPT]]
    leads = {change.lead_id for change in hook.changes} | {
        int(number) for entity, _, number in hook.others if entity == "leads" and re.fullmatch(r"[0-9]{1,18}", number)
    }
    return _one_row(
        body,
        {"changes": changes, "others": others, **_account(hook)},
        NewDelivery(NOWHERE, state=State.SKIPPED, reason=reason),
        now,
        lead_id=leads.pop() if len(leads) == 1 else None,
    )


def _unreadable(body: bytes, fault: str, now: float) -> NewEvent:
    return _one_row(
        body,
        {"bytes": len(body)},
        NewDelivery(NOWHERE, state=State.DEAD, reason=f"unreadable: {fault}", cause="unreadable_hook"),
        now,
        raw=body[: RAW_KEPT * 4].decode("utf-8", "replace").replace("\0", "\ufffd")[:RAW_KEPT],
    )


def _one_row(
    body: bytes,
    data: Mapping[str, Any],
    row: NewDelivery,
    now: float,
    *,
    lead_id: int | None = None,
    raw: str | None = None,
) -> NewEvent:
    return NewEvent(
        id=new_id(now),
        name=WEBHOOK,
        data=data,
        source=SOURCE,
        sender=AMOCRM,
        received_at=now,
        deliveries=(row,),
        # amoCRM repeats a hook within two hours; a day is ample, and the row needs no longer memory.
        dedupe=Dedupe(f"hook:{int(now // DAY)}:{hashlib.sha256(body).hexdigest()}"),
        lead_id=lead_id,
        raw=raw,
    )


def _account(hook: Hook) -> dict[str, Json]:
    found: dict[str, Json] = {}
    if hook.account_id is not None:
        found["account_id"] = hook.account_id
    if hook.subdomain:
        found["subdomain"] = hook.subdomain
    return found
