"""POST and PATCH of `/api/v4/leads`: adding deals, and moving and changing them in batches."""

from typing import TYPE_CHECKING, Any

from sandbox import defaults
from sandbox.amocrm.contacts import named_fields, read_fields
from sandbox.amocrm.entities import Deal
from sandbox.amocrm.pipelines import INCOMING_TYPE
from sandbox.amocrm.problems import hal, problem
from sandbox.amocrm.rows import Faulty, Row, expect_int, read_rows, refusal
from sandbox.wire import Request, Response

if TYPE_CHECKING:
    from sandbox.world import World

WRITABLE = {
    "name",
    "price",
    "status_id",
    "pipeline_id",
    "created_by",
    "updated_by",
    "closed_at",
    "created_at",
    "updated_at",
    "loss_reason_id",
    "responsible_user_id",
    "custom_fields_values",
    "_embedded",
}
ECHOED = {
    "group_id",
    "closest_task_at",
    "is_deleted",
    "score",
    "account_id",
    "labor_cost",
    "price_with_minor_units",
    "_links",
}
LOSS_REASONS = {4_203_748, 4_203_751}


def target(world: "World", data: dict[str, Any], deal: Deal | None) -> tuple[int, int]:
    """(pipeline, status) that a row asks for. Raises Faulty.

    142 and 143 are in every pipeline: without `pipeline_id` a status is looked for in the deal's own pipeline only.
    """
    account = world.account
    pipeline_id, status_id = expect_int(data, "pipeline_id"), expect_int(data, "status_id")
    own = deal.pipeline_id if deal else account.main_pipeline().id
    pipeline = account.pipelines.get(own if pipeline_id is None else pipeline_id)
    if pipeline is None or pipeline.is_archive:
        raise Faulty("pipeline_id", "NotSupportedChoice", "The value you selected is not a valid choice.")
    if status_id is None:
        now = pipeline.stage(deal.status_id) if deal and pipeline.id == deal.pipeline_id else None
        # Any update takes a deal out of incoming.
        if now and now.type != INCOMING_TYPE:
            return pipeline.id, now.id
        return pipeline.id, pipeline.first_stage().id
    stage = pipeline.stage(status_id)
    if stage is None or stage.type == INCOMING_TYPE:
        raise Faulty("status_id", "NotSupportedChoice", "The value you selected is not a valid choice.")
    return pipeline.id, status_id


def edits(world: "World", row: Row, status_id: int) -> dict[str, Any]:
    """What a row changes besides the stage. Raises Faulty, also for a deactivated user or a left-over loss reason."""
    data = row.data
    changes: dict[str, Any] = {}
    surplus = row.surplus - ECHOED if world.settings.echoed_rows == "accepted" else row.surplus
    if surplus:
        raise Faulty(sorted(surplus)[0], "FieldNotExpected", "This field was not expected.")
    if "name" in data:
        if not isinstance(data["name"], str):
            raise Faulty("name", "InvalidType", "This value should be of type string.")
        changes["name"] = data["name"]
    price = expect_int(data, "price")
    if price is not None:
        changes["price"] = price
    user = expect_int(data, "responsible_user_id")
    if user is not None:
        if not world.account.users.get(user):
            raise Faulty("responsible_user_id", "NotSupportedChoice", "The value you selected is not a valid choice.")
        changes["responsible_user_id"] = user
    reason = expect_int(data, "loss_reason_id", nullable=True)
    if reason is not None:
        if status_id != defaults.LOST or reason not in LOSS_REASONS:
            raise Faulty("loss_reason_id", "NotSupportedChoice", "The value you selected is not a valid choice.")
        changes["loss_reason_id"] = reason
    for name in ("created_at", "updated_at", "created_by", "updated_by"):
        expect_int(data, name)
    expect_int(data, "closed_at", nullable=True)
    if data.get("custom_fields_values") is not None:
        changes["fields"] = named_fields(world, read_fields(data["custom_fields_values"])[1])
    return changes


def patch_leads(world: "World", request: Request, lead_id: int | None = None) -> Response:
    """PATCH of a batch, or of one deal by an object. The answer says nothing of the stage."""
    account = world.account
    rows = read_rows(request, WRITABLE, lead_id)
    if lead_id is not None and (lead_id not in account.deals or account.deals[lead_id].is_deleted):
        return problem(404, "Entity not found")
    good: list[tuple[Row, Deal, tuple[int, int], dict[str, Any]]] = []
    faults: list[tuple[Row, Faulty]] = []
    for row in rows:
        try:
            number = expect_int(row.data, "id")
            deal = account.deals.get(number) if number is not None else None
            if deal is None or deal.is_deleted:
                raise Faulty("id", "NotSupportedChoice", "Entity not found")
            place = target(world, row.data, deal)
            good.append((row, deal, place, edits(world, row, place[1])))
        except Faulty as fault:
            faults.append((row, fault))
    if faults and not world.settings.refused_batch_applies:
        return refusal(world, faults)
    for _, deal, (pipeline_id, status_id), changes in good:
        account.move_deal(deal.id, status_id, pipeline_id, by=0)
        if changes:
            fields = {**deal.fields, **changes.pop("fields", {})}
            account.edit_deal(deal.id, fields=fields, **changes)
    if faults:
        answer = refusal(world, faults)
        answer.acted = True
        return answer
    answers = [
        {
            "id": deal.id,
            "updated_at": deal.updated_at,
            "request_id": row.request_id,
            "_links": {"self": {"href": f"{world.link_base}/api/v4/leads/{deal.id}"}},
        }
        for row, deal, _, _ in good
    ]
    if lead_id is not None:
        return hal({name: value for name, value in answers[0].items() if name != "request_id"})
    return hal({"_links": {"self": {"href": f"{world.link_base}/api/v4/leads"}}, "_embedded": {"leads": answers}})


def embedded(row: Row, name: str) -> list[dict[str, Any]]:
    """`_embedded.<name>` of a row. Raises Faulty unless it is an array of objects."""
    node = row.data.get("_embedded") or {}
    items = node.get(name, []) if isinstance(node, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Faulty(f"_embedded.{name}", "InvalidType", "This value should be of type array.")
    return items


def add_leads(world: "World", request: Request) -> Response:
    """POST: an array of deals, with contacts by id in `_embedded.contacts`; all are added or none."""
    account = world.account
    plans, faults = [], []
    for row in read_rows(request, WRITABLE):
        try:
            place = target(world, row.data, None)
            changes = edits(world, row, place[1])
            named = [item.get("id") for item in embedded(row, "contacts")]
            people = [number for number in named if isinstance(number, int) and number in account.contacts]
            if len(people) < len(named):
                raise Faulty("_embedded.contacts.0.id", "NotSupportedChoice", "Entity not found")
            tags = [str(item.get("name", "")) for item in embedded(row, "tags")]
            plans.append((row, place, changes, people, tags))
        except Faulty as fault:
            faults.append((row, fault))
    if faults:
        return refusal(world, faults)
    answers = []
    for row, (pipeline_id, status_id), changes, people, tags in plans:
        deal = account.add_deal(
            changes.get("name", ""),
            changes.get("price", 0),
            status_id,
            pipeline_id,
            people,
            changes.get("fields"),
            tags,
            by=0,
        )
        link = {"self": {"href": f"{world.link_base}/api/v4/leads/{deal.id}"}}
        answers.append({"id": deal.id, "request_id": row.request_id, "_links": link})
    return hal({"_links": {"self": {"href": f"{world.link_base}/api/v4/leads"}}, "_embedded": {"leads": answers}})
