"""Typed settings from the environment: every fault is named at once, and nothing secret is ever shown."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from service import disks, secret_strength
from service.settings_reader import SECRETS as SECRETS
from service.settings_reader import Origin, SettingsReader, bare_token
from service.users import EXPECTED, NamedUser, user_of

AMOCRM_DOMAINS = ("amocrm.ru", "amocrm.com", "kommo.com")

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
        self.faults = list(dict.fromkeys(faults))
        super().__init__("The settings cannot be used:\n" + "\n".join(f"  - {fault}" for fault in self.faults))


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
    webhook_created: str = "stages"  # deals made on a stage: where webhook_stages names it, or record, or skip
    webhook_resubscribe: bool = False
    overridden: bool = False  # base_url was given by AMOCRM_BASE_URL

    @property
    def counts_creations(self) -> bool:
        """Whether a deal that is made on a stage can make a record at all."""
        return self.webhook_created == "record" or (self.webhook_created == "stages" and bool(self.webhook_stages))


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
class Web:
    """How the web process listens. pinned: each of its processes on a CPU of its own; None: by the number of CPUs."""

    host: str = "127.0.0.1"
    port: int = 8000
    processes: int = 2
    pinned: bool | None = None
    worker_inside: bool = False

    @property
    def bind(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Settings:
    """All settings of the service, checked."""

    database_url: str = field(default="", repr=False)
    unknown: tuple[str, ...] = ()  # names in .env that are no settings
    origins: Mapping[str, Origin] = field(default_factory=dict, repr=False, compare=False)  # of each setting
    database_hint: str = ""  # where else a relative path might have been meant
    secret_key: str = field(default="", repr=False)
    token_keys: tuple[str, ...] = field(default=(), repr=False)
    api_keys: tuple[ApiKey, ...] = ()
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    admin_username: str = "admin"
    admin_password: str = field(default="", repr=False)
    viewer_username: str = "viewer"
    viewer_password: str = field(default="", repr=False)
    users: tuple[NamedUser, ...] = ()
    public_url: str = ""
    trusted_proxies: int = 0
    locale: str = ""  # "" = by the browser
    timezone: str = "Europe/Moscow"
    log_format: str = "text"
    alert_urls: tuple[str, ...] = field(default=(), repr=False)
    heartbeat_url: str = field(default="", repr=False)
    retention_days: int = 30
    sandbox: bool = False
    web: Web = field(default_factory=Web)
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


def _no_mounts(file: Path) -> None:
    return None


def load(
    environ: Mapping[str, str],
    *,
    root: Path = Path(),
    read_file: Callable[[str], str] = lambda p: Path(p).read_text(encoding="utf-8-sig"),
    mount_of: Callable[[Path], disks.Mount | None] = _no_mounts,
    faults: Sequence[str] = (),
    of_file: Sequence[str] = (),
) -> Settings:
    """Settings from a mapping such as os.environ.

    root: the folder that a relative database path counts from. mount_of: which mount holds a file. faults: what was
    wrong with the mapping's sources already. of_file: the names that come from .env, where each should be a setting.

    Raises ConfigError naming every fault.
    """
    read = SettingsReader(environ, read_file)
    read.faults.extend(faults)
    sandbox = read.flag("SANDBOX")
    database_url = _database_url(read, sandbox, root)
    amocrm, erp = _amocrm(read), _erp(read)
    admin, admin_password = read.text("ADMIN_USERNAME", "admin"), read.text("ADMIN_PASSWORD")
    viewer, viewer_password = read.text("VIEWER_USERNAME", "viewer"), read.text("VIEWER_PASSWORD")
    if viewer_password and admin_password and viewer == admin:
        read.fault("VIEWER_USERNAME", f"got {viewer!r}, which is ADMIN_USERNAME too", "another name")
    settings = Settings(
        database_url=database_url,
        database_hint=_database_hint(read, root, mount_of),
        secret_key=read.text("SECRET_KEY"),
        token_keys=_token_keys(read),
        api_keys=_api_keys(read),
        webhook_secrets=_webhook_secrets(read),
        admin_username=admin,
        admin_password=admin_password,
        viewer_username=viewer,
        viewer_password=viewer_password,
        users=_users(read, {admin: admin_password, viewer: viewer_password}),
        public_url=read.address("PUBLIC_URL").rstrip("/"),
        trusted_proxies=read.integer("TRUSTED_PROXIES", 1 if environ.get("DYNO", "").strip() else 0, 0, 10) or 0,
        locale=read.choice("LOCALE", ("", "ru", "en"), ""),
        timezone=_timezone(read),
        log_format=read.choice("LOG_FORMAT", ("text", "json"), "text"),
        alert_urls=tuple(read.list("ALERT_URLS")),
        heartbeat_url=read.address("HEARTBEAT_URL"),
        retention_days=read.integer("RETENTION_DAYS", 30, 7, 36500) or 30,
        sandbox=sandbox,
        web=_web(read),
        amocrm=amocrm,
        erp=erp,
    )
    allow_ephemeral = read.flag("ALLOW_EPHEMERAL")
    settings = replace(settings, unknown=tuple(sorted(set(of_file) - read.known)), origins=read.origins)
    if database_url and settings.on_sqlite and not allow_ephemeral:
        why = disks.wiped(environ, mount_of(settings.database_path))
        if why:
            read.fault(
                "DATABASE_URL",
                f"{why}, so an SQLite file would lose what was accepted",
                "postgresql://..., a file on a disk or volume that lasts, or ALLOW_EPHEMERAL=1 if you accept the loss",
            )
    for setting, person in (("ADMIN_USERNAME", admin), ("VIEWER_USERNAME", viewer)):
        if ":" in person:
            read.fault(setting, "got a colon, which no sign-in can have in its name", "a name without one")
    if database_url and not settings.on_sqlite:
        for name, value in (("SECRET_KEY", settings.secret_key), ("TOKEN_KEYS", settings.token_keys)):
            if not value:
                read.fault(
                    name, "it is not set", "a value that all machines share, as PostgreSQL serves several of them"
                )
    if sandbox:
        _refuse_real_accounts(read, amocrm, erp)
    else:  # practice is for trying out, with whatever key
        for setting, weak in secret_strength.faults(settings):
            read.fault(setting, weak, f"a random value of at least {secret_strength.SHORTEST} characters")
    if read.faults:
        raise ConfigError(read.faults)
    return settings


def _database_url(read: SettingsReader, sandbox: bool, root: Path) -> str:
    value = read.text("DATABASE_URL", "sqlite:///var/dealpost.db")
    kind, separator, rest = value.partition("://")
    if kind in ("postgres", "postgresql") and separator:
        return "postgresql://" + rest
    if kind != "sqlite" or not separator:
        # Without :// it may be anything, a password as well.
        is_kind = separator and re.fullmatch(r"[A-Za-z][\w+.-]{0,30}", kind)
        got = f"got an address that begins with {kind + separator!r}" if is_kind else "got no address, which has ://"
        read.fault("DATABASE_URL", got, "sqlite:///path or postgresql://...")
        return ""
    path = rest.removeprefix("/")
    if why := _no_file(rest, path):
        read.fault(
            "DATABASE_URL",
            why,
            f"sqlite:///var/x.db (in {root.absolute()}) or sqlite:////data/x.db (in /data)",
        )
        return ""
    file = root.absolute() / path
    if sandbox:  # practice and real data never share a file
        file = file.with_name(f"{file.stem}-sandbox{file.suffix}")
    return f"sqlite:///{file}"


def _no_file(rest: str, path: str) -> str:
    """Why this end of an sqlite:// address names no file, or another one than it seems to."""
    if not rest.startswith("/"):
        return "got two slashes after sqlite:, where three mean the project's folder and four the whole machine"
    if path.endswith("/") or not path:
        return "got a folder, or nothing, where the file's name should be"
    if path.startswith("~") or ":memory:" in path or "?" in path:
        return "got ~, ? or :memory:, which mean nothing here"
    return ""


def _database_hint(read: SettingsReader, root: Path, mount_of: Callable[[Path], disks.Mount | None]) -> str:
    """Tells where a path with three slashes leads, unless it is in var/ as by default. On a volume it is a fault."""
    kind, _, path = read.raw("DATABASE_URL").partition(":///")
    if kind != "sqlite" or path.startswith(("/", "var/")):
        return ""
    meant = mount_of(Path("/", path))
    if meant and meant.point != "/" and meant != mount_of(root.absolute() / "x"):
        read.fault(
            "DATABASE_URL",
            f"three slashes mean the project's folder ({root.absolute() / path}), though {meant.point} is a volume",
            f"four slashes, sqlite:////{path}, or a path that begins with var/",
        )
    return f"three slashes count from {root.absolute()}; sqlite:////{path} would be /{path}"


def _web(read: SettingsReader) -> Web:
    routed = bool(disks.host_of(read.environ))
    host = read.text("HOST", "0.0.0.0" if routed else "127.0.0.1")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not _is_host(host):
        read.fault(
            "HOST",
            f"got {host!r}",
            "127.0.0.1, 0.0.0.0 or the like (the port is PORT's)",
        )
        host = "127.0.0.1"
    pinned = read.choice("PIN_WORKERS", ("", "0", "1"), "")
    return Web(
        host=host,
        port=read.integer("PORT", 8000, 1, 65535) or 8000,
        processes=read.integer("WEB_CONCURRENCY", 1, 1, 64) or 1,
        # Such a host's CPUs belong to many neighbours.
        pinned=pinned == "1" if pinned else (False if routed else None),
        worker_inside=read.flag("WORKER_IN_WEB"),
    )


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return bool(re.fullmatch(r"(?=.*[A-Za-z])[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", host))
    return True


def _token_keys(read: SettingsReader) -> tuple[str, ...]:
    keys = tuple(read.list("TOKEN_KEYS"))
    for place, key in enumerate(keys, 1):
        if not re.fullmatch(r"[A-Za-z0-9_-]{43}=", key):
            read.fault(
                "TOKEN_KEYS", f"key {place} is no Fernet key", "44 characters of URL-safe base64, newest key first"
            )
    return keys


def _api_keys(read: SettingsReader) -> tuple[ApiKey, ...]:
    keys: list[ApiKey] = []
    for place, item in enumerate(read.list("API_KEYS"), 1):
        name, _, rest = item.partition(":")
        key, _, scope = rest.partition(":")
        key = bare_token(key)
        if key and read.is_no_token("API_KEYS", key):
            continue
        # A list as another program writes it would be split in the wrong places.
        foreign = re.search(r"[\[\]{}()<>\"'`=;]", name) or re.search(r"^[\"']|[\"']$", key)
        if not name or not key or scope not in ("", "ingest") or foreign:
            read.fault("API_KEYS", f"entry {place} does not fit", "name:key or name:key:ingest, separated by commas")
        elif any(known.name == name or known.key == key for known in keys):
            read.fault("API_KEYS", f"entry {place} repeats a name or a key", "each name and each key once")
        else:
            keys.append(ApiKey(name, key, scope == "ingest"))
    return tuple(keys)


def _users(read: SettingsReader, shared: Mapping[str, str]) -> tuple[NamedUser, ...]:
    users: list[NamedUser] = []
    for place, item in enumerate(read.list("USERS"), 1):
        try:
            user = user_of(item)
        except ValueError as error:
            read.fault("USERS", f"entry {place} has {error}", EXPECTED)
            continue
        if shared.get(user.name) or user.name in {one.name for one in users}:
            read.fault(
                "USERS",
                f"entry {place} repeats the name {user.name!r}",
                "each name once, also among ADMIN_ and VIEWER_",
            )
        else:
            users.append(user)
    return tuple(users)


def _webhook_secrets(read: SettingsReader) -> tuple[str, ...]:
    secrets = tuple(read.list("WEBHOOK_SECRET"))
    if len(secrets) > 2:
        read.fault("WEBHOOK_SECRET", f"got {len(secrets)} secrets", "one, or two while one replaces the other")
    if any(not re.fullmatch(r"[A-Za-z0-9_.~-]+", secret) for secret in secrets):
        read.fault("WEBHOOK_SECRET", "got characters that do not fit into an address", "letters, digits and _ . ~ -")
    return secrets


def _timezone(read: SettingsReader) -> str:
    value = read.text("TIMEZONE", "Europe/Moscow")
    try:
        # These mean something else on each machine, or count leap seconds.
        if value in ("localtime", "posixrules", "Factory") or value.startswith(("posix/", "right/")):
            raise ValueError(value)
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        read.fault("TIMEZONE", f"got {value!r}", "a name such as Europe/Moscow or UTC")
        return "UTC"
    return value


def _amocrm(read: SettingsReader) -> Amocrm:
    domain = read.choice("AMOCRM_DOMAIN", AMOCRM_DOMAINS, "amocrm.ru")
    subdomain = read.text("AMOCRM_SUBDOMAIN").lower()
    if subdomain.endswith("." + domain):
        subdomain = subdomain.removesuffix("." + domain)
    if subdomain and not re.fullmatch(r"[a-z0-9_-]+", subdomain):
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
        webhook_created=read.choice("WEBHOOK_CREATED", ("stages", "record", "skip"), "stages"),
        webhook_resubscribe=read.flag("WEBHOOK_RESUBSCRIBE"),
        overridden=bool(override),
    )


def _stage_of(item: str) -> tuple[str, str]:
    pipeline, colon, stage = item.rpartition(":")
    return (pipeline.strip() if colon else "", stage.strip())


def _stages(read: SettingsReader) -> dict[int, str]:
    stages = {}
    for name in read.environ:
        if match := re.fullmatch(r"AMOCRM_STAGE_LESSON_([0-9]{1,4})", name):
            value = read.text(name)
            if not int(match[1]):
                read.fault(name, "lesson 0", "a lesson's number from 1")
            elif value:
                stages[int(match[1])] = value
    return dict(sorted(stages.items()))


def _lesson_map(read: SettingsReader) -> dict[int, int]:
    lessons: dict[int, int] = {}
    for item in read.list("LESSON_MAP", "67:1,68:2,69:3"):
        match = re.fullmatch(r"(\d{1,15})\s*:\s*(\d{1,4})", item)
        if not match or not int(match[2]) or int(match[1]) in lessons:
            read.fault("LESSON_MAP", f"got {item!r}", "lesson_id:lesson pairs such as 67:1,68:2, each lesson_id once")
        else:
            lessons[int(match[1])] = int(match[2])
    return lessons


def _erp(read: SettingsReader) -> Erp:
    def either(name: str, take: Callable[[str], str] = read.text) -> str:
        crm, erp = take(f"CRM_API_{name}"), take(f"ERP_API_{name}")
        return crm or erp

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
        url=either("URL", read.address),
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


def _erp_fields(read: SettingsReader, taken: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
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


def _refuse_real_accounts(read: SettingsReader, amocrm: Amocrm, erp: Erp) -> None:
    # A subdomain names a real account also where AMOCRM_BASE_URL leads elsewhere: its tokens would go there.
    real = f"https://{amocrm.subdomain}.{amocrm.domain}" if amocrm.subdomain else ""
    override = amocrm.base_url if amocrm.overridden else ""
    for name, value in (("AMOCRM_SUBDOMAIN", real), ("AMOCRM_BASE_URL", override), ("CRM_API_URL", erp.url)):
        host = urlsplit(value).hostname or ""
        if value and host not in ("localhost", "::1") and not host.startswith("127."):
            read.fault(name, f"SANDBOX=1 beside a real account at {host}", "either SANDBOX=1 or an account, never both")
