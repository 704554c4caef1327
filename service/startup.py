"""What keeps a process from starting, and how a person is told: in one message, without a trace."""

from __future__ import annotations

from outbox.message import StoreUnavailable
from service.config import ConfigError, Settings

CANNOT_START = (ConfigError, StoreUnavailable, OSError)


def remarks(settings: Settings) -> list[str]:
    """What no process refuses to start for, and what may be meant otherwise all the same."""
    said = [f"DATABASE_URL: {settings.database_hint}"] if settings.database_hint else []
    if settings.unknown and not settings.sandbox:
        said.append(f"{', '.join(settings.unknown)} in the file of settings: no settings of these names")
    return said


def said_plainly(error: BaseException) -> str:
    """The message for standard error."""
    if isinstance(error, ConfigError):
        return str(error)
    if isinstance(error, StoreUnavailable):
        return f"The store cannot be opened: {error}. Check DATABASE_URL, the disk and its rights."
    return f"A file cannot be used: {error}. Check the folder of DATABASE_URL and its rights."
