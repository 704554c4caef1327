"""The API's description: what is taken from the rules that check it, the list of routes from the application itself.

Reference: https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping

from flask import Flask
from werkzeug.routing import Rule

from service.fields import Schema
from service.operator.openapi.routes import FORMS, KEY, N_, PATHS, WORDS, Operation, bodies, page
from service.operator.openapi.shapes import SHAPES
from service.version import VERSION

ABOUT = N_(
    "Events come in, are committed, and are delivered to amoCRM and the ERP from there. A 2xx answer means that the "
    "event is on disk."
)
PEOPLE = "The page"
_PLACE = re.compile(r"<(?:(\w+)(?:\([^)]*\))?:)?(\w+)>")


def describe(app: Flask, lesson_map: Mapping[int, int], now: float) -> Schema:
    """The whole document. now: seconds since 1970; a `ts` is limited from there."""
    paths = {path: dict(operations) for path, operations in PATHS.items()}
    for rule in app.url_map.iter_rules():
        operations = paths.setdefault(_PLACE.sub(r"{\2}", rule.rule), {})
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            operations.setdefault(method.lower(), _page(app, rule, method))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Dealpost",
            "version": VERSION,
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "."}],
        "security": KEY,
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "operator": {"type": "http", "scheme": "basic"},
            },
            "schemas": {**bodies(lesson_map, now), **SHAPES},
        },
    }


def _page(app: Flask, rule: Rule, method: str) -> Operation:
    """A route for people: what its function says of itself."""
    words = inspect.getdoc(app.view_functions[rule.endpoint]) or rule.endpoint
    operation: Operation = {
        "summary": words.partition("\n")[0],
        "tags": [PEOPLE],
        "security": [{"operator": []}],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "integer" if kind == "int" else "string"}}
            for kind, name in _PLACE.findall(rule.rule)
        ],
        "responses": {
            "200": page("A page"),
            "302": {"description": "To a page"},
            "303": {"description": "To a page"},
            "400": page("The form is not right"),
            "401": page("No sign-in, or a wrong one"),
            "403": page("Not for a viewer, or no password is set up"),
            "404": page("There is no such thing"),
            "429": page(WORDS["429"]),
        },
    }
    if method == "POST":
        schema = {"type": "object", "required": ["csrf_token"], "properties": {"csrf_token": {"type": "string"}}}
        operation["requestBody"] = {"required": True, "content": {FORMS[0]: {"schema": schema}}}
    return operation
