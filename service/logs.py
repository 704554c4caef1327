"""The log: text or JSON lines on standard error, without students' addresses, secrets or the paths they ride in."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TextIO

from outbox.masking import masked_email
from service.characters import printable
from service.config import Settings
from service.log_writer import STDERR, LogWriter
from service.network.redaction import HIDDEN, without_users

EMAIL = re.compile(r"(?<![\w.+%'-])([.+%'-]*)([\w.+%'-]+@(?:[\w-]+\.)+[^\W\d_]{2,})")
SHORTEST = 6
"""A shorter secret would tear innocent words out of the log."""

QUIET = ("apscheduler", "apprise", "urllib3", "werkzeug", "markdown")


def mask_emails(text: str) -> str:
    """The text with each address in it masked."""
    return EMAIL.sub(lambda found: found[1] + masked_email(found[2]), text) if "@" in text else text


class Veil:
    """Takes e-mail addresses and the values of our own secrets out of a text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({one for one in secrets if len(one) >= SHORTEST}, key=len, reverse=True)
        self._secrets = re.compile("|".join(re.escape(one) for one in known)) if known else None

    def __call__(self, text: str) -> str:
        return mask_emails(without_users(self._secrets.sub(HIDDEN, text) if self._secrets else text))


def secrets_of(settings: Settings) -> list[str]:
    """All values that must never be seen."""
    amocrm, erp = settings.amocrm, settings.erp
    return [
        settings.secret_key, *settings.token_keys, *(one.key for one in settings.api_keys), *settings.webhook_secrets,
        settings.admin_password, settings.viewer_password, *(one.password_hash for one in settings.users),
        *settings.alert_urls, settings.heartbeat_url,
        amocrm.client_secret, amocrm.refresh_token, amocrm.access_token, erp.key, erp.password,
    ]  # fmt: skip


class Formatter(logging.Formatter):
    """One record as one line, and its trace. Nothing in it can end the line or steer a terminal."""

    def __init__(self, kind: str, veil: Callable[[str], str]) -> None:
        super().__init__()
        self._kind, self._veil = kind, veil

    def format(self, record: logging.LogRecord) -> str:
        message = printable(self._veil(record.getMessage()))
        trace = printable(self._veil(self.formatException(record.exc_info)), "\n") if record.exc_info else ""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if self._kind == "json":
            line = {"at": at, "level": record.levelname.lower(), "logger": record.name, "message": message}
            return json.dumps({**line, "trace": trace} if trace else line, ensure_ascii=False)
        return f"{at} {record.levelname:7} {record.name}: {message}" + (f"\n{trace}" if trace else "")


class Lines(logging.Handler):
    """Hands each record to a writer, and never waits nor fails."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.write(self.format(record))
        except Exception as error:  # a record that cannot be put into words
            self._writer.write(f"A line of {record.name} could not be written: {type(error).__name__}")

    def flush(self) -> None:
        self._writer.flush()


def configure(settings: Settings, stream: TextIO | None = None, level: int = logging.INFO) -> Veil:
    """Set up the process's log, once for all loggers."""
    veil = Veil(secrets_of(settings))
    handler = logging.StreamHandler(stream) if stream else Lines(STDERR)
    handler.setFormatter(Formatter(settings.log_format, veil))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    return veil


# --- the access log ---------------------------------------------------------------------------------------------------


class AccessLog:
    """One line per request: the route's template instead of the path. Built by hand, since each accepted event pays."""

    def __init__(self, kind: str, stream: TextIO | None = None) -> None:
        self._json = kind == "json"
        self._stream = stream
        self._second, self._at = 0, ""

    def write(self, method: str, route: str, status: int, seconds: float, address: str | None) -> None:
        """The line of a request that took so long."""
        now = int(time.time())
        if now != self._second:
            self._at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
            self._second = now
        address = printable(address or "-")
        method = method if method.isalpha() else "-"
        took = seconds * 1000
        if self._json:
            line = json.dumps(
                {"at": self._at, "level": "info", "logger": "access", "method": method, "route": route,
                 "status": status, "ms": round(took, 1), "address": address}
            )  # fmt: skip
        else:
            line = f"{self._at} INFO    access: {method} {route} {status} {took:.1f} ms {address}"
        stream = self._stream or sys.stderr
        if stream is sys.__stderr__:
            STDERR.write(line)
        else:  # who put another one in its place wants it there
            stream.write(line + "\n")
