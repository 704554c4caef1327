"""amoCRM's addresses: which function answers which, and what is asked of every caller first."""

import secrets
from typing import TYPE_CHECKING

from sandbox import defaults
from sandbox.amocrm import complex, contacts, directory, events, lead_writes, leads, oauth_pages, records, webhooks
from sandbox.amocrm.problems import NOTHING, Refused, hal, not_found, problem, unauthorized
from sandbox.wire import Request, Response

if TYPE_CHECKING:
    from sandbox.world import World

OPEN = {
    ("POST", "/oauth2/access_token"): oauth_pages.access_token,
    ("GET", "/oauth2/account/current/subdomain"): oauth_pages.current_subdomain,
    ("GET", "/oauth2/account/subdomain"): oauth_pages.subdomain_by_access,
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
    world.answering(request)
    with world.lock:
        return _route(world, request)


def _route(world: "World", request: Request) -> Response:
    method, parts = request.method, request.path.removeprefix("/api/v4/").split("/")
    number = int(parts[-1]) if parts[-1].isdecimal() else None
    match method, parts:
        case "GET", ["account"]:
            return directory.account(world, request)
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
            data = [row.as_json(defaults.ACCOUNT_ID, world.link_base) for row in rows]
            return hal({"_total_items": len(data), "_embedded": {"pipelines": data}})
        case "GET", ["leads", "pipelines", _] if number is not None:
            row = world.account.pipelines.get(number)
            return hal(row.as_json(defaults.ACCOUNT_ID, world.link_base)) if row else not_found(world)
        case "GET", ["leads", _] if number is not None:
            return leads.get_lead(world, request, number)
        case "PATCH", ["leads"]:
            return lead_writes.patch_leads(world, request)
        case "PATCH", ["leads", _] if number is not None:
            return lead_writes.patch_leads(world, request, number)
        case "POST", ["leads"]:
            return lead_writes.add_leads(world, request)
        case "POST", ["leads", "complex"]:
            return complex.add_complex(world, request)
        case "GET", ["leads", "pipelines", pipeline_id, "statuses"] if pipeline_id.isdecimal():
            row = world.account.pipelines.get(int(pipeline_id))
            statuses = row.as_json(defaults.ACCOUNT_ID, world.link_base)["_embedded"] if row else None
            return hal({"_total_items": len(statuses["statuses"]), "_embedded": statuses}) if statuses else NOTHING
        case "PATCH", ["contacts"]:
            return contacts.patch_contacts(world, request)
        case "PATCH", ["contacts", _] if number is not None:
            return contacts.patch_contacts(world, request, number)
        case "GET", ["users"]:
            return directory.users(world, request)
        case "GET", ["users", _] if number is not None:
            return directory.users(world, request, number)
        case _, ["companies" | "tasks", *_]:
            return _records(world, request, parts[0], parts[1:])
        case "GET", [("leads" | "contacts") as owner, "custom_fields"]:
            return directory.custom_fields(world, request, owner)
        case "GET", [("leads" | "contacts") as owner, "custom_fields", _] if number is not None:
            return directory.custom_fields(world, request, owner, number)
        case "GET", [("leads" | "contacts") as owner, "tags"]:
            return directory.tags(world, request, owner)
        case _, [("leads" | "contacts") as owner, "notes", *rest]:
            return _notes(world, request, owner, None, rest)
        case _, [("leads" | "contacts") as owner, entity, "notes", *rest] if entity.isdecimal():
            return _notes(world, request, owner, int(entity), rest)
        case _, [("leads" | "contacts") as owner, entity, ("links" | "link" | "unlink")] if entity.isdecimal():
            return _links(world, request, owner, int(entity), parts[-1])
        case "GET", ["events"]:
            return events.list_events(world, request)
        case "GET" | "POST" | "DELETE", ["webhooks"]:
            return webhooks.webhooks(world, request)
        case _, ["account" | "contacts" | "leads" | "users" | "events" | "webhooks", *_]:
            return problem(405, "Method not allowed")
    return problem(404, "Not found")


def _records(world: "World", request: Request, kind: str, rest: list[str]) -> Response:
    """Companies and tasks."""
    match request.method, rest:
        case "GET", []:
            return records.list_records(world, request, kind)
        case "POST", []:
            return records.add_records(world, request, kind)
        case "PATCH", []:
            return records.patch_records(world, request, kind)
        case "GET", [number] if number.isdecimal():
            return records.get_record(world, kind, int(number))
        case "PATCH", [number] if number.isdecimal():
            return records.patch_records(world, request, kind, int(number))
        case "GET", ["custom_fields"] if kind == "companies":
            return directory.custom_fields(world, request, kind)
        case "GET", ["custom_fields", number] if kind == "companies" and number.isdecimal():
            return directory.custom_fields(world, request, kind, int(number))
        case "GET", ["tags"] if kind == "companies":
            return directory.tags(world, request, kind)
        case _, ["notes", *more] if kind == "companies":
            return _notes(world, request, kind, None, more)
        case _, [number, "notes", *more] if kind == "companies" and number.isdecimal():
            return _notes(world, request, kind, int(number), more)
        case _, [number, ("links" | "link" | "unlink")] if kind == "companies" and number.isdecimal():
            return _links(world, request, kind, int(number), rest[-1])
    return problem(405, "Method not allowed")


def _notes(world: "World", request: Request, owner: str, entity_id: int | None, rest: list[str]) -> Response:
    match request.method, rest:
        case "GET", []:
            return records.list_records(world, request, "notes", owner, entity_id)
        case "POST", []:
            return records.add_records(world, request, "notes", owner, entity_id)
        case "GET", [number] if number.isdecimal():
            return records.get_record(world, "notes", int(number))
        case "PATCH", [number] if number.isdecimal():
            return records.patch_records(world, request, "notes", int(number))
    return problem(405, "Method not allowed")


def _links(world: "World", request: Request, owner: str, entity_id: int, action: str) -> Response:
    if (request.method, action) == ("GET", "links"):
        return complex.links(world, request, owner, entity_id)
    if request.method == "POST" and action != "links":
        return complex.change_links(world, request, owner, entity_id, joined=action == "link")
    return problem(405, "Method not allowed")
