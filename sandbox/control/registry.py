"""The table of the control API's routes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.world import World

Handler = Callable[["World", dict[str, Any], dict[str, Any], list[int]], Any]
ROUTES: dict[tuple[str, str], Handler] = {}


def route(method: str, path: str) -> Callable[[Handler], Handler]:
    """`#` in the path stands for a number."""

    def keep(handler: Handler) -> Handler:
        ROUTES[method, path] = handler
        return handler

    return keep
