"""Typed settings from the environment: every fault is named at once, and nothing secret is ever shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

AMOCRM_DOMAINS = ("amocrm.ru", "amocrm.com", "kommo.com")

SECRETS = (
    "SECRET_KEY",
    "TOKEN_KEYS",
    "API_KEYS",
    "WEBHOOK_SECRET",
    "ADMIN_PASSWORD",
    "VIEWER_PASSWORD",
    "ALERT_URLS",
    "HEARTBEAT_URL",
    "DATABASE_URL",
    "AMOCRM_CLIENT_SECRET",
    "AMOCRM_REFRESH_TOKEN",
    "AMOCRM_ACCESS_TOKEN",
    "CRM_API_KEY",
    "CRM_API_PASSWORD",
    "ERP_API_KEY",
    "ERP_API_PASSWORD",
)
"""Settings that may also be given as NAME_FILE, the path of a file that holds the value."""

EXAMPLES = re.compile(r"yoursubdomain|^your[_-]|your-domain\.com|your-erp-api\.com|^(12345678|23456789|34567890)$")
"""Values that are plainly copied from an example; they count as unset."""

ERP_PLACES = (
    "{deal.id}, {deal.name}, {deal.price}, {contact.id}, {contact.name}, {contact.email}, {contact.phone}, "
    "{custom:NAME}, {stage}, {pipeline}, {event.id}, {event.name}, {data.NAME}"
)
"""What ERP_FIELDS may take from an event, its deal and the deal's contact."""

ERP_PLACE = re.compile(
    r"deal\.(id|name|price)|contact\.(id|name|email|phone)|custom:\s*\S.*|stage|pipeline|event\.(id|name)|data(\.\w[\w-]*)+"
)


class ConfigError(Exception):
    """Settings that cannot be read. Its text names every fault."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("The settings cannot be used:\n" + "\n".join(f"  - {fault}" for fault in faults))
        self.faults = faults


@dataclass(frozen=True)
class ApiKey:
    """ingest_only keys may send events, but not read anything."""

    name: str
    key: str = field(repr=False)
    ingest_only: bool = False


@dataclass(frozen=True)
class Amocrm:
    """The amoCRM (Kommo) account. base_url: where the API lives, without a slash at the end; "" while unknown."""

    subdomain: str = ""
    domain: str = "amocrm.ru"
    base_url: str = ""
    consent_url: str = "https://www.amocrm.ru/oauth"
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    redirect_uri: str = ""
    refresh_token: str = field(default="", repr=False)
    access_token: str = field(default="", repr=False)
    pipeline_id: int | None = None
    stages: Mapping[int, str] = field(default_factory=dict)  # lesson -> a status's id or name
    lesson_map: Mapping[int, int] = field(default_factory=dict)  # lesson_id on the platform -> lesson
    rps: float = 6.0
    batch: int = 50
    coalesce: bool = False
    webhook_stages: tuple[tuple[str, str], ...] = ()  # (pipeline or "", stage), ids or names; empty: all
    webhook_echoes: str = "record"  # or skip
    webhook_resubscribe: bool = False
    overridden: bool = False  # base_url was given by AMOCRM_BASE_URL


@dataclass(frozen=True)
class Erp:
    """The ERP (Rukovoditel). url: the full address of rest.php."""

    url: str = ""
    key: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    entity_id: int = 70
    field_name: str = "field_1039"
    field_amount: str = "field_1040"
    field_key: str = ""
    fields: tuple[tuple[str, str], ...] = ()  # (field_NNN, template)
    on_repeat: str = "insert"  # or skip, update


@dataclass(frozen=True)
class Settings:
    """All settings of the service, checked."""

    database_url: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    token_keys: tuple[str, ...] = field(default=(), repr=False)
    api_keys: tuple[ApiKey, ...] = ()
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    admin_username: str = "admin"
    admin_password: str = field(default="", repr=False)
    viewer_username: str = "viewer"
    viewer_password: str = field(default="", repr=False)
    public_url: str = ""
    trusted_proxies: int = 0
    locale: str = ""  # "" = by the browser
    timezone: str = "Europe/Moscow"
    log_format: str = "text"
    alert_urls: tuple[str, ...] = field(default=(), repr=False)
    heartbeat_url: str = field(default="", repr=False)
    retention_days: int = 30
    sandbox: bool = False
    amocrm: Amocrm = field(default_factory=Amocrm)
    erp: Erp = field(default_factory=Erp)

    @property
    def on_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite:")

    @property
    def database_path(self) -> Path:
        """The embedded database's file. Raises ValueError where the database is not SQLite."""
        if not self.on_sqlite:
            raise ValueError("DATABASE_URL is not an sqlite:// address, so there is no file")
        return Path(self.database_url.partition("://")[2].removeprefix("/"))


class _Reader:
    """Takes values out of the environment and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str], read_file: Callable[[str], str]) -> None:
        self.environ, self.read_file = environ, read_file
        self.faults: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        value = self.environ.get(name, "").strip()
        path = self.environ.get(f"{name}_FILE", "").strip() if name in SECRETS else ""
        if path and not value:
            try:
                value = self.read_file(path).strip()
            except (OSError, UnicodeError) as error:
                self.fault(
                    f"{name}_FILE", f"the file {path!r} cannot be read ({type(error).__name__})", "a readable file"
                )
        return default if not value or EXAMPLES.search(value) else value

    def fault(self, name: str, got: str, expected: str) -> None:
        self.faults.append(f"{name}: {got}; expected {expected}")

    def _got(self, name: str, value: str) -> str:
        return "got a value that does not fit" if name in SECRETS else f"got {value!r}"

    def integer(self, name: str, default: int | None, low: int, high: int) -> int | None:
        value = self.text(name)
        if not value:
            return default
        if not re.fullmatch(r"\d{1,15}", value) or not low <= int(value) <= high:
            self.fault(name, self._got(name, value), f"a whole number from {low} to {high}")
            return default
        return int(value)

    def number(self, name: str, default: float, low: float, high: float) -> float:
        value = self.text(name)
        try:
            figure = float(value) if value else default
        except ValueError:
            figure = float("nan")
        if not low <= figure <= high:
            self.fault(name, self._got(name, value), f"a number from {low:g} to {high:g}")
            return default
        return figure

    def flag(self, name: str) -> bool:
        return self.choice(name, ("0", "1"), "0") == "1"

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.text(name, default)
        if value not in allowed:
            self.fault(name, self._got(name, value), "one of " + ", ".join(filter(None, allowed)))
            return default
        return value

    def list(self, name: str, default: str = "") -> list[str]:
        return [part.strip() for part in self.text(name, default).split(",") if part.strip()]

    def address(self, name: str) -> str:
        value = self.text(name)
        if value and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
            self.fault(name, self._got(name, value), "an address that begins with https:// (or http://)")
            return ""
        return value


def load(
    environ: Mapping[str, str], *, root: Path = Path(), read_file: Callable[[str], str] = lambda p: Path(p).read_text()
) -> Settings:
    """Settings from a mapping such as os.environ. root: the folder that a relative database path counts from.

    Raises ConfigError naming every fault.
    """
    read = _Reader(environ, read_file)
    sandbox = read.flag("SANDBOX")
    database_url = _database_url(read, sandbox, root)
    amocrm, erp = _amocrm(read), _erp(read)
    admin, admin_password = read.text("ADMIN_USERNAME", "admin"), read.text("ADMIN_PASSWORD")
    viewer, viewer_password = read.text("VIEWER_USERNAME", "viewer"), read.text("VIEWER_PASSWORD")
    if viewer_password and admin_password and viewer == admin:
        read.fault("VIEWER_USERNAME", f"got {viewer!r}, which is ADMIN_USERNAME too", "another name")
    settings = Settings(
        database_url=database_url,
        secret_key=read.text("SECRET_KEY"),
        token_keys=_token_keys(read),
        api_keys=_api_keys(read),
        webhook_secrets=_webhook_secrets(read),
        admin_username=admin,
        admin_password=admin_password,
        viewer_username=viewer,
        viewer_password=viewer_password,
        public_url=read.address("PUBLIC_URL").rstrip("/"),
        trusted_proxies=read.integer("TRUSTED_PROXIES", 1 if environ.get("DYNO") else 0, 0, 10) or 0,
        locale=read.choice("LOCALE", ("", "ru", "en"), ""),
        timezone=_timezone(read),
        log_format=read.choice("LOG_FORMAT", ("text", "json"), "text"),
        alert_urls=tuple(read.list("ALERT_URLS")),
        heartbeat_url=read.address("HEARTBEAT_URL"),
        retention_days=read.integer("RETENTION_DAYS", 30, 7, 36500) or 30,
        sandbox=sandbox,
        amocrm=amocrm,
        erp=erp,
    )
    if environ.get("DYNO") and settings.on_sqlite and not read.flag("ALLOW_EPHEMERAL"):
        read.fault(
            "DATABASE_URL",
            "this host's disk is wiped at each restart (DYNO is set), so an SQLite file would lose what was accepted",
            "a host whose disk lasts, or ALLOW_EPHEMERAL=1 if you accept the loss",
        )
    read.flag("ALLOW_EPHEMERAL")
    if not settings.on_sqlite:
        for name, value in (("SECRET_KEY", settings.secret_key), ("TOKEN_KEYS", settings.token_keys)):
            if not value:
                read.fault(
                    name, "it is not set", "a value that all machines share, as PostgreSQL serves several of them"
                )
    if sandbox:
        _refuse_real_accounts(read, amocrm, erp)
    if read.faults:
        raise ConfigError(read.faults)
    return settings


def _database_url(read: _Reader, sandbox: bool, root: Path) -> str:
    value = read.text("DATABASE_URL", "sqlite:///var/dealpost.db")
    kind, separator, rest = value.partition("://")
    if kind in ("postgres", "postgresql") and separator:
        return "postgresql://" + rest
    path = rest.removeprefix("/")
    if kind != "sqlite" or not path:
        read.fault(
            "DATABASE_URL", f"got an address that begins with {kind[:20]!r}", "sqlite:///path or postgresql://..."
        )
        return ""
    file = root.absolute() / path
    if sandbox:  # practice and real data never share a file
        file = file.with_name(f"{file.stem}-sandbox{file.suffix}")
    return f"sqlite:///{file}"


def _token_keys(read: _Reader) -> tuple[str, ...]:
    keys = tuple(read.list("TOKEN_KEYS"))
    for place, key in enumerate(keys, 1):
        if not re.fullmatch(r"[A-Za-z0-9_-]{43}=", key):
            read.fault(
                "TOKEN_KEYS", f"key {place} is no Fernet key", "44 characters of URL-safe base64, newest key first"
            )
    return keys


def _api_keys(read: _Reader) -> tuple[ApiKey, ...]:
    keys: list[ApiKey] = []
    for place, item in enumerate(read.list("API_KEYS"), 1):
        name, _, rest = item.partition(":")
        key, _, scope = rest.partition(":")
        if not name or not key or scope not in ("", "ingest"):
            read.fault("API_KEYS", f"entry {place} does not fit", "name:key or name:key:ingest, separated by commas")
        elif any(known.name == name or known.key == key for known in keys):
            read.fault("API_KEYS", f"entry {place} repeats a name or a key", "each name and each key once")
        else:
            keys.append(ApiKey(name, key, scope == "ingest"))
    return tuple(keys)


def _webhook_secrets(read: _Reader) -> tuple[str, ...]:
    secrets = tuple(read.list("WEBHOOK_SECRET"))
    if len(secrets) > 2:
        read.fault("WEBHOOK_SECRET", f"got {len(secrets)} secrets", "one, or two while one replaces the other")
    if any(not re.fullmatch(r"[A-Za-z0-9_.~-]+", secret) for secret in secrets):
        read.fault("WEBHOOK_SECRET", "got characters that do not fit into an address", "letters, digits and _ . ~ -")
    return secrets


def _timezone(read: _Reader) -> str:
    value = read.text("TIMEZONE", "Europe/Moscow")
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        read.fault("TIMEZONE", f"got {value!r}", "a name such as Europe/Moscow or UTC")
        return "UTC"
    return value


def _amocrm(read: _Reader) -> Amocrm:
    domain = read.choice("AMOCRM_DOMAIN", AMOCRM_DOMAINS, "amocrm.ru")
    subdomain = read.text("AMOCRM_SUBDOMAIN").lower()
    if subdomain.endswith("." + domain):
        subdomain = subdomain.removesuffix("." + domain)
    if subdomain and not re.fullmatch(r"[a-z0-9-]+", subdomain):
        read.fault("AMOCRM_SUBDOMAIN", f"got {subdomain!r}", f"the first part of your address, without .{domain}")
    override = read.address("AMOCRM_BASE_URL").rstrip("/")
    base_url = override or (f"https://{subdomain}.{domain}" if subdomain else "")
    redirect_uri = read.address("AMOCRM_REDIRECT_URI")
    return Amocrm(
        subdomain=subdomain,
        domain=domain,
        base_url=base_url,
        consent_url=f"{override or f'https://www.{domain}'}/oauth",
        client_id=read.text("AMOCRM_CLIENT_ID"),
        client_secret=read.text("AMOCRM_CLIENT_SECRET"),
        redirect_uri=redirect_uri,
        refresh_token=read.text("AMOCRM_REFRESH_TOKEN"),
        access_token=read.text("AMOCRM_ACCESS_TOKEN"),
        pipeline_id=read.integer("AMOCRM_PIPELINE_ID", None, 1, 10**15),
        stages=_stages(read),
        lesson_map=_lesson_map(read),
        rps=read.number("AMOCRM_RPS", 6.0, 0.1, 50.0),
        batch=read.integer("AMOCRM_BATCH", 50, 1, 250) or 50,
        coalesce=read.flag("AMOCRM_COALESCE"),
        webhook_stages=tuple(_stage_of(item) for item in read.list("AMOCRM_WEBHOOK_STAGES")),
        webhook_echoes=read.choice("WEBHOOK_ECHOES", ("record", "skip"), "record"),
        webhook_resubscribe=read.flag("WEBHOOK_RESUBSCRIBE"),
        overridden=bool(override),
    )


def _stage_of(item: str) -> tuple[str, str]:
    pipeline, colon, stage = item.rpartition(":")
    return (pipeline.strip() if colon else "", stage.strip())


def _stages(read: _Reader) -> dict[int, str]:
    stages = {}
    for name in read.environ:
        if match := re.fullmatch(r"AMOCRM_STAGE_LESSON_(\d{1,4})", name):
            value = read.text(name)
            if not int(match[1]):
                read.fault(name, "lesson 0", "a lesson's number from 1")
            elif value:
                stages[int(match[1])] = value
    return dict(sorted(stages.items()))


def _lesson_map(read: _Reader) -> dict[int, int]:
    lessons: dict[int, int] = {}
    for item in read.list("LESSON_MAP", "67:1,68:2,69:3"):
        match = re.fullmatch(r"(\d{1,15})\s*:\s*(\d{1,4})", item)
        if not match or not int(match[2]) or int(match[1]) in lessons:
            read.fault("LESSON_MAP", f"got {item!r}", "lesson_id:lesson pairs such as 67:1,68:2, each lesson_id once")
        else:
            lessons[int(match[1])] = int(match[2])
    return lessons


def _erp(read: _Reader) -> Erp:
    def either(name: str) -> str:
        return read.text(f"CRM_API_{name}") or read.text(f"ERP_API_{name}")

    def field_name(name: str, default: str) -> str:
        value = read.text(name, default)
        if value and not re.fullmatch(r"field_\d{1,9}", value):
            read.fault(name, f"got {value!r}", "field_ and a number, such as field_1039")
            return default
        return value

    name = field_name("ERP_FIELD_NAME", "field_1039")
    amount = field_name("ERP_FIELD_AMOUNT", "field_1040")
    key = field_name("ERP_FIELD_KEY", "")
    if len({name, amount, key}) < 3:
        read.fault("ERP_FIELD_NAME", "name, amount and key share a field", "three different fields")
    return Erp(
        url=read.address("CRM_API_URL") or read.address("ERP_API_URL"),
        key=either("KEY"),
        username=either("USERNAME"),
        password=either("PASSWORD"),
        entity_id=read.integer("ERP_ENTITY_ID", 70, 1, 10**9) or 70,
        field_name=name,
        field_amount=amount,
        field_key=key,
        fields=_erp_fields(read, (name, amount, key)),
        on_repeat=read.choice("ERP_ON_REPEAT", ("insert", "skip", "update"), "insert"),
    )


def _erp_fields(read: _Reader, taken: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """`field_1050={contact.email},field_1051={custom:City}`: a comma before field_NNN= separates."""
    text = read.text("ERP_FIELDS")
    pairs: list[tuple[str, str]] = []
    for item in re.split(r",\s*(?=field_\d+\s*=)", text) if text else []:
        match = re.fullmatch(r"(field_\d{1,9})\s*=\s*(.+)", item.strip(), re.DOTALL)
        if not match:
            read.fault("ERP_FIELDS", f"got {item!r}", "field_NNN=text with places such as {contact.email}")
            continue
        name, template = match[1], match[2].strip()
        if name in taken or name in dict(pairs):
            read.fault(
                "ERP_FIELDS",
                f"{name} gets a value already",
                "each field once, and none of the other ERP_FIELD_ settings",
            )
        for place in re.findall(r"\{([^{}]*)\}", template):
            if not ERP_PLACE.fullmatch(place.strip()):
                read.fault("ERP_FIELDS", f"got the place {{{place}}} for {name}", f"one of {ERP_PLACES}")
        if re.search(r"[{}]", re.sub(r"\{[^{}]*\}", "", template)):
            read.fault("ERP_FIELDS", f"got {template!r} for {name}", "braces in pairs, round a place")
        pairs.append((name, template))
    return tuple(pairs)


def _refuse_real_accounts(read: _Reader, amocrm: Amocrm, erp: Erp) -> None:
    # A subdomain names a real account also where AMOCRM_BASE_URL leads elsewhere: its tokens would go there.
    real = f"https://{amocrm.subdomain}.{amocrm.domain}" if amocrm.subdomain else ""
    override = amocrm.base_url if amocrm.overridden else ""
    for name, value in (("AMOCRM_SUBDOMAIN", real), ("AMOCRM_BASE_URL", override), ("CRM_API_URL", erp.url)):
        host = urlsplit(value).hostname or ""
        if value and host not in ("localhost", "::1") and not host.startswith("127."):
            read.fault(name, f"SANDBOX=1 beside a real account at {host}", "either SANDBOX=1 or an account, never both")
