"""Acting on many: what exactly is meant, how many, what will happen; then exactly that and nothing more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask import flash, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from outbox.message import DISCARDABLE, RESENDABLE, Delivery, State
from outbox.queries import Changed, Filter
from outbox.whole_numbers import whole_number
from service.current import Dealpost, current
from service.operator import words
from service.operator.pages import delivery_row, destinations, filters, links, stages
from service.operator.pages.blueprint import back_to, bp, show, who
from service.operator.pages.progress import goes_out
from service.operator.resends import Resends
from service.operator.words.numbers import ngettext
from service.rerouting import send_again
from service.routing import AMOCRM

ACTS = ("retry", "discard")
LOOKED_AT = 1000
"""Of so many at most the confirmation tells what will happen to each kind, and the progress is followed."""

ALLOWED = {"retry": RESENDABLE, "discard": DISCARDABLE}


@dataclass(frozen=True)
class Line:
    """One line of what will happen."""

    count: int
    text: str
    note: str = ""


def asked(args: Any, now: float) -> tuple[str, filters.Query]:
    """What is to be done and with which; ticked rows narrow, unless all that match were meant."""
    act = args.get("act", "retry")
    act = act if act in ACTS else "retry"
    query = filters.read(args, now)
    ids = tuple(sorted({number for one in args.getlist("id") if (number := whole_number(one)) is not None})[:LOOKED_AT])
    if args.get("mode") == "all" and len(ids) == whole_number(args.get("shown")):
        ids = ()
    elif "mode" in args and not ids:
        ids = (0,)  # nothing is ticked: nothing is meant
    states = query.where.states or ALLOWED[act]
    where = replace(query.where, ids=ids, states=tuple(state for state in states if state in ALLOWED[act]))
    return act, filters.Query(where, query.values)


@bp.get("/confirm")
def confirm() -> Response:
    """The question, with the number; nothing happens yet."""
    dealpost = current()
    now = dealpost.store.now()
    act, query = asked(request.args, now)
    if query.where.max_id is None:
        newest = dealpost.store.reading.find(query.where, 1).rows
        query = filters.Query(replace(query.where, max_id=newest[0].id if newest else 0), query.values)
    count = dealpost.store.reading.count(query.where) if query.where.states else 0
    return show("confirm.html", "pages.deliveries", **question(dealpost, act, query, count, now))


def question(dealpost: Dealpost, act: str, query: filters.Query, count: int, now: float) -> dict[str, Any]:
    looked = dealpost.store.reading.find(query.where, LOOKED_AT).rows if count else ()
    hidden: dict[str, Any] = dict(query.frozen(query.where.max_id or 0).values)
    if act == "retry":
        title = ngettext(
            "Send %(count)s delivery again?", "Send %(count)s deliveries again?", count, count=words.number(count)
        )
    else:
        title = ngettext("Cancel %(count)s delivery?", "Cancel %(count)s deliveries?", count, count=words.number(count))
    return {
        "act": act,
        "count": count,
        "title": title,
        "lines": lines(dealpost, looked, act, count) if looked else [],
        "foresee": url_for("pages.foresee_many", act=act, id=list(query.where.ids), **hidden)
        if act == "retry" and any(delivery.destination == AMOCRM for delivery in looked)
        else "",
        "hidden": hidden,
        "ids": query.where.ids,
        "seconds": _takes(dealpost, looked, count),
        "who": who(),
        "back": links.list_url(**{k: v for k, v in query.values.items() if k != "max_id"}),
    }


def lines(dealpost: Dealpost, looked: Sequence[Delivery], act: str, count: int = 0) -> list[Line]:
    """By what they are and where they go, most first. count: how many there are, if more than those."""
    known = {delivery.lesson: delivery for delivery in stages.lessons(dealpost)}
    kinds = Counter(
        (delivery.destination, delivery_row.event(delivery, dealpost), *_stage(known, delivery)) for delivery in looked
    )
    found = []
    for (destination, event, stage, gone), number in kinds.most_common(6):
        title = destinations.title(destination, dealpost)
        if act == "discard":
            found.append(Line(number, f"{title}: {event}", _("will not be sent")))
        elif stage:
            text = ngettext(
                "deal moves to the stage “%(stage)s”", "deals move to the stage “%(stage)s”", number, stage=stage
            )
            found.append(Line(number, text, _("%(destination)s, %(event)s", destination=title, event=event)))
        else:
            note = _("the stage is gone from amoCRM: choose another one first") if gone else ""
            found.append(Line(number, f"{title}: {event}", note))
    rest = max(count, len(looked)) - sum(line.count for line in found)
    if rest:
        found.append(Line(rest, _("others")))
    return found


def _stage(known: Mapping[int, stages.Lesson], delivery: Delivery) -> tuple[str, bool]:
    """(the stage that a lesson's deal is meant to reach, whether it is gone)."""
    lesson = known.get(words.lesson_of(delivery.data, delivery.facts)) if delivery.destination == AMOCRM else None
    if lesson is None:
        return "", False
    return (lesson.name if lesson.state == "there" else ""), lesson.state == "gone"


def _takes(dealpost: Dealpost, looked: Sequence[Delivery], count: int) -> str:
    """About how long it will take, from the pace."""
    if not looked:
        return ""
    slow = sum(delivery.destination == AMOCRM for delivery in looked) / len(looked)
    per_second = dealpost.settings.amocrm.rps if slow else 5.0
    return words.rough_words(max(1.0, 2 + count / max(1.0, per_second * 5)))


@bp.post("/do")
def do_many() -> Response:
    """Exactly the rows that were shown and counted; if they changed meanwhile, the question is asked anew."""
    dealpost = current()
    act, query = asked(request.form, dealpost.store.now())
    expected = whole_number(request.form.get("expected"))
    where = query.where
    if where.max_id is None or expected is None or not where.states:
        return back_to("pages.deliveries")
    ids = tuple(delivery.id for delivery in dealpost.store.reading.find(where, LOOKED_AT).rows)
    try:
        count = (
            send_again(dealpost, where, who(), expected)
            if act == "retry"
            else dealpost.store.operations.discard(where, who(), expected)
        )
    except Changed as changed:
        values = question(dealpost, act, query, changed.found, dealpost.store.now())
        warning = _("Meanwhile the list has changed, so nothing was done. This is how it is now.")
        return show("confirm.html", "pages.deliveries", status=409, warning=warning, **values)
    if act == "discard":
        flash(
            ngettext(
                "%(count)s delivery cancelled.", "%(count)s deliveries cancelled.", count, count=words.number(count)
            ),
            "ok",
        )
        return back_to("pages.deliveries", state="discarded")
    if len(ids) < LOOKED_AT and count:
        key = Resends(dealpost.store.key_values, dealpost.store.now).begin(ids, who())
        return back_to("pages.progress", key=key)
    said = ngettext(
        "%(count)s delivery is sent again.", "%(count)s deliveries are sent again.", count, count=words.number(count)
    )
    waiting = dealpost.store.reading.find(Filter(ids=ids, states=(State.PENDING,)), 50, oldest_first=True).rows
    flash(" ".join(filter(None, (said, goes_out(dealpost, waiting, dealpost.store.now())))), "ok")
    return back_to("pages.deliveries", state="pending")
