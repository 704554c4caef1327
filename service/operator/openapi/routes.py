"""The routes for programs: what each takes and answers. What a person reads of it is marked for translation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.fields import NOTHING, Schema
from service.operator.openapi.shapes import ref
from service.routing import LESSON, NAMES, RECORDS, lesson_schema, record_schema
from service.sources import events, inngest, intake

Operation = dict[str, Any]

KEY: list[dict[str, list[str]]] = [{"bearer": []}, {"header": []}]
READER = [*KEY, {"operator": []}]
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def N_(text: str) -> str:
    """Marks a text for the catalogue; the page translates it when it is shown."""
    return text


def says(description: str, schema: Schema | None = None, kind: str = "application/json") -> Operation:
    """An answer."""
    return {"description": description, **({"content": {kind: {"schema": schema}}} if schema else {})}


def text(description: str) -> Operation:
    """An answer in words."""
    return says(description, {"type": "string"}, "text/plain")


def page(description: str) -> Operation:
    """An answer for a person: a page, or where there is none a line."""
    string = {"schema": {"type": "string"}}
    return {"description": description, "content": {"text/html": string, "text/plain": string}}


WORDS = {
    "400": N_("The body broke off, or is no JSON"),
    "401": N_("No key, or a wrong one"),
    "403": N_("The key may only send"),
    "404": N_("No event has this id"),
    "409": N_("The id was seen before with different data; nothing was stored"),
    "413": N_("The body is over 1 MiB, or an event over 256 KiB"),
    "415": N_("The body is neither JSON nor a form"),
    "422": N_("The data are not right; errors names every fault, and nothing was stored"),
    "429": N_("Too many failed sign-ins"),
    "503": N_("It could not be stored in time; send it again after Retry-After"),
}


def problems(*codes: str, **other: str) -> dict[str, Operation]:
    """Refusals by their status, in the usual words or, as _413="...", in others."""
    words = {**{code: WORDS[code] for code in codes}, **{code.strip("_"): words for code, words in other.items()}}
    return {code: says(one, ref("Problem"), "application/problem+json") for code, one in sorted(words.items())}


INTAKE = problems("400", "401", "409", "413", "415", "422", "503")
TESTED = says(N_("A form that only tests the address; nothing was stored"), ref("Tested"))
IDEMPOTENCY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "maxLength": 255},
    "description": "Stands for the id where the body has none; for an array, for key and place.",
}
EXAMPLE_LESSON = {"email": "student@example.com", "lesson_id": 67, "id": "lesson-7-67"}
EXAMPLE_RECORD = {"name": RECORDS[0], "data": {"dealName": "Course", "amount": 1500.5}, "id": "order-7"}


def body(schema: Schema, example: Any, form: Schema | None = None) -> Operation:
    """What a route takes: JSON and, where it is told, a form."""
    kinds: dict[str, Any] = {"application/json": {"schema": schema, "example": example}}
    if form:
        kinds |= {kind: {"schema": form} for kind in FORMS}
    return {"required": True, "content": kinds}


def as_form(schema: Any) -> Any:
    """The same shape where every value is a text, and an empty one is none."""
    if not isinstance(schema, dict):
        return [as_form(one) for one in schema] if isinstance(schema, list) else schema
    if schema == NOTHING:
        return {"const": ""}
    if isinstance(schema.get("type"), list):
        return {"anyOf": [{**schema, "type": "string"}, {"const": ""}]}
    made = {name: as_form(inner) for name, inner in schema.items()}
    if "anyOf" in made:
        made["anyOf"] = [one for one in made["anyOf"] if one.get("type") != "integer" and "enum" not in one]
    return made


def bodies(lesson_map: Mapping[int, int], now: float) -> dict[str, Schema]:
    """The shapes of what is taken, from the rules that check it."""
    known = [
        {"properties": {"name": {"const": LESSON}, "data": ref("LessonData")}, "required": ["name", "data"]},
        {"properties": {"name": {"enum": list(RECORDS)}, "data": ref("RecordData")}, "required": ["name", "data"]},
    ]
    elsewhere = {
        "properties": {
            "name": {**inngest.NAME.schema, "not": {"enum": list(NAMES)}},
            "data": {"type": ["object", "null"]},
        },
        "required": ["name"],
    }
    data = lesson_schema(lesson_map)
    lesson = {**data, "properties": {**data["properties"], "id": intake.SENDER_ID.schema}}
    return {
        "Lesson": lesson,
        "LessonForm": as_form(lesson),
        "LessonData": data,
        "RecordData": record_schema(),
        "NewEvent": {"type": "object", "properties": {"id": intake.SENDER_ID.schema}, "anyOf": known},
        "InngestEvent": {
            "type": "object",
            "properties": {"id": inngest.SENDER_ID.schema, "ts": inngest.TIME.schema(now)},
            "anyOf": [*known, elsewhere],
        },
    }


def many(name: str, least: int, most: int) -> Schema:
    """One, or an array of so many."""
    return {"anyOf": [ref(name), {"type": "array", "items": ref(name), "minItems": least, "maxItems": most}]}


def hook(parameters: list[Schema]) -> dict[str, Operation]:
    """The two methods of a webhook's address."""
    refusals = problems(
        "400", "503", _401=N_("The secret is wrong"), _413=N_("The body is over the limit for a webhook")
    )
    shared: Operation = {"tags": ["Webhooks"], "security": [], "parameters": parameters}
    return {
        "get": {
            **shared,
            "summary": N_("Whether somebody listens here"),
            "responses": {"200": text(N_("ready, whatever the secret"))},
        },
        "post": {
            **shared,
            "summary": N_("A webhook of amoCRM"),
            "requestBody": {"content": {FORMS[0]: {"schema": {"type": "object"}}}},
            "responses": {"200": text(N_("It is stored")), **refusals},
        },
    }


def place(name: str, where: str = "path") -> Schema:
    """A parameter that is a text."""
    return {"name": name, "in": where, "schema": {"type": "string"}, **({"required": True} if where == "path" else {})}


def simple(summary: str, tag: str, responses: dict[str, Operation], **more: Any) -> dict[str, Operation]:
    """A GET."""
    return {"get": {"summary": summary, "tags": [tag], "responses": responses, **more}}


ALIVE = says(N_("Yes"), ref("Word"))

PATHS: dict[str, dict[str, Operation]] = {
    "/api/tripwire/complete": {
        "post": {
            "summary": N_("A student has finished a lesson"),
            "description": N_(
                "Moves the student's deal to the lesson's stage. Without an id, the same student and lesson count once "
                "within 24 hours."
            ),
            "tags": ["Sending"],
            "parameters": [IDEMPOTENCY],
            "requestBody": body(ref("Lesson"), EXAMPLE_LESSON, ref("LessonForm")),
            "responses": {"200": TESTED, "202": says(N_("It is stored"), ref("Accepted")), **INTAKE},
        }
    },
    "/api/events": {
        "post": {
            "summary": N_("One event, or up to 1000 of them, all or none"),
            "description": N_(
                "A form is taken too, for one event: name, id, data[dealName] and so on, or JSON in data."
            ),
            "tags": ["Sending"],
            "parameters": [IDEMPOTENCY],
            "requestBody": body(many("NewEvent", 1, events.MOST), EXAMPLE_RECORD),
            "responses": {"200": TESTED, "202": says(N_("All are stored"), ref("Ids")), **INTAKE},
        }
    },
    "/e/{event_key}": {
        "post": {
            "summary": N_("Inngest's event API"),
            "description": N_(
                "For Inngest's SDKs with another base address. The key is an API key. Events with unknown names are "
                "kept and go nowhere. Up to 4 MiB, 256 KiB an event."
            ),
            "tags": ["Sending"],
            "security": [],
            "parameters": [place("event_key")],
            "requestBody": body(many("InngestEvent", 0, inngest.MOST), [EXAMPLE_RECORD]),
            "responses": {
                "200": says(N_("All are stored"), ref("InngestIds")),
                **{code: says(WORDS[code], ref("InngestError")) for code in ("400", "401", "413", "422", "503")},
            },
        }
    },
    "/api/events/{event_id}": simple(
        N_("What became of an event"),
        "Reading",
        {
            "200": says(N_("The event with its deliveries and attempts"), ref("Event")),
            **problems("401", "403", "404"),
        },
        parameters=[place("event_id")],
    ),
    "/api/outbox": simple(
        N_("How the outbox stands"),
        "Reading",
        {"200": says(N_("Figures by destination"), ref("Outbox")), **problems("401", "403", "429")},
        security=READER,
    ),
    "/webhooks/amocrm/{secret}": hook([place("secret")]),
    "/api/amocrm-webhook": hook([place("secret", "query")]),
    "/api/inngest": hook([place("secret", "query")]),
    "/oauth/start": simple(
        N_("To amoCRM's consent page"),
        "Connecting",
        {
            "302": {"description": N_("To amoCRM")},
            "401": page(N_("No sign-in, or a wrong one")),
            "403": page(N_("Not for a viewer, or no password is set up")),
            "409": page(N_("Settings are missing; the page names them")),
            "429": page(WORDS["429"]),
        },
        security=[{"operator": []}],
    ),
    "/oauth/callback": {
        "get": {
            "summary": N_("amoCRM sends the person back here"),
            "tags": ["Connecting"],
            "security": [],
            "parameters": [place(name, "query") for name in ("code", "referer", "state", "error")],
            "responses": {
                "200": page(N_("A question to the operator")),
                "303": {"description": N_("It is connected")},
                "400": page(N_("It was not connected; the page says why")),
                "401": page(N_("No sign-in, or a wrong one")),
                "403": page(N_("Not for a viewer, or no password is set up")),
                "502": page(N_("amoCRM did not answer")),
            },
        },
        "post": {
            "summary": N_("The operator confirms a connection that was begun in amoCRM"),
            "tags": ["Connecting"],
            "security": [{"operator": []}],
            "requestBody": {"content": {FORMS[0]: {"schema": {"type": "object", "required": ["csrf_token"]}}}},
            "responses": {
                "303": {"description": N_("It is connected")},
                "400": page(N_("It was not connected; the page says why")),
                "401": page(N_("No sign-in, or a wrong one")),
                "403": page(N_("Not for a viewer, or no password is set up")),
                "502": page(N_("amoCRM did not answer")),
            },
        },
    },
    "/oauth/disconnected": simple(
        N_("amoCRM says that the integration was removed"),
        "Connecting",
        {"200": text(N_("It is noted")), "403": text(N_("The signature does not fit"))},
        security=[],
        parameters=[place(name, "query") for name in ("account_id", "client_uuid", "signature")],
    ),
    "/healthz": simple(N_("Whether the web process answers"), "For the host", {"200": ALIVE}, security=[]),
    "/healthz/worker": simple(
        N_("Whether a worker's heartbeat is fresh"),
        "For the host",
        {"200": ALIVE, **problems(_503=N_("No"))},
        security=[],
    ),
    "/readyz": simple(
        N_("Whether events can be stored"), "For the host", {"200": ALIVE, **problems(_503=N_("No"))}, security=[]
    ),
    "/metrics": simple(
        N_("Figures for Prometheus"),
        "For the host",
        {"200": text(N_("Figures in Prometheus' text format")), **problems("401", "403", "429")},
        security=READER,
    ),
    "/openapi.json": simple(
        N_("This description"),
        "For developers",
        {"200": says(N_("An OpenAPI document"), {"type": "object"})},
        security=[],
    ),
    "/docs": simple(
        N_("This description, for people"),
        "For developers",
        {"200": page(N_("A page"))},
        security=[],
        parameters=[place("lang", "query")],
    ),
}
