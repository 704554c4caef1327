"""The connection as it is kept: tokens sealed with Fernet, beside what everybody may know of them.

Reference: https://cryptography.io/en/latest/fernet/
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

if TYPE_CHECKING:
    from outbox.shared import KeyValues

NAMESPACE, KEY = "tokens", "amocrm"
SEEN = 20
"""So many hashes of tokens from the settings are remembered."""

LOOKED_UP_EVERY = 30.0
"""Seconds for which the account's id is taken as it was, so that no webhook waits for a look at the tokens."""


@dataclass(frozen=True)
class Connection:
    """A pair of tokens, or a long-lived one (refresh is ""), and where it belongs.

    received_at, expires_at: seconds since the epoch by our own clock; expires_at is the receipt plus what amoCRM said,
    so that a clock that is wrong by hours does no harm. base_url: where the account lives now; base_setting: what
    the settings said when that was learnt. generation: changes with every connect and import, not with a refresh.
    revoked: amoCRM refused it for good. seen: hashes of the tokens from the settings that were taken over before.
    """

    access: str = field(default="", repr=False)
    refresh: str = field(default="", repr=False)
    received_at: float = 0.0
    expires_at: float | None = None
    connected_at: float = 0.0
    who: str = ""
    base_url: str = ""
    base_setting: str = ""
    account_id: int | None = None
    account_name: str = ""
    generation: str = ""
    revoked: str = ""
    seen: tuple[str, ...] = ()

    @property
    def long_lived(self) -> bool:
        return bool(self.access) and not self.refresh


@dataclass(frozen=True)
class Kept:
    """What the memory holds. readable: False when no key of TOKEN_KEYS opens it (its tokens are "" then)."""

    connection: Connection
    version: int
    readable: bool = True


class TokenStore:
    """The one stored connection. Tokens never leave it in the clear but in memory."""

    def __init__(self, key_values: KeyValues, token_keys: Sequence[str]) -> None:
        self._key_values = key_values
        self._box = MultiFernet([Fernet(key) for key in token_keys]) if token_keys else None

    def load(self) -> Kept | None:
        """What is stored, or None when nothing ever was."""
        entry = self._key_values.get(NAMESPACE, KEY)
        if entry is None or not isinstance(entry.value, dict):
            return None
        open_part = {name: value for name, value in entry.value.items() if name in Connection.__dataclass_fields__}
        connection = Connection(**{**open_part, "seen": tuple(open_part.get("seen", ())), "access": "", "refresh": ""})
        secret = self._opened(entry.value.get("sealed"))
        if secret is None:
            return Kept(connection, entry.version, readable=False)
        return Kept(replace(connection, access=secret["access"], refresh=secret["refresh"]), entry.version)

    def save(self, connection: Connection, version: int | None) -> int | None:
        """Commit; the new version, or None when somebody else was first (see KeyValues.put). Raises NoKeys."""
        if self._box is None:
            raise NoKeys("TOKEN_KEYS is not set, so tokens cannot be kept")
        value: dict[str, Any] = {**asdict(connection), "seen": list(connection.seen[-SEEN:])}
        secret = {"access": value.pop("access"), "refresh": value.pop("refresh")}
        value["sealed"] = self._box.encrypt(json.dumps(secret).encode()).decode()
        return self._key_values.put(NAMESPACE, KEY, value, version)

    def rotate(self) -> bool:
        """Seal what is stored with the newest key. -> whether there was anything that could be opened."""
        while True:
            kept = self.load()
            if kept is None or not kept.readable:
                return False
            if self.save(kept.connection, kept.version) is not None:
                return True

    def _opened(self, sealed: Any) -> dict[str, str] | None:
        if self._box is None or not isinstance(sealed, str):
            return None
        try:
            secret = json.loads(self._box.decrypt(sealed.encode()))
        except (InvalidToken, ValueError):
            return None
        return {"access": str(secret.get("access", "")), "refresh": str(secret.get("refresh", ""))}


class KnownAccount:
    """The connected account's id, as far as it is stored: asks nobody, writes nothing, and looks seldom."""

    def __init__(self, key_values: Callable[[], KeyValues], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._key_values = key_values
        self._monotonic = monotonic
        self._known: tuple[int | None, float] | None = None

    def __call__(self) -> int | None:
        now = self._monotonic()
        if self._known is None or now >= self._known[1]:
            entry = self._key_values().get(NAMESPACE, KEY)
            self._known = (entry.value.get("account_id") if entry else None, now + LOOKED_UP_EVERY)
        return self._known[0]

    def forget(self) -> None:
        """Look again at the next question: another account may have been connected."""
        self._known = None


class NoKeys(RuntimeError):
    """There is no key to seal tokens with."""


def fingerprint(*tokens: str) -> str:
    """By which a token is recognised without being known."""
    return hashlib.sha256("\n".join(tokens).encode()).hexdigest()


def claims(token: str) -> dict[str, Any]:
    """What a JWT says of itself, {} for what is none. Hints only: there is no public key to check them by."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
