"""`/api/v4/contacts`: the fuzzy search, lists, and adding."""

from typing import TYPE_CHECKING, Any

from sandbox import defaults
from sandbox.amocrm.directory import EMAIL_FIELD, PHONE_FIELD
from sandbox.amocrm.entities import Contact
from sandbox.amocrm.lists import ids, in_range, listing, order_by, page_of, wanted
from sandbox.amocrm.problems import hal, not_found, problem
from sandbox.amocrm.rows import Faulty, Row, expect_int, read_rows, refusal
from sandbox.wire import Request, Response

if TYPE_CHECKING:
    from sandbox.world import World

CODES = {"EMAIL": "emails", "PHONE": "phones"}


def multitext(field_id: int, name: str, code: str, texts: list[str]) -> dict[str, Any]:
    values = [{"value": text, "enum_id": field_id + 700, "enum_code": "WORK"} for text in texts]
    return {"field_id": field_id, "field_name": name, "field_code": code, "field_type": "multitext", "values": values}


def text_fields(world: "World", fields: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "field_id": world.account.field_id(name),
            "field_name": name,
            "field_code": None,
            "field_type": "text",
            "values": [{"value": value}],
        }
        for name, value in fields.items()
    ]


def contact_row(world: "World", contact: Contact, with_leads: bool) -> dict[str, Any]:
    """A contact as the API shows it; `custom_fields_values` is null when there are none."""
    fields = []
    if contact.phones:
        fields.append(multitext(PHONE_FIELD, "Телефон", "PHONE", contact.phones))
    if contact.emails:
        fields.append(multitext(EMAIL_FIELD, "Email", "EMAIL", contact.emails))
    fields += text_fields(world, contact.fields)
    base = world.link_base
    embedded: dict[str, Any] = {"tags": [], "companies": []}
    if with_leads:
        embedded["leads"] = [
            {"id": number, "_links": {"self": {"href": f"{base}/api/v4/leads/{number}"}}}
            for number in contact.lead_ids
            if not world.account.deals[number].is_deleted
        ]
    first, _, last = contact.name.partition(" ")
    return {
        "id": contact.id,
        "name": contact.name,
        "first_name": first,
        "last_name": last,
        "responsible_user_id": defaults.ADMIN_USER_ID,
        "group_id": 0,
        "created_by": defaults.ADMIN_USER_ID,
        "updated_by": defaults.ADMIN_USER_ID,
        "created_at": contact.created_at,
        "updated_at": contact.updated_at,
        "closest_task_at": None,
        "is_deleted": False,
        "is_unsorted": False,
        "custom_fields_values": fields or None,
        "account_id": defaults.ACCOUNT_ID,
        "_links": {"self": {"href": f"{base}/api/v4/contacts/{contact.id}"}},
        "_embedded": embedded,
    }


def list_contacts(world: "World", request: Request) -> Response:
    query = request.query
    page, limit = page_of(query, world.settings.flavour)
    text = query.get("query")
    account = world.account
    rows = account.find_contacts(text) if isinstance(text, str) and text else list(account.contacts.values())
    chosen = query.get("filter")
    if world.settings.filters_enabled and isinstance(chosen, dict):
        if "id" in chosen:
            numbers = ids(chosen["id"], "filter[id]") or set()
            rows = [row for row in rows if row.id in numbers]
        if "updated_at" in chosen:
            rows = [row for row in rows if in_range(row.updated_at, chosen["updated_at"])]
    if "order" in query:
        rows = order_by(query, rows, ("id", "updated_at"))
    with_leads = "leads" in wanted(query)
    return listing(
        request, world.link_base, "contacts", rows, page, limit, lambda row: contact_row(world, row, with_leads)
    )


def get_contact(world: "World", request: Request, contact_id: int) -> Response:
    contact = world.account.contacts.get(contact_id)
    if contact is None:
        return not_found(world)
    return hal(contact_row(world, contact, "leads" in wanted(request.query)))


def read_fields(node: Any) -> tuple[dict[str, list[str]], list[tuple[Any, str]]]:
    """EMAIL and PHONE texts by attribute, and the other fields as (field_id, text). Raises Faulty."""
    known: dict[str, list[str]] = {}
    other: list[tuple[Any, str]] = []
    if node is not None and not isinstance(node, list):
        raise Faulty("custom_fields_values", "InvalidType", "This value should be of type array.")
    for item in node or []:
        values = item.get("values") if isinstance(item, dict) else None
        if not isinstance(values, list) or not all(isinstance(value, dict) and "value" in value for value in values):
            raise Faulty("custom_fields_values.0.values", "InvalidType", "This value should be of type array.")
        texts = [str(value["value"]) for value in values]
        code = item.get("field_code")
        if isinstance(code, str) and code in CODES:
            known[CODES[code]] = texts
        else:
            other.append((item.get("field_id"), texts[0] if texts else ""))
    return known, other


def named_fields(world: "World", other: list[tuple[Any, str]]) -> dict[str, str]:
    """Raises Faulty for a field that the account does not have."""
    names = {number: name for name, number in world.account.custom_fields.items()}
    for field_id, _ in other:
        if not isinstance(field_id, int) or field_id not in names:
            raise Faulty("custom_fields_values.0.field_id", "NotSupportedChoice", "Field not found.")
    return {names[field_id]: text for field_id, text in other}


WRITABLE = {
    "name",
    "first_name",
    "last_name",
    "custom_fields_values",
    "responsible_user_id",
    "created_by",
    "updated_by",
    "created_at",
    "updated_at",
    "_embedded",
}


def contact_changes(world: "World", row: Row) -> dict[str, Any]:
    """What a row sets: name, emails, phones, fields. Raises Faulty."""
    if row.surplus:
        raise Faulty(sorted(row.surplus)[0], "FieldNotExpected", "This field was not expected.")
    for name in ("name", "first_name", "last_name"):
        if not isinstance(row.data.get(name, ""), str):
            raise Faulty(name, "InvalidType", "This value should be of type string.")
    for name in ("created_at", "updated_at", "created_by", "updated_by"):
        expect_int(row.data, name)
    user = expect_int(row.data, "responsible_user_id")
    if user is not None and not world.account.users.get(user):
        raise Faulty("responsible_user_id", "NotSupportedChoice", "The value you selected is not a valid choice.")
    known, other = read_fields(row.data.get("custom_fields_values"))
    changes: dict[str, Any] = {**known, "fields": named_fields(world, other)}
    name = row.data.get("name") or " ".join(
        row.data[part] for part in ("first_name", "last_name") if row.data.get(part)
    )
    return {**changes, "name": name} if name else changes


def written(world: "World", rows: list[tuple[Row, Contact]]) -> list[dict[str, Any]]:
    return [
        {
            "id": contact.id,
            "name": contact.name,
            "updated_at": contact.updated_at,
            "request_id": row.request_id,
            "_links": {"self": {"href": f"{world.link_base}/api/v4/contacts/{contact.id}"}},
        }
        for row, contact in rows
    ]


def add_contacts(world: "World", request: Request) -> Response:
    """POST: an array of contacts; all are added or none."""
    plans, faults = [], []
    for row in read_rows(request, WRITABLE):
        try:
            plans.append((row, contact_changes(world, row)))
        except Faulty as fault:
            faults.append((row, fault))
    if faults:
        return refusal(world, faults)
    add = world.account.add_contact
    made = [
        (row, add(change.get("name", ""), change.get("emails"), change.get("phones"), change["fields"]))
        for row, change in plans
    ]
    answers = [{name: row[name] for name in ("id", "request_id", "_links")} for row in written(world, made)]
    links = {"self": {"href": f"{world.link_base}/api/v4/contacts"}}
    return hal({"_links": links, "_embedded": {"contacts": answers}})


def patch_contacts(world: "World", request: Request, contact_id: int | None = None) -> Response:
    """PATCH of a batch, or of one contact by an object: fields that are not named stay."""
    account = world.account
    if contact_id is not None and contact_id not in account.contacts:
        return problem(404, "Entity not found")
    plans, faults = [], []
    for row in read_rows(request, WRITABLE, contact_id):
        try:
            number = expect_int(row.data, "id")
            contact = account.contacts.get(number) if number is not None else None
            if contact is None:
                raise Faulty("id", "NotSupportedChoice", "Entity not found")
            plans.append((row, contact, contact_changes(world, row)))
        except Faulty as fault:
            faults.append((row, fault))
    if faults:
        return refusal(world, faults)
    for _, contact, changes in plans:
        account.edit_contact(contact.id, **{**changes, "fields": {**contact.fields, **changes["fields"]}})
    answers = written(world, [(row, contact) for row, contact, _ in plans])
    if contact_id is not None:
        return hal({name: value for name, value in answers[0].items() if name != "request_id"})
    links = {"self": {"href": f"{world.link_base}/api/v4/contacts"}}
    return hal({"_links": links, "_embedded": {"contacts": answers}})
