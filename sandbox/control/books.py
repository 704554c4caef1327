"""The sandbox as a whole: reset, seed, knobs."""

from typing import TYPE_CHECKING, Any

from sandbox.control.registry import ROUTES, route

if TYPE_CHECKING:
    from sandbox.world import World


@route("GET", "")
def routes(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return {"routes": [f"{method} /_sandbox/{path}" for method, path in ROUTES]}


@route("POST", "reset")
def reset(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.reset()


@route("POST", "seed")
def seed(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return world.seed(**body)


@route("GET", "settings")
def settings(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return world.settings.as_dict()


@route("PATCH", "settings")
def set_settings(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.set_knobs(body)
    return world.settings.as_dict()


ROUTES["POST", "settings"] = set_settings
