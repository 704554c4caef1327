"""The action log: who did what, when, and with how many."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from flask import request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from outbox.queries import Action, Filter
from outbox.whole_numbers import whole_number
from service.current import Dealpost, current
from service.operator import words
from service.operator.pages import delivery_row, destinations
from service.operator.pages.blueprint import bp, show

PAGE = 50
NAMED = 3
"""Of so many people at most a line of the log names."""


@dataclass(frozen=True)
class Entry:
    at: str
    exact: str
    who: str
    what: str
    count: str
    detail: str
    link: str
    whom: str


@bp.get("/log")
def action_log() -> Response:
    dealpost = current()
    actions = dealpost.store.reading.actions(PAGE + 1, whole_number(request.args.get("after")))
    shown = actions[:PAGE]
    older = url_for("pages.action_log", after=shown[-1].id) if len(actions) > PAGE else ""
    now = dealpost.store.now()
    concerned = _concerned(dealpost, shown)
    entries = [_entry(dealpost, action, now, concerned) for action in shown]
    return show("action_log.html", "pages.action_log", entries=entries, older=older)


def _ids(action: Action) -> list[int]:
    """A few of the deliveries that it was done to, where they were many: of a single one, _entry tells."""
    spans = action.detail.get("ids")
    if not isinstance(spans, list):
        return []
    return list(islice((one for first, last in spans for one in range(first, last + 1)), NAMED + 1))


def _concerned(dealpost: Dealpost, actions: Sequence[Action]) -> dict[int, str]:
    """Students' names by delivery."""
    ids = tuple(dict.fromkeys(id for action in actions for id in _ids(action)))
    rows = dealpost.store.reading.find(Filter(ids=ids), len(ids)).rows if ids else ()
    return {row.id: delivery_row.person(row) for row in rows}


def _people(action: Action, concerned: Mapping[int, str]) -> str:
    """ "Anna, Boris and others", by the first few deliveries; "" where they are gone, or it concerned nobody."""
    ids = _ids(action)
    names = list(dict.fromkeys(concerned[id] for id in ids if id in concerned))
    if not names:
        return ""
    listed = ", ".join(names[:NAMED])
    return _("%(names)s and others", names=listed) if action.count > len(ids[:NAMED]) and len(ids) > 1 else listed


def _entry(dealpost: Dealpost, action: Action, now: float, concerned: Mapping[int, str]) -> Entry:
    delivery = action.detail.get("delivery_id") or action.detail.get("delivery") or action.detail.get("id")
    row = dealpost.store.reading.delivery(delivery) if isinstance(delivery, int) else None
    link = url_for("pages.delivery", delivery_id=row.id) if row else ""
    return Entry(
        at=words.when(action.at, now),
        exact=words.exact(action.at),
        who=action.who,
        what=words.action_words(action.what),
        count=words.number(action.count),
        detail=", ".join(filter(None, (_people(action, concerned), _detail(dealpost, action.detail)))),
        link=link,
        whom=f"{delivery_row.person(row)}, {delivery_row.event(row, dealpost)}" if row else "",
    )


def _detail(dealpost: Dealpost, detail: Mapping[str, Any]) -> str:
    """What it was done to, in a line."""
    said = []
    where = detail.get("where") or detail.get("filter")
    values = {**(where if isinstance(where, Mapping) else {}), **detail}
    if values.get("destination"):
        said.append(destinations.title(str(values["destination"]), dealpost))
    if values.get("cause"):
        said.append(words.cause_title(str(values["cause"]), {}))
    before, after = _mail(values.get("before") or values.get("old")), _mail(values.get("after") or values.get("new"))
    if before and after and before != after:
        said.append(f"{before} → {after}")
    elif before:
        said.append(_("before: %(value)s", value=before))
    if values.get("lesson"):
        said.append(_("lesson %(lesson)s", lesson=values["lesson"]))
    stage = values.get("stage") or values.get("name")
    if stage:
        said.append(_("stage “%(stage)s”", stage=stage))
    if values.get("funnel"):
        said.append(_("funnel “%(name)s”", name=values["funnel"]))
    if values.get("reason") and values["reason"] != "operator":
        said.append(str(values["reason"]))
    return ", ".join(said)


def _mail(value: Any) -> str:
    if isinstance(value, Mapping):
        data = value.get("data")
        if not value.get("email") and isinstance(data, Mapping) and data.get("dealName"):
            amount = data.get("amount")
            named = str(data["dealName"])
            return f"{named}, {words.money(amount)}" if amount not in (None, "") else named
        value = value.get("email") or json.dumps(value, ensure_ascii=False)
    return str(value)[:120] if value else ""
