"""Contacts, deals, pipelines and stages, as people change them."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sandbox.amocrm.entities import Deal
from sandbox.control.registry import route

if TYPE_CHECKING:
    from sandbox.world import World


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


@route("POST", "deals/move")
def move_deals(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    """As a manager's mass edit: one hook tells of up to 50 deals."""
    with world.lock, world.hooks.gathered():
        for number in body["deal_ids"]:
            pipeline_id = body.get("pipeline_id") or world.account.deals[number].pipeline_id
            status_id = stage_of(world, body, pipeline_id)
            if status_id is None:
                raise ValueError("stage or status_id is required")
            world.account.move_deal(number, status_id, pipeline_id)
    world.changed()
    return {"moved": len(body["deal_ids"])}


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


@route("PATCH", "pipelines/#")
def edit_pipeline(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    unknown = set(body) - {"name", "sort", "is_archive"}
    if unknown:
        raise ValueError(f"cannot set {', '.join(sorted(unknown))}")
    with world.lock:
        pipeline = world.account.pipelines[ids[0]]
        for name, value in body.items():
            setattr(pipeline, name, value)
    world.changed()
    return asdict(pipeline)


@route("POST", "pipelines/#/stages")
def add_stage(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    stage = world.account.add_stage(ids[0], body["name"], body.get("sort"), body.get("id"))
    world.changed()
    return asdict(stage)


@route("DELETE", "pipelines/#/stages/#")
def delete_stage(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.account.delete_stage(ids[0], ids[1])
    world.changed()


@route("GET", "events")
def events(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return {"events": [asdict(change) for change in world.account.changes]}
