"""The OAuth addresses: the consent page, the token endpoint, and where a moved account says its new name."""

from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from sandbox import defaults
from sandbox.amocrm.oauth import TokenError
from sandbox.amocrm.problems import hal, hint, problem, unauthorized
from sandbox.wire import BadJSON, Request, Response, as_html, as_json, redirect

if TYPE_CHECKING:
    from sandbox.world import World


def access_token(world: "World", request: Request) -> Response:
    """Reference: https://www.amocrm.ru/developers/content/oauth/oauth"""
    try:
        data = request.data()
    except BadJSON:
        data = None
    if not isinstance(data, dict):
        return hint(400, "Check the `client_id` parameter")
    moved = world.moved_answer(request)
    if moved:
        return moved
    try:
        world.oauth.check_client(data)
        if data.get("grant_type") == "authorization_code":
            pair = world.oauth.exchange_code(data.get("code"))
        elif data.get("grant_type") == "refresh_token":
            pair = world.oauth.refresh(data.get("refresh_token"))
        else:
            return hint(400, "Check the `grant_type` parameter")
    except TokenError as error:
        return hint(error.status, error.hint)
    return as_json(
        {
            "token_type": "Bearer",
            "expires_in": world.settings.access_seconds,
            "access_token": pair.access,
            "refresh_token": pair.refresh,
        }
    )


def current_subdomain(world: "World", request: Request) -> Response:
    """The one address that a renamed account still answers under its API domain, for a living refresh token."""
    if not world.oauth.knows_refresh(request.headers.get("x-refresh-token", "")):
        return unauthorized()
    return where(world)


def subdomain_by_access(world: "World", request: Request) -> Response:
    """The same for a good access token, as the official PHP client asks."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return where(world) if scheme == "Bearer" and world.oauth.opens(token) else unauthorized()


def where(world: "World") -> Response:
    domain = world.settings.moved_to or world.netloc
    return hal(
        {
            "id": defaults.ACCOUNT_ID,
            "subdomain": world.settings.subdomain,
            "domain": domain,
            "top_level_domain": "com" if world.settings.flavour == "kommo" else "ru",
        }
    )


def consent(world: "World", request: Request) -> Response:
    """The page with the Allow button, or straight back to the integration when the knob says so."""
    query = request.query
    if query.get("client_id") != defaults.CLIENT_ID:
        return as_html("<h1>Интеграция не найдена</h1>", 404)
    if "redirect_uri" in query or "response_type" in query or "scope" in query:
        return problem(400, "redirect_uri, response_type and scope are not parameters of this page")
    state = str(query.get("state", ""))
    if world.settings.consent == "auto":
        return back(world, state, allowed=True)
    if world.settings.consent == "refuse":
        return back(world, state, allowed=False)
    links = {answer: escape(f"/oauth/{answer}?{urlencode({'state': state})}") for answer in ("allow", "deny")}
    return as_html(
        "<!doctype html><html lang=ru><meta charset=utf-8><title>amoCRM: доступ</title>"
        "<body style='font:16px system-ui;max-width:32rem;margin:4rem auto'>"
        "<h1>Разрешить доступ?</h1><p>Интеграция Dealpost просит доступ к аккаунту "
        f"{escape(world.settings.subdomain)} (песочница).</p>"
        f"<form method=post action='{links['allow']}'><button id=allow>Разрешить</button></form>"
        f"<form method=post action='{links['deny']}'><button id=deny>Отказаться</button></form>"
    )


def decision(world: "World", request: Request) -> Response:
    """The buttons of the consent page."""
    return back(world, str(request.query.get("state", "")), allowed=request.path == "/oauth/allow")


def back(world: "World", state: str, allowed: bool) -> Response:
    """To redirect_uri, as amoCRM sends a browser."""
    answer: dict[str, Any] = {"error": "access_denied"}
    if allowed:
        referer = world.settings.consent_referer or world.settings.moved_to or world.netloc
        answer = {"code": world.oauth.new_code(), "referer": referer, "client_id": defaults.CLIENT_ID}
    if world.settings.consent_from_widget:
        answer["from_widget"] = "1"
    else:
        answer["state"] = state
    address = world.settings.redirect_uri
    return redirect(f"{address}{'&' if '?' in address else '?'}{urlencode(answer)}")
