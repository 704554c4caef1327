"""What an e-mail address is, and the one form in which two spellings of it are the same. Pure."""

from __future__ import annotations

import re

from service.characters import INVISIBLE, SPACES

LONGEST = 254

_NEVER = SPACES + INVISIBLE + r"\x00-\x1f\x7f-\x9f@,;:<>()\[\]\\\x22"
_DOMAIN = _NEVER + r"!#-&'*+/=?\^`{-~.\u3002\uff0e\uff61"
PATTERN = (
    rf"^[{SPACES}]*[^{_NEVER}]{{1,64}}@(?:[^{_DOMAIN}]{{1,63}}\.)+"
    rf"[^{_DOMAIN}0-9_\x2d][^{_DOMAIN}]{{0,62}}[{SPACES}]*$"
)
"""An address as it may be sent: spaces around it are dropped."""

_ADDRESS = re.compile(PATTERN)
_INVISIBLE = re.compile(f"[{INVISIBLE}]")


def normal_email(value: str) -> str | None:
    """The address in its one form (see `canonical`), or None for what is none."""
    return canonical(value) if len(value) <= LONGEST and _ADDRESS.search(value) else None


def canonical(value: str) -> str:
    """Trimmed and casefolded, the domain in letters: `x@xn--80a1acny.xn--p1ai` is `x@почта.рф`. Checks nothing."""
    value = value.strip().casefold()
    name, at, domain = value.rpartition("@")
    if domain.isascii() and "xn--" not in domain:
        return value
    try:
        return f"{name}{at}{domain.encode('idna').decode('idna')}"
    except UnicodeError:  # no name that a server could have
        return value


def ascii_form(email: str) -> str:
    """A canonical address with its domain in punycode, as some programs write it."""
    name, at, domain = email.rpartition("@")
    try:
        return f"{name}{at}{domain.encode('idna').decode('ascii')}"
    except UnicodeError:
        return email


def invisible(value: str) -> str | None:
    """The first invisible character of a text, as U+200B."""
    found = _INVISIBLE.search(value)
    return f"U+{ord(found[0]):04X}" if found else None
