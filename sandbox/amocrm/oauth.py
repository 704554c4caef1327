"""The tokens of the account: codes, pairs in both modes of rotation, long-lived tokens, and what they open."""

import base64
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from sandbox import defaults
from sandbox.clock import Clock
from sandbox.settings import Settings


class TokenError(Exception):
    """What the token endpoint refuses: status and hint."""

    def __init__(self, status: int, hint: str) -> None:
        super().__init__(hint)
        self.status = status
        self.hint = hint


REVOKED = "Token has been revoked"


@dataclass
class Code:
    expires: float
    account_id: int
    used: bool = False


@dataclass
class Pair:
    """An access and a refresh token born together. `parent` is the refresh token that they were given for."""

    access: str
    refresh: str
    access_expires: float
    refresh_expires: float
    parent: str = ""
    used: bool = False
    access_dead: bool = False
    refresh_dead: bool = False
    sent: int = 0
    children: list[str] = field(default_factory=list)


def jwt(claims: dict[str, Any]) -> str:
    """A token that reads like amoCRM's; its signature is noise, since nobody outside has the key."""

    def part(data: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(data, separators=(",", ":")).encode()).rstrip(b"=").decode()

    return f"{part({'typ': 'JWT', 'alg': 'RS256'})}.{part(claims)}.{secrets.token_urlsafe(64)}"


class OAuth:
    """One integration's tokens in one account. `changed` is called, under the lock, before any answer leaves."""

    def __init__(self, clock: Clock, settings: Settings, lock: threading.RLock, changed: Callable[[], None]) -> None:
        self.clock = clock
        self.settings = settings
        self.lock = lock
        self.changed = changed
        self.api_domain = "127.0.0.1"
        self.codes: dict[str, Code] = {}
        self.pairs: dict[str, Pair] = {}
        self.by_access: dict[str, str] = {}
        self.long_lived: dict[str, float] = {defaults.LONG_LIVED_TOKEN: defaults.LONG_LIVED_EXPIRES}
        now = clock.time()
        first = Pair("", defaults.REFRESH_TOKEN, now, now + settings.refresh_seconds, used=True, access_dead=True)
        self.pairs[first.refresh] = first

    def claims(self, expires: float) -> dict[str, Any]:
        now = self.clock.now()
        return {
            "aud": defaults.CLIENT_ID,
            "jti": secrets.token_hex(32),
            "iat": now,
            "nbf": now,
            "exp": int(expires),
            "sub": str(defaults.ADMIN_USER_ID),
            "grant_type": "",
            "account_id": defaults.ACCOUNT_ID,
            "base_domain": "kommo.com" if self.settings.flavour == "kommo" else "amocrm.ru",
            "version": 2,
            "scopes": ["crm", "notifications"],
            "api_domain": self.api_domain,
        }

    # What the vendor's side does

    def new_code(self, account_id: int = defaults.ACCOUNT_ID) -> str:
        with self.lock:
            code = "def50200" + secrets.token_hex(120)
            self.codes[code] = Code(self.clock.time() + self.settings.code_seconds, account_id)
            self.changed()
            return code

    def new_pair(self, parent: str = "") -> Pair:
        with self.lock:
            now = self.clock.time()
            access_expires = now + self.settings.access_seconds
            pair = Pair(
                jwt(self.claims(access_expires)),
                "def50200" + secrets.token_hex(160),
                access_expires,
                now + self.settings.refresh_seconds,
                parent,
            )
            self.pairs[pair.refresh] = pair
            self.by_access[pair.access] = pair.refresh
            return pair

    def new_long_lived(self, seconds: float = 365 * 86_400) -> str:
        with self.lock:
            expires = self.clock.time() + seconds
            token = jwt(self.claims(expires))
            self.long_lived[token] = expires
            self.changed()
            return token

    def expire_access(self) -> None:
        """Every access token of a pair is over now; the refresh tokens live on."""
        with self.lock:
            for pair in self.pairs.values():
                pair.access_dead = True
            self.changed()

    def revoke_all(self) -> None:
        """Access was withdrawn in the account: nothing works any more, long-lived tokens included."""
        with self.lock:
            for pair in self.pairs.values():
                pair.access_dead = pair.refresh_dead = True
            self.long_lived.clear()
            self.codes.clear()
            self.changed()

    # What clients do

    def check_client(self, data: dict[str, Any]) -> None:
        client_id = data.get("client_id")
        if not isinstance(client_id, str) or not client_id:
            raise TokenError(400, "Check the `client_id` parameter")
        if (client_id, data.get("client_secret")) != (defaults.CLIENT_ID, defaults.CLIENT_SECRET):
            raise TokenError(401, "Авторизация клиента не прошла")
        if data.get("redirect_uri") != self.settings.redirect_uri:
            raise TokenError(400, "Redirect URI is not associated with client")

    def exchange_code(self, text: Any) -> Pair:
        with self.lock:
            code = self.codes.get(text) if isinstance(text, str) else None
            if code is None:
                raise TokenError(400, "Cannot decrypt the authorization code")
            if code.used:
                raise TokenError(400, "Authorization code has been revoked")
            if self.clock.time() >= code.expires:
                raise TokenError(400, "Authorization code has expired")
            if code.account_id != defaults.ACCOUNT_ID:
                raise TokenError(400, "Invalid account")
            code.used = True
            pair = self.new_pair()
            self.changed()
            return pair

    def successor_used(self, token: Any) -> bool:
        """Whether a pair that this refresh token was exchanged for has been used: to send it now is a client's bug."""
        with self.lock:
            pair = self.pairs.get(token) if isinstance(token, str) else None
            return pair is not None and any(self.pairs[child].used for child in pair.children if child in self.pairs)

    def refresh(self, token: Any) -> Pair:
        with self.lock:
            old = self.pairs.get(token) if isinstance(token, str) else None
            if old is None or old.refresh_dead or self.clock.time() >= old.refresh_expires:
                raise TokenError(401, REVOKED)
            old.sent += 1
            self._first_use(old)
            pair = self.new_pair(old.refresh)
            old.children.append(pair.refresh)
            if self.settings.rotation == "strict":
                old.refresh_dead = True
            self.changed()
            return pair

    def opens(self, access: str) -> bool:
        """Whether an access token is good; its first use ends the pair before it."""
        with self.lock:
            if access in self.long_lived:
                return self.clock.time() < self.long_lived[access]
            refresh = self.by_access.get(access)
            pair = self.pairs.get(refresh) if refresh else None
            if pair is None or pair.access_dead or self.clock.time() >= pair.access_expires:
                return False
            if self._first_use(pair):
                self.changed()
            return True

    def knows_refresh(self, token: str) -> bool:
        with self.lock:
            pair = self.pairs.get(token)
            return pair is not None and not pair.refresh_dead

    def _first_use(self, pair: Pair) -> bool:
        """The old refresh token dies with it, and so do the other pairs that were given for the same old one: a client
        that refreshed twice and kept the wrong pair must not get away with it."""
        if pair.used:
            return False
        pair.used = True
        parent = self.pairs.get(pair.parent)
        if parent:
            parent.refresh_dead = True
            for child in parent.children:
                if child != pair.refresh and child in self.pairs:
                    self.pairs[child].access_dead = self.pairs[child].refresh_dead = True
        return True

    def uninstall_query(self) -> dict[str, str]:
        """What amoCRM sends to the integration's address when the account's owner switches it off."""
        text = f"{defaults.CLIENT_ID}|{defaults.ACCOUNT_ID}"
        signature = hmac.new(defaults.CLIENT_SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
        return {"client_uuid": defaults.CLIENT_ID, "account_id": str(defaults.ACCOUNT_ID), "signature": signature}

    # Books

    def dump(self) -> dict[str, Any]:
        return {
            "codes": {text: asdict(code) for text, code in self.codes.items()},
            "pairs": [asdict(pair) for pair in self.pairs.values()],
            "long_lived": self.long_lived,
        }

    def load(self, data: dict[str, Any]) -> None:
        self.codes = {text: Code(**code) for text, code in data["codes"].items()}
        self.pairs = {pair["refresh"]: Pair(**pair) for pair in data["pairs"]}
        self.by_access = {pair.access: pair.refresh for pair in self.pairs.values() if pair.access}
        self.long_lived = dict(data["long_lived"])
