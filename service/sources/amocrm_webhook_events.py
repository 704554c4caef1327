"""From the body of a webhook to the events that it means. Pure, but for the random part of new ids."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from outbox.message import NOWHERE, Dedupe, Event, Json, Known, NewDelivery, NewEvent, State, new_id
from service.routing import AMOCRM, ERP, WEBHOOK
from service.sources import amocrm_webhook_form, bracket_form
from service.sources.amocrm_webhook_form import Hook, StageChange, UnreadableHook

SOURCE = "webhook"
DAY = 24 * 3600.0
BODY_MAX, FIELDS_MAX = 8 * 1024 * 1024, 160_000
"""A mass edit of many deals with many filled fields comes in one body."""

HEAVY = 256 * 1024
FIELDS = re.compile(rb"(?:\[|%5B)custom_fields(?:\]|%5D)", re.IGNORECASE)
FIRST = re.compile(rb"(?:\[|%5B)custom_fields(?:\]|%5D)(?:\[|%5B)0(?:\]|%5D)(?:\[|%5B)id(?:\]|%5D)$", re.IGNORECASE)

RAW_KEPT = 256 * 1024
"""Characters of a body that could not be read."""

OTHERS_KEPT, CHANGES_KEPT = 50, 1000


def hook_events(
    body: bytes, *, configured_subdomain: str | None, account_id: int | None, now: float, creations: bool = False
) -> list[NewEvent]:
    """The events to accept, all or none: one for each change of stage, or one that says why there is none, and one for
    all changes that cannot be told.

    configured_subdomain, account_id: of the connected account, empty or None while unknown. A body that tells neither
    is believed: it came with the secret. creations: whether a deal made on a stage may count. Never raises.
    """
    try:
        form = bracket_form.parse(lightened(body), max_bytes=BODY_MAX, max_fields=FIELDS_MAX)
        hook = amocrm_webhook_form.read(form)
    except (bracket_form.FormError, UnreadableHook) as error:
        return [_unreadable(body, str(error), now)]
    if reason := _foreign(hook, configured_subdomain, account_id):
        return [_nowhere(body, hook, reason, now)]
    events = _changes(hook, now, creations)
    if hook.broken:
        events.append(_broken(hook, now))
    if events:
        return events
    made = [("leads", "add", str(one.lead_id)) for one in hook.created]
    hook = replace(hook, others=(*hook.others, *made))
    kinds = ", ".join(sorted({f"{entity}[{action}]" for entity, action, _ in hook.others})[:5])
    return [_nowhere(body, hook, f"not_routed: {kinds} is no change of stage", now)]


def lightened(body: bytes) -> bytes:
    """The same without the deals' own fields, where there are many: nothing here reads them, and to take megabytes of
    them apart would take longer than amoCRM waits. The first one of each deal stays, so that no entry vanishes."""
    if len(body) <= HEAVY:
        return body
    return b"&".join(
        part for part in body.split(b"&") if not FIELDS.search(name := part.partition(b"=")[0]) or FIRST.search(name)
    )


def kept_events(
    event: Event, *, configured_subdomain: str | None, account_id: int | None, now: float, creations: bool
) -> list[NewEvent]:
    """The events of a hook that was kept since it went nowhere, by what is known now; empty: nothing more is known."""
    data = event.data
    if event.raw is not None:
        if data.get("cut"):
            return []
        body = event.raw.encode()
        return hook_events(
            body, configured_subdomain=configured_subdomain, account_id=account_id, now=now, creations=creations
        )
    told = [_told(one) for one in data.get("changes") or ()]
    hook = Hook(
        data.get("account_id"),
        data.get("subdomain"),
        tuple(one for one in told if not one.is_new),
        (),
        tuple(one for one in told if one.is_new),
    )
    return [] if _foreign(hook, configured_subdomain, account_id) else _changes(hook, now, creations)


def _changes(hook: Hook, now: float, creations: bool) -> list[NewEvent]:
    seen: Counter[str] = Counter()
    counted = (*hook.created, *hook.changes) if creations else hook.changes
    return [_change(change, hook, seen, now) for change in counted]


def _told(data: Mapping[str, Any]) -> StageChange:
    """Back from change_data."""
    return StageChange(
        data["lead_id"],
        data.get("pipeline_id"),
        data["status_id"],
        data.get("old_status_id"),
        data.get("old_pipeline_id"),
        data.get("at"),
        is_new=data.get("kind") == "add",
        title=str(data.get("title") or ""),
    )


def change_data(change: StageChange) -> dict[str, Json]:
    """The data of an event that tells of a change of stage."""
    return {
        "lead_id": change.lead_id,
        "pipeline_id": change.pipeline_id,
        "status_id": change.status_id,
        "old_status_id": change.old_status_id,
        "old_pipeline_id": change.old_pipeline_id,
        "at": change.at,
        "kind": "add" if change.is_new else "status",
        **({"title": change.title} if change.title else {}),
    }


def _change(change: StageChange, hook: Hook, seen: Counter[str], now: float) -> NewEvent:
    dedupe = None
    if change.at is not None:
        stages = f"{change.pipeline_id}:{change.old_status_id}:{change.status_id}"
        key = f"hook:{change.lead_id}:{stages}:{change.at}"
        # There and back again within one second and one body: the same entry twice is two changes.
        seen[key] += 1
        dedupe = Dedupe(key if seen[key] == 1 else f"{key}:{seen[key]}")
    if change.is_new:  # a deal is created once
        dedupe = Dedupe(f"hook:{change.lead_id}:new")
    return change_event({**change_data(change), **_account(hook)}, dedupe, now)


def change_event(data: Mapping[str, Json], dedupe: Dedupe | None, now: float) -> NewEvent:
    """The event of one change, as told by `change_data`."""
    lead_id = int(data["lead_id"])
    return NewEvent(
        id=new_id(now),
        name=WEBHOOK,
        data=data,
        source=SOURCE,
        sender=AMOCRM,
        received_at=now,
        deliveries=(NewDelivery(ERP, key=f"lead:{lead_id}"),),
        dedupe=dedupe,
        lead_id=lead_id,
        known=(Known(str(data["title"]), lead_ids=(lead_id,), is_title=True),) if data.get("title") else (),
    )


def _foreign(hook: Hook, subdomain: str | None, account_id: int | None) -> str:
    if hook.account_id is not None:  # an account may be renamed, its id stays; while ours is unknown the worker asks
        if account_id is None or hook.account_id == account_id:
            return ""
        return f"foreign_account: the hook is of account {hook.account_id}, the connected one is {account_id}"
    if hook.subdomain and subdomain and hook.subdomain.lower() != subdomain.lower():
        return f"foreign_account: the hook is of {hook.subdomain[:63]}, the connected account is {subdomain}"
    return ""


def _nowhere(body: bytes, hook: Hook, reason: str, now: float) -> NewEvent:
    """One row that needs no work, so that a person can see that the hook came."""
    told = (*hook.created, *hook.changes)
    changes = [change_data(change) for change in told[:CHANGES_KEPT]]
    others = [list(other) for other in hook.others[:OTHERS_KEPT]]
    leads = {change.lead_id for change in told} | {
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
    raw = body.decode("utf-8", "replace").replace("\0", "\ufffd")
    cut = {"cut": True} if len(raw) > RAW_KEPT else {}
    row = NewDelivery(NOWHERE, state=State.DEAD, reason=f"unreadable: {fault}", cause="unreadable_hook")
    return _one_row(body, {"bytes": len(body), **cut}, row, now, raw=raw[:RAW_KEPT])


def _broken(hook: Hook, now: float) -> NewEvent:
    """One row for the changes that cannot be told, in the form in which they could be read again."""
    parts = [bracket_form.encode(one.name, one.entry) for one in hook.broken]
    parts += [bracket_form.encode(f"account[{name}]", str(value)) for name, value in _account_block(hook)]
    return _unreadable("&".join(parts).encode(), hook.broken[0].reason, now)


def _account_block(hook: Hook) -> list[tuple[str, object]]:
    return [(name, value) for name, value in (("id", hook.account_id), ("subdomain", hook.subdomain)) if value]


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
