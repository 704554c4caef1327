"""What would happen to many deliveries, looked up without doing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from babel.lists import format_list
from flask import request, url_for
from flask_babel import get_locale
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from outbox.message import Delivery
from outbox.outcome import DeliveryError
from service.current import Dealpost, current
from service.operator import words
from service.operator.pages import delivery_row, destinations
from service.operator.pages.blueprint import bp, known_arguments, show
from service.operator.pages.bulk import LOOKED_AT, Line, asked, lines
from service.operator.turns import waits_for_others
from service.operator.words.numbers import ngettext
from service.routing import AMOCRM

SAMPLE = 50
"""So many at most are looked up in amoCRM for the question: one reading, while somebody waits."""

NAMED = 3


@bp.get("/confirm/preview")
@waits_for_others
def foresee_many() -> Response:
    """What would happen to each deal, looked up without doing it."""
    dealpost = current()
    now = dealpost.store.now()
    _act, query = asked(request.args, now)
    looked = dealpost.store.reading.find(query.where, LOOKED_AT).rows if query.where.states else ()
    count = dealpost.store.reading.count(query.where) if query.where.states else 0
    found, fault = foreseen(dealpost, looked, count)
    same: dict[str, Any] = {**known_arguments()}
    return show(
        "preview_many.html",
        "pages.deliveries",
        lines=found,
        fault=fault,
        title=destinations.title(AMOCRM, dealpost),
        at=words.clock(now),
        again=url_for("pages.foresee_many", **same),
        back=url_for("pages.confirm", **same),
    )


def foreseen(dealpost: Dealpost, looked: Sequence[Delivery], count: int) -> tuple[list[Line], str]:
    """(what will happen, by deals that move and deals that stay; in words why that could not be looked up, or "").

    looked: the newest of these `count`. Only the first of those for amoCRM are looked up, in one go; of the others
    the count is told.
    """
    sample = [delivery for delivery in looked if delivery.destination == AMOCRM][:SAMPLE]
    try:
        found = dealpost.wiring.previewer.previews(sample)
    except DeliveryError as error:
        return lines(dealpost, looked, "retry", count), words.cause_title(error.cause, error.params)
    moves: Counter[str] = Counter()
    stay: dict[str, list[tuple[str, str]]] = {}
    moved: set[tuple[int | None, str]] = set()
    for delivery in sample:
        if (seen := found.get(delivery.id)) is None:
            continue
        name = seen.contact_name or delivery_row.person(delivery)
        if seen.verdict == "move" and (seen.lead_id, seen.to_name) not in moved:
            moves[seen.to_name] += 1
            moved.add((seen.lead_id, seen.to_name))
        else:
            further = seen.verdict == "already_further" and seen.from_name
            stage = seen.from_name if further else seen.to_name if seen.verdict == "move" else ""
            why = _("already on “%(stage)s”", stage=stage) if stage else words.reason_words(seen.verdict)
            stay.setdefault("not_found" if seen.verdict == "not_found" else "", []).append((why, name))
    told = [
        Line(count, ngettext("deal moves to the stage “%(stage)s”", "deals move to the stage “%(stage)s”", count,
                             stage=stage))
        for stage, count in moves.most_common()
    ]  # fmt: skip
    if left := stay.get(""):
        text = ngettext("deal stays where it is", "deals stay where they are", len(left))
        told.append(Line(len(left), text, _whys(left)))
    if nobody := stay.get("not_found"):
        text = ngettext("student has no deal in amoCRM yet", "students have no deal in amoCRM yet", len(nobody))
        told.append(Line(len(nobody), text, _names([name for _why, name in nobody])))
    others = [delivery for delivery in looked if delivery.destination != AMOCRM]
    told += lines(dealpost, others, "retry") if others else []
    unseen = count - len(others) - len(found)
    if unseen:
        text = ngettext("more was not looked up", "more were not looked up", unseen)
        note = _("Only the first %(num)s are looked up. The others are judged alike when they go out.", num=SAMPLE)
        told.append(Line(unseen, text, note if len(found) >= SAMPLE else ""))
    return told, ""


def _whys(left: Sequence[tuple[str, str]]) -> str:
    """Each reason with the names of those whom it concerns."""
    reasons: dict[str, list[str]] = {}
    for why, name in left:
        reasons.setdefault(why, []).append(name)
    return "; ".join(
        _("%(who)s: %(why)s", who=_names(names), why=why)
        for why, names in sorted(reasons.items(), key=lambda pair: -len(pair[1]))[:3]
    )


def _names(names: Sequence[str]) -> str:
    """Up to three names, and how many more there are."""
    known = list(dict.fromkeys(names))
    if len(known) > NAMED:
        return _("%(names)s and %(num)s more", names=", ".join(known[:NAMED]), num=words.number(len(known) - NAMED))
    return str(format_list(known, locale=get_locale() or "en"))
