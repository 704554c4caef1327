"""A Rukovoditel in memory behind the seam to the network, with the faults that matter, each for one request."""

import json
from typing import Any

from service.network.http import NoAnswer, Reply

KEY, USER, PASSWORD = "key", "user", "password"


class Erp:
    """faults: by action, what the next requests meet: lost, unreachable, timeout, late, empty, gateway, or a body."""

    def __init__(self) -> None:
        self.rows: list[dict[str, str]] = []
        self.calls: list[dict[str, Any]] = []
        self.faults: dict[str, list[str]] = {}
        self.unique = "1041"
        self.kinds: dict[str, str] = {}
        self.sees = "all"
        self.may_create = True
        self.entities = {70}
        self.last_id = 0
        self.late: list[dict[str, Any]] = []

    def request(self, method: str, url: str, *, json: dict[str, Any], total: float | None = None) -> Reply:
        assert method == "POST" and url == "https://erp.example/api/rest.php"
        self.calls.append(json)
        queue = self.faults.get(json["action"], [])
        fault = queue.pop(0) if queue else ""
        if fault == "unreachable":
            raise NoAnswer("no connection", kind="connect", acted=False)
        if fault == "timeout":
            raise NoAnswer("no answer in time", kind="timeout", acted=True)
        if fault == "late":
            self.late.append(json)
            raise NoAnswer("no answer in time", kind="timeout", acted=True)
        if fault == "empty":
            return self.reply(500, "")
        if fault == "gateway":
            return self.reply(504, "<html>504 Gateway Time-out</html>")
        if fault == "bad gateway":
            return self.reply(502, "<html>502 Bad Gateway</html>")
        if fault.startswith("refuse:"):
            return self.refuse(fault.removeprefix("refuse:"))
        if fault == "moved":
            headers = {"Location": "https://erp.example.org/api/rest.php?key=secret"}
            return Reply(301, headers, b"", 0.01, "POST", "https://erp.example/api/rest.php")
        if fault.startswith(("{", "<")):
            return self.reply(200, fault)
        answer = self.act(json)
        if fault == "lost":
            raise NoAnswer("the connection broke", kind="dropped", acted=True)
        if fault == "garbled":
            return self.reply(200, "<app_db_error>gone away</app_db_error>")
        return answer

    def catch_up(self) -> None:
        """What the ERP was still at work on is done now."""
        for one in self.late:
            self.act(one)
        self.late.clear()

    def reply(self, status: int, text: str) -> Reply:
        return Reply(status, {}, text.encode(), 0.01, "POST", "https://erp.example/api/rest.php")

    def said(self, data: Any) -> Reply:
        return self.reply(200, json.dumps({"status": "success", "data": data}))

    def refuse(self, words: str) -> Reply:
        return self.reply(500, json.dumps({"status": "error", "error_code": 500, "error_message": words}))

    def act(self, body: dict[str, Any]) -> Reply:
        if body["key"] != KEY:
            return self.refuse("API Key mismatch")
        if (body["username"], body["password"]) != (USER, PASSWORD):
            return self.reply(500, "")
        if body["action"] == "login":
            return self.said({"id": "3", "name": "Dealpost"})
        if body["entity_id"] not in self.entities:
            return self.refuse(f"entity {body['entity_id']} not found")
        return getattr(self, body["action"])(body)

    def insert(self, body: dict[str, Any]) -> Reply:
        if not self.may_create:
            return self.reply(500, "")
        if not body.get("items"):
            return self.refuse("Parameter items is required")
        values = {name.removeprefix("field_"): value for name, value in body["items"].items()}
        key = values.get(self.unique)
        if key and any(row.get(self.unique) == key for row in self.rows):
            return self.said({"id": "", "unique_fields_warning": [{"id": self.unique, "value": key}]})
        return self.said({"id": str(self.add(**values))})

    def add(self, **values: str) -> int:
        self.last_id += 1
        self.rows.append({"id": str(self.last_id), "parent_item_id": "0", "date_added": "11/21/2026 12:00", **values})
        return self.last_id

    def row(self, name: str, amount: str) -> int:
        """A row that somebody else made."""
        return self.add(**{"1039": name, "1040": amount})

    def select(self, body: dict[str, Any]) -> Reply:
        if self.sees == "nothing":
            return self.reply(500, "")
        wanted = {name: value for name, value in body.get("filters", {}).items() if name.isdecimal()}
        if self.sees == "none":
            return self.said([])
        return self.said([row for row in self.rows if all(row.get(name) == value for name, value in wanted.items())])

    def update(self, body: dict[str, Any]) -> Reply:
        found = [row for row in self.rows if row["id"] == body["update_by_field"]["id"]]
        for row in found:
            row.update({name.removeprefix("field_"): value for name, value in body["data"].items()})
        return self.said({"id": ",".join(row["id"] for row in found)})

    def get_entity_fields(self, body: dict[str, Any]) -> Reply:
        rows = []
        for number in ("1039", "1040", "1041"):
            options = {"is_unique": "1"} if number == self.unique else {}
            kind = self.kinds.get(number, "fieldtype_input")
            rows.append({"id": number, "type": kind, "configuration": json.dumps(options)})
        return self.said(rows)

    def asked(self) -> list[str]:
        """The actions, without the question for the fields, which is asked now and then."""
        return [call["action"] for call in self.calls if call["action"] != "get_entity_fields"]

    def items(self) -> list[dict[str, Any]]:
        """What was to be inserted."""
        return [call["items"] for call in self.calls if call["action"] == "insert" and call.get("items")]
