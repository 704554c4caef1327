"""PHP's bracket keys (`a[b][]=1`), read as nested dicts and written back, as amoCRM and Rukovoditel use them."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode


def keys_of(name: str) -> list[str]:
    """`a[b][]` -> `['a', 'b', '']`; a name without well-formed brackets stays one key."""
    head, bracket, rest = name.partition("[")
    if not bracket or not head or not rest.endswith("]"):
        return [name]
    return [head, *rest[:-1].split("][")]


def parse(text: str) -> dict[str, Any]:
    """A query string or form body as nested dicts with string keys; `[]` counts from 0 within its parent."""
    root: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        node = root
        keys = keys_of(name)
        for key in keys[:-1]:
            child = node.get(key or str(len(node)))
            if not isinstance(child, dict):
                child = node[key or str(len(node))] = {}
            node = child
        node[keys[-1] or str(len(node))] = value
    return root


def as_data(node: Any, name: str = "") -> Any:
    """Nested form values as the JSON that they stand for: keys counted from 0 are an array, and digits under a number's
    name are a number."""
    if isinstance(node, dict):
        places = [str(place) for place in range(len(node))]
        if node and list(node) == places:
            return [as_data(child) for child in node.values()]
        return {key: as_data(child, key) for key, child in node.items()}
    is_number = name in ("id", "price") or name.endswith(("_id", "_at", "_by", "_till"))
    return int(node) if is_number and node.isdecimal() else node


def flatten(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Pairs of bracket key and text for a nested value; None is an empty text."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from flatten(f"{name}[{key}]", child)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from flatten(f"{name}[{index}]", child)
    elif isinstance(value, bool):
        yield name, "1" if value else "0"
    else:
        yield name, "" if value is None else str(value)


def encode(data: dict[str, Any]) -> bytes:
    """A form body with bracket keys."""
    return urlencode([pair for name, value in data.items() for pair in flatten(name, value)]).encode("ascii")


def values(node: Any) -> list[str]:
    """The scalars of `name=1` or `name[]=1&name[]=2`."""
    if node is None:
        return []
    if isinstance(node, dict):
        return [value for value in node.values() if isinstance(value, str)]
    return [str(node)]
