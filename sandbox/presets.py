"""The odd answers that integrators report, by name: each is a fault, told in docs/sandbox.md."""

from typing import Any

API = "/api/v4/"
LEADS = "/api/v4/leads"
DELETED = {"name": None, "status_id": None, "pipeline_id": None, "is_deleted": True}
ADDRESS = "Доступ к данному аккаунту запрещён с Вашего IP адреса"
SWITCHED_OFF = "Аккаунт не найден на этом сервере, либо пользователь выключен в настройках аккаунта"
CAPTCHA = "Возникает после нескольких неудачных попыток авторизации. Необходимо ввести код с картинки"


def amocrm(kind: str = "status", **options: Any) -> dict[str, Any]:
    return {"kind": kind, "part": "amocrm", **options}


def erp(kind: str, **options: Any) -> dict[str, Any]:
    return {"kind": kind, "part": "erp", **options}


PRESETS: dict[str, dict[str, Any]] = {
    # The account
    "account_gone": amocrm(status=404, count=None),
    "account_gone_html": amocrm(status=404, html=True, count=None),
    "account_moved": amocrm("redirect", status=301, location="https://renamed.amocrm.ru{path}", count=None),
    "unauthorized": amocrm(status=401, path=API),
    "unauthorized_101": amocrm(status=401, path=API, code=101, detail="Аккаунт не найден"),
    "forbidden_110": amocrm(status=403, path=API, code=110, detail="Неправильный логин или пароль"),
    "forbidden_111": amocrm(status=403, path=API, code=111, detail=CAPTCHA),
    "forbidden_112": amocrm(status=403, path=API, code=112, detail=SWITCHED_OFF, count=None),
    "forbidden_113": amocrm(status=403, path=API, code=113, detail=ADDRESS, count=None),
    "forbidden_html": amocrm(status=403, html=True, count=None),
    "no_rights_244": amocrm(status=400, path=API, code=244, detail="Код ошибки 244", count=None),
    "unpaid": amocrm(status=402, count=None),
    "events_closed": amocrm(status=403, path="/api/v4/events", count=None),
    "webhooks_closed": amocrm(status=402, path="/api/v4/webhooks", count=None),
    # Deals and lists
    "deal_404": amocrm(status=404, method="GET", path=LEADS),
    "deal_204": amocrm(status=204, method="GET", path=LEADS),
    "deal_404_html": amocrm(status=404, html=True, method="GET", path=LEADS),
    "deal_forbidden": amocrm(status=403, path=LEADS, detail="Недостаточно прав", count=None),
    "lists_cut": amocrm("cut", rows=50, method="GET", path=API, count=None),
    "row_of_nulls": amocrm("row", method="GET", path=LEADS, values=DELETED, count=None),
    "row_unreadable": amocrm("row", method="GET", path=LEADS, replace="?", count=None),
    "row_left_out": amocrm("row", method="GET", path=LEADS, remove=True, count=None),
    "bulk_slow": amocrm("hang", method="GET", query="filter[statuses]", seconds=60.0, count=None),
    "bulk_empty": amocrm(status=204, method="GET", query="filter[statuses]", delay=60.0, count=None),
    "patch_400_html": amocrm(status=400, html=True, method="PATCH", path=LEADS),
    "patch_404_html": amocrm(status=404, html=True, method="PATCH", path=LEADS),
    "write_504": amocrm(status=504, act=True, method="PATCH", path=LEADS),
    # The ERP
    "erp_insert_late": erp("hang", action="insert", seconds=45.0),
    "erp_insert_lost": erp("drop", action="insert", act=True),
    "erp_warning": erp("erp_noise", count=None),
    "erp_api_off": erp("erp_refusal", detail="API is not enabled", count=None),
    "erp_key_mismatch": erp("erp_refusal", detail="API Key mismatch", count=None),
    "erp_ip_refused": erp("erp_refusal", detail="Access is denied from IP 203.0.113.7", count=None),
    "erp_unknown_refusal": erp("erp_refusal", detail="Module extension is not installed", count=None),
    "erp_empty": erp("erp_empty", count=None),
    "erp_database_page": erp("erp_db_error", count=None),
    "erp_to_https": erp("redirect", status=301, location="https://{host}{path}", count=None),
    "erp_moved": erp("redirect", status=302, location="https://erp.example.com{path}", count=None),
}
