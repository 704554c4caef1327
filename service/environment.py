"""Where the settings come from: the environment, then .env; keys that are not set are made once and kept."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.fernet import Fernet

from service import disks, env_file
from service.config import Settings, load

ROOT = Path(__file__).resolve().parent.parent
MOUNTINFO = Path("/proc/self/mountinfo")

AS_GIVEN = "WEB_CONCURRENCY_AS_GIVEN"
"""Where workshop/setup.py keeps a WEB_CONCURRENCY from gunicorn at which that would end with a trace."""

_held: tuple[Settings, dict[str, str]] | None = None


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings of this process; those that are held, if any. DEALPOST_ENV_FILE names another file than .env.

    Raises config.ConfigError naming every fault.
    """
    if environ is None and _held:
        return _held[0]
    return _load(_merged(os.environ if environ is None else environ))


def hold_settings() -> Settings:
    """Reads the settings anew and holds them for this process and for those that are forked from it.

    Raises config.ConfigError naming every fault; what was held before stays so.
    """
    global _held
    merged = _merged(os.environ)
    _held = _load(merged), merged.values
    return _held[0]


def held() -> tuple[Settings, dict[str, str]] | None:
    """The settings that are held, and the environment by which another process reads the same."""
    if _held is None:
        return None
    settings, values = _held
    return settings, {**os.environ, **values, "DEALPOST_ENV_FILE": os.devnull}


def environ_at_start() -> Mapping[str, str]:
    """The environment that this process was given, whatever was added since; where the system tells it (Linux)."""
    try:
        entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return os.environ
    pairs = (os.fsdecode(entry).partition("=") for entry in entries if entry)
    return {name: value for name, _, value in pairs}


def read_environ(given: Mapping[str, str]) -> dict[str, str]:
    """The environment's and the file's values in one, as far as they can be read."""
    return _merged(given).values


@dataclass(frozen=True)
class _Merged:
    """The environment's and the file's values in one; what is wrong with the file; the names in it."""

    values: dict[str, str]
    faults: list[str]
    of_file: list[str]
    file: str
    from_file: frozenset[str]  # the names whose value is the file's


def _merged(given: Mapping[str, str]) -> _Merged:
    named = given.get("DEALPOST_ENV_FILE", "").strip()
    file = Path(named or ROOT / ".env")
    from_file: dict[str, str] = {}
    faults: list[str] = []
    if AS_GIVEN in given and "WEB_CONCURRENCY" not in given:
        given = {**given, "WEB_CONCURRENCY": given[AS_GIVEN]}
    if file.is_file():
        try:
            from_file, faults = env_file.parse(file.read_bytes(), str(file))
        except OSError as error:
            faults = [f"{file}: it cannot be read ({type(error).__name__}); expected a file that this user may read"]
    elif file.is_dir() or (named and not file.exists()):
        faults = [f"{file}: it is no file; expected settings there, or DEALPOST_ENV_FILE without a value"]
    # an empty value is an unset one, so it does not hide what .env says
    set_here = {name: value for name, value in given.items() if value.strip()}
    return _Merged(
        {**from_file, **set_here},
        faults,
        list(from_file),
        named or ".env",
        frozenset(from_file.keys() - set_here.keys()),
    )


def _load(merged: _Merged) -> Settings:
    settings = load(merged.values, root=ROOT, mount_of=mount_of, faults=merged.faults, of_file=merged.of_file)
    origins = {
        name: replace(one, source=merged.file if one.key in merged.from_file else "environment")
        for name, one in settings.origins.items()
    }
    return with_keys(replace(settings, origins=origins))


def mount_of(file: Path) -> disks.Mount | None:
    """The mount that holds this file, or will; None where the system does not tell."""
    try:
        return disks.mount_of(MOUNTINFO.read_text(errors="surrogateescape"), os.path.realpath(file.parent))
    except OSError:
        return None


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
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
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
