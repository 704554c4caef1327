"""What a webhook's body says: form fields with the names of the API's second version, every value a text."""

from typing import TYPE_CHECKING, Any

from sandbox import defaults
from sandbox.amocrm.entities import Deal

if TYPE_CHECKING:
    from sandbox.world import World

Place = tuple[int, int]
FILLING = "Подробный ответ на вопрос анкеты, как его записал менеджер после разговора"
SPOILED: dict[str, Any] = {
    "scalar": lambda row: str(row["id"]),
    "no_id": lambda row: {name: value for name, value in row.items() if name != "id"},
    "empty_id": lambda row: {**row, "id": ""},
    "text_id": lambda row: {**row, "id": "сделка"},
    "no_stage": lambda row: {name: value for name, value in row.items() if name not in ("status_id", "pipeline_id")},
    "empty_stage": lambda row: {**row, "status_id": "", "pipeline_id": ""},
    "text_time": lambda row: {**row, "last_modified": "вчера", "updated_at": "вчера"},
}


def form(
    world: "World",
    action: str,
    deals: list[tuple[Deal, Place | None]],
    skew: int = 0,
    stage_hook: bool = False,
    fill: int = 0,
    spoil: dict[int, str] | None = None,
) -> dict[str, Any]:
    """A hook's body as nested data. `stage_hook`: as the digital pipeline sends it, ids only. `fill`: so many filled
    fields in each deal. `spoil`: what is wrong with the entry at a place. Raises KeyError for an unknown fault."""
    rows: list[Any] = [
        stage_fields(action, deal, before) if stage_hook else deal_fields(world, action, deal, before, skew, fill)
        for deal, before in deals
    ]
    for place, fault in (spoil or {}).items():
        rows[place] = SPOILED[fault](rows[place])
    data: dict[str, Any] = {"leads": {action: rows}}
    subdomain = world.settings.subdomain
    if world.settings.hook_account_block == "subdomain":
        data["account"] = {"subdomain": subdomain}
    elif world.settings.hook_account_block == "full":
        links = {"self": f"https://{subdomain}.amocrm.ru"}
        data["account"] = {"subdomain": subdomain, "id": defaults.ACCOUNT_ID, "_links": links}
    return data


def deal_fields(
    world: "World", action: str, deal: Deal, before: Place | None, skew: int = 0, fill: int = 0
) -> dict[str, Any]:
    if action == "delete":
        return {"id": deal.id, "status_id": deal.status_id, "pipeline_id": deal.pipeline_id}
    settings = world.settings
    moment = deal.updated_at + skew + settings.hook_time_shift
    data: dict[str, Any] = {"id": deal.id, "name": deal.name, "status_id": deal.status_id}
    if before and (action == "status" or settings.hook_update_stage):
        data["old_status_id"] = before[1]
        if before[0] != deal.pipeline_id:
            data["old_pipeline_id"] = before[0]
    data |= {
        "price": int(deal.price),
        "responsible_user_id": deal.responsible_user_id,
        "last_modified": moment,
        "modified_user_id": defaults.ADMIN_USER_ID,
        "created_user_id": defaults.ADMIN_USER_ID,
        "date_create": deal.created_at,
        "pipeline_id": deal.pipeline_id,
        "account_id": defaults.ACCOUNT_ID,
        "created_at": deal.created_at,
        "updated_at": moment,
    }
    if deal.tags:
        data["tags"] = [{"id": 60_001 + index, "name": tag} for index, tag in enumerate(deal.tags)]
    fields = [(world.account.field_id(name), name, value) for name, value in deal.fields.items()]
    fields += [(906_001 + 2 * index, f"Вопрос анкеты {index + 1}", FILLING) for index in range(fill)]
    if fields:
        data["custom_fields"] = [
            {"id": number, "name": name, "values": [{"value": value}]} for number, name, value in fields
        ]
    return data


def stage_fields(action: str, deal: Deal, before: Place | None) -> dict[str, Any]:
    """A digital-pipeline hook: no name, no price, no time; of a deal made on the stage not even where it was."""
    data = {"id": deal.id, "status_id": deal.status_id, "pipeline_id": deal.pipeline_id}
    if action == "add":
        return data
    old = before or (deal.pipeline_id, deal.status_id)
    return {**data, "old_status_id": old[1], "old_pipeline_id": old[0]}
