"""Whether everything that Dealpost needs is there and works, one line each, with the mend for what does not."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from flask_babel import gettext as _

from service.checks import account, doors, erp, settings, situations, store, student
from service.checks.check import DEADLINE, FAULT, NOTE, OK, Check
from service.checks.check import Remaining as Remaining
from service.current import Dealpost

__all__ = ["DEADLINE", "FAULT", "NOTE", "OK", "Check", "run"]

logger = logging.getLogger(__name__)

LIMIT = 9.5
"""Seconds after which what is not known by then is told to be so."""

Find = Callable[[], Iterator[Check]]


def run(dealpost: Dealpost, email: str = "", every: bool = False) -> Iterator[Check]:
    """All checks. Sends a few requests, each at the shared pace and with a deadline; changes nothing.

    The systems are asked side by side, and what one part stumbles over hides none of the others. email: of a student
    to look for. every: also each setting that is left at its default.
    """
    parts: dict[str, Find] = {
        "settings": lambda: settings.checks(dealpost),
        "doors": lambda: doors.checks(dealpost),
        "store": lambda: store.checks(dealpost),
        "amocrm": lambda: account.checks(dealpost),
        "erp": lambda: erp.checks(dealpost),
    }
    if email:
        parts["email"] = lambda: student.checks(dealpost, email)
    left = Remaining(LIMIT)
    told: set[str] = set()
    afterwards: dict[str, Find] = {
        "deliveries": lambda: situations.checks(dealpost),  # reads what the others have noted
        "settings": lambda: settings.others(dealpost.settings, told, every),
    }
    for part in _begun(parts, afterwards):
        for check in part.found(left()):
            told.add(check.name)
            origin = dealpost.settings.origins.get(check.name)
            source = check.source or (settings.source_words(origin) if origin else "")
            yield replace(check, part=part.name, source=source)


def _begun(at_once: Mapping[str, Find], afterwards: Mapping[str, Find]) -> Iterator[_Part]:
    yield from [_Part(name, find) for name, find in at_once.items()]
    yield from (_Part(name, find) for name, find in afterwards.items())


class _Part:
    """Begins at once, in a thread of its own; what is found is there as far as it has come."""

    def __init__(self, name: str, find: Find) -> None:
        self.name = name
        self._find = find
        self._found: list[Check] = []
        # No daemon: a refresh of the tokens that has begun must not be cut off by the end of the process.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=lambda: context.run(self._look), name=f"check-{name}")
        self._thread.start()

    def _look(self) -> None:
        try:
            for check in self._find():
                self._found.append(check)
        except Exception as error:  # told as a fault, whatever it is
            logger.error("The check of %s stumbled", self.name, exc_info=error)
            words = _("could not be finished: %(error)s", error=type(error).__name__)
            self._found.append(Check(self.name, FAULT, words, _("The log has the details.")))

    def found(self, within: float) -> list[Check]:
        self._thread.join(within)
        late = self._thread.is_alive()
        if late:
            words = _("no answer within %(seconds)s seconds; what is told is all that is known", seconds=round(LIMIT))
            return [*self._found, Check(self.name, FAULT, words, _("Try again in a minute."))]
        return self._found
