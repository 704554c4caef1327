"""Tokens and codes, and the integration's end."""

import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from sandbox.control.registry import route

if TYPE_CHECKING:
    from sandbox.world import World


@route("GET", "tokens")
def tokens(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    with world.lock:
        return world.oauth.dump()


@route("POST", "tokens/code")
def new_code(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return {"code": world.oauth.new_code(**body)}


@route("POST", "tokens/pair")
def new_pair(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    pair = world.oauth.new_pair()
    world.save_tokens()
    return {"access_token": pair.access, "refresh_token": pair.refresh}


@route("POST", "tokens/long-lived")
def long_lived(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    return {"access_token": world.oauth.new_long_lived(**body)}


@route("POST", "tokens/expire")
def expire(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.oauth.expire_access()


@route("POST", "tokens/revoke")
def revoke(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    world.oauth.revoke_all()


@route("POST", "uninstall")
def uninstall(world: "World", body: Any, query: Any, ids: list[int]) -> Any:
    """The account's owner switches the integration off: tokens die, and `url` (if given) gets amoCRM's signed GET."""
    world.oauth.revoke_all()
    sent = world.oauth.uninstall_query()
    status = None
    if "url" in body:
        joint = "&" if "?" in body["url"] else "?"
        try:
            with urllib.request.urlopen(f"{body['url']}{joint}{urlencode(sent)}", timeout=10) as reply:
                status = reply.status
        except OSError as error:
            status = getattr(error, "code", 0)
    return {"query": sent, "status": status}
