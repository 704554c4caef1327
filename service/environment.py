"""Where the settings come from: the environment, then .env; keys that are not set are made once and kept."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from cryptography.fernet import Fernet
from dotenv import dotenv_values

from service.config import Settings, load

ROOT = Path(__file__).resolve().parent.parent


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings of this process. DEALPOST_ENV_FILE names another file than .env (/dev/null: none).

    Raises config.ConfigError naming every fault.
    """
    given = os.environ if environ is None else environ
    file = Path(given.get("DEALPOST_ENV_FILE") or ROOT / ".env")
    from_file = {name: value or "" for name, value in dotenv_values(file).items()} if file.is_file() else {}
    # an empty value is an unset one, so it does not hide what .env says
    merged = {**from_file, **{name: value for name, value in given.items() if value.strip()}}
    return with_keys(load(merged, root=ROOT))


def with_keys(settings: Settings) -> Settings:
    """The same settings with SECRET_KEY and TOKEN_KEYS; on SQLite they are made once, beside the database (0600)."""
    if not settings.on_sqlite:
        return settings
    folder = settings.database_path.parent
    if not settings.secret_key:
        settings = replace(settings, secret_key=_kept(folder / "secret_key", lambda: secrets.token_urlsafe(48)))
    if not settings.token_keys:
        kept = _kept(folder / "token_keys", lambda: Fernet.generate_key().decode())
        settings = replace(settings, token_keys=tuple(key for key in kept.split(",") if key))
    return settings


def _kept(file: Path, make: Callable[[], str]) -> str:
    """The text of this file; made by `make` when it is not there. Of two processes that start at once, one wins."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as out:
            out.write(make())
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(draft, file)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return file.read_text().strip()
