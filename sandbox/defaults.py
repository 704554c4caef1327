"""The account that every sandbox starts with: fixed ids and secrets, and the settings that connect Dealpost to it."""

ACCOUNT_ID = 30817452
ACCOUNT_UUID = "5c0e4fb1-83a2-4d5e-9b1c-2f6d7a0e4c38"
SUBDOMAIN = "sandboxschool"
ADMIN_USER_ID = 9410233
GONE_USER_ID = 9410177

CLIENT_ID = "b7d1c0a4-52e9-4f38-8d6b-1e90c3fa2761"
CLIENT_SECRET = "kQ8vT2mZr5XyLw0HnB7sJd3GfPc9UaEe4RtVi6OoMh1KzNxWqYbDlSgCjAuFpI2"
REDIRECT_URI = "http://127.0.0.1:8000/oauth/callback"
REFRESH_TOKEN = "def50200" + "9c41e7d2b80f5a36" * 8
LONG_LIVED_TOKEN = (
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9."
    "eyJhdWQiOiJiN2QxYzBhNC01MmU5LTRmMzgtOGQ2Yi0xZTkwYzNmYTI3NjEiLCJqdGkiOiJsb25nLWxpdmVkIiwiaWF0IjoxNzYwMDAwMDAwLCJu"
    "YmYiOjE3NjAwMDAwMDAsImV4cCI6MjA3NTAwMDAwMCwic3ViIjoiOTQxMDIzMyIsImdyYW50X3R5cGUiOiIiLCJhY2NvdW50X2lkIjozMDgxNzQ1"
    "MiwiYmFzZV9kb21haW4iOiJhbW9jcm0ucnUiLCJ2ZXJzaW9uIjoyLCJzY29wZXMiOlsiY3JtIl0sImFwaV9kb21haW4iOiIxMjcuMC4wLjE6ODA5"
    "OSJ9.c2FuZGJveC1sb25nLWxpdmVk"
)
LONG_LIVED_EXPIRES = 2_075_000_000

PIPELINE_ID = 7301854
STAGE_INCOMING = 61204406
STAGE_NEW = 61204410
STAGE_PAID = 61204414
STAGE_LESSON_1 = 61204418
STAGE_LESSON_2 = 61204422
STAGE_LESSON_3 = 61204426
WON = 142
LOST = 143

ERP_KEY = "Jm4TzX9bQe7LwVf2"
ERP_USERNAME = "dealpost"
ERP_PASSWORD = "h3Rk-quiet-otter-58"
ERP_ENTITY_ID = "70"
ERP_FIELD_KEY = "field_1041"

WEBHOOK_SECRET = "wh-6f1e9b0c27d84a53"


def SETTINGS(base_url: str, redirect_uri: str = REDIRECT_URI) -> dict[str, str]:
    """Dealpost's settings for a sandbox at `base_url` (no slash at the end)."""
    return {
        "AMOCRM_BASE_URL": base_url,
        "AMOCRM_CLIENT_ID": CLIENT_ID,
        "AMOCRM_CLIENT_SECRET": CLIENT_SECRET,
        "AMOCRM_REDIRECT_URI": redirect_uri,
        "AMOCRM_REFRESH_TOKEN": REFRESH_TOKEN,
        "AMOCRM_PIPELINE_ID": str(PIPELINE_ID),
        "AMOCRM_STAGE_LESSON_1": str(STAGE_LESSON_1),
        "AMOCRM_STAGE_LESSON_2": str(STAGE_LESSON_2),
        "AMOCRM_STAGE_LESSON_3": str(STAGE_LESSON_3),
        "CRM_API_URL": f"{base_url}/api/rest.php",
        "CRM_API_KEY": ERP_KEY,
        "CRM_API_USERNAME": ERP_USERNAME,
        "CRM_API_PASSWORD": ERP_PASSWORD,
        "ERP_FIELD_KEY": ERP_FIELD_KEY,
        "WEBHOOK_SECRET": WEBHOOK_SECRET,
    }
