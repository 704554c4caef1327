"""Which of our own keys and passwords are too easy to guess. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.config import Settings

SHORTEST = 8
GOOD_KEY, GOOD_PASSWORD = 20, 12
"""Characters from which on nobody needs to be told to take a longer one."""

COMMON = """
    password password1 password123 passw0rd qwertyui qwerty123 qwertyuiop 1q2w3e4r 123456789 1234567890 87654321
    changeme changeme1 change-me admin123 administrator iloveyou letmein1 welcome1 secret123 dealpost
"""


def weakness(secret: str, names: tuple[str, ...] = ()) -> str:
    """Why it must not be used, or "". names: what it must not equal."""
    lower = secret.lower()
    if lower in {name.lower() for name in names if name}:
        return "is the name itself"
    if len(secret) < SHORTEST:
        return "is too short"
    if lower in COMMON.split() or len(set(lower)) < 4:
        return "is one of the first that anyone would try"
    return ""


def own_secrets(settings: Settings) -> Iterator[tuple[str, str, str, int]]:
    """(setting, which of several, the secret, the length that is good) of what opens a door here."""
    for key in settings.api_keys:
        yield "API_KEYS", f"the key {key.name!r}", key.key, GOOD_KEY
    for place, secret in enumerate(settings.webhook_secrets, 1):
        yield "WEBHOOK_SECRET", f"secret {place}", secret, GOOD_KEY
    yield "ADMIN_PASSWORD", "it", settings.admin_password, GOOD_PASSWORD
    yield "VIEWER_PASSWORD", "it", settings.viewer_password, GOOD_PASSWORD
    yield "SECRET_KEY", "it", settings.secret_key, GOOD_KEY


def faults(settings: Settings) -> Iterator[tuple[str, str]]:
    """(setting, what is wrong) of each that must not be used."""
    names = (settings.admin_username, settings.viewer_username, *(key.name for key in settings.api_keys))
    for name, which, secret, _good in own_secrets(settings):
        if secret and (why := weakness(secret, names)):
            yield name, f"{which} {why}"


def short_ones(settings: Settings) -> list[str]:
    """The settings with a secret that is usable, but short."""
    return list(dict.fromkeys(name for name, _which, secret, good in own_secrets(settings) if 0 < len(secret) < good))
