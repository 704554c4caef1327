"""Takes single settings out of the environment, and collects what is wrong with them. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

SECRETS = (
    "SECRET_KEY",
    "TOKEN_KEYS",
    "API_KEYS",
    "WEBHOOK_SECRET",
    "ADMIN_PASSWORD",
    "VIEWER_PASSWORD",
    "USERS",
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

TOKENS = (
    "WEBHOOK_SECRET",
    "TOKEN_KEYS",
    "AMOCRM_CLIENT_ID",
    "AMOCRM_CLIENT_SECRET",
    "AMOCRM_REFRESH_TOKEN",
    "AMOCRM_ACCESS_TOKEN",
    "CRM_API_KEY",
    "ERP_API_KEY",
)
"""Made by a program, of printable ASCII: with anything else no request could be built."""

EXAMPLES = re.compile(r"yoursubdomain|^your[_-]|your-domain\.com|your-erp-api\.com|^(12345678|23456789|34567890)$")
"""Values that are plainly copied from an example; they count as unset."""

NAMES = ("AMOCRM_STAGE_LESSON_", "AMOCRM_WEBHOOK_STAGES", "ERP_FIELDS")
"""The beginnings of settings with names that people gave elsewhere, of any characters: an emoji holds unseen ones."""

QUOTES = ('""', "''")
PRINTED_QUOTES = ("“”", "„“", "«»", "‘’")
BEARER = re.compile(r"^(authorization:\s*)?bearer\s+", re.IGNORECASE)
# Control characters, invisible ones, line separators, bytes that are no text.
UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


@dataclass(frozen=True)
class Origin:
    """Where a setting's value comes from. key: NAME or NAME_FILE, whichever gave it; "": none did. example: the value
    is plainly copied from an example. value: as it was given, "" for what must not be shown. source: "environment" or
    the file's name, "" while that is not known."""

    key: str = ""
    example: bool = False
    value: str = ""
    source: str = ""


class SettingsReader:
    """One reading of all settings. faults: what is wrong so far, each with the setting's name, never with a secret."""

    def __init__(self, environ: Mapping[str, str], read_file: Callable[[str], str]) -> None:
        self.environ, self.read_file = environ, read_file
        self.known: set[str] = set()
        self.faults: list[str] = []
        self.origins: dict[str, Origin] = {}

    def raw(self, name: str) -> str:
        """The value as it was given, without spaces and quotes round it; "" when unset or plainly an example."""
        self.known |= {name, f"{name}_FILE"} if name in SECRETS else {name}
        value = unquoted(self.environ.get(name, ""))
        path = unquoted(self.environ.get(f"{name}_FILE", "")) if name in SECRETS else ""
        if path and not value:
            try:
                value = unquoted(self.read_file(path))
            except (OSError, UnicodeError) as error:
                self.fault(
                    f"{name}_FILE", f"the file {path!r} cannot be read ({type(error).__name__})", "a readable file"
                )
        if name in TOKENS:
            value = bare_token(value)
        key = "" if not value else name if unquoted(self.environ.get(name, "")) else f"{name}_FILE"
        example = bool(EXAMPLES.search(value))
        shown = "" if name in SECRETS or name in TOKENS else value
        self.origins[name] = Origin(key, example, "" if example else shown)
        return "" if example else value

    def text(self, name: str, default: str = "") -> str:
        value = self.raw(name)
        return default if not value or self._unreadable(name, value) else value

    def list(self, name: str, default: str = "") -> list[str]:
        """The parts between commas; none where one of them cannot be used."""
        parts = [part.strip() for part in (self.raw(name) or default).split(",") if part.strip()]
        unreadable = [part for part in parts if self._unreadable(name, part)]
        return [] if unreadable else parts

    def fault(self, name: str, got: str, expected: str) -> None:
        self.faults.append(f"{name}: {got}; expected {expected}")

    def _got(self, name: str, value: str) -> str:
        return "got a value that does not fit" if name in SECRETS else f"got {value!r}"

    def _unreadable(self, name: str, value: str) -> bool:
        if name in TOKENS:
            return self.is_no_token(name, value)
        return not name.startswith(NAMES) and self._is_unseen(name, value)

    def is_no_token(self, name: str, value: str) -> bool:
        """Whether this cannot ride in a request; then it is a fault."""
        found = strange(value, lambda letter: not "!" <= letter <= "~")
        if not found and "..." in value:
            found = "got three dots, as of a value that was cut"
        if found:
            expected = "the whole value, as it was given out: Latin letters, digits and signs, without spaces"
            self.fault(name, found, expected)
        return bool(found)

    def _is_unseen(self, name: str, value: str) -> bool:
        found = strange(value, lambda letter: unicodedata.category(letter) in UNSEEN)
        if found:
            self.fault(name, found, "a value of visible characters in one line")
        return bool(found)

    def integer(self, name: str, default: int | None, low: int, high: int) -> int | None:
        value = self.text(name)
        if not value:
            return default
        if not re.fullmatch(r"[0-9]{1,15}", value) or not low <= int(value) <= high:
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

    def address(self, name: str) -> str:
        value = self.text(name)
        if value and not is_http(value):
            shown = re.sub(r"\?.*", "?***", re.sub(r"//.*@", "//***@", value))
            self.fault(name, self._got(name, shown), "an address that begins with https:// (or http://)")
            return ""
        return value


def unquoted(value: str, pairs: tuple[str, ...] = QUOTES) -> str:
    """Without spaces and quotes round it: Docker's --env-file leaves them on."""
    value = value.strip()
    while len(value) > 1 and value[0] + value[-1] in pairs:
        value = value[1:-1].strip()
    return value


def bare_token(value: str) -> str:
    """Without what comes along when it is copied out of a request or a page: "Bearer " before it, quotes round it."""
    pairs = QUOTES + PRINTED_QUOTES
    return unquoted(BEARER.sub("", unquoted(value, pairs)), pairs)


def strange(value: str, is_strange: Callable[[str], bool]) -> str:
    """The first such character by its name and place, or ""; of the value itself nothing else."""
    for place, letter in enumerate(value, 1):
        if is_strange(letter):
            if letter in "\r\n":
                shown = "a line break"
            elif unicodedata.category(letter) == "Cs":
                shown = "a byte that is no UTF-8 text"
            else:
                shown = unicodedata.name(letter, f"the character U+{ord(letter):04X}")
            return f"got {shown} as character {place} of {len(value)}"
    return ""


def is_http(value: str) -> bool:
    """Whether a request to this address can be built."""
    try:
        parts = urlsplit(value)
        host = parts.hostname or ""
        host.encode("idna")  # an empty or overlong label
        return parts.scheme in ("http", "https") and bool(host) and parts.port != 0 and not re.search(r"\s|…", value)
    except ValueError:
        return False
