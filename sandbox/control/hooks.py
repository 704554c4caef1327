"""Webhooks: who is subscribed, what was sent, and sending by hand."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sandbox import forms
from sandbox.amocrm.entities import Deal
from sandbox.amocrm.hook_bodies import Place
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
    hook.stages = [int(number) for number in body.get("stages", [])]
    world.hooks.set_disabled(hook.destination, bool(body.get("disabled", False)))
    world.changed()
    return asdict(hook)


@route("DELETE", "hooks")
def unsubscribe(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.hooks.unsubscribe(body["destination"])
    world.changed()


@route("POST", "hooks/send")
def send_hook(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    """By hand: `raw` text, or nested `data`, or the hook of deals by `deal_id` or `deal_ids` and how they changed."""
    action = body.get("action", "status")
    if "raw" in body:
        data = body["raw"].encode("utf-8")
    elif "data" in body:
        data = forms.encode(body["data"])
    else:
        data = forms.encode(deal_hook(world, action, body))
    cut = int(body.get("cut", 0))
    if not 0 <= cut < len(data):
        raise ValueError(f"cut must be below the body's {len(data)} bytes")
    destinations = [body["destination"]] if "destination" in body else list(world.hooks.subscriptions)
    times = int(body.get("times", 1))
    for destination in destinations * times:
        world.hooks.send(destination, data, action, body.get("deal_id", 0), cut)
    return {"queued": len(destinations) * times, "body": data.decode("ascii", "replace")}


def deal_hook(world: "World", action: str, body: dict[str, Any]) -> dict[str, Any]:
    before = None
    chosen = [world.account.deals[number] for number in body.get("deal_ids") or [body["deal_id"]]]
    pairs: list[tuple[Deal, Place | None]] = []
    for deal in chosen:
        if "old_status_id" in body:
            before = (body.get("old_pipeline_id", deal.pipeline_id), body["old_status_id"])
        pairs.append((deal, before))
        world.hooks.told[deal.id] = world.clock.monotonic()
    shape = {name: body[name] for name in ("skew", "stage_hook", "fill") if name in body}
    spoil = {int(place): str(fault) for place, fault in body.get("spoil", {}).items()}
    return world.hooks.form(action, pairs, spoil=spoil, **shape)


@route("POST", "hooks/wait")
def wait_hooks(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    """Until every hook was tried (`retries`: until none waits)."""
    return {"idle": world.hooks.wait_idle(float(body.get("timeout", 10)), bool(body.get("retries", False)))}


@route("DELETE", "hooks/deliveries")
def clear_deliveries(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.hooks.clear()
