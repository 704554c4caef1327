"""`GET /api/v4/leads`: lists and single deals."""

from typing import TYPE_CHECKING, Any

from sandbox import defaults
from sandbox.amocrm.contacts import text_fields
from sandbox.amocrm.entities import Deal
from sandbox.amocrm.lists import ids, in_range, listing, order_by, page_of, wanted, whole
from sandbox.amocrm.problems import NOTHING, Refused, hal, not_found, problem
from sandbox.wire import Request, Response

if TYPE_CHECKING:
    from sandbox.world import World


def deal_row(world: "World", deal: Deal, with_contacts: bool) -> dict[str, Any]:
    base = world.link_base
    nested: dict[str, Any] = {
        "tags": [{"id": 60_001 + index, "name": tag, "color": None} for index, tag in enumerate(deal.tags)],
        "companies": [],
    }
    if with_contacts:
        nested["contacts"] = [
            {"id": number, "is_main": place == 0, "_links": {"self": {"href": f"{base}/api/v4/contacts/{number}"}}}
            for place, number in enumerate(deal.contact_ids)
        ]
    row: dict[str, Any] = {
        "id": deal.id,
        "name": deal.name,
        "price": whole_price(world, deal),
        "responsible_user_id": deal.responsible_user_id,
        "group_id": 0,
        "status_id": deal.status_id,
        "pipeline_id": deal.pipeline_id,
        "loss_reason_id": deal.loss_reason_id,
        "created_by": defaults.ADMIN_USER_ID,
        "updated_by": defaults.ADMIN_USER_ID,
        "created_at": deal.created_at,
        "updated_at": deal.updated_at,
        "closed_at": deal.closed_at,
        "closest_task_at": None,
        "is_deleted": deal.is_deleted,
        "custom_fields_values": text_fields(world, deal.fields) or None,
        "score": None,
        "account_id": defaults.ACCOUNT_ID,
        "labor_cost": None,
        "_links": {"self": {"href": f"{base}/api/v4/leads/{deal.id}"}},
        "_embedded": nested,
    }
    if world.settings.minor_units:
        row["price_with_minor_units"] = deal.price
    if deal.is_deleted and world.settings.deleted_rows == "nulls":
        row |= {"name": None, "status_id": None, "pipeline_id": None}
    return row


def texts_of(world: "World", deal: Deal) -> list[str]:
    people = (world.account.contacts.get(number) for number in deal.contact_ids)
    return [deal.name, *deal.fields.values(), *deal.tags, *(text for one in people if one for text in one.texts())]


def lags(world: "World", deal: Deal) -> bool:
    """Whether the deal cannot be read yet, since its own webhook went out less than `read_lag_seconds` ago."""
    lag, told = world.settings.read_lag_seconds, world.hooks.told.get(deal.id)
    return bool(lag) and told is not None and world.clock.monotonic() - told < lag


def whole_price(world: "World", deal: Deal) -> int:
    """`price` drops the kopecks; with the knob `price_wraps` it is what 32 bits leave of it."""
    price = int(deal.price)
    return (price + 2**31) % 2**32 - 2**31 if world.settings.price_wraps else price


def apply_filters(chosen: dict[str, Any], rows: list[Deal]) -> list[Deal]:
    if "id" in chosen:
        numbers = ids(chosen["id"], "filter[id]") or set()
        rows = [row for row in rows if row.id in numbers]
    if "pipeline_id" in chosen:
        pipelines = ids(chosen["pipeline_id"], "filter[pipeline_id]") or set()
        rows = [row for row in rows if row.pipeline_id in pipelines]
    if "statuses" in chosen:
        pairs = set()
        nodes = chosen["statuses"].values() if isinstance(chosen["statuses"], dict) else [None]
        for node in nodes:
            if not isinstance(node, dict) or "pipeline_id" not in node or "status_id" not in node:
                raise Refused(problem(400, "filter[statuses]: pipeline_id and status_id should both be given."))
            pairs.add((whole(node["pipeline_id"], "pipeline_id"), whole(node["status_id"], "status_id")))
        rows = [row for row in rows if (row.pipeline_id, row.status_id) in pairs]
    for name in ("updated_at", "created_at", "closed_at"):
        if name in chosen:
            rows = [row for row in rows if in_range(getattr(row, name) or 0, chosen[name])]
    return rows


def list_leads(world: "World", request: Request) -> Response:
    query = request.query
    page, limit = page_of(query, world.settings.flavour)
    extras = wanted(query)
    only_deleted = "only_deleted" in extras
    deals = world.account.deals.values()
    rows = [row for row in deals if row.is_deleted == only_deleted and not lags(world, row)]
    chosen = query.get("filter")
    if world.settings.filters_enabled and isinstance(chosen, dict):
        rows = apply_filters(chosen, rows)
    text = query.get("query")
    if isinstance(text, str) and text.strip():
        needle = text.casefold().strip()
        rows = [row for row in rows if any(needle in value.casefold() for value in texts_of(world, row))]
    if "order" in query:
        rows = order_by(query, rows, ("id", "updated_at", "created_at"))
    people = "contacts" in extras
    return listing(request, world.link_base, "leads", rows, page, limit, lambda row: deal_row(world, row, people))


def get_lead(world: "World", request: Request, lead_id: int) -> Response:
    deal = world.account.deals.get(lead_id)
    if deal is None or (deal.is_deleted and world.settings.deleted_deals == "hidden"):
        return not_found(world)
    if lags(world, deal):
        return NOTHING
    return hal(deal_row(world, deal, "contacts" in wanted(request.query)))
