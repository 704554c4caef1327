"""Faults on demand: what goes wrong, how often, for which requests, and before or after the service acted."""

import random
import threading
from dataclasses import asdict, dataclass
from typing import Any

from sandbox.wire import REASONS, Request, Response, as_html, as_json, gateway_page

KINDS = ("status", "garbage", "hang", "drip", "drop", "erp_fatal", "erp_db_error", "erp_empty", "erp_old_error")


@dataclass
class Fault:
    """`act`: the service carries the request out first, then the fault hits the answer. `count` None: until cleared.
    `skip` requests that match pass unharmed first; `fraction` is the share of the others that is hit."""

    kind: str
    act: bool = False
    count: int | None = 1
    skip: int = 0
    fraction: float = 1.0
    part: str | None = None
    method: str | None = None
    path: str | None = None
    contains: str | None = None
    status: int = 500
    html: bool = False
    retry_after: float | None = None
    detail: str = ""
    seconds: float = 30.0
    id: int = 0
    hits: int = 0

    def fits(self, part: str, request: Request) -> bool:
        return (
            (self.part is None or self.part == part)
            and (self.method is None or self.method == request.method)
            and (self.path is None or self.path in request.path)
            and (self.contains is None or self.contains.encode("utf-8") in request.body)
        )

    def label(self) -> str:
        what = str(self.status) if self.kind == "status" else self.kind
        return f"{what} {'after' if self.act else 'before'} acting"

    def answer(self) -> Response | None:
        """What the caller gets in place of the real answer; None drops the connection."""
        if self.kind == "drop":
            return None
        if self.kind == "garbage":
            return as_html("<!DOCTYPE html><html><head><title>Сервис временно недоступен</title></head></html>")
        if self.kind == "erp_fatal":
            text = "<br />\n<b>Fatal error</b>:  Uncaught Error: Call to a member function on null in rest.php<br />"
            return as_html(text)
        if self.kind == "erp_db_error":
            return as_html("<app_db_error>Database Error: 2006 - MySQL server has gone away</app_db_error>")
        if self.kind == "erp_empty":
            return Response(500, b"", "text/html; charset=UTF-8")
        if self.kind == "erp_old_error":
            data = {"status": "error", "error_code": "", "error_message": self.detail or "Error"}
            return Response(200, as_json(data).body, "text/html; charset=UTF-8")
        if self.html or self.status in (502, 503, 504):
            return gateway_page(self.status)
        problem = problem_of(self.status, self.detail)
        if self.retry_after is not None:
            problem["retry_after"] = self.retry_after
        return as_json(problem, self.status, "application/problem+json")


DETAILS = {
    401: "Неверный логин или пароль",
    402: "Аккаунт не оплачен",
    403: "Доступ запрещён",
    404: "Not found",
    422: "Request validation failed",
    429: "Превышен лимит запросов",
}


def problem_of(status: int, detail: str) -> dict[str, Any]:
    return {
        "title": REASONS.get(status, "Error"),
        "type": f"https://httpstatuses.com/{status}",
        "status": status,
        "detail": detail or DETAILS.get(status, "Internal error"),
    }


class Faults:
    """The faults in force, oldest first; the first that fits a request hits it."""

    def __init__(self, seed: int = 1) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._number = 0
        self._random = random.Random(seed)

    def add(self, kind: str, **options: Any) -> Fault:
        """Raises ValueError for an unknown kind and TypeError for an unknown option."""
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}")
        fault = Fault(kind, **options)
        with self._lock:
            self._number += 1
            fault.id = self._number
            self._faults.append(fault)
        return fault

    def clear(self, number: int | None = None) -> None:
        with self._lock:
            self._faults = [fault for fault in self._faults if number is not None and fault.id != number]

    def as_list(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def take(self, part: str, request: Request) -> Fault | None:
        """The fault for this request, counted down."""
        with self._lock:
            for fault in self._faults:
                if not fault.fits(part, request):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                if fault.fraction < 1.0 and self._random.random() >= fault.fraction:
                    continue
                fault.hits += 1
                if fault.count is not None:
                    fault.count -= 1
                    if fault.count <= 0:
                        self._faults.remove(fault)
                return fault
        return None
