"""In which language a person is spoken to, and the catalogue that is compiled when it is older than its source."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

from babel import localedata
from flask import Flask, has_request_context, request
from flask_babel import Babel, force_locale, get_domain

from service.config import Settings

logger = logging.getLogger(__name__)

LANGUAGES = ("en", "ru")
COOKIE = "language"
"""What the page's switch remembers; it goes before the setting, since a person has chosen it."""

CATALOGUES = Path(__file__).parent / "translations"


def choose(locale: str) -> str:
    """The person's own choice, then LOCALE, then the browser's wish or the terminal's."""
    if has_request_context():
        if (chosen := request.cookies.get(COOKIE, "")) in LANGUAGES:
            return chosen
        return locale or request.accept_languages.best_match(LANGUAGES, "en") or "en"
    terminal = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return locale or ("ru" if terminal.startswith("ru") else "en")


def register(app: Flask, settings: Settings) -> None:
    Babel(  # type: ignore[no-untyped-call]
        app,
        default_timezone=settings.timezone,
        default_translation_directories=str(compiled(CATALOGUES)),
        locale_selector=lambda: choose(settings.locale),
    )


def warm(app: Flask) -> None:
    """Read each language's texts, and how it writes numbers and dates: megabytes, which are kept by the process and its
    children."""
    for name in LANGUAGES:
        localedata.load(name)
        with app.test_request_context(), force_locale(name):
            get_domain().get_translations()  # type: ignore[no-untyped-call]


def compiled(folder: Path) -> Path:
    """The folder with the compiled catalogues: this one, or where it cannot be written a copy."""
    sources = list(folder.glob("*/LC_MESSAGES/*.po"))
    try:
        for source in sources:
            if _is_older(source.with_suffix(".mo"), source):
                _compile(source, source.with_suffix(".mo"))
    except OSError:  # a folder that belongs to somebody else
        copy = Path(tempfile.mkdtemp(prefix="dealpost-language-"))
        for source in sources:
            _compile(source, copy / source.relative_to(folder).with_suffix(".mo"))
        return copy
    except ValueError as error:
        logger.error("A catalogue cannot be compiled, so that some texts stay English: %s", error)
    return folder


def _is_older(made: Path, source: Path) -> bool:
    return not made.exists() or made.stat().st_mtime < source.stat().st_mtime


def _compile(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Megabytes, and nearly always everything is compiled.
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import PoFileError, read_po

    draft = target.with_name(f".{target.name}.{os.getpid()}")
    with source.open("rb") as text, draft.open("wb") as out:
        try:
            write_mo(out, read_po(text))
        except PoFileError as error:
            raise ValueError(str(error)) from error
    draft.replace(target)
