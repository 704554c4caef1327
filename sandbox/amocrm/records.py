"""Companies, tasks and notes, as far as clients usually go: kept as sent, checked as the vendor documents it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox import defaults, forms
from sandbox.amocrm.lists import ids, in_range, listing, order_by, page_of
from sandbox.amocrm.problems import hal, not_found, problem
from sandbox.amocrm.rows import Faulty, Row, expect_int, read_rows, refusal
from sandbox.wire import Request, Response

if TYPE_CHECKING:
    from sandbox.world import World

COMMON = {"responsible_user_id", "created_by", "updated_by", "created_at", "updated_at"}
OWNERS = ("leads", "contacts", "companies")


@dataclass(frozen=True)
class Kind:
    required: tuple[str, ...]
    writable: set[str]
    blank: dict[str, Any]


KINDS = {
    "companies": Kind(
        (),
        COMMON | {"name", "custom_fields_values", "_embedded"},
        {"name": "", "group_id": 0, "closest_task_at": None, "is_deleted": False, "custom_fields_values": None},
    ),
    "tasks": Kind(
        ("text", "complete_till"),
        COMMON
        | {
            "text",
            "complete_till",
            "entity_id",
            "entity_type",
            "task_type_id",
            "duration",
            "is_completed",
            "result",
            "_embedded",
        },
        {"group_id": 0, "entity_id": None, "entity_type": None, "duration": 0, "is_completed": False, "task_type_id": 1}
        | {"result": []},
    ),
    "notes": Kind(
        ("note_type",),
        COMMON | {"entity_id", "note_type", "params", "is_need_to_trigger_digital_pipeline"},
        {"group_id": 0, "params": None},
    ),
}


@dataclass
class Record:
    """A row of one of these kinds; `data` is what was sent over what is there when nothing was."""

    id: int
    kind: str
    data: dict[str, Any]
    created_at: int
    updated_at: int


def record_row(world: "World", record: Record) -> dict[str, Any]:
    data = {name: value for name, value in record.data.items() if name != "owner"}
    owner = record.data.get("owner")
    path = f"{owner}/{record.data['entity_id']}/notes" if owner else record.kind
    row = {
        "id": record.id,
        "responsible_user_id": defaults.ADMIN_USER_ID,
        "created_by": defaults.ADMIN_USER_ID,
        "updated_by": defaults.ADMIN_USER_ID,
        **data,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "account_id": defaults.ACCOUNT_ID,
        "_links": {"self": {"href": f"{world.link_base}/api/v4/{path}/{record.id}"}},
    }
    if record.kind == "companies":
        row["_embedded"] = {"tags": [], **(data.get("_embedded") or {})}
    return row


def list_records(
    world: "World", request: Request, kind: str, owner: str | None = None, entity_id: int | None = None
) -> Response:
    query = request.query
    page, limit = page_of(query, world.settings.flavour)
    rows = [record for record in world.account.records.values() if record.kind == kind]
    rows = [row for row in rows if owner is None or row.data.get("owner") == owner]
    rows = [row for row in rows if entity_id is None or row.data.get("entity_id") == entity_id]
    text, chosen = query.get("query"), query.get("filter")
    if isinstance(text, str) and text.strip():
        rows = [row for row in rows if text.casefold().strip() in str(row.data.get("name", "")).casefold()]
    if world.settings.filters_enabled and isinstance(chosen, dict):
        for name in ("id", "entity_id", "responsible_user_id"):
            if name in chosen:
                numbers = ids(chosen[name], f"filter[{name}]") or set()
                rows = [row for row in rows if (row.id if name == "id" else row.data.get(name)) in numbers]
        for name in ("is_completed", "entity_type"):
            if name in chosen:
                wanted = set(forms.values(chosen[name]))
                rows = [row for row in rows if as_text(row.data.get(name)) in wanted]
        if "updated_at" in chosen:
            rows = [row for row in rows if in_range(row.updated_at, chosen["updated_at"])]
    if "order" in query:
        rows = order_by(query, rows, ("id", "updated_at", "created_at"))
    return listing(request, world.link_base, kind, rows, page, limit, lambda row: record_row(world, row))


def as_text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def get_record(world: "World", kind: str, number: int) -> Response:
    record = world.account.records.get(number)
    return hal(record_row(world, record)) if record and record.kind == kind else not_found(world)


def checked(world: "World", kind: str, row: Row, new: bool) -> dict[str, Any]:
    """What a row sets. Raises Faulty."""
    known = KINDS[kind]
    if row.surplus:
        raise Faulty(sorted(row.surplus)[0], "FieldNotExpected", "This field was not expected.")
    for name in known.required if new else ():
        if row.data.get(name) in (None, ""):
            raise Faulty(name, "NotBlank", "This value should not be blank.")
    for name in ("name", "text", "note_type"):
        if name in row.data and not isinstance(row.data[name], str):
            raise Faulty(name, "InvalidType", "This value should be of type string.")
    for name in ("complete_till", "entity_id", "task_type_id", "created_at", "updated_at"):
        number = expect_int(row.data, name, nullable=True)
        if number is not None:
            row.data[name] = number
    user = expect_int(row.data, "responsible_user_id")
    if user is not None and not world.account.users.get(user):
        raise Faulty("responsible_user_id", "NotSupportedChoice", "The value you selected is not a valid choice.")
    return {name: value for name, value in row.data.items() if name in known.writable}


def add_records(
    world: "World", request: Request, kind: str, owner: str | None = None, entity_id: int | None = None
) -> Response:
    """POST: all are added or none. Notes belong to an entity, by the path or by the row."""
    plans, faults = [], []
    for row in read_rows(request, KINDS[kind].writable):
        try:
            data = checked(world, kind, row, new=True)
            if owner:
                data |= {"owner": owner, "entity_id": entity_id if entity_id is not None else data.get("entity_id")}
                if not exists(world, owner, data["entity_id"]):
                    raise Faulty("entity_id", "NotSupportedChoice", "Entity not found")
            plans.append((row, data))
        except Faulty as fault:
            faults.append((row, fault))
    if faults:
        return refusal(world, faults)
    answers = []
    for row, data in plans:
        now = world.clock.now()
        record = Record(world.account.next_id(), kind, {**KINDS[kind].blank, **data}, now, now)
        world.account.records[record.id] = record
        shown = record_row(world, record)
        answers.append({"id": record.id, "request_id": row.request_id, "_links": shown["_links"]})
        if owner:
            answers[-1]["entity_id"] = data["entity_id"]
    links = {"self": {"href": f"{world.link_base}{request.path}"}}
    return hal({"_links": links, "_embedded": {kind: answers}})


def exists(world: "World", owner: str, number: Any) -> bool:
    if owner == "companies":
        record = world.account.records.get(number)
        return record is not None and record.kind == "companies"
    return number in (world.account.deals if owner == "leads" else world.account.contacts)


def patch_records(world: "World", request: Request, kind: str, single: int | None = None) -> Response:
    plans, faults = [], []
    if single is not None and (single not in world.account.records or world.account.records[single].kind != kind):
        return problem(404, "Entity not found")
    for row in read_rows(request, KINDS[kind].writable, single):
        try:
            number = expect_int(row.data, "id")
            record = world.account.records.get(number) if number is not None else None
            if record is None or record.kind != kind:
                raise Faulty("id", "NotSupportedChoice", "Entity not found")
            plans.append((row, record, checked(world, kind, row, new=False)))
        except Faulty as fault:
            faults.append((row, fault))
    if faults:
        return refusal(world, faults)
    answers = []
    for row, record, data in plans:
        record.data |= data
        record.updated_at = world.clock.now()
        links = record_row(world, record)["_links"]
        answers.append(
            {"id": record.id, "updated_at": record.updated_at, "request_id": row.request_id, "_links": links}
        )
    if single is not None:
        return hal({name: value for name, value in answers[0].items() if name != "request_id"})
    return hal({"_links": {"self": {"href": f"{world.link_base}{request.path}"}}, "_embedded": {kind: answers}})
