"""Students and deals: who there is."""

from __future__ import annotations

from flask import request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from service.current import current
from service.operator import words
from service.operator.pages import links
from service.operator.pages.blueprint import bp, show

PAGE = 50


@bp.get("/students")
def students() -> Response:
    dealpost = current()
    now = dealpost.store.now()
    search = request.args.get("q", "").strip()[:200]
    rows = dealpost.store.reading.people(search, PAGE + 1, request.args.get("after") or None)
    people = []
    for row in rows[:PAGE]:
        values = {"email": row["email"]} if row.get("email") else {"deal": row.get("lead_id")}
        people.append(
            {
                **row,
                "name": row.get("person") or row.get("email") or _("Deal %(id)s", id=row.get("lead_id")),
                "link": url_for("pages.journey", **values),
                "ago": words.ago(row["last_at"], now),
                "exact": words.exact(row["last_at"]),
                "deal_url": links.deal_url(dealpost, row.get("lead_id")),
            }
        )
    after = str(rows[PAGE - 1].get("after") or rows[PAGE - 1].get("cursor") or "") if len(rows) > PAGE else ""
    older = url_for("pages.students", q=search or None, after=after) if after else ""
    return show(
        "students.html",
        "pages.students",
        people=people,
        search=search,
        older=older,
        later=bool(request.args.get("after")),
    )
