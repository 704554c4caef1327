"""Webhooks: who is subscribed, what was sent, and sending by hand."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sandbox import forms
from sandbox.control.registry import route

if TYPE_CHECKING:
    from sandbox.world import World


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
