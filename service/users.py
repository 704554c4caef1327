"""One entry of USERS: a name, the password's hash and a role, in letters that no file, shell or host changes. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

ADMIN, VIEWER = "admin", "viewer"
ROLES = (ADMIN, VIEWER)
HASH = re.compile(r"(scrypt|pbkdf2):[^$\s]{1,60}\$[^$\s]{1,64}\$[0-9a-f]{32,256}")
"""As werkzeug.security writes it. Reference: https://werkzeug.palletsprojects.com/en/stable/utils/"""

NAME = re.compile(r"[^:,\s][^:,]{0,62}[^:,\s]|[^:,\s]")
EXPECTED = "name:hash:role with the role admin or viewer, as `flask user add NAME` prints it"


@dataclass(frozen=True)
class NamedUser:
    """Somebody who may sign in. password_hash: werkzeug's. role: admin (may change) or viewer (may look)."""

    name: str
    password_hash: str = field(repr=False)
    role: str = ADMIN


def entry(user: NamedUser) -> str:
    """The user as USERS has it: compose files and shells would change the `$` of werkzeug's hash."""
    sealed = base64.urlsafe_b64encode(user.password_hash.encode()).decode().rstrip("=")
    return f"{user.name}:{sealed}:{user.role}"


def user_of(text: str) -> NamedUser:
    """Back from `entry`; a hash as werkzeug writes it is taken too. Raises ValueError saying what was got, never the
    hash."""
    name, _, rest = text.partition(":")
    sealed, _, role = rest.rpartition(":")
    if not NAME.fullmatch(name):
        raise ValueError("no name that could be used")
    if role not in ROLES:
        raise ValueError(f"another role than admin or viewer for {name!r}")
    password_hash = sealed if HASH.fullmatch(sealed) else _unsealed(sealed)
    if not HASH.fullmatch(password_hash):
        raise ValueError(f"no hash of a password for {name!r}")
    return NamedUser(name, password_hash, role)


def _unsealed(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
