"""The blueprint of the pages: who may come in, what each answer bears, and what every template knows."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, abort, g, get_flashed_messages, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_wtf.csrf import generate_csrf
from werkzeug.wrappers import Response as AnyResponse

from outbox.message import BIGGEST, Delivery, Event, State, StoreUnavailable
from outbox.queries import Filter
from outbox.whole_numbers import whole_number
from service.current import Dealpost, current
from service.operator import words
from service.operator.auth import OPERATOR, csrf, operator_required, user_now, viewer_required
from service.operator.pages import banners, filters
from service.operator.words.numbers import ngettext
from service.version import VERSION

logger = logging.getLogger(__name__)

TEMPLATES = Path(__file__).parent.parent / "templates"
bp = Blueprint("pages", __name__, url_prefix="/outbox", template_folder=str(TEMPLATES), static_folder="../static")

LANGUAGES = (("ru", "Русский"), ("en", "English"))
OPEN_TO_ALL = ("pages.static", "pages.ask_sign_in", "pages.sign_in_now")
ARGUMENTS = (
    *filters.NAMES, "max_id", "after", "select", "id", "act", "mode", "shown", "chart", "look", "lesson", "refresh",
)  # fmt: skip
"""All that pages read from an address."""

OPEN_TO_VIEWERS = ("pages.choose_language", "pages.sign_out")
"""What changes nothing of the school's, although it is a POST."""


@bp.before_request
def guard() -> Any:
    """Viewers may look; whatever changes something is the operator's. The look of the page is nobody's secret."""
    if request.endpoint in OPEN_TO_ALL:
        return None
    looks = request.method in ("GET", "HEAD", "OPTIONS") or request.endpoint in OPEN_TO_VIEWERS
    refused = (viewer_required if looks else operator_required)(lambda: None)()
    if refused is not None and refused.status_code == 403 and request.accept_mimetypes.accept_html:
        abort(403)
    if refused is None and request.method == "POST":
        csrf.protect()  # type: ignore[no-untyped-call]
    if refused is None and request.method in ("GET", "HEAD"):
        with suppress(StoreUnavailable):  # whoever reads it will meet that
            snapshot = current().store.key_values.snapshot(request.endpoint or "")
            snapshot.__enter__()
            g.snapshot = snapshot
    return refused


@bp.teardown_request
def end_snapshot(_error: BaseException | None) -> None:
    if (snapshot := g.pop("snapshot", None)) is not None:
        snapshot.__exit__(None, None, None)


@bp.after_request
def dress(response: Response) -> Response:
    if request.endpoint != "pages.static":
        response.headers["Cache-Control"] = "no-store"
        response.vary.update(("Cookie", "Accept-Language", "X-Fragment"))
    return response


def may_change() -> bool:
    user = user_now()
    return user is not None and user.role == OPERATOR


def who() -> str:
    user = user_now()
    return user.name if user else ""


def wants_fragment() -> bool:
    """The script asks for the middle of the page only."""
    return request.headers.get("X-Fragment") == "1"


def back_to(endpoint: str, **values: Any) -> AnyResponse:
    """The answer after a POST."""
    return redirect(url_for(endpoint, **values), 303)


PAGES = {"connections": "pages.connections", "overview": "pages.overview", "setup": "pages.setup"}
"""Where a form that stands on several pages may stand: its field "from"."""


def back_here(otherwise: str = "pages.connections") -> AnyResponse:
    """The answer after a POST: the page on which the form stood."""
    return back_to(PAGES.get(request.form.get("from", ""), otherwise))


def link_here(**changes: Any) -> str:
    """This page's address with some of its arguments changed; None takes one away."""
    if g.get("is_error_page") or not request.endpoint:
        return url_for("pages.overview")
    values: dict[str, Any] = {name: given[0] for name, given in known_arguments().items()}
    values.update(request.view_args or {}, **changes)
    return url_for(request.endpoint, **{name: value for name, value in values.items() if value is not None})


def known_arguments() -> dict[str, list[str]]:
    """Those of this address that a page of ours reads. No others come into a link: url_for has names of its own."""
    return {name: request.args.getlist(name) for name in ARGUMENTS if name in request.args}


def show(template: str, section: str, *, live: bool = False, status: int = 200, **values: Any) -> Response:
    """Render a page, whole or as the fragment that the script asked for."""
    dealpost, unavailable = current(), bool(g.get("store_unavailable"))
    now = dealpost.store.now()
    seconds = whole_number(request.args.get("refresh"), most=3600)
    refresh = seconds if seconds is not None and seconds >= 5 else None
    page = render_template(
        template,
        fragment=wants_fragment(),
        section=section,
        sections=_sections(unavailable),
        banners=[] if unavailable else banners.banners(dealpost, now, may_change()),
        live=link_here(refresh=None) if live else "",
        live_link=link_here(refresh=None if refresh else 15),
        refresh_seconds=refresh,
        now=now,
        updated=words.clock(now, seconds=True),
        zone=words.zone(dealpost.settings.timezone),
        may_change=may_change(),
        **values,
    )
    return Response(page, status, content_type="text/html; charset=utf-8")


def _sections(unavailable: bool) -> list[tuple[str, str, str]]:
    dead = 0 if unavailable else current().store.reading.count(Filter(states=(State.DEAD,)))
    return [
        ("pages.overview", _("Overview"), ""),
        ("pages.deliveries", _("Deliveries"), words.number(dead) if dead else ""),
        ("pages.students", _("Students"), ""),
        ("pages.connections", _("Connections"), ""),
        ("pages.action_log", _("Action log"), ""),
    ]


@bp.app_context_processor
def known() -> dict[str, Any]:
    """What every template of the page may use. Strangers read others, and get no session for it."""
    if request and request.blueprint in ("api", "connect"):
        return {"version": VERSION}
    return {
        "words": words,
        "ngettext": ngettext,
        "version": VERSION,
        "lang": words.language(),
        "languages": LANGUAGES,
        "csrf": generate_csrf(),  # type: ignore[no-untyped-call]
        "who": who(),
        "here": "" if not request or g.get("is_error_page") else request.full_path.rstrip("?"),
        "link_here": link_here,
        "flashes": get_flashed_messages(with_categories=True) if request else [],
        "school": "" if g.get("store_unavailable") else banners.school(current()),
    }


@bp.app_template_filter("pretty_json")
def pretty_json(value: Any) -> str:
    """Readable, whole numbers exact."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def find_or_404(delivery_id: int) -> tuple[Dealpost, Delivery, Event]:
    """The delivery that an address names, with its event."""
    dealpost = current()
    delivery = dealpost.store.reading.delivery(delivery_id) if delivery_id <= BIGGEST else None
    event = dealpost.store.reading.event(delivery.event_id) if delivery else None
    if delivery is None or event is None:
        abort(404)
    return dealpost, delivery, event
