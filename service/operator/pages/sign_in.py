"""Signing in and out on the page."""

from __future__ import annotations

from flask import Response, g, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from service.operator import sessions
from service.operator.auth import (
    csrf,
    own_path,
    people,
    remember_device,
    remember_form,
    sign_in,
    sign_in_page,
    signed_out,
    user_now,
)
from service.operator.pages.blueprint import back_to, bp


@bp.get("/sign-in")
def ask_sign_in() -> Response:
    """The form. A link that names where it leads takes whoever has a session there at once."""
    back = own_path(request.args.get("back", ""))
    if "back" in request.args and request.authorization is None and sessions.signed_in(people(), signed_out):
        return Response("", 303, {"Location": request.script_root + back})
    return sign_in_page(200, _closed(), back)


@bp.post("/sign-in")
def sign_in_now() -> Response:
    """A right name and password begin a session; anything else asks again and says why."""
    csrf.protect()  # type: ignore[no-untyped-call]
    name, password = request.form.get("name", "").strip(), request.form.get("password", "")
    back = own_path(request.form.get("back", ""))
    user = sign_in(name, password)
    if user is None:
        wait = g.get("sign_in_wait")
        if wait:
            words = _("Too many failed sign-ins. Try again in %(seconds)s seconds.", seconds=wait)
            return sign_in_page(429, words, back, name)
        return sign_in_page(401, _closed() or _("The name or the password is wrong."), back, name)
    sessions.begin(user, people())
    response = Response("", 303, {"Location": request.script_root + back})
    remember_form(response)
    remember_device(response, user.name)
    return response


@bp.post("/sign-out")
def sign_out() -> AnyResponse:
    """End the session. Who signs in by HTTP Basic is told that only closing the browser ends that."""
    by_session = user_now() is not None and request.authorization is None
    sessions.end(signed_out())
    return back_to("pages.ask_sign_in") if by_session else sign_in_page(200, _by_basic(), own_path(""))


def _by_basic() -> str:
    return _("This browser sends its own name and password with each page; to end that, close it.")


def _closed() -> str:
    return (
        "" if people().anybody() else _("This page is closed until a password is set: set ADMIN_PASSWORD and restart.")
    )
