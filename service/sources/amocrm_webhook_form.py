"""What a webhook of amoCRM says, in the old v2 field names and in every shape that has been seen."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from outbox.message import BIGGEST
from service.closed_stages import CLOSED
from service.sources.bracket_form import Form, Value

_NUMBER = re.compile(r"[0-9]{1,19}")
_HOST = re.compile(r"([a-z0-9-]+)\.(?:amocrm\.ru|amocrm\.com|kommo\.com)")
TITLE = 255
"""Characters of a name that are kept."""

_LAST_SECOND = 253402300799  # of the year 9999


@dataclass(frozen=True)
class StageChange:
    """A deal came to another stage, or was created on one (is_new; there is no old one then). at: unix seconds; None
    where the hook tells no time (digital pipeline). title: the deal's name, where it is told."""

    lead_id: int
    pipeline_id: int | None
    status_id: int
    old_status_id: int | None
    old_pipeline_id: int | None
    at: int | None
    is_new: bool = False
    title: str = field(default="", compare=False)


@dataclass(frozen=True)
class Broken:
    """A change of stage that cannot be told. name: of its field in the body. reason: what it lacks."""

    name: str
    entry: Value
    reason: str


@dataclass(frozen=True)
class Hook:
    """What one body said. others: (entity, action, id) of all that is no change of stage, ids as they came.

    account_id, subdomain: whose hook it is; None where the body does not tell. created: the deals that were made;
    broken: the changes of stage that cannot be told.
    """

    account_id: int | None
    subdomain: str | None
    changes: tuple[StageChange, ...]
    others: tuple[tuple[str, str, str], ...]
    created: tuple[StageChange, ...] = ()
    broken: tuple[Broken, ...] = ()


class UnreadableHook(ValueError):
    """A body that is no hook as we know them, or one whose change of stage cannot be told."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read(form: Form) -> Hook:
    """A parsed body as a Hook. Raises UnreadableHook where nothing in it can be told.

    Only `leads[status]` makes changes: the `leads[update]` that amoCRM sends beside it is listed in others, and so is
    a status entry whose stage and pipeline are the old ones. The same change twice running of one deal is one.
    Companies, which come under `contacts`, are listed as companies. Entities and actions that are not known are
    listed as well; entries without an id are passed over.

    Reference: https://www.amocrm.ru/developers/content/crm_platform/webhooks-format
    """
    account_id, subdomain = _account(form.get("account"))
    changes: list[StageChange] = []
    created: list[StageChange] = []
    broken: list[Broken] = []
    latest: dict[int, StageChange] = {}
    others: list[tuple[str, str, str]] = []
    for entity, actions in form.items():
        if entity == "account" or not isinstance(actions, dict):
            continue
        for action, content in actions.items():
            for place, entry in enumerate(_entries(content)):
                if (entity, action) == ("leads", "status"):
                    try:
                        change = _change(entry)
                    except UnreadableHook as error:
                        broken.append(Broken(f"leads[status][{place}]", entry, error.reason))
                        continue
                    if _stays(change):
                        others.append((entity, action, str(change.lead_id)))
                    elif latest.get(change.lead_id) != change:
                        latest[change.lead_id] = change
                        changes.append(change)
                elif (entity, action) == ("leads", "add") and (made := _creation(entry)) is not None:
                    created.append(made)
                elif entry_id := _id(entry):
                    others.append((_kind(entity, entry), action, entry_id))
    if not changes and not others and not created:
        if broken:
            raise UnreadableHook(broken[0].reason)
        names = ", ".join(sorted(name[:30] for name in form)[:10]) or "no fields"
        raise UnreadableHook(f"expected entries such as leads[status][0][id], got {names}")
    return Hook(account_id, subdomain, tuple(changes), tuple(others), tuple(created), tuple(broken))


def _entries(content: Value) -> Iterator[Value]:
    """The entries of one action: a list, a dict with numbers as keys (a gap in the list), one entry, or a bare id."""
    inner = [content]
    if isinstance(content, list):
        inner = content
    elif isinstance(content, dict) and all(_NUMBER.fullmatch(key) or not key for key in content):
        inner = list(content.values())
    yield from (entry for entry in inner if entry)


def _change(entry: Value) -> StageChange:
    fields: Mapping[str, Value] = entry if isinstance(entry, dict) else {}
    lead_id, status_id = _number(fields.get("id")), _number(fields.get("status_id"))
    if lead_id is None or status_id is None:
        lacking = " and ".join(name for name, value in (("id", lead_id), ("status_id", status_id)) if value is None)
        raise UnreadableHook(f"expected a number as {lacking} in each entry of leads[status], got none")
    return StageChange(
        lead_id=lead_id,
        pipeline_id=_number(fields.get("pipeline_id")),
        status_id=status_id,
        old_status_id=_number(fields.get("old_status_id")),
        old_pipeline_id=_number(fields.get("old_pipeline_id")),
        at=_time(fields, "last_modified", "updated_at"),
        title=_text(fields.get("name"))[:TITLE],
    )


def _creation(entry: Value) -> StageChange | None:
    """A deal that was made on a stage; None where the entry does not tell which."""
    fields: Mapping[str, Value] = entry if isinstance(entry, dict) else {}
    lead_id, status_id = _number(fields.get("id")), _number(fields.get("status_id"))
    if lead_id is None or status_id is None:
        return None
    at = _time(fields, "created_at", "date_create", "last_modified", "updated_at")
    title = _text(fields.get("name"))[:TITLE]
    return StageChange(lead_id, _number(fields.get("pipeline_id")), status_id, None, None, at, True, title)


def _time(fields: Mapping[str, Value], *names: str) -> int | None:
    """The first of these that there is, where it is a time at all."""
    at = next((number for name in names if (number := _number(fields.get(name)))), None)
    return at if at and at <= _LAST_SECOND else None


def _stays(change: StageChange) -> bool:
    if change.status_id != change.old_status_id:
        return False
    # 142 and 143 are stages of every pipeline. Not every hook tells the old one, yet each tells of a change.
    unknown = change.old_pipeline_id is None and change.status_id not in CLOSED
    return unknown or change.old_pipeline_id == change.pipeline_id


def _id(entry: Value) -> str:
    """The id of an entry, by whichever name its entity has for it; empty if it has none."""
    if not isinstance(entry, dict):
        return _text(entry)
    note = entry.get("note")
    inside = note if isinstance(note, dict) else {}
    # A note is told by what it hangs on; leads[note][0][note][element_id] is the deal.
    for value in (inside.get("element_id"), *map(entry.get, ("id", "uid", "talk_id", "element_id")), inside.get("id")):
        if text := _text(value):
            return text
    return _text(entry)


def _kind(entity: str, entry: Value) -> str:
    company = entity == "contacts" and isinstance(entry, dict) and _text(entry.get("type")) == "company"
    return "companies" if company else entity


def _account(account: Value | None) -> tuple[int | None, str | None]:
    if not isinstance(account, dict):
        return None, None
    links = account.get("_links")
    subdomain = _text(account.get("subdomain")).lower() or _subdomain(
        _text(links.get("self")) if isinstance(links, dict) else ""
    )
    return _number(account.get("id")), subdomain or None


def _subdomain(link: str) -> str:
    """From an account's own address, and of no other host: school.example.com is not the account school."""
    try:
        found = _HOST.fullmatch(urlsplit(link).hostname or "")
    except ValueError:
        return ""
    return found[1] if found else ""


def _text(value: Value | None) -> str:
    """The text of a field, also of one that is value and parent at once."""
    if isinstance(value, dict):
        value = value.get("")
    return value.strip() if isinstance(value, str) else ""


def _number(value: Value | None) -> int | None:
    """A positive number that a database holds, or None: ids are often empty or 0 for "none"."""
    text = _text(value)
    number = int(text) if _NUMBER.fullmatch(text) else 0
    return number if 0 < number <= BIGGEST else None
