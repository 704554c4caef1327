"""Settings: what they become, and how every fault is named."""

import pytest

from service.config import ApiKey, ConfigError, Settings, load
from service.logs import secrets_of


def faults(**environ: str) -> str:
    with pytest.raises(ConfigError) as error:
        load(environ)
    return str(error.value)


def test_with_nothing_set_all_is_as_the_contract_says():
    settings = load({})
    assert settings.database_url.endswith("/var/dealpost.db")
    assert settings.amocrm.lesson_map == {67: 1, 68: 2, 69: 3}
    assert (settings.amocrm.rps, settings.amocrm.batch, settings.amocrm.domain) == (6.0, 50, "amocrm.ru")
    assert (settings.erp.entity_id, settings.erp.field_name, settings.erp.field_amount) == (
        70,
        "field_1039",
        "field_1040",
    )
    assert (settings.retention_days, settings.log_format, settings.sandbox) == (30, "text", False)


def test_an_empty_value_is_an_unset_one():
    assert load({"AMOCRM_RPS": "", "LESSON_MAP": "  ", "SANDBOX": ""}) == load({})


@pytest.mark.parametrize(
    "example",
    ["yoursubdomain", "your_client_id", "your-anything", "https://your-domain.com/oauth", "https://your-erp-api.com/x"],
)
def test_a_value_that_is_plainly_an_example_counts_as_unset(example: str):
    assert load({"AMOCRM_CLIENT_ID": example}).amocrm.client_id == ""


@pytest.mark.parametrize("example", ["12345678", "23456789", "34567890"])
def test_example_ids_count_as_unset(example: str):
    settings = load({"AMOCRM_PIPELINE_ID": example, "AMOCRM_STAGE_LESSON_1": example})
    assert settings.amocrm.pipeline_id is None
    assert settings.amocrm.stages == {}


def test_every_fault_is_named_at_once():
    text = faults(AMOCRM_RPS="fast", LESSON_MAP="67=1", SANDBOX="yes", TIMEZONE="Mars/Base", CRM_API_URL="erp.example")
    for name in ("AMOCRM_RPS", "LESSON_MAP", "SANDBOX", "TIMEZONE", "CRM_API_URL"):
        assert f"- {name}: got" in text


@pytest.mark.parametrize("name", ["API_KEYS", "TOKEN_KEYS", "WEBHOOK_SECRET"])
def test_a_fault_never_shows_a_secret(name: str):
    assert "hunter2" not in faults(**{name: "hunter2 hunter2:x:y"})


def test_what_is_shown_of_settings_holds_no_secret():
    settings = load(
        {
            "API_KEYS": "shop:key-one-1,intake:key-two-2:ingest",
            "WEBHOOK_SECRET": "hook-secret-1",
            "ADMIN_PASSWORD": "admin-password-1",
            "AMOCRM_CLIENT_SECRET": "client-secret-1",
            "AMOCRM_REFRESH_TOKEN": "refresh-token-1",
            "CRM_API_KEY": "erp-key-1",
            "CRM_API_PASSWORD": "erp-password-1",
        }
    )
    secrets = [secret for secret in secrets_of(settings) if secret]
    assert len(secrets) == 8
    assert not [secret for secret in secrets if secret in repr(settings)]


def test_keys_have_names_and_scopes():
    keys = load({"API_KEYS": "shop:abc, intake:def:ingest"}).api_keys
    assert keys == (ApiKey("shop", "abc"), ApiKey("intake", "def", ingest_only=True))


@pytest.mark.parametrize("keys", ["abc", "shop:", ":abc", "shop:abc:admin", "a:x,a:y", "a:x,b:x"])
def test_keys_that_cannot_be_told_apart_are_refused(keys: str):
    assert "API_KEYS" in faults(API_KEYS=keys)


def test_a_secret_may_lie_in_a_file():
    settings = load({"ADMIN_PASSWORD_FILE": "/run/secret"}, read_file={"/run/secret": " hidden\n"}.__getitem__)
    assert settings.admin_password == "hidden"


def test_a_secret_file_that_cannot_be_read_is_a_fault():
    assert "ADMIN_PASSWORD_FILE" in faults(ADMIN_PASSWORD_FILE="/nowhere/at/all")


def test_the_account_is_found_by_its_parts_or_by_its_address():
    assert load({"AMOCRM_SUBDOMAIN": "School"}).amocrm.base_url == "https://school.amocrm.ru"
    kommo = load({"AMOCRM_SUBDOMAIN": "school.kommo.com", "AMOCRM_DOMAIN": "kommo.com"}).amocrm
    assert (kommo.base_url, kommo.consent_url) == ("https://school.kommo.com", "https://www.kommo.com/oauth")
    given = load({"AMOCRM_BASE_URL": "http://127.0.0.1:9000/", "AMOCRM_SUBDOMAIN": "school"}).amocrm
    assert (given.base_url, given.consent_url) == ("http://127.0.0.1:9000", "http://127.0.0.1:9000/oauth")


def test_stages_are_as_many_as_there_are_lessons():
    stages = load({"AMOCRM_STAGE_LESSON_12": "Done", "AMOCRM_STAGE_LESSON_2": "77"}).amocrm.stages
    assert stages == {2: "77", 12: "Done"}


def test_the_erp_is_known_by_both_names():
    erp = load({"ERP_API_URL": "https://erp.example/api/rest.php", "ERP_API_KEY": "k"}).erp
    assert (erp.url, erp.key) == ("https://erp.example/api/rest.php", "k")


def test_practice_and_real_data_never_share_a_file():
    assert load({"SANDBOX": "1"}).database_url != load({}).database_url


def test_practice_beside_a_real_account_does_not_start():
    assert "AMOCRM_SUBDOMAIN" in faults(SANDBOX="1", AMOCRM_SUBDOMAIN="school")
    assert "AMOCRM_SUBDOMAIN" in faults(SANDBOX="1", AMOCRM_SUBDOMAIN="school", AMOCRM_BASE_URL="http://127.0.0.1:9000")
    assert "AMOCRM_BASE_URL" in faults(SANDBOX="1", AMOCRM_BASE_URL="https://school.amocrm.ru")
    assert "CRM_API_URL" in faults(SANDBOX="1", CRM_API_URL="https://erp.example/api/rest.php")
    load({"SANDBOX": "1", "AMOCRM_BASE_URL": "http://127.0.0.1:9000", "CRM_API_URL": "http://localhost:9000/x"})


def test_a_disk_that_is_wiped_is_refused_unless_that_is_accepted():
    assert "DATABASE_URL" in faults(DYNO="web.1")
    assert load({"DYNO": "web.1", "ALLOW_EPHEMERAL": "1"}).trusted_proxies == 1


def test_several_machines_need_keys_of_their_own():
    text = faults(DATABASE_URL="postgres://u:p@host/db")
    assert "SECRET_KEY" in text and "TOKEN_KEYS" in text


def test_settings_are_fixed():
    with pytest.raises(AttributeError):
        Settings().sandbox = True  # type: ignore[misc]
