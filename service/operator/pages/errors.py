"""What a reader sees when the store cannot be read: no trace of the program, but what it means and who mends it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from flask import Response, g, request
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from outbox.message import StoreNotWritable, StoreUnavailable
from service.current import current
from service.operator import words
from service.operator.auth import own_path, sign_in_page, user_now
from service.operator.pages.blueprint import bp, show
from service.operator.pages.destinations import DestinationStatus
from service.operator.pages.headline import Headline
from service.operator.turns import RETRY_AFTER, Busy

logger = logging.getLogger(__name__)
NEEDED = 200 * 1024 * 1024


@dataclass(frozen=True)
class Known:
    """The last figures that this process read."""

    at: float
    destinations: Sequence[DestinationStatus]


class _Last:
    known: Known | None = None


def remember(now: float, statuses: Sequence[DestinationStatus]) -> None:
    _Last.known = Known(now, tuple(statuses))


@bp.errorhandler(Exception)
def stumbled(error: Exception) -> Response | HTTPException:
    """A store that does not answer, an address that is none, or a fault of ours: each in words."""
    g.is_error_page = True
    viewer = isinstance(error, HTTPException) and error.code == 403 and g.get("sign_in", "") != "closed"
    if user_now() is None and not viewer:
        return _to_a_stranger(error)
    if isinstance(error, CSRFError):
        words_ = _("The page was open for too long, so nothing was changed. Go back, reload it and press again.")
        return _page(400, "clock", _("This form is no longer valid."), words_)
    if isinstance(error, Busy):
        then = _("Others are looking up something in amoCRM. Try again in a moment.")
        answer = _page(503, "clock", _("Not now."), then)
        answer.headers["Retry-After"] = RETRY_AFTER
        return answer
    if isinstance(error, HTTPException):
        if error.code == 404:
            return _page(404, "search", _("There is nothing here."), _("It may have been cleared away, or mistyped."))
        if viewer:
            words_ = _("This needs the sign-in of somebody who may change things. Nothing was changed.")
            return _page(403, "eye", _("You may look, but not change anything."), words_)
        return error
    if not (isinstance(error, StoreUnavailable | OSError) or _of_a_database(error)):
        rule = request.url_rule.rule if request.url_rule else "an unknown address"
        logger.error("%s %s failed", request.method, rule, exc_info=error)
        if _store_answers():
            head = _("Dealpost itself stumbled.")
            return _page(500, "alert", head, _("The log has the details. Lessons are accepted as usual."))
    else:
        logger.error("The store does not answer: %s: %s", type(error).__name__, error)
    return _store_page(error)


def _to_a_stranger(error: Exception) -> Response | HTTPException:
    """Words alone: the page around them bears the account's name and figures."""
    if isinstance(error, CSRFError):
        return sign_in_page(400, _("This form is no longer valid."), own_path(""))
    if isinstance(error, HTTPException):
        return error if error.code != 404 else _plain(404, _("There is nothing here."))
    if isinstance(error, StoreUnavailable | OSError) or _of_a_database(error):
        logger.error("The store does not answer: %s: %s", type(error).__name__, error)
        return _plain(503, _("The store cannot be read."))
    rule = request.url_rule.rule if request.url_rule else "an unknown address"
    logger.error("%s %s failed", request.method, rule, exc_info=error)
    return _plain(500, _("Dealpost itself stumbled."))


def _plain(status: int, words_: str) -> Response:
    return Response(words_ + "\n", status, content_type="text/plain; charset=utf-8")


def _of_a_database(error: BaseException) -> bool:
    """By its name only: drivers live in the engines."""
    return any(kind.__module__.partition(".")[0] in ("sqlite3", "psycopg") for kind in type(error).__mro__)


def _store_answers() -> bool:
    try:
        current().wiring.pauses()
    except Exception:
        return False
    return True


def _page(status: int, icon: str, head: str, then: str) -> Response:
    said = Headline("quiet" if status < 500 else "bad", icon, head, then)
    if not _store_answers():
        g.store_unavailable = True
    return show("error.html", "", status=status, headline=said)


def _store_page(error: Exception) -> Response:
    g.store_unavailable = True
    settings = current().settings
    full, free = "full" in str(error).lower(), None
    path = str(settings.database_path) if settings.on_sqlite else ""
    with suppress(OSError):
        free = shutil.disk_usage(settings.database_path.parent).free if path else None
    full = full or (free is not None and free < 1024 * 1024)
    denied = isinstance(error, StoreNotWritable)
    head = _("The server's disk is full, the store does not open.") if full else _("The store cannot be read.")
    if denied:
        head = _("The store takes no writes.")
    said = Headline(
        "bad",
        "alert",
        head,
        _("New lessons are not accepted now, those accepted before are safe."),
        _("The platform gets a refusal and has to send the lessons again when this is mended."),
        "unavailable",
    )
    megabytes = None if free is None else free // (1024 * 1024)
    known = _Last.known
    note = f"Dealpost: {type(error).__name__}: {str(error)[:200]}" + (f" ({path}), free {megabytes} MB" if path else "")
    return show(
        "store_unavailable.html",
        "pages.overview",
        status=503,
        headline=said,
        full=full,
        denied=denied,
        megabytes=megabytes,
        needed=NEEDED // (1024 * 1024),
        note=note,
        known=known,
        known_at=words.clock(known.at, seconds=True) if known else "",
        waits=[(destination, _longest(destination, known.at)) for destination in known.destinations] if known else [],
        dead=sum(destination.dead for destination in known.destinations) if known else 0,
    )


def _longest(destination: DestinationStatus, now: float) -> str:
    oldest = destination.tally.oldest_pending
    return words.duration(now - oldest) if oldest else ""
