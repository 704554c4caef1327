"""Who may look and who may change: HTTP Basic with an operator and a viewer, closed until a password is set."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any

from flask import Request, Response, current_app, g, request
from flask_babel import gettext as _
from flask_httpauth import HTTPBasicAuth
from flask_wtf.csrf import CSRFProtect

from service.config import Settings
from service.current import current
from service.problem_json import Refusal, render

OPERATOR, VIEWER = "operator", "viewer"
CHALLENGE = 'Basic realm="Dealpost", charset="UTF-8"'

basic = HTTPBasicAuth(realm="Dealpost")  # type: ignore[no-untyped-call]
csrf = CSRFProtect()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class User:
    """Who is signed in. role: operator (may change) or viewer (may look)."""

    name: str
    role: str


class Throttle:
    """Counts failed sign-ins by address, by name and by both, within a window of seconds.

    A name that is guessed at from many places is closed only to places from which nobody has signed in before: else
    anybody could lock the operator out.
    """

    WINDOW = 300.0
    # Each process counts for itself, and there are two by default.
    MOST_PAIR, MOST_ADDRESS, MOST_NAME = 5, 15, 50
    KEPT = 10_000

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failed: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._trusted: OrderedDict[str, None] = OrderedDict()

    def wait(self, address: str, name: str) -> float:
        """Seconds until the next try is looked at; 0.0: now."""
        now = self._monotonic()
        with self._lock:
            limits = {(address, name): self.MOST_PAIR, (address, ""): self.MOST_ADDRESS}
            if address not in self._trusted:
                limits["", name] = self.MOST_NAME
            waits = [0.0]
            for key, most in limits.items():
                count, began = self._failed.get(key, (0, now))
                if count >= most:
                    waits.append(began + self.WINDOW - now)
            return max(waits)

    def failed(self, address: str, name: str) -> None:
        now = self._monotonic()
        with self._lock:
            for key in ((address, name), (address, ""), ("", name)):
                count, began = self._failed.pop(key, (0, now))
                self._failed[key] = (1, now) if now - began >= self.WINDOW else (count + 1, began)
            while len(self._failed) > self.KEPT:
                self._failed.popitem(last=False)

    def succeeded(self, address: str, name: str) -> None:
        with self._lock:
            self._failed.pop((address, name), None)
            self._trusted[address] = None
            while len(self._trusted) > self.KEPT:
                self._trusted.popitem(last=False)


def identify(settings: Settings, name: str, password: str) -> User | None:
    """The user with this name and password. Compares everything, so that the time tells nothing."""
    found = None
    for known, secret, role in (
        (settings.viewer_username, settings.viewer_password, VIEWER),
        (settings.admin_username, settings.admin_password, OPERATOR),
    ):
        same = compare_digest(known.encode(), name.encode("utf-8", "replace"))
        same &= compare_digest(secret.encode(), password.encode("utf-8", "replace"))
        if same and secret:
            found = User(name, role)
    return found


def _throttle() -> Throttle:
    throttle: Throttle = current_app.extensions.setdefault("dealpost.throttle", Throttle())
    return throttle


@basic.verify_password  # type: ignore[untyped-decorator]
def _verify(name: str, password: str) -> User | None:
    settings = current().settings
    if not settings.admin_password and not settings.viewer_password:
        g.sign_in = "closed"
        return None
    if not name and not password:
        return None
    address, short = request.remote_addr or "", name[:100]
    if wait := _throttle().wait(address, short):
        g.sign_in, g.sign_in_wait = "throttled", int(wait) + 1
        return None
    user = identify(settings, name, password)
    if user is None:
        _throttle().failed(address, short)
    else:
        _throttle().succeeded(address, short)
    return user


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


@basic.error_handler  # type: ignore[untyped-decorator]
def _closed(status: int) -> Response:
    refusal = _refusal(status)
    if request.path.startswith("/api/"):
        return render(refusal)
    response = Response(refusal.detail + "\n", refusal.status, content_type="text/plain; charset=utf-8")
    response.headers.update(refusal.headers)
    return response


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
        if _verify(given.username or "", given.password or "") is None:
            raise _refusal(401)
        return
    try:
        current().keys.require_reader(request)
    except Refusal as refusal:
        if refusal.status == 401:
            refusal.headers["WWW-Authenticate"] += ", " + CHALLENGE
        raise
