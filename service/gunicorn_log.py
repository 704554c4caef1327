"""gunicorn's own log, on the same way and under the same mask as ours: its lines repeat what strangers send."""

from __future__ import annotations

import logging
import re
from typing import Any

from gunicorn.glogging import Logger

from service.environment import held
from service.log_writer import STDERR
from service.logs import Formatter, Lines, Veil, secrets_of
from service.network.redaction import HIDDEN

REQUEST = re.compile(r"\A(Invalid request from ip=\S*: [^:'\"(]*[^:'\"( ]|Error handling request)\b.*", re.DOTALL)
"""What follows may be a request's first line or one of its headers, with whatever secret rides in it."""


class GunicornLog(Logger):  # type: ignore[misc]
    """For the setting `logger_class`."""

    def _set_handler(self, log: logging.Logger, output: str, fmt: logging.Formatter, stream: Any = None) -> None:
        if output != "-" or log is not self.error_log:
            super()._set_handler(log, output, fmt, stream)
            return
        settings = held()
        kind, veil = (settings[0].log_format, Veil(secrets_of(settings[0]))) if settings else ("text", Veil())
        handler = Lines(STDERR)
        handler.setFormatter(Formatter(kind, lambda text: veil(hide_request(text))))
        handler._gunicorn = True  # type: ignore[attr-defined]  # so that a reload replaces it
        log.addHandler(handler)


def hide_request(text: str) -> str:
    """A line of gunicorn's without what it repeats of a request."""
    return REQUEST.sub(lambda found: f"{found[1]}: {HIDDEN}" if found[0] != found[1] else found[0], text)
