"""`/api/v4/webhooks`: subscribing, for administrators only."""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sandbox import defaults
from sandbox.amocrm.hook_delivery import Hook
from sandbox.amocrm.problems import NOTHING, hal, no_rights, problem
from sandbox.wire import BadJSON, Request, Response

if TYPE_CHECKING:
    from sandbox.world import World

MOST = 100
ACTIONS = ("add", "update", "status", "delete", "restore", "responsible", "note")
ENTITIES = ("lead", "contact", "company", "customer", "task")
EVENTS = {f"{action}_{entity}" for action in ACTIONS for entity in ENTITIES} | {
    "add_talk",
    "update_talk",
    "add_message",
    "add_unsorted",
    "update_unsorted",
    "delete_unsorted",
}


def hook_row(world: "World", hook: Hook) -> dict[str, Any]:
    return {
        "id": hook.id,
        "destination": hook.destination,
        "created_at": hook.created_at,
        "updated_at": hook.updated_at,
        "account_id": defaults.ACCOUNT_ID,
        "created_by": defaults.ADMIN_USER_ID,
        "sort": 1,
        "disabled": hook.disabled,
        "settings": hook.settings,
        "_links": {"self": {"href": f"{world.link_base}/api/v4/webhooks"}},
    }


def webhooks(world: "World", request: Request) -> Response:
    """GET, POST and DELETE; the last two with a JSON body."""
    if not world.settings.admin:
        return no_rights()
    hooks = world.hooks
    if request.method == "GET":
        chosen = request.query.get("filter")
        only = chosen.get("destination") if isinstance(chosen, dict) else None
        rows = [hook_row(world, hook) for hook in hooks.subscriptions.values() if only in (None, hook.destination)]
        return hal({"_total_items": len(rows), "_embedded": {"webhooks": rows}}) if rows else NOTHING
    try:
        data = request.data()
    except BadJSON:
        data = None
    destination = data.get("destination") if isinstance(data, dict) else None
    if not isinstance(destination, str) or urlsplit(destination).scheme not in ("http", "https"):
        return problem(400, "destination: This value is not a valid URL.")
    if request.method == "DELETE":
        return Response(204) if hooks.unsubscribe(destination) else problem(404, "Webhook not found")
    settings = data.get("settings") if isinstance(data, dict) else None
    if not isinstance(settings, list) or not settings or not all(name in EVENTS for name in map(str, settings)):
        return problem(400, "settings: One or more of the given values is invalid.")
    if destination not in hooks.subscriptions and len(hooks.subscriptions) >= MOST:
        return problem(400, f"No more than {MOST} webhooks are allowed.")
    return hal(hook_row(world, hooks.subscribe(destination, settings)), 201)
