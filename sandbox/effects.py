"""What a fault does to one request: an answer in place of the real one, or the real one altered."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from sandbox.faults import ALTERED, Fault
from sandbox.wire import REASONS, Request, Response, as_html, as_json, gateway_page

Act = Callable[[Request], Response]
Wait = Callable[[float], Any]

DETAILS = {
    401: "Неверный логин или пароль",
    402: "Аккаунт не оплачен",
    403: "Доступ запрещён",
    404: "Not found",
    422: "Request validation failed",
    429: "Превышен лимит запросов",
}
NOISE = (
    '<br />\n<b>Warning</b>:  Undefined array key "notify" in '
    "<b>/var/www/html/plugins/ext/classes/items.php</b> on line <b>214</b><br />\n"
)


def apply(fault: Fault, request: Request, act: Act, wait: Wait) -> tuple[Response | None, bool, float]:
    """(answer or None for a dropped connection, whether the service acted, seconds to drip)."""
    if fault.delay:
        wait(fault.delay)
    if fault.kind not in ALTERED:
        acted = act(request).was_carried_out if fault.act else False
        return replacement(fault, request), acted, 0.0
    if fault.kind == "hang" and not fault.act:
        wait(fault.seconds)
    response = act(shortened(request, fault.rows) if fault.kind == "cut" else request)
    acted = response.was_carried_out
    if fault.kind == "hang" and fault.act:
        wait(fault.seconds)
    if fault.kind == "row":
        response = with_odd_row(fault, response)
    if fault.kind == "erp_noise":
        response = Response(response.status, NOISE.encode() + response.body, response.content_type, response.headers)
    return response, acted, fault.seconds if fault.kind == "drip" else 0.0


def replacement(fault: Fault, request: Request) -> Response | None:
    """What the caller gets in place of the real answer; None drops the connection."""
    html = "text/html; charset=UTF-8"
    match fault.kind:
        case "drop":
            return None
        case "garbage":
            return as_html("<!DOCTYPE html><html><head><title>Сервис временно недоступен</title></head></html>")
        case "erp_fatal":
            text = "<br />\n<b>Fatal error</b>:  Uncaught Error: Call to a member function on null in rest.php<br />"
            return as_html(text)
        case "erp_db_error":
            return as_html("<app_db_error>Database Error: 2006 - MySQL server has gone away</app_db_error>")
        case "erp_empty":
            return Response(500, b"", html)
        case "erp_old_error":
            data = {"status": "error", "error_code": "", "error_message": fault.detail or "Error"}
            return Response(200, as_json(data).body, html)
        case "erp_refusal":
            refused = {"status": "error", "error_code": 500, "error_message": fault.detail or "Error"}
            return Response(500, as_json(refused).body, html)
        case "redirect":
            status = fault.status if 300 <= fault.status < 400 else 301
            place = fault.location.replace("{path}", request.path).replace("{host}", request.host)
            page = gateway_page(status)
            return Response(status, page.body, page.content_type, {"Location": place})
    return status_answer(fault)


def status_answer(fault: Fault) -> Response:
    if fault.status == 204:
        return Response(204)
    if fault.html or fault.status in (502, 503, 504):
        return gateway_page(fault.status)
    detail = fault.detail or DETAILS.get(fault.status, "Internal error")
    if fault.old_shape:
        # The shape that the older versions of the API had, and that some of amoCRM's doors still answer with.
        old = {"error": detail, "error_code": str(fault.code or ""), "ip": "203.0.113.7"}
        return as_json({"response": old}, fault.status)
    problem: dict[str, Any] = {
        "title": REASONS.get(fault.status, "Error"),
        "type": f"https://httpstatuses.com/{fault.status}",
        "status": fault.status,
        "detail": detail,
    }
    if fault.code is not None:
        problem["error_code"] = fault.code
    if fault.retry_after is not None:
        problem["retry_after"] = fault.retry_after
    return as_json(problem, fault.status, "application/problem+json")


def shortened(request: Request, rows: int) -> Request:
    """The same request with a smaller `limit`, so that the list ends early and `_links.next` leads on truly."""
    pairs = [(name, value) for name, value in parse_qsl(request.raw_query, keep_blank_values=True) if name != "limit"]
    asked = request.query.get("limit")
    limit = min(rows, int(asked)) if isinstance(asked, str) and asked.isdecimal() else rows
    return Request(
        request.method, request.path, urlencode([*pairs, ("limit", str(limit))]), request.headers, request.body
    )


def with_odd_row(fault: Fault, response: Response) -> Response:
    """One row of a list, or the one that was asked for, altered, replaced or left out: the row with the id `entity`,
    else the one at `place`. An answer without it stays as it is."""
    if response.status != 200:
        return response
    data = json.loads(response.body)
    embedded = data.get("_embedded", {})
    lists = [rows for rows in embedded.values() if isinstance(rows, list)] if "_page" in data else []
    if lists:
        rows = lists[0]
        places = [place for place, row in enumerate(rows) if fault.entity in (None, row["id"])]
        if fault.entity is None:
            places = places[fault.place : fault.place + 1]
        if not places:
            return response
        rows[places[0] : places[0] + 1] = odd(fault, rows[places[0]])
        if not rows:
            return Response(204)
    elif fault.entity in (None, data.get("id")):
        found = odd(fault, data)
        if not found:
            return Response(204)
        data = found[0]
    return as_json(data, 200, response.content_type)


def odd(fault: Fault, row: Any) -> list[Any]:
    if fault.remove:
        return []
    return [{**row, **fault.values} if fault.values is not None else fault.replace]
