"""Who may look and who may change: HTTP Basic for programs, a session for people; closed until a password is set."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from flask import Request, Response, current_app, g, make_response, render_template, request
from flask_babel import gettext as _
from flask_httpauth import HTTPBasicAuth
from flask_wtf.csrf import CSRFProtect, generate_csrf
from itsdangerous import BadData, URLSafeSerializer

from service.current import current
from service.operator import sessions
from service.operator.people import OPERATOR, VIEWER, People, Throttle, User
from service.problem_json import Refusal, render

__all__ = ["OPERATOR", "VIEWER", "Throttle", "User"]

CHALLENGE = 'Basic realm="Dealpost", charset="UTF-8"'
FORM_COOKIE, DEVICE_COOKIE = "dealpost_form", "dealpost_device"
PAGES = ("/outbox", "/oauth/start")
"""Where a sign-in may lead back to."""

basic = HTTPBasicAuth(realm="Dealpost")  # type: ignore[no-untyped-call]
csrf = CSRFProtect()  # type: ignore[no-untyped-call]


def people() -> People:
    if "dealpost.people" not in current_app.extensions:
        current_app.extensions["dealpost.people"] = People(current().settings)
    known: People = current_app.extensions["dealpost.people"]
    return known


def signed_out() -> sessions.SignedOut:
    store = current().store
    return sessions.SignedOut(store.key_values, store.now)


def _throttle() -> Throttle:
    if "dealpost.throttle" not in current_app.extensions:
        current_app.extensions["dealpost.throttle"] = Throttle(names=people().names())
    throttle: Throttle = current_app.extensions["dealpost.throttle"]
    return throttle


def sign_in(name: str, password: str) -> User | None:
    """The user with this name and password; None leaves why in g.sign_in: closed, throttled or wrong."""
    if not people().anybody():
        g.sign_in = "closed"
        return None
    device, short = _device(name), name[:100]
    address = f"device {device}" if device else request.remote_addr or ""
    if wait := _throttle().wait(address, short, known=bool(device)):
        g.sign_in, g.sign_in_wait = "throttled", int(wait) + 1
        return None
    user = people().identify(name, password)
    if user is None:
        g.sign_in = "wrong"
        _throttle().failed(address, short)
    else:
        _throttle().succeeded(address, short)
    return user


def _device(name: str) -> str:
    """The number of this browser, if this name has signed in from it before; else "". Whoever guesses behind the same
    proxy, and so from the same address, then closes the sign-in to others, and not to it.

    Reference: https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies
    """
    try:
        known, device = _devices().loads(request.cookies.get(DEVICE_COOKIE, ""))
    except (BadData, TypeError, ValueError):
        return ""
    return str(device) if known == name else ""


def _devices() -> URLSafeSerializer:
    return URLSafeSerializer(str(current_app.secret_key), salt=DEVICE_COOKIE)


@basic.verify_password  # type: ignore[untyped-decorator]
def _verify(name: str, password: str) -> User | None:
    if name or password:
        return sign_in(name, password)
    if not people().anybody():
        g.sign_in = "closed"
        return None
    return sessions.signed_in(people(), signed_out)


@basic.get_user_roles  # type: ignore[untyped-decorator]
def _roles(user: User) -> str:
    return user.role


def _refusal(status: int) -> Refusal:
    reason = g.get("sign_in", "")
    if reason == "closed":
        return Refusal(403, _("This page is closed until a password is set: set ADMIN_PASSWORD and restart."))
    if reason == "throttled":
        words = _("Too many failed sign-ins. Try again in %(seconds)s seconds.", seconds=g.sign_in_wait)
        return Refusal(429, words, headers={"Retry-After": str(g.sign_in_wait)})
    if status == 403:
        return Refusal(403, _("You may look, but not change anything: this needs the operator's sign-in."))
    return Refusal(401, _("Sign in with the operator's or the viewer's name and password."), headers=_challenge())


def _challenge() -> dict[str, str]:
    return {"WWW-Authenticate": CHALLENGE}


def wants_page() -> bool:
    """A person's browser, and not a program: it names HTML. Its script asks for a part of a page."""
    return "text/html" in request.headers.get("Accept", "") or request.headers.get("X-Fragment") == "1"


def _closed(status: int) -> Response:
    refusal = _refusal(status)
    if request.path.startswith("/api/"):
        return render(refusal)
    if wants_page() and refusal.status in (401, 429):
        page = sign_in_page(refusal.status, refusal.detail if refusal.status == 429 else "", way_back())
        if refusal.status == 401 and not knows_form():
            page.headers.update(refusal.headers)
        return page
    response = Response(refusal.detail + "\n", refusal.status, content_type="text/plain; charset=utf-8")
    response.headers.update(refusal.headers)
    return response


# Not by its decorator, which would add the challenge to the form.
basic.auth_error_callback = _closed


def knows_form() -> bool:
    """Whether this browser has been at the form before. To another one the challenge goes along with the form, since a
    program that drives a browser signs in by that; it would open the browser's own window before the form."""
    return FORM_COOKIE in request.cookies or request.headers.get("X-Fragment") == "1"


def sign_in_page(status: int, fault: str, back: str, name: str = "") -> Response:
    """The form. back: the path of ours to go on to."""
    page = render_template(
        "sign_in.html",
        fault=fault,
        back=back,
        name=name,
        csrf=generate_csrf(),  # type: ignore[no-untyped-call]
        nothing_changed=request.method == "POST" and request.endpoint != "pages.sign_in_now",
    )
    response = make_response(page, status)
    response.headers["Cache-Control"] = "no-store"
    if request.endpoint in ("pages.ask_sign_in", "pages.sign_in_now"):
        remember_form(response)
    if status == 429:
        response.headers["Retry-After"] = str(g.sign_in_wait)
    return response


def remember_form(response: Response) -> None:
    _remember(response, FORM_COOKIE, "1")


def remember_device(response: Response, name: str) -> None:
    """This name has signed in from this browser."""
    if not _device(name):
        _remember(response, DEVICE_COOKIE, str(_devices().dumps([name, secrets.token_urlsafe(9)])))


def _remember(response: Response, cookie: str, value: str) -> None:
    response.set_cookie(cookie, value, max_age=365 * 86400, httponly=True, samesite="Lax", secure=request.is_secure)


def way_back() -> str:
    """The page that was asked for, if it changes nothing to ask for it."""
    if request.method == "GET" and request.headers.get("X-Fragment") != "1":
        return request.full_path.rstrip("?")
    return PAGES[0]


def own_path(given: str) -> str:
    """The given path if it is one of our pages', else the overview's: a link must lead nobody elsewhere. Without the
    path that a proxy puts before ours."""
    path = given.partition("?")[0]
    ours = any(path == page or path.startswith(page + "/") for page in PAGES)
    plain = given.isprintable() and "\\" not in given and "//" not in path and ".." not in path
    return given if ours and plain else PAGES[0]


View = Callable[..., Any]


def viewer_required(view: View) -> View:
    """For pages that change nothing: both may see them."""
    guarded: View = basic.login_required(view)  # type: ignore[no-untyped-call]
    return guarded


def operator_required(view: View) -> View:
    """For everything that changes something."""
    guarded: View = basic.login_required(role=OPERATOR)(view)  # type: ignore[no-untyped-call]
    return guarded


def user_now() -> User | None:
    """Who is signed in, within a guarded view."""
    user: User | None = basic.current_user()  # type: ignore[no-untyped-call]
    return user


def require_reader(request: Request) -> None:
    """For figures: an API key that may read, or a sign-in. Raises Refusal 401, 403 or 429."""
    given = request.authorization
    if given is not None and given.type == "basic":
        if sign_in(given.username or "", given.password or "") is None:
            raise _refusal(401)
        return
    if given is None and "X-API-Key" not in request.headers and sessions.signed_in(people(), signed_out):
        return
    try:
        current().keys.require_reader(request)
    except Refusal as refusal:
        if refusal.status == 401:
            refusal.headers["WWW-Authenticate"] += ", " + CHALLENGE
        raise
