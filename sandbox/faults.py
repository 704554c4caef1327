"""Faults on demand: which requests are hit, how often and for how long, and before or after the service acted."""

import random
import threading
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import unquote_plus

from sandbox import forms
from sandbox.clock import Clock
from sandbox.presets import PRESETS
from sandbox.wire import Request

REPLACED = ("status", "garbage", "redirect", "drop", "erp_fatal", "erp_db_error", "erp_empty", "erp_old_error")
ALTERED = ("hang", "drip", "cut", "row", "erp_noise")
KINDS = (*REPLACED, *ALTERED, "erp_refusal")


@dataclass
class Fault:
    """`act`: the service carries the request out first, then the fault hits the answer. `count` None: until cleared,
    or for `for_seconds`. `skip` requests that match pass unharmed first; `fraction` is the share of the others that is
    hit.

    `path`, `query` and `contains` are pieces of the path, the decoded query and the body; `entity` is a row's id;
    `action` is the ERP's. `delay` seconds pass before anything else happens."""

    kind: str
    act: bool = False
    count: int | None = 1
    for_seconds: float | None = None
    skip: int = 0
    fraction: float = 1.0
    part: str | None = None
    method: str | None = None
    path: str | None = None
    query: str | None = None
    contains: str | None = None
    entity: int | None = None
    action: str | None = None
    delay: float = 0.0
    status: int = 500
    html: bool = False
    retry_after: float | None = None
    detail: str = ""
    code: int | None = None
    old_shape: bool = False
    location: str = ""
    seconds: float = 30.0
    rows: int = 50
    place: int = 0
    values: dict[str, Any] | None = None
    replace: Any = None
    remove: bool = False
    id: int = 0
    hits: int = 0

    def fits(self, part: str, request: Request) -> bool:
        return (
            (self.part is None or self.part == part)
            and (self.method is None or self.method == request.method)
            and (self.path is None or self.path in request.path)
            and (self.query is None or self.query in unquote_plus(request.raw_query))
            and (self.contains is None or self.contains.encode("utf-8") in request.body)
            and (self.action is None or self.action == action_of(request))
            and (self.entity is None or self.kind == "row" or names_entity(request, str(self.entity)))
        )

    def label(self) -> str:
        what = str(self.status) if self.kind in ("status", "redirect") else self.kind
        return f"{what} {'after' if self.act else 'before'} acting"


def action_of(request: Request) -> str:
    data = request.parsed()
    return str(data.get("action", "")) if isinstance(data, dict) else ""


def names_entity(request: Request, number: str) -> bool:
    """Whether a request is about this row: by its path, as the only `filter[id]`, or as a row of its body. For the ERP
    the number is an entity's."""
    if number in request.path.split("/"):
        return True
    chosen = request.query.get("filter")
    if isinstance(chosen, dict) and forms.values(chosen.get("id")) == [number]:
        return True
    data = request.parsed()
    rows = data if isinstance(data, list) else [data]
    return any(isinstance(row, dict) and number in (str(row.get("id")), str(row.get("entity_id"))) for row in rows)


class Faults:
    """The faults in force, oldest first; the first that fits a request hits it."""

    def __init__(self, clock: Clock, seed: int = 1) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._ends: dict[int, float] = {}
        self._number = 0
        self._random = random.Random(seed)

    def add(self, kind: str, **options: Any) -> Fault:
        """Raises ValueError for an unknown kind and TypeError for an unknown option."""
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}")
        if options.get("for_seconds") is not None:
            options.setdefault("count", None)
        fault = Fault(kind, **options)
        with self._lock:
            self._number += 1
            fault.id = self._number
            self._faults.append(fault)
            if fault.for_seconds is not None:
                self._ends[fault.id] = self._clock.monotonic() + fault.for_seconds
        return fault

    def preset(self, name: str, **options: Any) -> Fault:
        """A known oddity by name, with whatever else is given put over it. Raises ValueError for an unknown name."""
        if name not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}")
        chosen = {**PRESETS[name], **options}
        if "for_seconds" in options and "count" not in options:
            chosen["count"] = None
        return self.add(**chosen)

    def clear(self, number: int | None = None) -> None:
        with self._lock:
            self._faults = [fault for fault in self._faults if number is not None and fault.id != number]

    def as_list(self) -> list[dict[str, Any]]:
        with self._lock:
            self._end_the_old()
            return [asdict(fault) for fault in self._faults]

    def _end_the_old(self) -> None:
        now = self._clock.monotonic()
        self._faults = [fault for fault in self._faults if self._ends.get(fault.id, now + 1) > now]

    def take(self, part: str, request: Request) -> Fault | None:
        """The fault for this request, counted down."""
        with self._lock:
            self._end_the_old()
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
