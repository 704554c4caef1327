"""What amoCRM's lists have in common: pages, ranges, links, and filters that some accounts ignore."""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

from sandbox import forms
from sandbox.amocrm.problems import NOTHING, Refused, hal, problem
from sandbox.wire import Request, Response

MAX_LIMIT = 250


def whole(text: Any, name: str) -> int:
    """Raises Refused(400) for anything but digits."""
    if not isinstance(text, str) or not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise Refused(problem(400, f"{name}: This value should be of type int."))
    return int(text)


def wanted(query: dict[str, Any]) -> set[str]:
    """The words of `with=`."""
    return {word.strip() for text in forms.values(query.get("with")) for word in text.split(",")}


def ids(node: Any, name: str) -> set[int] | None:
    """`filter[id][]=1&filter[id][]=2` as numbers, None when the filter is not there."""
    return {whole(text, name) for text in forms.values(node)} if node is not None else None


def in_range(moment: int, node: Any) -> bool:
    """`[from]` and `[to]`, both inclusive. A bare integer fits nothing, as on the real one."""
    if not isinstance(node, dict):
        return False
    low, high = node.get("from"), node.get("to")
    if low is None and high is None:
        return False
    return (low is None or whole(low, "from") <= moment) and (high is None or moment <= whole(high, "to"))


def page_of(query: dict[str, Any], flavour: str, most: int = MAX_LIMIT, default: int = 50) -> tuple[int, int]:
    """(page from 1, limit). amoCRM cuts a limit that is too large; Kommo answers 422."""
    limit = whole(query.get("limit", str(default)), "limit")
    page = whole(query.get("page", "1"), "page")
    if limit < 1 or page < 1:
        raise Refused(problem(400, "page and limit should be positive."))
    if limit > most:
        if flavour == "kommo":
            raise Refused(problem(422, f"limit: This value should be less than or equal to {most}."))
        limit = most
    return page, limit


def listing(
    request: Request, base: str, name: str, rows: Sequence[Any], page: int, limit: int, as_row: Any
) -> Response:
    """A page of rows with its links; 204 with an empty body when there is nothing on it."""
    start = (page - 1) * limit
    chosen = rows[start : start + limit]
    if not chosen:
        return NOTHING
    links = {"self": {"href": link(request, base, page)}}
    if start + limit < len(rows):
        links["next"] = {"href": link(request, base, page + 1)}
    if page > 1:
        links["first"] = {"href": link(request, base, 1)}
        links["prev"] = {"href": link(request, base, page - 1)}
    return hal({"_page": page, "_links": links, "_embedded": {name: [as_row(row) for row in chosen]}})


def link(request: Request, base: str, page: int) -> str:
    pairs = [(name, value) for name, value in parse_qsl(request.raw_query, keep_blank_values=True) if name != "page"]
    return f"{base}{request.path}?{urlencode([*pairs, ('page', str(page))])}"


def order_by(query: dict[str, Any], rows: list[Any], allowed: tuple[str, ...]) -> list[Any]:
    """`order[updated_at]=desc`; without it by id, which the real one does not promise."""
    order = query.get("order")
    name, direction = next(iter(order.items())) if isinstance(order, dict) and order else ("id", "asc")
    if name not in allowed or direction not in ("asc", "desc"):
        raise Refused(problem(400, "order: The value you selected is not a valid choice."))
    return sorted(rows, key=lambda row: (getattr(row, name), row.id), reverse=direction == "desc")
