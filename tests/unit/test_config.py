"""Settings: what they become, and how every fault is named."""

import pytest

from service.config import ApiKey, ConfigError, Settings, load
from service.disks import Mount
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
    keys = load({"API_KEYS": "shop:key-one-1, intake:key-two-2:ingest"}).api_keys
    assert keys == (ApiKey("shop", "key-one-1"), ApiKey("intake", "key-two-2", ingest_only=True))


@pytest.mark.parametrize(
    "keys",
    [
        "key-one-1",
        "shop:",
        ":key-one-1",
        "shop:key-one-1:admin",
        "a:key-one-1,a:key-two-2",
        "a:key-one-1,b:key-one-1",
        '{"shop":"key-one-1"}',
        "[shop:key-one-1]",
        '"shop:key-one-1","crm:key-two-2"',
        "API_KEYS=shop:key-one-1",
    ],
)
def test_keys_that_cannot_be_told_apart_are_refused(keys: str):
    assert "API_KEYS" in faults(API_KEYS=keys)


def test_a_secret_may_lie_in_a_file():
    settings = load({"ADMIN_PASSWORD_FILE": "/run/secret"}, read_file={"/run/secret": " hidden-horse\n"}.__getitem__)
    assert settings.admin_password == "hidden-horse"


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


WIPED = ["DYNO", "RENDER", "RAILWAY_PROJECT_ID", "FLY_APP_NAME", "K_SERVICE"]


@pytest.mark.parametrize("host", WIPED)
def test_a_disk_that_is_wiped_is_refused_unless_that_is_accepted(host: str):
    assert "DATABASE_URL: this host's disk is wiped" in faults(**{host: "x"})
    assert load({host: "x", "ALLOW_EPHEMERAL": "1"}).web.host == "0.0.0.0"
    assert load({host: " "}) == load({})


def test_a_file_in_memory_is_refused_and_one_on_a_volume_is_not():
    def text(mount: Mount, **environ: str) -> str:
        with pytest.raises(ConfigError) as error:
            load(environ, mount_of=lambda _file: mount)
        return str(error.value)

    assert "on tmpfs (mounted at /run)" in text(Mount("/run", "tmpfs"))
    assert "on overlay" in text(Mount("/", "overlay"), RENDER="true")
    assert "on no volume" in text(Mount("/", "ext4"), FLY_APP_NAME="school")
    assert "DYNO is set" in text(Mount("/app", "ext4"), DYNO="web.1")
    load({"RENDER": "true"}, mount_of=lambda _file: Mount("/var/data", "ext4"))
    load({"ALLOW_EPHEMERAL": "1"}, mount_of=lambda _file: Mount("/", "overlay"))


def test_heroku_has_one_proxy():
    assert load({"DYNO": "web.1", "ALLOW_EPHEMERAL": "1"}).trusted_proxies == 1


def test_several_machines_need_keys_of_their_own():
    text = faults(DATABASE_URL="postgres://u:p@host/db")
    assert "SECRET_KEY" in text and "TOKEN_KEYS" in text


def test_settings_are_fixed():
    with pytest.raises(AttributeError):
        Settings().sandbox = True  # type: ignore[misc]


# --- the address of the database --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://data/x.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:////",
        "sqlite:///data/",
        "sqlite:///:memory:",
        "sqlite:///~/x.db",
        "sqlite:///x.db?mode=ro",
        "sqlite:/data/x.db",
        "mysql://u:hunter2@host/db",
        "postgresql+psycopg2://u:hunter2@host/db",
        "u:hunter2@host/db",
        "hunter2",
        "/data/x.db",
    ],
)
def test_an_address_that_names_no_file_or_another_one_is_refused(url: str):
    text = faults(DATABASE_URL=url)
    assert text.count("\n  - ") == 1
    assert "- DATABASE_URL: got" in text
    assert "hunter2" not in text


def test_three_slashes_mean_the_project_and_four_the_machine(tmp_path):
    assert str(load({"DATABASE_URL": "sqlite:///data/x.db"}, root=tmp_path).database_path) == f"{tmp_path}/data/x.db"
    assert str(load({"DATABASE_URL": "sqlite:////data/x.db"}, root=tmp_path).database_path) == "/data/x.db"


def test_three_slashes_beside_a_volume_of_that_name_are_refused(tmp_path):
    def mount_of(file):
        return Mount("/data", "ext4") if file.is_relative_to("/data") else Mount("/", "ext4")

    with pytest.raises(ConfigError, match=r"/data is a volume; expected four slashes, sqlite:////data/x\.db"):
        load({"DATABASE_URL": "sqlite:///data/x.db"}, root=tmp_path, mount_of=mount_of)
    assert load({"DATABASE_URL": "sqlite:////data/x.db"}, root=tmp_path, mount_of=mount_of).database_hint == ""
    # Elsewhere it is only told; the default, and its neighbours in var/, need no word.
    hint = load({"DATABASE_URL": "sqlite:///data/x.db"}, root=tmp_path).database_hint
    assert hint == f"three slashes count from {tmp_path}; sqlite:////data/x.db would be /data/x.db"
    assert load({"DATABASE_URL": "sqlite:///var/x.db"}, root=tmp_path).database_hint == ""


def test_names_in_the_file_that_are_no_settings_are_noted():
    names = ["CRM_API_KEY", "ERP_API_KEY_FILE", "AMOCRM_STAGE_LESSON_7", "HOST", "WEBHOOK_SECRET_FILE", "PORT_FILE"]
    environ = dict.fromkeys(names, "") | {"ERP_API_KEY": "x", "CRM_API_KEY": "y", "api_keys": "x"}
    assert load(environ, of_file=list(environ)).unknown == ("PORT_FILE", "api_keys")


# --- the web process --------------------------------------------------------------------------------------------------


def test_the_web_listens_on_this_machine_alone_unless_told_otherwise():
    assert load({}).web.bind == "127.0.0.1:8000"
    assert load({"HOST": "0.0.0.0", "PORT": "81"}).web.bind == "0.0.0.0:81"
    assert load({"HOST": "::"}).web.bind == load({"HOST": "[::]"}).web.bind == "[::]:8000"
    assert load({"HOST": "127.0.0.1", "DYNO": "web.1", "ALLOW_EPHEMERAL": "1"}).web.host == "127.0.0.1"


@pytest.mark.parametrize(
    "host", ["http://0.0.0.0", "0.0.0.0:8000", "localhost/", "unix:/run/x", "a b", "*", "256.0.0.1", "127.1", "[::1"]
)
def test_a_host_that_is_more_than_an_address_is_refused(host: str):
    assert "- HOST: got" in faults(HOST=host)


@pytest.mark.parametrize("value", ["0", "auto", "-1", "abc", "2.5", "٢", "65"])
def test_a_number_of_processes_that_is_none_is_refused(value: str):
    assert "- WEB_CONCURRENCY: got" in faults(WEB_CONCURRENCY=value)


@pytest.mark.parametrize("value", ["0", "abc", "-80", "70000", "80 81"])
def test_a_port_that_is_none_is_refused(value: str):
    assert "- PORT: got" in faults(PORT=value)


@pytest.mark.parametrize(
    "value", ["localtime", "posix/Europe/Moscow", "right/UTC", "Factory", "/etc/localtime", "Europe"]
)
def test_a_zone_that_differs_by_machine_is_refused(value: str):
    assert "- TIMEZONE: got" in faults(TIMEZONE=value)


# --- values that were damaged on their way ----------------------------------------------------------------------------

OF_REQUESTS = ["AMOCRM_ACCESS_TOKEN", "AMOCRM_REFRESH_TOKEN", "AMOCRM_CLIENT_ID", "AMOCRM_CLIENT_SECRET", "CRM_API_KEY"]
DAMAGED = {
    "an ellipsis": "abcdef…",
    "three dots": "abcdef...",
    "an unseen space": "abc\u200bdef-long-enough",
    "a Russian letter": "abсdef-long-enough",
    "a line break": "abcdef-long\nenough",
    "a space": "abcdef long-enough",
    "bytes that are no text": "abcdef-long\udcffenough",
}


@pytest.mark.parametrize("value", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("name", [*OF_REQUESTS, "WEBHOOK_SECRET", "API_KEYS"])
def test_a_token_that_no_request_can_carry_is_refused(name: str, value: str):
    text = faults(**{name: f"shop:{value}" if name == "API_KEYS" else value})
    assert f"- {name}: got" in text
    assert value not in text


def test_a_damaged_token_in_a_file_is_refused_too():
    with pytest.raises(ConfigError, match="AMOCRM_ACCESS_TOKEN: got ZERO WIDTH SPACE as character 4 of 7"):
        load({"AMOCRM_ACCESS_TOKEN_FILE": "/run/x"}, read_file=lambda _path: "abc\u200bdef\n")


@pytest.mark.parametrize(
    "value",
    ["Bearer t0ken", "bearer  t0ken", "Authorization: Bearer t0ken", "'t0ken'", "«t0ken»", '"Bearer t0ken"', "“t0ken”"],
)
def test_what_is_copied_along_with_a_token_is_taken_off(value: str):
    assert load({"AMOCRM_ACCESS_TOKEN": value}).amocrm.access_token == "t0ken"


def test_quotes_round_any_value_are_taken_off():
    settings = load({"ADMIN_PASSWORD": "'two words here'", "PORT": '"81"', "API_KEYS": "shop:'key-one-1'"})
    assert (settings.admin_password, settings.web.port) == ("two words here", 81)
    assert settings.api_keys == (ApiKey("shop", "key-one-1"),)


def test_passwords_may_be_russian_but_not_unseen():
    assert load({"CRM_API_PASSWORD": "пароль-для-учёта"}).erp.password == "пароль-для-учёта"
    assert "- CRM_API_PASSWORD: got ZERO WIDTH SPACE" in faults(CRM_API_PASSWORD="пароль\u200bдля")


def test_names_given_elsewhere_keep_their_characters():
    family = "\U0001f468\u200d\U0001f469 Урок"
    assert load({"AMOCRM_STAGE_LESSON_1": family}).amocrm.stages == {1: family}
    assert load({"AMOCRM_WEBHOOK_STAGES": family}).amocrm.webhook_stages == (("", family),)


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "https://a..b/x",
        "https://x:port/",
        "https://exa mple.org",
        "https://cut.example/…",
        "https://h:0/",
    ],
)
def test_an_address_to_which_no_request_can_be_built_is_refused(url: str):
    assert "- CRM_API_URL: got" in faults(CRM_API_URL=url)


def test_a_refused_address_is_shown_without_what_is_secret_in_it():
    said = faults(CRM_API_URL="ftp://ann:hunter2@erp.example/rest.php?key=hunter3")
    assert "CRM_API_URL: got 'ftp://***@erp.example/rest.php?***'" in said


def test_a_colon_in_a_sign_in_is_refused():
    assert "- ADMIN_USERNAME: got a colon" in faults(ADMIN_USERNAME="the:admin")


# --- secrets that anyone would guess ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_KEYS", "a:1"),
        ("API_KEYS", "shop:key-one-1,b:2:ingest"),
        ("API_KEYS", "platform:platform"),
        ("ADMIN_PASSWORD", "1"),
        ("ADMIN_PASSWORD", "password"),
        ("ADMIN_PASSWORD", "aaaaaaaaaa"),
        ("VIEWER_PASSWORD", "Changeme"),
        ("WEBHOOK_SECRET", "x"),
        ("WEBHOOK_SECRET", "hook-secret-1,y"),
        ("SECRET_KEY", "s"),
    ],
)
def test_weak_secrets_are_refused_except_in_practice(name: str, value: str):
    assert f"- {name}: " in faults(**{name: value})
    load({name: value, "SANDBOX": "1"})


def test_a_password_that_is_the_user_name_is_refused():
    assert "ADMIN_PASSWORD: it is the name itself" in faults(ADMIN_USERNAME="director-1", ADMIN_PASSWORD="Director-1")


def test_the_keys_of_others_may_be_as_they_are():
    load({"CRM_API_KEY": "k3y", "CRM_API_PASSWORD": "1", "AMOCRM_CLIENT_SECRET": "x"})
