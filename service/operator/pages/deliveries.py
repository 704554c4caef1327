"""The list: filters, tabs of states, failures grouped by cause, pages by key, and the bar that acts on many."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from flask import request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from outbox.message import RESENDABLE, State
from outbox.queries import CauseGroup
from outbox.whole_numbers import whole_number
from service.current import Dealpost, current
from service.operator import words
from service.operator.pages import delivery_row, destinations, filters, links
from service.operator.pages.blueprint import bp, show
from service.routing import AMOCRM, ERP, RECORDS

PAGE = 50
TABS = (State.DEAD, State.PENDING, State.SENDING, State.DELIVERED, State.SKIPPED, State.DISCARDED)
EVENTS = ("lesson.completed", "amocrm/webhook", "crm/create-deal", "erp/task.create")


@dataclass(frozen=True)
class Group:
    """A failure group, ready for the template."""

    title: str
    todo: str
    count: int
    span: str
    who: str
    link: str
    confirm: str
    fix: str
    chosen: bool


@bp.get("/deliveries")
def deliveries() -> Response:
    """Which ones, why, and what to do with them."""
    dealpost = current()
    now = dealpost.store.now()
    query = filters.read(request.args, now)
    query = replace(query, where=dealpost.store.reading.look_up(query.where))
    page = dealpost.store.reading.find(query.where, PAGE, whole_number(request.args.get("after")))
    counts = dealpost.store.reading.count_states(replace(query.where, cause=""))
    meant = query.where.states or tuple(State)
    total = (
        dealpost.store.reading.count(query.where) if query.where.cause else sum(counts.get(state, 0) for state in meant)
    )
    grouped = groups(dealpost, query, now) if query.state in (State.DEAD, State.PENDING) else []
    acts = query.state in RESENDABLE and total > 0
    first = (
        page.rows
        if request.args.get("after") is None
        else dealpost.store.reading.find(query.where, 1).rows
        if acts
        else ()
    )
    choice = request.args.get("select", "all" if query.values.get("cause") and query.state == State.DEAD else "")
    return show(
        "deliveries.html",
        "pages.deliveries",
        live=True,
        query=query,
        fields=fields(dealpost, query),
        tabs=_tabs(query, counts),
        groups=grouped,
        rows=delivery_row.present(dealpost, page.rows, now),
        older=links.list_url(**query.link(), after=page.after) if page.after is not None else "",
        newest=links.list_url(**query.link()) if request.args.get("after") else "",
        total=total,
        shown=len(page.rows),
        acts=acts,
        selected=choice == "all" and acts,
        frozen=query.frozen(first[0].id).values if first and acts else {},
        can_discard=query.state != State.DISCARDED,
        head=_head(query, total),
        cut=bool(query.where.people and query.where.people.cut),
    )


def _head(query: filters.Query, total: int) -> str:
    if query.values.get("cause"):
        return words.counted(total, "cause")
    return words.counted(total, "")


def _tabs(query: filters.Query, counts: Any) -> list[tuple[str, str, str, str, bool]]:
    """(icon, title, count, link, chosen), trouble first."""
    found = []
    for state in TABS:
        link = links.list_url(**query.link(state=state.value, cause=""))
        found.append(
            (
                words.ICONS[state],
                words.states_word(state),
                words.number(counts.get(state, 0)),
                link,
                query.state == state,
            )
        )
    everything = words.number(sum(counts.values()))
    found.append(("", _("All"), everything, links.list_url(**query.link(state="", cause="")), not query.where.states))
    return found


def fields(dealpost: Dealpost, query: filters.Query) -> dict[str, list[tuple[str, str]]]:
    """The choices of the filter bar, as (value, title)."""
    names = [AMOCRM, ERP]
    titles = {
        "": _("Any time"), "hour": _("1 hour"), "day": _("24 hours"), "week": _("7 days"), "month": _("30 days")
    }  # fmt: skip
    spans = [(name, titles[name]) for name in ("", *filters.SPANS)]
    events = list(EVENTS)
    asked = query.values.get("event")
    if asked and asked not in events:
        events.append(asked)
    return {
        "destination": [
            ("", _("Everywhere")),
            *((name, destinations.title(name, dealpost)) for name in names),
            ("-", _("Nowhere")),
        ],
        "event": [("", _("Any event")), *((name, words.event_kind(name)) for name in events)],
        "when": spans,
    }


def groups(dealpost: Dealpost, query: filters.Query, now: float) -> list[Group]:
    """Failures by cause within the filter, whichever cause is chosen."""
    chosen = query.values.get("cause", "")
    causes = dealpost.store.reading.causes(replace(query.where, cause="", max_id=None))
    return [_group(group, query, now, chosen) for group in causes if group.state == query.state]


def _group(group: CauseGroup, query: filters.Query, now: float, chosen: str) -> Group:
    narrowed: dict[str, Any] = query.link(cause=group.cause, destination=group.destination, state=group.state.value)
    frozen: dict[str, Any] = {key: value for key, value in narrowed.items() if key != "when"}
    if query.where.since is not None:
        frozen["since"] = f"{query.where.since:.3f}"
    single = group.sample[0].id if group.count == 1 and group.sample else None
    mistyped = group.cause in ("contact_not_found", "deal_not_found") and bool(group.sample and group.sample[0].email)
    mistyped = mistyped or (group.cause == "erp_refused" and group.sample[0].event_name in RECORDS)
    fixable = single is not None and mistyped
    return Group(
        title=words.cause_title(group.cause, group.params) if group.cause else words.reason_words(group.reason),
        todo=words.cause_todo(group.cause, group.params) or words.cause_means(group.cause, group.params),
        count=group.count,
        span=words.span(group.first_at, group.last_at, now),
        who=words.cause_who(group.cause),
        link=links.list_url(**narrowed),
        confirm=url_for("pages.confirm", act="retry", **frozen, max_id=group.max_id),
        fix=url_for("pages.correct", delivery_id=single) if fixable else "",
        chosen=chosen == group.cause,
    )
