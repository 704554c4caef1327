"""`/api/rest.php` as Rukovoditel answers it: always text/html, errors as 500, some as an empty page or a 200."""

import json
import math
from typing import Any

from sandbox import defaults, forms
from sandbox.erp.tables import TYPES, DatabaseError, Entity, Tables
from sandbox.wire import BadJSON, Request, Response, as_html

HTML = "text/html; charset=UTF-8"
PATH = "/api/rest.php"


class Refusal(Exception):
    """An error that the API can put into words."""

    def __init__(self, message: str, old_code: str = "") -> None:
        super().__init__(message)
        self.old_code = old_code


class Died(Exception):
    """PHP stopped: an empty 500, or a 200 with a fatal error on hosts that display errors."""


def reply(data: Any, **beside: Any) -> Response:
    text = json.dumps({"status": "success", "data": data, **beside}, ensure_ascii=False)
    return Response(200, text.encode("utf-8"), HTML)


def answer(tables: Tables, request: Request) -> Response:
    """Reference: https://docs.rukovoditel.net.ru/ (API)"""
    settings = tables.settings
    try:
        if settings.erp_database_down:
            raise DatabaseError("2002 - Connection refused")
        return _act(tables, request)
    except Refusal as refusal:
        if settings.erp_old_version:
            data = {"status": "error", "error_code": refusal.old_code, "error_message": str(refusal)}
            return Response(200, json.dumps(data).encode(), HTML, acted=False)
        data = {"status": "error", "error_code": 500, "error_message": str(refusal)}  # type: ignore[dict-item]
        return Response(500, json.dumps(data).encode(), HTML)
    except Died:
        if not settings.erp_display_errors:
            return Response(500, b"", HTML)
        text = (
            "<br />\n<b>Fatal error</b>:  Uncaught Error in <b>/var/www/html/api/rest.php</b> on line <b>61</b><br />"
        )
        page = as_html(text)
        page.acted = False
        return page
    except DatabaseError as error:
        page = as_html(f"<app_db_error>\n<div>Database Error: {error}</div>\n</app_db_error>")
        page.acted = False
        return page


def _parameters(request: Request) -> tuple[dict[str, Any], bool]:
    """(parameters, whether they came as JSON)."""
    if request.is_json or request.body[:1] == b"{":
        try:
            data = request.json()
        except BadJSON:
            raise Refusal("Invalid JSON") from None
        if not isinstance(data, dict):
            raise Refusal("Invalid JSON")
        return data, True
    return forms.parse(request.body.decode("utf-8", "replace")), False


def _act(tables: Tables, request: Request) -> Response:
    data, is_json = _parameters(request)
    for name in ("key", "username", "password", "action"):
        if not data.get(name):
            raise Refusal(f"Parameter {name} is required")
    if data["key"] != defaults.ERP_KEY:
        raise Refusal("API Key mismatch")
    if (data["username"], data["password"]) != (defaults.ERP_USERNAME, defaults.ERP_PASSWORD):
        if tables.settings.erp_old_version:
            raise Refusal("No match for Username and/or Password.", "login_fail")
        raise Died
    if data["action"] == "login":
        user = {"id": "3", "name": "Dealpost", "username": defaults.ERP_USERNAME, "email": "erp@example.com"}
        return reply({**user, "group_id": "4", "language": "russian.php"})
    actions = {"insert": _insert, "select": _select, "update": _update, "get_entity_fields": _fields}
    action = actions.get(str(data["action"]))
    if action is None:
        raise Refusal("Action not found")
    if not data.get("entity_id"):
        raise Refusal("Parameter entity_id is required")
    entity = tables.entities.get(str(data["entity_id"]))
    if entity is None:
        raise Refusal(f"Entity {data['entity_id']} not found")
    return action(tables, entity, data, is_json)


def text_of(value: Any) -> str:
    """PHP's reading of a value as text."""
    if value is None or value is False:
        return ""
    if value is True:
        return "1"
    if isinstance(value, list | dict):
        raise Died
    return str(value)


def _values(entity: Entity, node: Any) -> dict[str, str]:
    """`field_NNN` -> text as bare number -> text."""
    values = {}
    for name, value in node.items():
        if name == "parent_item_id":
            continue
        number = str(name).removeprefix("field_")
        if not str(name).startswith("field_") or number not in entity.fields:
            raise Refusal(f"Field {name} not found")
        values[number] = text_of(value)
    return values


def _insert(tables: Tables, entity: Entity, data: dict[str, Any], is_json: bool) -> Response:
    if not tables.settings.erp_may_create:
        raise Died
    items = data.get("items")
    if not items:
        raise Refusal("Parameter items is required")
    if isinstance(items, dict) and items and all(isinstance(item, dict) for item in items.values()):
        items = list(items.values())
    many = isinstance(items, list)
    rows = items if isinstance(items, list) else [items]
    if not rows or not all(isinstance(row, dict) and row for row in rows):
        raise Refusal("Parameter items is required")
    parent = text_of(data.get("parent_item_id", "0"))
    if entity.parent and parent not in {str(number) for number in tables.entities[entity.parent].records}:
        raise Refusal("Parameter parent_item_id is required")
    done, warnings = [], []
    for row in rows:
        # No transaction: the rows before a bad one stay, and nobody is told their ids.
        number, warned = tables.insert(entity, _values(entity, row), parent)
        warnings += warned
        if number:
            done.append(number)
    if warnings:
        answer = reply({"id": "", "unique_fields_warning": warnings})
        answer.acted = bool(many and done)
        return answer
    return reply({"id": ",".join(done)})


def _demand_view(tables: Tables) -> None:
    """Without the right to see PHP stops; a right to one's own records only ("none") finds nothing."""
    if tables.settings.erp_may_view == "no":
        raise Died


def _fields(tables: Tables, entity: Entity, data: dict[str, Any], is_json: bool) -> Response:
    """What an entity's fields are; whoever may log in may ask. Uniqueness is an option of the field."""
    found = []
    for one in entity.fields.values():
        options = {"is_unique": "1", "unique_error_msg": ""} if one.unique else {}
        as_text = tables.settings.erp_configuration == "text"
        configuration = json.dumps(options) if as_text else options
        found.append({"id": one.id, "name": one.name, "type": TYPES[one.kind], "configuration": configuration})
    return reply(found)


def _number(data: dict[str, Any], name: str) -> int:
    text = str(data.get(name) or "0")
    return int(text) if text.isdecimal() else 0


def _select(tables: Tables, entity: Entity, data: dict[str, Any], is_json: bool) -> Response:
    """Only bare numbers filter; a key such as `field_1041` is passed over in silence, and everything comes back."""
    _demand_view(tables)
    filters = data.get("filters")
    wanted: dict[str, str] = {}
    for name, value in filters.items() if isinstance(filters, dict) else ():
        if not name.isdecimal():
            continue
        if name not in entity.fields:
            raise Refusal(f"Field {name} not found")
        wanted[name] = text_of(value)
    chosen = [name.strip() for name in str(data.get("select_fields") or "").split(",") if name.strip()]
    for name in chosen:
        if name not in entity.fields:
            raise Refusal(f"Field {name} not found")
    with tables.lock:
        rows = [
            record
            for record in entity.records.values()
            if tables.settings.erp_may_view == "yes"
            and all(record.values.get(name, "") == value for name, value in wanted.items())
        ]
        limit = _number(data, "limit")
        rows = rows[:limit] if limit else rows
        per_page = _number(data, "rows_per_page")
        page = 1 if is_json else max(1, _number(data, "page"))
        pages = max(1, math.ceil(len(rows) / per_page)) if per_page else 1
        shown = rows[(page - 1) * per_page : page * per_page] if per_page else rows
        found = [tables.row(entity, record, chosen or None) for record in shown]
    return reply(found, page=page, number_of_rows=len(rows), number_of_pages=pages)


def _update(tables: Tables, entity: Entity, data: dict[str, Any], is_json: bool) -> Response:
    _demand_view(tables)
    by, change = data.get("update_by_field"), data.get("data")
    if not isinstance(by, dict) or not by:
        raise Refusal("Parameter update_by_field is required")
    if not isinstance(change, dict) or not change:
        raise Refusal("Parameter data is required")
    wanted = {"id": text_of(by["id"])} if "id" in by else {}
    wanted |= _values(entity, {name: value for name, value in by.items() if name != "id"})
    changed = tables.update(entity, wanted, _values(entity, change))
    return reply({"id": ",".join(str(number) for number in changed)} if changed else "")
