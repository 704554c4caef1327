"""What clients look up about an account: itself, its users, fields, tags and stages."""

from typing import TYPE_CHECKING, Any

from sandbox import defaults
from sandbox.amocrm.lists import listing, page_of, wanted
from sandbox.amocrm.problems import hal, not_found
from sandbox.wire import Request, Response

if TYPE_CHECKING:
    from sandbox.world import World

EMAIL_FIELD, PHONE_FIELD = 904_103, 904_101
EXTRAS: dict[str, Any] = {
    "amojo_id": "8a1f3c55-6b0e-4b29-9a63-0d4f2f6f0a11",
    "version": 11,
    "drive_url": "https://drive-b.amocrm.ru",
}
EMBEDDED: dict[str, Any] = {
    "amojo_rights": {"can_direct": True, "can_create_groups": True},
    "users_groups": [{"id": 0, "name": "Отдел продаж", "uuid": None}],
    "task_types": [
        {"id": 1, "name": "Связаться", "color": None, "icon_id": None, "code": "FOLLOW_UP"},
        {"id": 2, "name": "Встреча", "color": None, "icon_id": None, "code": "MEETING"},
    ],
    "datetime_settings": {
        "date_pattern": "d.m.Y H:i",
        "short_date_pattern": "d.m.Y",
        "timezone": "Europe/Moscow",
        "timezone_offset": "+03:00",
    },
    "entity_names": {"leads": {"ru": {"gender": "f", "plural_form": {"default": "сделки"}}}},
    "invoices_settings": {"lang": "ru", "currency": "RUB"},
}


def account(world: "World", request: Request) -> Response:
    """The cheapest test of a connection."""
    asked = wanted(request.query)
    data: dict[str, Any] = {
        "id": defaults.ACCOUNT_ID,
        "name": "Школа (песочница)",
        "subdomain": world.settings.subdomain,
        "created_at": 1_700_000_000,
        "created_by": 0,
        "updated_at": 1_700_000_000,
        "updated_by": 0,
        "current_user_id": defaults.ADMIN_USER_ID,
        "country": "RU",
        "currency": "RUB",
        "currency_symbol": "₽",
        "customers_mode": "unavailable",
        "is_unsorted_on": True,
        "mobile_feature_version": 0,
        "is_loss_reason_enabled": True,
        "is_helpbot_enabled": False,
        "is_technical_account": False,
        "contact_name_display_order": 1,
        "_links": {"self": {"href": f"{world.link_base}/api/v4/account"}},
    }
    data |= {name: value for name, value in EXTRAS.items() if name in asked}
    embedded = {name: value for name, value in EMBEDDED.items() if name in asked}
    if embedded:
        data["_embedded"] = embedded
    if "is_api_filter_enabled" in asked:
        data["is_api_filter_enabled"] = world.settings.filters_enabled
    return hal(data)


def user_row(world: "World", number: int, active: bool) -> dict[str, Any]:
    rights = dict.fromkeys(("view", "edit", "add", "delete", "export"), "A")
    return {
        "id": number,
        "name": "Анна, отдел продаж" if active else "Отключённый сотрудник",
        "email": f"user-{number}@example.com",
        "lang": "ru",
        "rights": {
            "leads": rights,
            "contacts": rights,
            "companies": rights,
            "tasks": {"edit": "A", "delete": "A"},
            "mail_access": False,
            "catalog_access": False,
            "status_rights": None,
            "is_admin": active and world.settings.admin,
            "is_free": False,
            "is_active": active,
            "group_id": None,
            "role_id": None,
        },
        "_links": {"self": {"href": f"{world.link_base}/api/v4/users/{number}"}},
    }


def users(world: "World", request: Request, number: int | None = None) -> Response:
    known = world.account.users
    if number is not None:
        return hal(user_row(world, number, known[number])) if number in known else not_found(world)
    page, limit = page_of(request.query, world.settings.flavour)
    rows = list(known.items())
    return listing(request, world.link_base, "users", rows, page, limit, lambda row: user_row(world, *row))


def fields_of(world: "World", entity: str) -> list[dict[str, Any]]:
    base = f"{world.link_base}/api/v4/{entity}/custom_fields"
    found: list[tuple[int, str, str, str | None]] = [
        (number, name, "text", None) for name, number in world.account.custom_fields.items()
    ]
    if entity != "leads":
        found = [(PHONE_FIELD, "Телефон", "multitext", "PHONE"), (EMAIL_FIELD, "Email", "multitext", "EMAIL"), *found]
    return [
        {
            "id": number,
            "name": name,
            "type": kind,
            "code": code,
            "sort": 500 + place,
            "account_id": defaults.ACCOUNT_ID,
            "entity_type": entity,
            "is_predefined": code is not None,
            "is_deletable": code is None,
            "is_visible": True,
            "is_required": False,
            "is_api_only": False,
            "enums": [{"id": number + 700, "value": "WORK", "sort": 1}] if code else None,
            "required_statuses": [],
            "group_id": None,
            "_links": {"self": {"href": f"{base}/{number}"}},
        }
        for place, (number, name, kind, code) in enumerate(found)
    ]


def custom_fields(world: "World", request: Request, entity: str, number: int | None = None) -> Response:
    rows = fields_of(world, entity)
    if number is not None:
        found = next((row for row in rows if row["id"] == number), None)
        return hal(found) if found else not_found(world)
    page, limit = page_of(request.query, world.settings.flavour)
    return listing(request, world.link_base, "custom_fields", rows, page, limit, lambda row: row)


def tags(world: "World", request: Request, entity: str) -> Response:
    names = sorted({tag for deal in world.account.deals.values() for tag in deal.tags}) if entity == "leads" else []
    page, limit = page_of(request.query, world.settings.flavour)
    rows = [{"id": 60_001 + place, "name": name, "color": None} for place, name in enumerate(names)]
    return listing(request, world.link_base, "tags", rows, page, limit, lambda row: row)
