"""Acting on many: what exactly is meant, how many, what will happen; then exactly that and nothing more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask import flash, request
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.wrappers import Response

from outbox.message import Delivery, State
from outbox.store import Changed, Filter
from service.house import Dealpost, dealpost
from service.operator import words
from service.operator.pages import filters, places, rows, stages
from service.operator.pages.blueprint import back_to, bp, show, who
from service.routing import AMOCRM

ACTS = ("retry", "discard")
LOOKED_AT = 1000
"""Of so many at most the confirmation tells what will happen to each kind, and the progress is followed."""

NAMESPACE = "bulk"
NOT_OPEN = {
    "retry": (State.DEAD, State.SKIPPED, State.DISCARDED, State.PENDING),
    "discard": (State.DEAD, State.SKIPPED, State.PENDING),
}


@dataclass(frozen=True)
class Line:
    """One line of what will happen."""

    count: int
    text: str
    note: str = ""


def _asked(args: Any, now: float) -> tuple[str, filters.Query]:
    """What is to be done and with which; ticked rows narrow, unless all that match were meant."""
    act = args.get("act", "retry")
    act = act if act in ACTS else "retry"
    query = filters.read(args, now)
    ids = tuple(sorted({int(one) for one in args.getlist("id") if one.isascii() and one.isdigit() and len(one) < 19}))
    if args.get("mode") == "all" and len(ids) == _figure(args.get("shown")):
        ids = ()
    elif "mode" in args and not ids:
        ids = (0,)  # nothing is ticked: nothing is meant
    states = query.where.states or NOT_OPEN[act]
    where = replace(query.where, ids=ids, states=tuple(one for one in states if one in NOT_OPEN[act]))
    return act, filters.Query(where, query.values)


def _figure(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else -1


@bp.get("/confirm")
def confirm() -> Response:
    """The question, with the number; nothing happens yet."""
    house = dealpost()
    now = house.store.now()
    act, query = _asked(request.args, now)
    if query.where.max_id is None:
        newest = house.store.list(query.where, 1).rows
        query = filters.Query(replace(query.where, max_id=newest[0].id if newest else 0), query.values)
    count = house.store.count(query.where) if query.where.states else 0
    return show("confirm.html", "pages.deliveries", **question(house, act, query, count, now))


def question(house: Dealpost, act: str, query: filters.Query, count: int, now: float) -> dict[str, Any]:
    looked = house.store.list(query.where, LOOKED_AT).rows if count else ()
    hidden = dict(query.frozen(query.where.max_id or 0).values)
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
        "lines": lines(house, looked, act) if looked else [],
        "hidden": hidden,
        "ids": query.where.ids,
        "seconds": _takes(house, looked, count),
        "who": who(),
        "back": places.list_url(**{k: v for k, v in query.values.items() if k != "max_id"}),
    }


def lines(house: Dealpost, looked: Sequence[Delivery], act: str) -> list[Line]:
    """By what they are and where they go, most first."""
    known = {one.lesson: one for one in stages.lessons(house)}
    kinds = Counter((one.destination, rows.event(one, house), *_stage(known, one)) for one in looked)
    found = []
    for (destination, event, stage, gone), count in kinds.most_common(6):
        title = places.title(destination, house)
        if act == "discard":
            found.append(Line(count, f"{title}: {event}", _("will not be sent")))
        elif stage:
            text = ngettext(
                "deal moves to the stage “%(stage)s”", "deals move to the stage “%(stage)s”", count, stage=stage
            )
            found.append(Line(count, text, _("%(destination)s, %(event)s", destination=title, event=event)))
        else:
            note = _("the stage is gone from amoCRM: choose another one first") if gone else ""
            found.append(Line(count, f"{title}: {event}", note))
    rest = sum(kinds.values()) - sum(line.count for line in found)
    if rest:
        found.append(Line(rest, _("others")))
    return found


def _stage(known: Mapping[int, stages.Lesson], one: Delivery) -> tuple[str, bool]:
    """(the stage that a lesson's deal is meant to reach, whether it is gone)."""
    lesson = known.get(words.lesson_of(one.data, one.facts)) if one.destination == AMOCRM else None
    if lesson is None:
        return "", False
    return (lesson.name if lesson.state == "there" else ""), lesson.state == "gone"


def _takes(house: Dealpost, looked: Sequence[Delivery], count: int) -> str:
    """About how long it will take, from the pace."""
    if not looked:
        return ""
    slow = sum(one.destination == AMOCRM for one in looked) / len(looked)
    per_second = house.settings.amocrm.rps if slow else 5.0
    return words.rough_words(max(1.0, 2 + count / max(1.0, per_second * 5)))


@bp.post("/do")
def do_many() -> Response:
    """Exactly the rows that were shown and counted; if they changed meanwhile, the question is asked anew."""
    house = dealpost()
    act, query = _asked(request.form, house.store.now())
    expected = _figure(request.form.get("expected"))
    where = query.where
    if where.max_id is None or expected < 0 or not where.states:
        return back_to("pages.deliveries")
    ids = tuple(one.id for one in house.store.list(where, LOOKED_AT).rows)
    try:
        count = (
            house.store.retry(where, who(), expected) if act == "retry" else house.store.discard(where, who(), expected)
        )
    except Changed as changed:
        values = question(house, act, query, changed.found, house.store.now())
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
        key = f"{ids[0]}-{int(house.store.now() * 1000)}"
        house.store.memory.put(NAMESPACE, key, {"ids": list(ids), "at": house.store.now(), "who": who()})
        return back_to("pages.progress", key=key)
    flash(
        ngettext(
            "%(count)s delivery is sent again.",
            "%(count)s deliveries are sent again.",
            count,
            count=words.number(count),
        ),
        "ok",
    )
    return back_to("pages.deliveries", state="pending")


@bp.get("/progress/<key>")
def progress(key: str) -> Response | tuple[str, int]:
    """How far a resend has come: "9 of 14"."""
    house = dealpost()
    now = house.store.now()
    entry = house.store.memory.get(NAMESPACE, key)
    if entry is None:
        return back_to("pages.deliveries")
    ids = tuple(entry.value["ids"])
    where = Filter(ids=ids)
    counts = house.store.count_states(where)
    left = counts.get(State.PENDING, 0) + counts.get(State.SENDING, 0)
    found = house.store.list(where, 50).rows
    return show(
        "progress.html",
        "pages.deliveries",
        live=left > 0,
        total=len(ids),
        finished=len(ids) - left,
        counts=[
            (words.ICONS[state], words.TONES[state], words.states_word(state), count)
            for state, count in counts.items()
            if count
        ],
        left=left,
        rows=rows.present(house, found, now),
        waiting_for=sorted({one.destination for one in found if one.state == State.PENDING}),
        paused=house.wiring.pauses(),
        title=lambda name: places.title(name, house),
    )
