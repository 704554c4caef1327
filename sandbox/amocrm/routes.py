"""amoCRM's addresses: which function answers which, and what is asked of every caller first."""

import secrets
from typing import TYPE_CHECKING

from sandbox import defaults
from sandbox.amocrm import contacts, events, leads, oauth_pages, webhooks
from sandbox.amocrm.lists import wanted
from sandbox.amocrm.problems import Refused, hal, not_found, problem, unauthorized
from sandbox.wire import Request, Response

if TYPE_CHECKING:
    from sandbox.world import World

OPEN = {
    ("POST", "/oauth2/access_token"): oauth_pages.access_token,
    ("GET", "/oauth2/account/current/subdomain"): oauth_pages.current_subdomain,
    ("GET", "/oauth"): oauth_pages.consent,
    ("POST", "/oauth/allow"): oauth_pages.decision,
    ("POST", "/oauth/deny"): oauth_pages.decision,
}
BROWSER = ("/oauth", "/oauth/allow", "/oauth/deny")


def belongs(path: str) -> bool:
    return path.startswith(("/api/v4/", "/oauth2/")) or path in BROWSER


def answer(world: "World", request: Request) -> Response:
    """The response to a request that the limits let through."""
    try:
        handler = OPEN.get((request.method, request.path))
        response = handler(world, request) if handler else _api(world, request)
    except Refused as refused:
        response = refused.response
    response.headers = {**response.headers, "X-Request-Id": secrets.token_hex(16)}
    return response


def _api(world: "World", request: Request) -> Response:
    if not request.path.startswith("/api/v4/"):
        return problem(404, "Not found")
    moved = world.moved_answer(request)
    if moved:
        return moved
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not world.oauth.opens(token):
        return unauthorized()
    unpaid = world.settings.unpaid
    if unpaid == "all" or (unpaid == "writes" and request.method != "GET"):
        return problem(402, "Аккаунт не оплачен")
    with world.lock:
        return _route(world, request)


def _route(world: "World", request: Request) -> Response:
    method, parts = request.method, request.path.removeprefix("/api/v4/").split("/")
    number = int(parts[-1]) if parts[-1].isdecimal() else None
    match method, parts:
        case "GET", ["account"]:
            return account(world, request)
        case "GET", ["contacts"]:
            return contacts.list_contacts(world, request)
        case "GET", ["contacts", _] if number is not None:
            return contacts.get_contact(world, request, number)
        case "POST", ["contacts"]:
            return contacts.add_contacts(world, request)
        case "GET", ["leads"]:
            return leads.list_leads(world, request)
        case "GET", ["leads", "pipelines"]:
            rows = sorted(world.account.pipelines.values(), key=lambda row: row.sort)
            data = [row.as_json(defaults.ACCOUNT_ID, world.base) for row in rows]
            return hal({"_total_items": len(data), "_embedded": {"pipelines": data}})
        case "GET", ["leads", "pipelines", _] if number is not None:
            row = world.account.pipelines.get(number)
            return hal(row.as_json(defaults.ACCOUNT_ID, world.base)) if row else not_found(world)
        case "GET", ["leads", _] if number is not None:
            return leads.get_lead(world, request, number)
        case "PATCH", ["leads"]:
            return leads.patch_leads(world, request)
        case "PATCH", ["leads", _] if number is not None:
            return leads.patch_leads(world, request, number)
        case "POST", ["leads"]:
            return leads.add_leads(world, request)
        case "GET", ["events"]:
            return events.list_events(world, request)
        case "GET" | "POST" | "DELETE", ["webhooks"]:
            return webhooks.webhooks(world, request)
        case _, ["account" | "contacts" | "leads" | "events" | "webhooks", *_]:
            return problem(405, "Method not allowed")
    return problem(404, "Not found")


def account(world: "World", request: Request) -> Response:
    """The cheapest test of a connection."""
    data = {
        "id": defaults.ACCOUNT_ID,
        "name": "Школа (песочница)",
        "subdomain": world.settings.subdomain,
        "created_at": 1_700_000_000,
        "created_by": 0,
        "updated_at": 1_700_000_000,
        "updated_by": 0,
        "current_user_id": defaults.ADMIN_USER_ID,
        "country": "RU",
        "currency": "RUB",
        "currency_symbol": "₽",
        "is_unsorted_on": True,
        "_links": {"self": {"href": f"{world.base}/api/v4/account"}},
    }
    if "is_api_filter_enabled" in wanted(request.query):
        data["is_api_filter_enabled"] = world.settings.filters_enabled
    return hal(data)
