"""Students and deals: who there is, where their deal stands, and what they did last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import request, url_for
from werkzeug.wrappers import Response

from outbox.message import Delivery
from outbox.queries import Filter, Student
from outbox.whole_numbers import whole_number
from service.current import Dealpost, current
from service.operator import words
from service.operator.pages import delivery_row, links, stages
from service.operator.pages.blueprint import bp, show
from service.operator.pages.journey import reached
from service.routing import LESSON

PAGE = 50


@dataclass(frozen=True)
class Row:
    """Ready for a template. lesson, lesson_ago: the last one that was completed, and when; "" without one."""

    name: str
    email: str
    phones: str
    link: str
    lead_id: int | None
    deal_url: str
    stage: str
    lesson: str
    lesson_ago: str
    lesson_exact: str
    open: int
    ago: str
    exact: str


@bp.get("/students")
def students() -> Response:
    dealpost = current()
    now = dealpost.store.now()
    search = request.args.get("q", "").strip()[:200]
    after = whole_number(request.args.get("after"))
    where = dealpost.store.reading.look_up(Filter(search=search))
    found = dealpost.store.reading.students(where, PAGE + 1, after)
    older = url_for("pages.students", q=search or None, after=found[PAGE - 1].after) if len(found) > PAGE else ""
    return show(
        "students.html",
        "pages.students",
        people=[_row(dealpost, one, now) for one in found[:PAGE]],
        search=search,
        older=older,
        later=after is not None,
        cut=bool(where.people and where.people.cut),
    )


def _row(dealpost: Dealpost, one: Student, now: float) -> Row:
    lesson = next((delivery for delivery in one.deliveries if delivery.event_name == LESSON), None)
    values = {"email": one.email} if one.email else {"deal": one.lead_id}
    return Row(
        name=delivery_row.person(one.deliveries[0]) if one.deliveries else one.email or "",
        email=one.email or "",
        phones=one.phones,
        link=url_for("pages.journey", **values),
        lead_id=one.lead_id,
        deal_url=links.deal_url(dealpost, one.lead_id),
        stage=last_stage(dealpost, one.deliveries),
        lesson=delivery_row.event(lesson, dealpost) if lesson else "",
        lesson_ago=words.ago(lesson.received_at, now) if lesson else "",
        lesson_exact=words.exact(lesson.received_at) if lesson else "",
        open=one.open,
        ago=words.ago(one.last_at, now),
        exact=words.exact(one.last_at),
    )


def last_stage(dealpost: Dealpost, deliveries: Sequence[Delivery]) -> str:
    """The last stage that the deal is known to be on, by its name; "" while none is known."""
    moves = reached(deliveries)
    return stages.name_of(dealpost, max(moves)[1]) if moves else ""
