"""The request log, the faults in force, and the block."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sandbox.control.registry import route
from sandbox.presets import PRESETS

if TYPE_CHECKING:
    from sandbox.world import World


def log_filters(query: dict[str, Any]) -> dict[str, Any]:
    chosen: dict[str, Any] = {name: query[name] for name in ("part", "method", "path") if name in query}
    chosen |= {name: int(query[name]) for name in ("status", "since") if name in query}
    if "acted" in query:
        chosen["acted"] = query["acted"] in ("1", "true")
    return chosen


@route("GET", "log")
def log(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    entries = world.log.entries(**log_filters(query))
    return {"entries": [entry.as_dict() for entry in entries[-int(query.get("limit", 1000)) :]]}


@route("GET", "log/figures")
def figures(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return world.log.figures(**log_filters(query))


@route("DELETE", "log")
def clear_log(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.log.clear()


@route("GET", "faults")
def faults(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return {"faults": world.faults.as_list()}


@route("POST", "faults")
def add_fault(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    if "preset" in body:
        return asdict(world.faults.preset(body.pop("preset"), **body))
    return asdict(world.faults.add(body.pop("kind", ""), **body))


@route("GET", "faults/presets")
def presets(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return {"presets": PRESETS}


@route("DELETE", "faults")
def clear_faults(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.faults.clear()


@route("DELETE", "faults/#")
def clear_fault(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.faults.clear(ids[0])


@route("POST", "block")
def block(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.limits.block()


@route("POST", "unblock")
def unblock(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.limits.unblock()
