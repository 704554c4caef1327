"""`POST /api/v4/leads/complex`, and the links between deals, contacts and companies."""

from typing import TYPE_CHECKING, Any

from sandbox.amocrm.contacts import named_fields, read_fields
from sandbox.amocrm.lead_writes import WRITABLE, edits, embedded, target
from sandbox.amocrm.problems import NOTHING, Refused, hal, problem
from sandbox.amocrm.records import KINDS, Record, exists
from sandbox.amocrm.rows import Faulty, read_rows, refusal
from sandbox.wire import Request, Response, as_json

if TYPE_CHECKING:
    from sandbox.world import World

MOST = 50


def add_complex(world: "World", request: Request) -> Response:
    """Up to 50 deals, each with at most one contact and one company, known by id or new; all are added or none.
    `request_id` comes back as an array."""
    account = world.account
    rows = read_rows(request, WRITABLE)
    if len(rows) > MOST:
        return problem(400, f"This collection should contain {MOST} elements or less.")
    plans, faults = [], []
    for row in rows:
        try:
            place = target(world, row.data, None)
            people, firms = embedded(row, "contacts"), embedded(row, "companies")
            for name, items in (("contacts", people), ("companies", firms)):
                if len(items) > 1:
                    raise Faulty(f"_embedded.{name}", "TooMany", "This collection should contain 1 element or less.")
                for item in items:
                    if "id" in item and not exists(world, name, item["id"]):
                        raise Faulty(f"_embedded.{name}.0.id", "NotSupportedChoice", "Entity not found")
            tags = [str(item.get("name", "")) for item in embedded(row, "tags")]
            person = people[0] if people else None
            known, other = read_fields((person or {}).get("custom_fields_values"))
            plans.append(
                (row, place, edits(world, row, place[1]), tags, person, known, named_fields(world, other), firms)
            )
        except Faulty as fault:
            faults.append((row, fault))
    if faults:
        return refusal(world, faults)
    answers: list[dict[str, Any]] = []
    for row, (pipeline_id, status_id), changes, tags, person, known, fields, firms in plans:
        contact_id = person.get("id") if person else None
        if person and contact_id is None:
            names = " ".join(str(person[part]) for part in ("first_name", "last_name") if person.get(part))
            made = account.add_contact(person.get("name") or names, known.get("emails"), known.get("phones"), fields)
            contact_id = made.id
        company_id = firms[0].get("id") if firms else None
        if firms and company_id is None:
            now = world.clock.now()
            data = {name: value for name, value in firms[0].items() if name in KINDS["companies"].writable}
            company = Record(account.next_id(), "companies", {**KINDS["companies"].blank, **data}, now, now)
            account.records[company.id] = company
            company_id = company.id
        people_ids = [contact_id] if contact_id is not None else []
        deal = account.add_deal(
            changes.get("name", ""),
            changes.get("price", 0),
            status_id,
            pipeline_id,
            people_ids,
            changes.get("fields"),
            tags,
            by=0,
        )
        answers.append(
            {
                "id": deal.id,
                "contact_id": contact_id,
                "company_id": company_id,
                "request_id": [str(row.request_id)],
                "merged": False,
            }
        )
    return as_json(answers)


def read_links(world: "World", request: Request) -> list[dict[str, Any]]:
    """Raises Refused(400)."""
    data = request.data()
    if not isinstance(data, list) or not data or not all(isinstance(item, dict) for item in data):
        raise Refused(problem(400, "Request body should be a non-empty array of objects."))
    for item in data:
        kind = item.get("to_entity_type")
        if kind not in ("leads", "contacts", "companies") or not exists(world, kind, item.get("to_entity_id")):
            raise Refused(problem(400, "to_entity_id: Entity not found"))
    return data


def links(world: "World", request: Request, owner: str, number: int) -> Response:
    """The contacts of a deal, or the deals of a contact."""
    if not exists(world, owner, number):
        return problem(404, "Entity not found")
    rows: list[dict[str, Any]] = []
    if owner == "leads":
        deal = world.account.deals[number]
        rows = [link_row("contacts", one, {"main_contact": one == deal.contact_ids[0]}) for one in deal.contact_ids]
    elif owner == "contacts":
        rows = [link_row("leads", one, None) for one in world.account.contacts[number].lead_ids]
    href = f"{world.link_base}{request.path}"
    return hal({"_total_items": len(rows), "_links": {"self": {"href": href}}, "_embedded": {"links": rows}})


def link_row(kind: str, number: int, metadata: dict[str, Any] | None) -> dict[str, Any]:
    return {"to_entity_id": number, "to_entity_type": kind, "metadata": metadata}


def change_links(world: "World", request: Request, owner: str, number: int, joined: bool) -> Response:
    """`POST .../link` and `.../unlink` between a deal and its contacts; those to companies are accepted and not
    kept."""
    if not exists(world, owner, number):
        return problem(404, "Entity not found")
    wanted = read_links(world, request)
    for item in wanted:
        pair = {owner: number, item["to_entity_type"]: item["to_entity_id"]}
        if set(pair) != {"leads", "contacts"}:
            continue
        deal, contact = world.account.deals[pair["leads"]], world.account.contacts[pair["contacts"]]
        if joined and contact.id not in deal.contact_ids:
            deal.contact_ids.append(contact.id)
            contact.lead_ids.append(deal.id)
        if not joined and contact.id in deal.contact_ids:
            deal.contact_ids.remove(contact.id)
            contact.lead_ids.remove(deal.id)
    if not joined:
        return NOTHING
    return hal({"_total_items": len(wanted), "_embedded": {"links": wanted}})
