"""`/api/v4/events`: what changed, newest first, a hundred a page."""

from typing import TYPE_CHECKING, Any

from sandbox import defaults, forms
from sandbox.amocrm.entities import Change
from sandbox.amocrm.lists import ids, in_range, listing, page_of
from sandbox.wire import Request, Response

if TYPE_CHECKING:
    from sandbox.world import World

MOST = 100


def stage_value(place: tuple[int, int] | None) -> list[dict[str, Any]]:
    return [{"lead_status": {"id": place[1], "pipeline_id": place[0]}}] if place else []


def event_row(world: "World", change: Change) -> dict[str, Any]:
    moved = change.type == "lead_status_changed"
    return {
        "id": change.id,
        "type": change.type,
        "entity_id": change.entity_id,
        "entity_type": "lead",
        "created_by": change.created_by,
        "created_at": change.created_at,
        "value_after": stage_value(change.after) if moved else [],
        "value_before": stage_value(change.before) if moved else [],
        "account_id": defaults.ACCOUNT_ID,
        "_links": {"self": {"href": f"{world.link_base}/api/v4/events/{change.id}"}},
        "_embedded": {
            "entity": {
                "id": change.entity_id,
                "_links": {"self": {"href": f"{world.link_base}/api/v4/leads/{change.entity_id}"}},
            }
        },
    }


def list_events(world: "World", request: Request) -> Response:
    query = request.query
    page, limit = page_of(query, world.settings.flavour, most=MOST, default=MOST)
    rows = world.account.changes[::-1]
    chosen = query.get("filter")
    if world.settings.filters_enabled and isinstance(chosen, dict):
        if "type" in chosen:
            types = {word for text in forms.values(chosen["type"]) for word in text.split(",")}
            rows = [row for row in rows if row.type in types]
        if "created_at" in chosen:
            rows = [row for row in rows if in_range(row.created_at, chosen["created_at"])]
        if "entity" in chosen and not set(forms.values(chosen["entity"])) & {"lead", "leads"}:
            rows = []
        if "entity_id" in chosen:
            numbers = ids(chosen["entity_id"], "filter[entity_id]") or set()
            rows = [row for row in rows if row.entity_id in numbers]
    return listing(request, world.link_base, "events", rows, page, limit, lambda row: event_row(world, row))
