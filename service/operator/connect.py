"""Connecting an amoCRM account: consent, its answer, and the word that access was withdrawn.

Reference: https://www.amocrm.ru/developers/content/oauth/step-by-step
"""

from __future__ import annotations

import logging

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_wtf.csrf import generate_csrf
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from outbox import pauses
from outbox.outcome import DeliveryError
from outbox.store import Store
from service.amocrm.connect import ConnectError
from service.amocrm.oauth.token_store import NoKeys
from service.current import current
from service.operator.auth import csrf, operator_required, user_now
from service.operator.consent_links import ConsentLinks
from service.operator.turns import Busy, waits_for_others
from service.operator.words.causes import cause_means, cause_title
from service.routing import AMOCRM

bp = Blueprint("connect", __name__, url_prefix="/oauth")
logger = logging.getLogger(__name__)


@bp.get("/start")
@operator_required
def start() -> AnyResponse:
    """To amoCRM's consent page, with a state that is good once and for twenty minutes."""
    dealpost = current()
    if lacking := dealpost.wiring.amocrm.connect.missing():
        words = _("Set %(names)s, restart, then press Connect again.", names=", ".join(lacking))
        return page(409, _("amoCRM cannot be connected yet"), words)
    user = user_now()
    state = links(dealpost.store).begin(user.name if user else "")
    return redirect(dealpost.wiring.amocrm.connect.consent_url(state), 302)


@bp.get("/callback")
@waits_for_others
def callback() -> AnyResponse:
    """amoCRM sends the person back with a code, or with a refusal."""
    if error := request.args.get("error"):
        logger.warning("amoCRM did not give access: %s", error[:60])
        return page(
            400, _("amoCRM was not connected"), _("Access was not allowed in amoCRM. Press Connect to try again.")
        )
    code, referer = request.args.get("code", ""), request.args.get("referer", "")
    if not code or not referer:
        return page(400, _("amoCRM was not connected"), _("The answer holds no code. Press Connect to try again."))
    if "state" not in request.args:
        # Begun from amoCRM's own page: only a signed-in operator can say that this is meant.
        asked: Response = confirm(code, referer)
        return asked
    who = links(current().store).spend(request.args["state"])
    if who is None:
        words = _("This link was used before or is older than 20 minutes. Press Connect to get a new one.")
        return page(400, _("amoCRM was not connected"), words)
    return exchange(code, referer, who)


@operator_required
def confirm(code: str, referer: str) -> Response:
    """Ask whether the connection that amoCRM offers is meant."""
    return page(
        200,
        _("Connect %(host)s?", host=referer),
        _("This was begun in amoCRM. From now on Dealpost moves the deals of this account."),
        form=url_for("connect.confirmed"),
        code=code,
        referer=referer,
    )


@bp.post("/callback")
@operator_required
@waits_for_others
def confirmed() -> AnyResponse:
    """The operator has confirmed."""
    csrf.protect()  # type: ignore[no-untyped-call]
    user = user_now()
    return exchange(request.form.get("code", ""), request.form.get("referer", ""), user.name if user else "")


def exchange(code: str, referer: str, who: str) -> AnyResponse:
    """Turn the code into tokens."""
    dealpost = current()
    try:
        connected = dealpost.wiring.amocrm.connect.exchange(code, referer, who)
    except (ConnectError, DeliveryError, NoKeys) as error:
        logger.warning("amoCRM was not connected: %s", error)
        status = 400 if isinstance(error, ConnectError) else 502 if isinstance(error, DeliveryError) else 500
        return page(status, _("amoCRM was not connected"), why(error), reason=str(error))
    dealpost.wiring.account_id.forget()
    pauses.reconnected(dealpost.store, AMOCRM)
    account = connected.account_name or connected.host
    dealpost.store.operations.log_action(who, "connect", 1, {"account": account})
    logger.info("amoCRM is connected: %s", account)
    flash(_("amoCRM is connected: %(account)s.", account=account), "ok")
    return redirect(url_for("pages.connections"), 303)


@bp.get("/disconnected")
def disconnected() -> Response:
    """amoCRM says that the integration was removed. Believed only with its signature."""
    dealpost = current()
    if not dealpost.wiring.amocrm.connect.disconnected(request.args):
        return Response("The signature does not fit.\n", 403, content_type="text/plain; charset=utf-8")
    dealpost.store.operations.log_action("amocrm", "disconnect", 1, {})
    return Response("ok\n", content_type="text/plain; charset=utf-8")


@bp.errorhandler(Busy)
def busy(error: Busy) -> Response:
    """The link is as good as before: it was not looked at."""
    words = _("Dealpost is looking up other things in amoCRM. Reload this page in a moment.")
    return page(503, _("amoCRM was not connected"), words)


def links(store: Store) -> ConsentLinks:
    return ConsentLinks(store.key_values, store.now)


def why(error: Exception) -> str:
    """What it means, and what to do, in the reader's language."""
    if isinstance(error, DeliveryError):
        return f"{cause_title(error.cause, error.params)}. {cause_means(error.cause, error.params)}"
    return {
        "grant": _("amoCRM's permission was used before or is too old. Press Connect to get a new one."),
        "client": _(
            "amoCRM does not accept the integration's settings. The school's developer compares client id, secret and"
            " redirect address with the integration's page in amoCRM."
        ),
        "place": _("There is no such account at this address. The school's developer looks at AMOCRM_SUBDOMAIN."),
        "referer": _(
            "Access was given for another account than the one that is set. Choose the right account in amoCRM; if it"
            " was renamed, the school's developer sets AMOCRM_SUBDOMAIN anew."
        ),
    }.get(
        getattr(error, "code", ""),
        _("The access could not be stored. The school's developer looks at TOKEN_KEYS and at the log."),
    )


def page(
    status: int, head: str, words: str, form: str = "", code: str = "", referer: str = "", reason: str = ""
) -> Response:
    """A small page of our own: the pages of the outbox need a sign-in, this one may not."""
    body = render_template(
        "quiet.html",
        lang=str(get_locale()),
        head=head,
        words=words,
        reason=reason,
        form=form,
        code=code,
        referer=referer,
        csrf_token=generate_csrf() if form else "",  # type: ignore[no-untyped-call]
        button=_("Connect"),
        back=url_for("pages.overview"),
        back_words=_("To the overview"),
    )
    return Response(body, status, content_type="text/html; charset=utf-8")


def shown(error: HTTPException) -> Response | HTTPException:
    """An address that is none, for somebody with a browser; programs get the bare answer."""
    if error.code != 404 or not request.accept_mimetypes.accept_html:
        return error
    return page(
        404, _("There is nothing here."), _("The address may be mistyped, or what stood here was cleared away.")
    )
