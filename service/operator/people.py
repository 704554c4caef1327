"""Who may sign in: the names of USERS, the operator and the viewer; and how often somebody may try."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Container
from dataclasses import dataclass
from hmac import compare_digest
from ipaddress import IPv6Address, ip_address, ip_network

from werkzeug.security import check_password_hash, generate_password_hash

from service import users
from service.config import Settings

OPERATOR, VIEWER = "operator", "viewer"


@dataclass(frozen=True)
class User:
    """Who is signed in. role: operator (may change) or viewer (may look)."""

    name: str
    role: str


class People:
    """The people of these settings."""

    REMEMBERED = 100

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._named = {user.name: user for user in settings.users}
        self._shared = [
            (name, password, role)
            for name, password, role in (
                (settings.admin_username, settings.admin_password, OPERATOR),
                (settings.viewer_username, settings.viewer_password, VIEWER),
            )
            if password
        ]
        # A program sends its password with each request, and a hash is slow on purpose: what was right is known again
        # by a digest under a key that never leaves this process.
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, User] = OrderedDict()
        self._lock = threading.Lock()
        self._nobody = ""

    def anybody(self) -> bool:
        """Whether there is somebody who may sign in."""
        return bool(self._named or self._shared)

    def identify(self, name: str, password: str) -> User | None:
        """The user with this name and password. A wrong name takes as long as a wrong password."""
        given = name.encode("utf-8", "replace") + b"\0" + password.encode("utf-8", "replace")
        known = hmac.digest(self._key, given, hashlib.sha256)
        with self._lock:
            if known in self._right:
                return self._right[known]
        found = self._of_settings(name, password) or self._of_users(name, password)
        if found is not None:
            with self._lock:
                self._right[known] = found
                while len(self._right) > self.REMEMBERED:
                    self._right.popitem(last=False)
        return found

    def names(self) -> frozenset[str]:
        """Everybody's."""
        return frozenset([*self._named, *(name for name, _password, _role in self._shared)])

    def mark(self, name: str) -> str:
        """Stands for the name's present password and role, so that a session ends with either; "": there is no such
        name."""
        parts = [f"{user.password_hash}|{user.role}" for user in [self._named.get(name)] if user]
        parts += [f"{password}|{role}" for known, password, role in self._shared if known == name]
        if not parts:
            return ""
        return hmac.digest(self._settings.secret_key.encode(), "\n".join(parts).encode(), hashlib.sha256).hex()[:32]

    def role(self, name: str) -> str:
        """The role that a name has now; "": there is no such name."""
        shared = [role for known, _password, role in self._shared if known == name]
        named = self._named.get(name)
        return _role(named) if named else shared[0] if shared else ""

    def _of_settings(self, name: str, password: str) -> User | None:
        found = None
        for known, secret, role in self._shared:
            same = compare_digest(known.encode(), name.encode("utf-8", "replace"))
            same &= compare_digest(secret.encode(), password.encode("utf-8", "replace"))
            found = User(name, role) if same and found is None else found
        return found

    def _of_users(self, name: str, password: str) -> User | None:
        if not self._named:
            return None
        user = self._named.get(name)
        if user is None and not self._nobody:
            self._nobody = generate_password_hash(secrets.token_urlsafe(16))
        right = check_password_hash(user.password_hash if user else self._nobody, password)
        return User(user.name, _role(user)) if user and right else None


def _role(user: users.NamedUser) -> str:
    return OPERATOR if user.role == users.ADMIN else VIEWER


def network(address: str) -> str:
    """The address, of IPv6 the /64 that belongs to one customer: each has more addresses than could be counted."""
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if isinstance(known, IPv6Address):
        return str(known.ipv4_mapped or ip_network((known, 64), strict=False).network_address)
    return address


class Throttle:
    """Counts failed sign-ins by address, by name and by both, within a window of seconds.

    A name that is guessed at from many places is closed only to places from which nobody has signed in before: else
    anybody could lock the operator out.
    """

    WINDOW = 300.0
    # Each process counts for itself, and there are two by default.
    MOST_PAIR, MOST_ADDRESS, MOST_NAME = 5, 15, 50
    KEPT = 10_000
    SLOTS = 64
    """Names that nobody has share so many counters: however many are made up, they push no other counter out."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, names: Container[str] = ()) -> None:
        self._monotonic = monotonic
        self._names = names
        self._salt = secrets.token_bytes(16)
        self._lock = threading.Lock()
        self._failed: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._trusted: OrderedDict[str, None] = OrderedDict()

    def wait(self, address: str, name: str, *, known: bool = False) -> float:
        """Seconds until the next try is looked at; 0.0: now. known: the name has signed in from there before."""
        now = self._monotonic()
        address, name = network(address), self._slot(name)
        with self._lock:
            limits = {(address, name): self.MOST_PAIR, (address, ""): self.MOST_ADDRESS}
            if not known and address not in self._trusted:
                limits["", name] = self.MOST_NAME
            waits = [0.0]
            for key, most in limits.items():
                count, began = self._failed.get(key, (0, now))
                if count >= most:
                    waits.append(began + self.WINDOW - now)
            return max(waits)

    def _slot(self, name: str) -> str:
        if name in self._names:
            return name
        digest = hashlib.blake2b(name.encode("utf-8", "replace"), key=self._salt, digest_size=4).digest()
        return f"\0{int.from_bytes(digest) % self.SLOTS}"

    def failed(self, address: str, name: str) -> None:
        now = self._monotonic()
        address, name = network(address), self._slot(name)
        with self._lock:
            for key in ((address, name), (address, ""), ("", name)):
                count, began = self._failed.pop(key, (0, now))
                self._failed[key] = (1, now) if now - began >= self.WINDOW else (count + 1, began)
            if len(self._failed) > self.KEPT:
                self._make_room(now)

    def _make_room(self, now: float) -> None:
        """Those go first whose window is over, then those that failed least: what closes something stays longest."""
        kept = [one for one in self._failed.items() if now - one[1][1] < self.WINDOW]
        kept.sort(key=lambda one: (one[0][0] == "", one[1]), reverse=True)
        self._failed = OrderedDict(kept[: self.KEPT // 2])

    def succeeded(self, address: str, name: str) -> None:
        address, name = network(address), self._slot(name)
        with self._lock:
            self._failed.pop((address, name), None)
            self._trusted[address] = None
            while len(self._trusted) > self.KEPT:
                self._trusted.popitem(last=False)
