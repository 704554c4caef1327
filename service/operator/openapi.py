"""The API's description, kept by hand beside a test that holds it to the routes."""

from __future__ import annotations

from typing import Any

from service.version import VERSION

Schema = dict[str, Any]


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: Schema, kind: str = "application/json", example: Any = None) -> Schema:
    return {"content": {kind: {"schema": schema, **({"example": example} if example is not None else {})}}}


def _says(description: str, schema: Schema | None = None, kind: str = "application/json") -> Schema:
    return {"description": description, **(_json(schema, kind) if schema else {})}


def _text(description: str) -> Schema:
    return _says(description, {"type": "string"}, "text/plain")


def _problems(**words: str) -> dict[str, Schema]:
    return {
        code.removeprefix("_"): _says(text, _ref("Problem"), "application/problem+json") for code, text in words.items()
    }


UNKNOWN = "No key, or a wrong one"
KEY: list[dict[str, list[str]]] = [{"bearer": []}, {"header": []}]
WHOLE: Schema = {
    "anyOf": [{"type": "integer", "minimum": 1, "maximum": 10**15}, {"type": "string", "pattern": "^[0-9]{1,15}$"}]
}
SENDER_ID: Schema = {"type": ["string", "null"], "minLength": 1, "maxLength": 255, "pattern": "\\S"}

INTAKE = _problems(
    _400="The body is no JSON",
    _401=UNKNOWN,
    _409="The id was seen before with different data; nothing was stored",
    _413="The body is over 1 MiB",
    _415="The body is not application/json",
    _422="The data are not right; `errors` names every fault, and nothing was stored",
    _503="The event could not be stored; send it again after Retry-After",
)

IDEMPOTENCY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "maxLength": 255},
    "description": "Stands for the id where the body has none; for an array, for key and place.",
}


def _hook(parameters: list[Schema]) -> Schema:
    problems = _problems(
        _401="The secret is wrong", _413="The body is over 1 MiB", _503="It could not be stored in time"
    )
    return {
        "get": {
            "summary": "Whether somebody listens here",
            "tags": ["Webhooks"],
            "security": [],
            "parameters": parameters,
            "responses": {"200": _text("ready, whatever the secret")},
        },
        "post": {
            "summary": "A webhook of amoCRM",
            "tags": ["Webhooks"],
            "security": [],
            "parameters": parameters,
            "requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": {"type": "object"}}}},
            "responses": {"200": _text("It is stored"), **problems},
        },
    }


QUERY_SECRET: Schema = {"name": "secret", "in": "query", "schema": {"type": "string"}}

DESCRIPTION: Schema = {
    "openapi": "3.1.0",
    "info": {
        "title": "Dealpost",
        "version": VERSION,
        "description": "Events come in, are committed, and are delivered to amoCRM and the ERP from there. "
        "A 2xx answer means that the event is on disk.",
        "license": {"name": "MIT", "identifier": "MIT"},
    },
    "servers": [{"url": "."}],
    "security": KEY,
    "paths": {
        "/api/tripwire/complete": {
            "post": {
                "summary": "A student has finished a lesson",
                "description": "Moves the student's deal to the lesson's stage. Without an id, the same student and "
                "lesson count once within 24 hours.",
                "tags": ["Sending"],
                "parameters": [IDEMPOTENCY],
                "requestBody": {
                    "required": True,
                    **_json(_ref("Lesson"), example={"email": "student@example.com", "lesson_id": 67}),
                },
                "responses": {"202": _says("It is stored", _ref("Accepted")), **INTAKE},
            }
        },
        "/api/events": {
            "post": {
                "summary": "One event, or up to 1000 of them, all or none",
                "tags": ["Sending"],
                "parameters": [IDEMPOTENCY],
                "requestBody": {
                    "required": True,
                    **_json(
                        {
                            "anyOf": [
                                _ref("NewEvent"),
                                {"type": "array", "items": _ref("NewEvent"), "minItems": 1, "maxItems": 1000},
                            ]
                        },
                        example={"name": "crm/create-deal", "data": {"dealName": "Course", "amount": 1500.50}},
                    ),
                },
                "responses": {"202": _says("All are stored", _ref("Ids")), **INTAKE},
            }
        },
        "/e/{event_key}": {
            "post": {
                "summary": "Inngest's event API",
                "description": "For Inngest's SDKs with another base address. The key is an API key. Events with "
                "unknown names are kept and go nowhere. Up to 4 MiB, 256 KiB an event.",
                "tags": ["Sending"],
                "security": [],
                "parameters": [{"name": "event_key", "in": "path", "required": True, "schema": {"type": "string"}}],
                "requestBody": {
                    "required": True,
                    **_json(
                        {
                            "anyOf": [
                                _ref("InngestEvent"),
                                {"type": "array", "items": _ref("InngestEvent"), "maxItems": 5000},
                            ]
                        }
                    ),
                },
                "responses": {
                    "200": _says("All are stored", _ref("InngestIds")),
                    **{
                        code: _says(words, _ref("InngestError"))
                        for code, words in {
                            "400": "The body is no JSON",
                            "401": UNKNOWN,
                            "413": "Too long",
                            "422": "The data are not right",
                            "503": "The events could not be stored",
                        }.items()
                    },
                },
            }
        },
        "/api/events/{event_id}": {
            "get": {
                "summary": "What became of an event",
                "tags": ["Reading"],
                "parameters": [{"name": "event_id", "in": "path", "required": True, "schema": {"type": "string"}}],
                "responses": {
                    "200": _says("The event with its deliveries and attempts", _ref("Event")),
                    **_problems(_401=UNKNOWN, _403="The key may only send", _404="No event has this id"),
                },
            }
        },
        "/api/outbox": {
            "get": {
                "summary": "How the outbox stands",
                "tags": ["Reading"],
                "security": [*KEY, {"operator": []}],
                "responses": {
                    "200": _says("Figures by destination", _ref("Outbox")),
                    **_problems(_401=UNKNOWN, _403="The key may only send", _429="Too many failed sign-ins"),
                },
            }
        },
        "/webhooks/amocrm/{secret}": _hook(
            [{"name": "secret", "in": "path", "required": True, "schema": {"type": "string"}}]
        ),
        "/api/amocrm-webhook": _hook([QUERY_SECRET]),
        "/api/inngest": _hook([QUERY_SECRET]),
    },
    "components": {
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "operator": {"type": "http", "scheme": "basic"},
        },
        "schemas": {
            "Lesson": {
                "type": "object",
                "required": ["email"],
                "anyOf": [{"required": ["lesson_id"]}, {"required": ["lesson"]}],
                "properties": {
                    "email": {"type": "string", "maxLength": 254, "description": "As in the contact in amoCRM"},
                    "lesson_id": {**WHOLE, "description": "As on the platform; LESSON_MAP tells which lesson it is"},
                    "lesson": {**WHOLE, "description": "The lesson's number, from 1"},
                    "id": SENDER_ID,
                },
            },
            "NewRecord": {
                "type": "object",
                "required": ["dealName"],
                "properties": {
                    "dealName": {"type": "string", "minLength": 1, "maxLength": 255},
                    "amount": {
                        "anyOf": [
                            {"type": "number", "minimum": 0},
                            {"type": "string", "pattern": "^[0-9]+([.][0-9]{1,2})?$"},
                            {"type": "null"},
                        ],
                        "description": "At most two decimals",
                    },
                    "entityId": {**WHOLE, "description": "Another entity than ERP_ENTITY_ID"},
                },
            },
            "NewEvent": {
                "type": "object",
                "required": ["name", "data"],
                "properties": {"id": SENDER_ID},
                "oneOf": [
                    {"properties": {"name": {"const": "lesson.completed"}, "data": _ref("Lesson")}},
                    {
                        "properties": {
                            "name": {"enum": ["crm/create-deal", "erp/task.create"]},
                            "data": _ref("NewRecord"),
                        }
                    },
                ],
            },
            "InngestEvent": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "minLength": 1, "maxLength": 255},
                    "data": {"type": ["object", "null"]},
                    "id": {"type": ["string", "null"], "maxLength": 255},
                    "ts": {
                        "type": ["integer", "null"],
                        "minimum": 0,
                        "description": "Milliseconds; a later time delays",
                    },
                },
            },
            "Accepted": {
                "type": "object",
                "required": ["id", "status", "duplicate"],
                "properties": {
                    "id": {"type": "string", "format": "uuid"},
                    "status": {"const": "accepted"},
                    "duplicate": {"type": "boolean"},
                },
            },
            "Ids": {
                "type": "object",
                "required": ["ids", "duplicates"],
                "properties": {
                    "ids": {"type": "array", "items": {"type": "string", "format": "uuid"}},
                    "duplicates": {"type": "array", "items": {"type": "string"}, "description": "A part of ids"},
                },
            },
            "InngestIds": {
                "type": "object",
                "required": ["ids", "status"],
                "properties": {"ids": {"type": "array", "items": {"type": "string"}}, "status": {"const": 200}},
            },
            "InngestError": {
                "type": "object",
                "required": ["error", "status"],
                "properties": {"error": {"type": "string"}, "status": {"type": "integer"}},
            },
            "Event": {
                "type": "object",
                "required": ["id", "name", "data", "received_at", "deliveries"],
                "properties": {
                    "id": {"type": "string"},
                    "name": {"type": "string"},
                    "data": {"type": "object"},
                    "received_at": {"type": "string", "format": "date-time"},
                    "deliveries": {"type": "array", "items": _ref("Delivery")},
                },
            },
            "Delivery": {
                "type": "object",
                "required": ["id", "destination", "state", "reason", "reference", "next_attempt_at", "attempts"],
                "properties": {
                    "id": {"type": "integer"},
                    "destination": {"type": "string"},
                    "state": {"enum": ["pending", "sending", "delivered", "skipped", "dead", "discarded"]},
                    "reason": {"type": "string", "description": "Begins with a code; words may follow after a colon"},
                    "reference": {"type": "string", "description": "The deal or the record on the other side"},
                    "next_attempt_at": {"type": ["string", "null"], "format": "date-time"},
                    "attempts": {"type": "array", "items": _ref("Attempt")},
                },
            },
            "Attempt": {
                "type": "object",
                "required": ["at", "outcome", "status", "detail"],
                "properties": {
                    "at": {"type": "string", "format": "date-time"},
                    "outcome": {
                        "enum": ["open", "delivered", "skipped", "failed", "dead", "paused", "interrupted"],
                    },
                    "status": {"type": ["integer", "null"], "description": "The HTTP status that decided"},
                    "detail": {"type": "string"},
                },
            },
            "Outbox": {
                "type": "object",
                "required": ["destinations", "token", "workers"],
                "properties": {
                    "destinations": {"type": "object", "additionalProperties": _ref("Destination")},
                    "token": {
                        "type": "object",
                        "required": ["state", "expires_at"],
                        "properties": {
                            "state": {"type": "string"},
                            "expires_at": {"type": ["string", "null"], "format": "date-time"},
                        },
                    },
                    "workers": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["name", "heartbeat_seconds"],
                            "properties": {"name": {"type": "string"}, "heartbeat_seconds": {"type": "number"}},
                        },
                    },
                },
            },
            "Destination": {
                "type": "object",
                "required": ["states", "oldest_pending_seconds", "pause"],
                "properties": {
                    "states": {"type": "object", "additionalProperties": {"type": "integer"}},
                    "oldest_pending_seconds": {"type": ["number", "null"]},
                    "pause": {
                        "type": ["object", "null"],
                        "properties": {
                            "until": {"type": ["string", "null"], "format": "date-time"},
                            "reason": {"type": "string"},
                        },
                    },
                },
            },
            "Problem": {
                "type": "object",
                "required": ["type", "title", "status", "detail", "errors"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "errors": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["path", "message"],
                            "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
                        },
                    },
                },
            },
        },
    },
}
