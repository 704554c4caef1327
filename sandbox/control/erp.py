"""The ERP: its records, entities and fields."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sandbox.control.registry import route
from sandbox.defaults import ERP_ENTITY_ID

if TYPE_CHECKING:
    from sandbox.world import World


@route("GET", "erp/records")
def records(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return {"records": world.erp.records(str(query.get("entity_id", ERP_ENTITY_ID)))}


@route("POST", "erp/records")
def add_record(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    entity = world.erp.entities[str(body.get("entity_id", ERP_ENTITY_ID))]
    values = {str(name).removeprefix("field_"): str(value) for name, value in body["items"].items()}
    number, warnings = world.erp.insert(entity, values)
    world.changed()
    return {"id": number, "unique_fields_warning": warnings}


@route("DELETE", "erp/records")
def clear_records(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.erp.clear()
    world.changed()


@route("GET", "erp/fields")
def erp_fields(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    entities = world.erp.entities.values()
    return {"entities": [{**asdict(one), "records": len(one.records)} for one in entities]}


@route("POST", "erp/entities")
def add_entity(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.erp.add_entity(str(body["entity_id"]), body.get("name", ""), str(body.get("parent", "")))
    world.changed()


@route("POST", "erp/fields")
def add_field(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    field = world.erp.add_field(**{"entity_id": ERP_ENTITY_ID, **body})
    world.changed()
    return asdict(field)


@route("DELETE", "erp/fields/#")
def delete_field(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.erp.delete_field(str(query.get("entity_id", ERP_ENTITY_ID)), str(ids[0]))
    world.changed()
