"""Which account is meant: the configured one, or, where none is named, the practice that `make run` runs here."""

from __future__ import annotations

import fcntl
from collections.abc import Mapping
from pathlib import Path

from flask_babel import gettext as _

from service import env_file
from service.config import ConfigError, Settings
from service.environment import ROOT, read_settings

LOCK, SETTINGS = "run.lock", "sandbox.env"
"""Beside the database: held by a `make run` for as long as it runs, and what connects others to its sandbox."""


def names_an_account(settings: Settings) -> bool:
    """Whether anything of an account is there, be it half: then the sandbox stays away."""
    crm, erp = settings.amocrm, settings.erp
    parts = (crm.base_url, crm.client_id, crm.client_secret, crm.refresh_token, crm.access_token)
    return any((*parts, erp.url, erp.key, erp.username, erp.password))


def read(environ: Mapping[str, str]) -> tuple[Settings, bool]:
    """-> the settings, and whether to practise: no account is named.

    Raises ConfigError naming every fault.
    """
    try:
        # As practice reads them: on whatever disk, with whatever key.
        settings = read_settings({**environ, "SANDBOX": "1", "ALLOW_EPHEMERAL": "1"})
        if not names_an_account(settings):
            return settings, True
    except ConfigError:
        pass  # the next line says it
    return read_settings(environ), False


def home_of(settings: Settings) -> Path:
    """The folder in which a run keeps what is its own."""
    return settings.database_path.parent if settings.on_sqlite else ROOT / "var"


def of_command(environ: Mapping[str, str]) -> tuple[Settings, bool]:
    """-> the settings by which a command at a terminal acts, and whether they are those of a practice that runs.

    A command beside `make run` must not write into a store where nobody would look for it. Raises ConfigError.
    """
    settings, practising = read(environ)
    if not practising:
        return settings, False
    home = home_of(settings)
    if not is_held(home / LOCK) or not (home / SETTINGS).is_file():
        return read_settings(environ), False
    values, _ = env_file.parse((home / SETTINGS).read_bytes(), str(home / SETTINGS))
    return read_settings({**environ, **values}), True


def notice() -> str:
    """What a command says first that acts on practice. Needs an application context."""
    return str(_("Practice: this acts on the sandbox that `make run` runs here; nothing real is touched."))


def is_held(lock: Path) -> bool:
    """Whether a process holds it; the system lets it go when that process ends, however it ends."""
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
