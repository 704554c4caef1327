"""The web application, put together: with the wiring the only place that knows everybody."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import perf_counter
from typing import Any

from flask import Flask, Request, Response
from flask.globals import request_ctx
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from werkzeug.datastructures import Authorization

from outbox.message import State
from outbox.queries import Filter
from outbox.store import Store
from service import heartbeat, logs, problem_json, proxies
from service.authentication import ApiKeys
from service.config import Settings
from service.core import create_core
from service.counters import REFUSED, counting, counting_each
from service.current import Dealpost
from service.operator import api, auth, connect, health, metrics, pages, sessions, turns
from service.problem_json import Refusal
from service.refusals import WAYS, words_of
from service.sources import amocrm_webhook, events, inngest, lessons, together
from service.sources.context import EXTENSION, SourceContext
from service.sources.ration import Ration
from service.sources.together import Together
from service.wiring import Wiring

BODY_MAX = 1024 * 1024
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'"
    "; base-uri 'none'; frame-ancestors 'none'"
)
DRESS = (("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store"))
"""Of every answer: there may be people in it, also in what is no page."""

BEGAN = "dealpost.began"
UNREADABLE = Filter(states=(State.DEAD,), cause="unreadable_hook")

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def create_app(settings: Settings | None = None, store: Store | None = None) -> Flask:
    """The web application. Without arguments: by the environment, with the store that it names.

    Raises config.ConfigError naming every fault.
    """
    app = create_core(settings, store)
    dealpost: Dealpost = app.extensions["dealpost"]
    settings, store, wiring, keys = dealpost.settings, dealpost.store, dealpost.wiring, dealpost.keys
    app.config.update(
        SECRET_KEY=settings.secret_key,
        MAX_CONTENT_LENGTH=BODY_MAX,
        SESSION_COOKIE_NAME="dealpost",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=sessions.LASTS,
        # The token lives as long as the session: a page may stay open all day.
        WTF_CSRF_TIME_LIMIT=None,
        # A proxy that hides the referrer must not lock the operator out; the token and SameSite guard alone.
        WTF_CSRF_SSL_STRICT=False,
    )
    app.request_class = _Request
    app.session_interface = _Sessions()
    app.extensions["dealpost.turns"] = threading.BoundedSemaphore(turns.AT_ONCE)
    app.extensions[EXTENSION] = sources = SourceContext(
        accept=counting(lambda events, timeout=5.0: store.intake.accept(events, timeout), wiring.counters),
        accept_each=counting_each(
            lambda requests, timeout=5.0: store.intake.accept_each(requests, timeout), wiring.counters
        ),
        now=lambda: store.now(),
        now_at_once=lambda: store.now_at_once(),
        keys=keys,
        account_id=wiring.account_id,
        name_longest=wiring.name_longest,
        name_longest_at_once=wiring.name_longest.at_once,
        lesson_map=settings.amocrm.lesson_map,
        webhook_secrets=settings.webhook_secrets,
        subdomain=settings.amocrm.subdomain,
        creations=settings.amocrm.counts_creations,
        unreadable=Ration(lambda: store.reading.count(UNREADABLE)),
        not_kept=lambda: _not_kept(wiring),
    )
    problem_json.register(app, _noted(wiring, keys), connect.shown)
    auth.csrf.init_app(app)  # type: ignore[no-untyped-call]
    # Whoever takes a person's POST calls csrf.protect(); a look at every request would cost each accepted event.
    app.before_request_funcs.clear()
    for way_in in (lessons, events, inngest, amocrm_webhook):
        app.register_blueprint(way_in.bp)
    for part in (health, metrics, api, connect, pages):
        app.register_blueprint(part.bp)
    access, hops = logs.AccessLog(settings.log_format), settings.trusted_proxies

    def believing(inner: Wsgi) -> Wsgi:
        return proxies.behind(inner, hops) if hops else proxies.direct(inner, wiring.unexpected)

    app.after_request(_finish(access))
    app.wsgi_app = believing(_timed(app.wsgi_app))  # type: ignore[assignment, method-assign]
    app.extensions[together.EXTENSION] = Together(sources, DRESS, access, believing(_nothing))
    return app


def _nothing(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """For what is done before an application: nothing comes after it."""
    return ()


def _not_kept(wiring: Wiring) -> None:
    words = "The hook cannot be read, and as many such as are kept were kept already: it was only counted."
    wiring.refusals.note("webhook", 429, "", words)
    wiring.counters.add(REFUSED, "webhook", "429")


def _noted(wiring: Wiring, keys: ApiKeys) -> Callable[[Refusal], None]:
    """Keeps what the ways in refuse, by the name of the key that was shown."""

    def note(refusal: Refusal) -> None:
        request = request_ctx.request
        way = WAYS.get(request.blueprint or "")
        if way is None or request.method != "POST":
            return
        shown = (request.view_args or {}).get("event_key")
        key = keys.find(shown.encode("utf-8", "replace")) if shown else keys.of(request.environ)
        words = words_of(refusal.detail, [(fault.path, fault.message) for fault in refusal.faults])
        wiring.refusals.note(way, refusal.status, key.name if key and way != "webhook" else "", words)
        wiring.counters.add(REFUSED, way, str(refusal.status))

    return note


class _Request(Request):
    @property
    def authorization(self) -> Authorization | None:
        """None also for a login that is not even ASCII, of which werkzeug raises ValueError."""
        try:
            return super().authorization
        except ValueError:
            return None


class _Sessions(SecureCookieSessionInterface):
    """Flask's own, but a request without a cookie, as each of a machine is, does not pay for it."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        return super().open_session(app, request) if "HTTP_COOKIE" in request.environ else self.session_class()

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if session.accessed or session.modified:
            super().save_session(app, session, response)

    def get_cookie_secure(self, app: Flask) -> bool:
        return bool(request_ctx.request.is_secure)


def _timed(inner: Wsgi) -> Wsgi:
    # A plain function costs a tenth of a before_request hook.
    def timed(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ[BEGAN] = perf_counter()
        return inner(environ, start_response)

    return timed


def _finish(access: logs.AccessLog) -> Callable[[Response], Response]:
    """What is done with every answer: headers for what a browser shows, and a line in the access log."""

    def finish(response: Response) -> Response:
        _dress(response)
        request = request_ctx.request
        route = request.url_rule.rule if request.url_rule else "-"
        took = perf_counter() - request.environ[BEGAN]
        access.write(request.method, route, response.status_code, took, request.remote_addr)
        return response

    return finish


def _dress(response: Response) -> None:
    headers = response.headers
    for name, value in DRESS:
        headers.setdefault(name, value)
    if response.mimetype == "text/html":
        headers.setdefault("Content-Security-Policy", POLICY)
        headers.setdefault("Referrer-Policy", "same-origin")
        headers["X-Frame-Options"] = "DENY"


def _leave(own: heartbeat.Heartbeat, stop: Callable[[], None]) -> None:
    """A process that ends on purpose is not shown as one that died."""
    stop()
    with suppress(Exception):  # the store may be closed already
        own.leave()


def start_web_heartbeat(app: Flask) -> None:
    """Show this process among those that live, from its first request on: in a server that forks, after the fork."""
    dealpost: Dealpost = app.extensions["dealpost"]
    inner, lock = app.wsgi_app, threading.Lock()

    def first(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with lock:
            if app.wsgi_app is first:
                app.wsgi_app = inner  # type: ignore[method-assign]
                dealpost.wiring.figures.start()
                atexit.register(dealpost.wiring.figures.flush)
                own = heartbeat.Heartbeat.of(dealpost.store, "web")
                stop = heartbeat.show_in_background(own, heartbeat.WEB_EVERY)
                atexit.register(_leave, own, stop)
        return inner(environ, start_response)

    app.wsgi_app = first  # type: ignore[method-assign]
