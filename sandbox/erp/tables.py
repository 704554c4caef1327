"""The ERP's entities, fields and records, with Rukovoditel's silent habits."""

import threading
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from sandbox import defaults
from sandbox.clock import Clock
from sandbox.settings import Settings

LONGEST = 255
TYPES = {"text": "fieldtype_input", "numeric": "fieldtype_input_numeric", "textarea": "fieldtype_textarea"}


class DatabaseError(Exception):
    """The database could not read the query; the page says so with a 200."""


@dataclass
class Field:
    """A field of an entity; `kind` is text, numeric, which takes any text all the same, or textarea, which keeps a long
    one whole."""

    id: str
    name: str
    kind: str = "text"
    unique: bool = False

    def kept(self, value: str) -> str:
        return value if self.kind == "textarea" else value[:LONGEST]


@dataclass
class Record:
    id: int
    parent_item_id: str
    created: float
    values: dict[str, str]


@dataclass
class Entity:
    id: str
    name: str
    fields: dict[str, Field] = field(default_factory=dict)
    records: dict[int, Record] = field(default_factory=dict)
    last_id: int = 0
    parent: str = ""


class Tables:
    """The database behind rest.php. Ids count from 1 in each entity; fields are known by their bare number."""

    def __init__(self, clock: Clock, settings: Settings, lock: threading.RLock) -> None:
        self.clock = clock
        self.settings = settings
        self.lock = lock
        self.entities: dict[str, Entity] = {}
        self._unique: dict[tuple[str, str], dict[str, int]] = {}
        deals = self.add_entity(defaults.ERP_ENTITY_ID, "Сделки")
        self.add_field(deals.id, "1039", "Название сделки")
        self.add_field(deals.id, "1040", "Сумма", kind="numeric")
        self.add_field(deals.id, "1041", "Ключ Dealpost", unique=True)
        self.add_field(deals.id, "1050", "Email")
        self.add_field(deals.id, "1051", "Город")

    def add_entity(self, entity_id: str, name: str, parent: str = "") -> Entity:
        with self.lock:
            return self.entities.setdefault(str(entity_id), Entity(str(entity_id), name, parent=parent))

    def add_field(
        self, entity_id: str, field_id: str, name: str = "", kind: str = "text", unique: bool = False
    ) -> Field:
        if kind not in TYPES:
            raise ValueError(f"kind must be one of {', '.join(TYPES)}")
        with self.lock:
            number = str(field_id).removeprefix("field_")
            made = Field(number, name or f"field_{number}", kind, unique)
            self.entities[str(entity_id)].fields[number] = made
            self._reindex(str(entity_id))
            return made

    def delete_field(self, entity_id: str, field_id: str) -> None:
        with self.lock:
            del self.entities[str(entity_id)].fields[str(field_id).removeprefix("field_")]

    def _reindex(self, entity_id: str) -> None:
        entity = self.entities[entity_id]
        for one in entity.fields.values():
            if one.unique:
                values = {row.values[one.id]: row.id for row in entity.records.values() if row.values.get(one.id)}
                self._unique[entity_id, one.id] = values

    def taken(self, entity: Entity, values: dict[str, str]) -> list[dict[str, str]]:
        """The unique fields whose value is there already. The query does not escape: a quote breaks it."""
        warnings = []
        for one in entity.fields.values():
            value = values.get(one.id, "")
            if not one.unique or not value:
                continue
            if "'" in value or "\\" in value:
                raise DatabaseError(f"You have an error in your SQL syntax near '{value}'")
            if value in self._unique.get((entity.id, one.id), {}):
                warnings.append({"id": one.id, "value": value})
        return warnings

    def insert(self, entity: Entity, values: dict[str, str], parent: str = "0") -> tuple[str, list[dict[str, str]]]:
        """(id, warnings): selects, then inserts, with no lock between, like the real one; `values` by bare number."""
        with self.lock:
            cut = {number: entity.fields[number].kept(value) for number, value in values.items()}
            warnings = self.taken(entity, cut)
        if warnings:
            return "", warnings
        if self.settings.erp_race_ms:
            time.sleep(self.settings.erp_race_ms / 1000)
        with self.lock:
            entity.last_id += 1
            entity.records[entity.last_id] = Record(entity.last_id, parent, self.clock.time(), cut)
            self._index(entity, entity.last_id, cut)
            return str(entity.last_id), []

    def _index(self, entity: Entity, number: int, values: dict[str, str]) -> None:
        for one in entity.fields.values():
            if one.unique and values.get(one.id):
                self._unique.setdefault((entity.id, one.id), {})[values[one.id]] = number

    def update(self, entity: Entity, by: dict[str, str], values: dict[str, str]) -> list[int]:
        """The ids of the rows that fit all of `by` (`id` or bare numbers), now changed."""
        with self.lock:
            found = [row for row in entity.records.values() if all(value_of(row, k) == v for k, v in by.items())]
            for row in found:
                row.values.update({number: entity.fields[number].kept(value) for number, value in values.items()})
            if found:
                self._reindex(entity.id)
            return [row.id for row in found]

    def records(self, entity_id: str = defaults.ERP_ENTITY_ID) -> list[dict[str, str]]:
        """Rows as select gives them, all fields, oldest first."""
        with self.lock:
            entity = self.entities[str(entity_id)]
            return [self.row(entity, record) for record in entity.records.values()]

    def row(self, entity: Entity, record: Record, chosen: list[str] | None = None) -> dict[str, str]:
        local = time.gmtime(record.created + self.settings.erp_utc_offset * 3600)
        data = {
            "id": str(record.id),
            "parent_item_id": record.parent_item_id,
            "date_added": time.strftime("%m/%d/%Y %H:%M", local),
        }
        return data | {number: record.values.get(number, "") for number in chosen or entity.fields}

    def clear(self) -> None:
        """Takes every record away; ids go on counting."""
        with self.lock:
            for entity in self.entities.values():
                entity.records.clear()
                self._reindex(entity.id)

    def dump(self) -> list[dict[str, Any]]:
        return [asdict(entity) for entity in self.entities.values()]

    def load(self, data: list[dict[str, Any]]) -> None:
        self.entities.clear()
        for item in data:
            fields = {number: Field(**one) for number, one in item["fields"].items()}
            records = {int(number): Record(**row) for number, row in item["records"].items()}
            entity = Entity(item["id"], item["name"], fields, records, item["last_id"], item["parent"])
            self.entities[entity.id] = entity
            self._reindex(entity.id)


def value_of(record: Record, name: str) -> str:
    return str(record.id) if name == "id" else record.values.get(name, "")
