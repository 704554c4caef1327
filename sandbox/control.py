"""The control API under `/_sandbox/`: what a test or a person does that no integration can."""

import urllib.request
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from sandbox import forms
from sandbox.amocrm.account import Deal
from sandbox.defaults import ERP_ENTITY_ID
from sandbox.wire import BadJSON, Request, Response, as_json

if TYPE_CHECKING:
    from sandbox.world import World

Handler = Callable[["World", dict[str, Any], dict[str, Any], list[int]], Any]
ROUTES: dict[tuple[str, str], Handler] = {}


def route(method: str, path: str) -> Callable[[Handler], Handler]:
    """`#` in the path stands for a number."""

    def keep(handler: Handler) -> Handler:
        ROUTES[method, path] = handler
        return handler

    return keep


def answer(world: "World", request: Request) -> Response:
    """400 names what was wrong with the call, 404 what is not there."""
    parts = request.path.removeprefix("/_sandbox").strip("/").split("/")
    numbers = [int(part) for part in parts if part.isdecimal()]
    handler = ROUTES.get((request.method, "/".join("#" if part.isdecimal() else part for part in parts)))
    if handler is None:
        return as_json({"error": f"no such route: {request.method} {request.path}"}, 404)
    try:
        body = request.json() if request.body else {}
        if not isinstance(body, dict):
            return as_json({"error": "the body must be a JSON object"}, 400)
        result = handler(world, body, request.query, numbers)
    except KeyError as error:
        return as_json({"error": f"not found: {error}"}, 404)
    except (BadJSON, ValueError, TypeError) as error:
        return as_json({"error": str(error)}, 400)
    return as_json(result if result is not None else {"ok": True})


@route("GET", "")
def routes(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return {"routes": [f"{method} /_sandbox/{path}" for method, path in ROUTES]}


@route("POST", "reset")
def reset(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.reset()


@route("POST", "seed")
def seed(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return world.seed(**body)


@route("GET", "settings")
def settings(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return world.settings.as_dict()


@route("PATCH", "settings")
def set_settings(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.set_knobs(body)
    return world.settings.as_dict()


ROUTES["POST", "settings"] = set_settings

# People and deals


@route("GET", "contacts")
def contacts(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    text = query.get("query")
    found = world.account.find_contacts(text) if text else list(world.account.contacts.values())
    return {"contacts": [asdict(contact) for contact in found[: int(query.get("limit", 1000))]]}


@route("POST", "contacts")
def add_contact(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    contact = world.account.add_contact(**body)
    world.changed()
    return asdict(contact)


@route("PATCH", "contacts/#")
def edit_contact(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    unknown = set(body) - {"name", "emails", "phones", "fields"}
    if unknown:
        raise ValueError(f"cannot set {', '.join(sorted(unknown))}")
    contact = world.account.edit_contact(ids[0], **body)
    world.changed()
    return asdict(contact)


@route("DELETE", "contacts/#")
def delete_contact(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.account.delete_contact(ids[0])
    world.changed()


def deal_json(world: "World", deal: Deal) -> dict[str, Any]:
    stage = world.account.pipelines[deal.pipeline_id].stage(deal.status_id)
    return {**asdict(deal), "stage": stage.name if stage else None}


@route("GET", "deals")
def deals(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    with world.lock:
        found = [
            deal
            for deal in world.account.deals.values()
            if all(
                str(getattr(deal, name)) == query.get(name, str(getattr(deal, name)))
                for name in ("status_id", "pipeline_id")
            )
        ]
        return {"deals": [deal_json(world, deal) for deal in found[: int(query.get("limit", 100_000))]]}


@route("GET", "deals/#")
def deal(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return deal_json(world, world.account.deals[ids[0]])


def stage_of(world: "World", body: dict[str, Any], pipeline_id: int | None) -> int | None:
    """`status_id`, or `stage` by name."""
    if "stage" in body:
        return world.account.stage_named(body["stage"], pipeline_id).id
    return body.get("status_id")


@route("POST", "deals")
def add_deal(world: "World", body: dict[str, Any], query: Any, ids: list[int]) -> Any:
    status_id = stage_of(world, body, body.get("pipeline_id"))
    people = list(body.get("contact_ids", []))
    if "email" in body:
        same = [one for one in world.account.find_contacts(body["email"]) if body["email"] in one.emails]
        contact = same[0] if same else world.account.add_contact(body.get("contact_name", ""), body["email"])
        people.append(contact.id)
    plain = {name: body[name] for name in ("name", "price", "pipeline_id", "fields", "tags", "quiet") if name in body}
    made = world.account.add_deal(status_id=status_id, contact_ids=people, **plain)
    world.changed()
    return deal_json(world, made)


@route("PATCH", "deals/#")
def edit_deal(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    unknown = set(body) - {"name", "price", "fields", "tags", "responsible_user_id", "loss_reason_id", "updated_at"}
    if unknown:
        raise ValueError(f"cannot set {', '.join(sorted(unknown))}")
    moment = body.pop("updated_at", None)
    changed = world.account.edit_deal(ids[0], **body)
    changed.updated_at = moment or changed.updated_at
    world.changed()
    return deal_json(world, changed)


@route("POST", "deals/#/move")
def move_deal(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    pipeline_id = body.get("pipeline_id") or world.account.deals[ids[0]].pipeline_id
    status_id = stage_of(world, body, pipeline_id)
    if status_id is None:
        raise ValueError("stage or status_id is required")
    moved = world.account.move_deal(ids[0], status_id, pipeline_id)
    world.changed()
    return deal_json(world, moved)


@route("DELETE", "deals/#")
def delete_deal(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.account.delete_deal(ids[0])
    world.changed()


@route("GET", "pipelines")
def pipelines(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return {"pipelines": [asdict(pipeline) for pipeline in world.account.pipelines.values()]}


@route("POST", "pipelines")
def add_pipeline(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    pipeline = world.account.add_pipeline(body["name"], body["stages"])
    world.changed()
    return asdict(pipeline)


@route("POST", "pipelines/#/stages")
def add_stage(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    stage = world.account.add_stage(ids[0], body["name"], body.get("sort"))
    world.changed()
    return asdict(stage)


@route("DELETE", "pipelines/#/stages/#")
def delete_stage(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.account.delete_stage(ids[0], ids[1])
    world.changed()


@route("GET", "events")
def events(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return {"events": [asdict(change) for change in world.account.changes]}


# The ERP


@route("GET", "erp/records")
def records(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return {"records": world.erp.records(str(query.get("entity_id", ERP_ENTITY_ID)))}


@route("POST", "erp/records")
def add_record(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    entity = world.erp.entities[str(body.get("entity_id", ERP_ENTITY_ID))]
    values = {str(name).removeprefix("field_"): str(value) for name, value in body["items"].items()}
    number, warnings = world.erp.insert(entity, values)
    world.changed()
    return {"id": number, "unique_fields_warning": warnings}


@route("DELETE", "erp/records")
def clear_records(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.erp.clear()
    world.changed()


@route("GET", "erp/fields")
def erp_fields(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    entities = world.erp.entities.values()
    return {"entities": [{**asdict(one), "records": len(one.records)} for one in entities]}


@route("POST", "erp/entities")
def add_entity(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.erp.add_entity(str(body["entity_id"]), body.get("name", ""), str(body.get("parent", "")))
    world.changed()


@route("POST", "erp/fields")
def add_field(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    field = world.erp.add_field(**{"entity_id": ERP_ENTITY_ID, **body})
    world.changed()
    return asdict(field)


@route("DELETE", "erp/fields/#")
def delete_field(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.erp.delete_field(str(query.get("entity_id", ERP_ENTITY_ID)), str(ids[0]))
    world.changed()


# The log and the faults


def log_filters(query: dict[str, Any]) -> dict[str, Any]:
    chosen: dict[str, Any] = {name: query[name] for name in ("part", "method", "path") if name in query}
    chosen |= {name: int(query[name]) for name in ("status", "since") if name in query}
    if "acted" in query:
        chosen["acted"] = query["acted"] in ("1", "true")
    return chosen


@route("GET", "log")
def log(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    entries = world.log.entries(**log_filters(query))
    return {"entries": [entry.as_dict() for entry in entries[-int(query.get("limit", 1000)) :]]}


@route("GET", "log/figures")
def figures(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return world.log.figures(**log_filters(query))


@route("DELETE", "log")
def clear_log(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.log.clear()


@route("GET", "faults")
def faults(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return {"faults": world.faults.as_list()}


@route("POST", "faults")
def add_fault(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    kind = body.pop("kind", "")
    return asdict(world.faults.add(kind, **body))


@route("DELETE", "faults")
def clear_faults(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.faults.clear()


@route("DELETE", "faults/#")
def clear_fault(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.faults.clear(ids[0])


@route("POST", "block")
def block(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.limits.block()


@route("POST", "unblock")
def unblock(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.limits.unblock()


# Hooks


@route("GET", "hooks")
def hooks(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return {"hooks": world.hooks.dump(), "deliveries": world.hooks.deliveries()}


@route("POST", "hooks")
def subscribe(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    wanted = body.get("settings", ["status_lead", "update_lead", "add_lead", "delete_lead"])
    hook = world.hooks.subscribe(body["destination"], wanted)
    world.hooks.set_disabled(hook.destination, bool(body.get("disabled", False)))
    world.changed()
    return asdict(hook)


@route("DELETE", "hooks")
def unsubscribe(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.hooks.unsubscribe(body["destination"])
    world.changed()


@route("POST", "hooks/send")
def send_hook(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    """By hand: `raw` text, or nested `data`, or a deal's hook by `deal_id`, `action`, `old_status_id`, `stage_hook`."""
    action = body.get("action", "status")
    if "raw" in body:
        data = body["raw"].encode("utf-8")
    elif "data" in body:
        data = forms.encode(body["data"])
    else:
        numbers = body.get("deal_ids") or [body["deal_id"]]
        chosen = [world.account.deals[number] for number in numbers]
        pairs = [
            (
                one,
                (body.get("old_pipeline_id", one.pipeline_id), body["old_status_id"])
                if "old_status_id" in body
                else None,
            )
            for one in chosen
        ]
        data = forms.encode(world.hooks.form(action, pairs, body.get("skew", 0), body.get("stage_hook", False)))
    destinations = [body["destination"]] if "destination" in body else list(world.hooks.subscriptions)
    times = int(body.get("times", 1))
    for destination in destinations * times:
        world.hooks.send(destination, data, action, body.get("deal_id", 0))
    return {"queued": len(destinations) * times, "body": data.decode("ascii", "replace")}


@route("POST", "hooks/wait")
def wait_hooks(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    """Until every hook was tried (`retries`: until none waits)."""
    return {"idle": world.hooks.wait_idle(float(body.get("timeout", 10)), bool(body.get("retries", False)))}


@route("DELETE", "hooks/deliveries")
def clear_deliveries(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.hooks.clear()


# Tokens


@route("GET", "tokens")
def tokens(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    with world.lock:
        return world.oauth.dump()


@route("POST", "tokens/code")
def new_code(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return {"code": world.oauth.new_code(**body)}


@route("POST", "tokens/pair")
def new_pair(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    pair = world.oauth.new_pair()
    world.save_tokens()
    return {"access_token": pair.access, "refresh_token": pair.refresh}


@route("POST", "tokens/long-lived")
def long_lived(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return {"access_token": world.oauth.new_long_lived(**body)}


@route("POST", "tokens/expire")
def expire(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.oauth.expire_access()


@route("POST", "tokens/revoke")
def revoke(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.oauth.revoke_all()


@route("POST", "uninstall")
def uninstall(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    """The account's owner switches the integration off: tokens die, and `url` (if given) gets amoCRM's signed GET."""
    world.oauth.revoke_all()
    sent = world.oauth.uninstall_query()
    status = None
    if "url" in body:
        joint = "&" if "?" in body["url"] else "?"
        try:
            with urllib.request.urlopen(f"{body['url']}{joint}{urlencode(sent)}", timeout=10) as reply:
                status = reply.status
        except OSError as error:
            status = getattr(error, "code", 0)
    return {"query": sent, "status": status}
