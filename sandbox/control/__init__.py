"""The control API under `/_sandbox/`: what a test or a person does that no integration can."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sandbox.control import books, deals, erp, faults, hooks, tokens
from sandbox.control.registry import ROUTES
from sandbox.wire import BadJSON, Request, Response, as_json

if TYPE_CHECKING:
    from sandbox.world import World

__all__ = ["ROUTES", "answer", "books", "deals", "erp", "faults", "hooks", "tokens"]


def is_own(world: "World", request: Request) -> bool:
    """Whether a call was meant for this machine: a web page elsewhere can make a browser send one here, by a name of
    its own that leads to this address, or plainly, with its own origin."""
    origin = request.headers.get("origin")
    return hostname(f"//{request.host}") in world.own_hosts and (
        origin is None or urlsplit(origin).netloc == request.host
    )


def hostname(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def answer(world: "World", request: Request) -> Response:
    """400 names what was wrong with the call, 403 that it came under another name, 404 what is not there."""
    if not is_own(world, request):
        hosts = ", ".join(sorted(world.own_hosts))
        return as_json({"error": f"only for callers of {hosts}, not {request.host!r}: see --control-host"}, 403)
    parts = request.path.removeprefix("/_sandbox").strip("/").split("/")
    numbers = [int(part) for part in parts if part.isdecimal()]
    handler = ROUTES.get((request.method, "/".join("#" if part.isdecimal() else part for part in parts)))
    if handler is None:
        return as_json({"error": f"no such route: {request.method} {request.path}"}, 404)
    try:
        body = request.json() if request.body else {}
        if not isinstance(body, dict):
            return as_json({"error": "the body must be a JSON object"}, 400)
        result = handler(world, body, request.query, numbers)
    except KeyError as error:
        return as_json({"error": f"not found: {error}"}, 404)
    except (BadJSON, ValueError, TypeError) as error:
        return as_json({"error": str(error)}, 400)
    return as_json(result if result is not None else {"ok": True})
