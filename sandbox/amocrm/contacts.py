"""`/api/v4/contacts`: the fuzzy search, lists, and adding."""

from typing import TYPE_CHECKING, Any

from sandbox import defaults
from sandbox.amocrm.account import Contact
from sandbox.amocrm.lists import ids, in_range, listing, order_by, page_of, wanted
from sandbox.amocrm.problems import hal, not_found
from sandbox.amocrm.rows import Faulty, read_rows, refusal
from sandbox.wire import Request, Response

if TYPE_CHECKING:
    from sandbox.world import World

EMAIL_FIELD, PHONE_FIELD = 904_103, 904_101
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
    base = world.base
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
    return listing(request, world.base, "contacts", rows, page, limit, lambda row: contact_row(world, row, with_leads))


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


def add_contacts(world: "World", request: Request) -> Response:
    """POST: an array of contacts; all are added or none."""
    rows = read_rows(request, {"name", "first_name", "last_name", "custom_fields_values", "responsible_user_id"})
    plans, faults = [], []
    for row in rows:
        try:
            if row.surplus:
                raise Faulty(sorted(row.surplus)[0], "FieldNotExpected", "This field was not expected.")
            if not isinstance(row.data.get("name", ""), str):
                raise Faulty("name", "InvalidType", "This value should be of type string.")
            known, other = read_fields(row.data.get("custom_fields_values"))
            names = (row.data.get("first_name"), row.data.get("last_name"))
            name = row.data.get("name") or " ".join(str(part) for part in names if part)
            plans.append((row, name, known, named_fields(world, other)))
        except Faulty as fault:
            faults.append((row, fault))
    if faults:
        return refusal(world, faults)
    answer = []
    for row, name, known, fields in plans:
        contact = world.account.add_contact(name, known.get("emails"), known.get("phones"), fields)
        link = f"{world.base}/api/v4/contacts/{contact.id}"
        answer.append({"id": contact.id, "request_id": row.request_id, "_links": {"self": {"href": link}}})
    return hal({"_links": {"self": {"href": f"{world.base}/api/v4/contacts"}}, "_embedded": {"contacts": answer}})
