"""The shapes of answers."""

from __future__ import annotations

from service.fields import Schema


def ref(name: str) -> Schema:
    """A shape, by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


SHAPES: dict[str, Schema] = {
    "Tested": {
        "type": "object",
        "required": ["status", "detail"],
        "properties": {"status": {"const": "test"}, "detail": {"type": "string"}},
    },
    "Word": {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}},
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
            "deliveries": {"type": "array", "items": ref("Delivery")},
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
            "attempts": {"type": "array", "items": ref("Attempt")},
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
            "destinations": {"type": "object", "additionalProperties": ref("Destination")},
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
}
