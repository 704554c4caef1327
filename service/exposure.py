"""Whether others can read what we send and keep."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit


def is_open(address: str) -> bool:
    """Whether the address is read by others on the way: http, and not to this machine itself."""
    parts = urlsplit(address)
    if parts.scheme != "http" or parts.hostname == "localhost":
        return False
    try:
        return not ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return True


def readable_by_others(database: Path) -> list[str]:
    """Of the store's files and the secrets beside it, those that other users of this machine can read."""
    files = [database, Path(f"{database}-wal"), database.parent / "token_keys", database.parent / "secret_key"]
    return [str(file) for file in files if _others_read(file)]


def _others_read(file: Path) -> bool:
    """By its own rights and by those of its folder."""
    try:
        return bool(file.stat().st_mode & 0o044 and file.parent.stat().st_mode & 0o011)
    except OSError:
        return False
