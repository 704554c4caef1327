"""The action log: who did what, when, and with how many."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from outbox.queries import Action
from service.current import Dealpost, current
from service.operator import words
from service.operator.pages import destinations
from service.operator.pages.blueprint import bp, show

PAGE = 50


@dataclass(frozen=True)
class Entry:
    at: str
    exact: str
    who: str
    what: str
    count: str
    detail: str
    link: str


@bp.get("/log")
def journal() -> Response:
    dealpost = current()
    after = request.args.get("after", "")
    found = dealpost.store.reading.actions(PAGE + 1, int(after) if after.isdigit() and len(after) < 19 else None)
    shown = found[:PAGE]
    older = url_for("pages.journal", after=shown[-1].id) if len(found) > PAGE else ""
    now = dealpost.store.now()
    return show("journal.html", "pages.journal", entries=[_entry(dealpost, one, now) for one in shown], older=older,
                later=bool(after))  # fmt: skip


def _entry(dealpost: Dealpost, one: Action, now: float) -> Entry:
    delivery = one.detail.get("delivery_id") or one.detail.get("delivery") or one.detail.get("id")
    link = url_for("pages.delivery", delivery_id=delivery) if isinstance(delivery, int) else ""
    return Entry(
        at=words.when(one.at, now),
        exact=words.exact(one.at),
        who=one.who,
        what=words.action_words(one.what),
        count=words.number(one.count),
        detail=_detail(dealpost, one.detail),
        link=link,
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
