"""Batches of rows in a body: reading them, and refusing them in the three shapes that amoCRM has."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.amocrm.problems import Refused, problem
from sandbox.wire import BadJSON, Request, Response

if TYPE_CHECKING:
    from sandbox.world import World

MAX_ROWS = 250


class Faulty(Exception):
    """What is wrong with one row."""

    def __init__(self, path: str, code: str, detail: str) -> None:
        super().__init__(detail)
        self.path = path
        self.code = code
        self.detail = detail


@dataclass
class Row:
    """One object of a batch; `request_id` is the sender's, or its place as text."""

    data: dict[str, Any]
    request_id: Any
    surplus: set[str]


def read_rows(request: Request, allowed: set[str], single: int | None = None) -> list[Row]:
    """The rows of a body, an array, or with `single` (an id from the path) one object. Raises Refused(400)."""
    try:
        data = request.data()
    except BadJSON:
        raise Refused(problem(400, "Request body should contain a valid JSON.")) from None
    if single is not None:
        if not isinstance(data, dict):
            raise Refused(problem(400, "Request body should be an object."))
        data = [{**data, "id": single}]
    elif not isinstance(data, list) or not data or not all(isinstance(item, dict) for item in data):
        raise Refused(problem(400, "Request body should be a non-empty array of objects."))
    if len(data) > MAX_ROWS:
        raise Refused(problem(400, f"This collection should contain {MAX_ROWS} elements or less."))
    return [
        Row(item, item.get("request_id", str(place)), set(item) - allowed - {"id", "request_id"})
        for place, item in enumerate(data)
    ]


def refusal(world: "World", faults: list[tuple[Row, Faulty]]) -> Response:
    """A 400 in the shape that the knob `error_shape` asks for."""
    shape = world.settings.error_shape
    if shape == "errors":
        return problem(400, "Bad Request", errors={str(row.data.get("id")): fault.detail for row, fault in faults})
    if shape == "detail":
        return problem(400, faults[0][1].detail)
    listed = [
        {
            "request_id": str(row.request_id),
            "errors": [{"code": fault.code, "path": fault.path, "detail": fault.detail}],
        }
        for row, fault in faults
    ]
    return problem(400, "Request validation failed", **{"validation-errors": listed})


def expect_int(data: dict[str, Any], name: str, nullable: bool = False) -> int | None:
    """The whole number under that name, None when absent; a time may have a point and a nought. Raises Faulty for
    texts, other floats and booleans."""
    value = data.get(name)
    if name not in data or (value is None and nullable):
        return None
    if isinstance(value, float) and value.is_integer() and name.endswith(("_at", "_till")):
        # Python's datetime.timestamp() goes out as 1790000000.0, and clients that send it are in use.
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Faulty(name, "InvalidType", "This value should be of type int.")
    return value
