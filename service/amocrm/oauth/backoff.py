"""A token endpoint that fails, as all processes know it: when it may be asked again, and what it said."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from outbox.clock import from_future
from outbox.outcome import DeliveryError, PauseKind
from service.amocrm.oauth.token_store import NAMESPACE

if TYPE_CHECKING:
    from outbox.shared import KeyValues

PLACE = (NAMESPACE, "amocrm:trouble")
FIRST, LONGEST = 5.0, 600.0
"""Seconds until the next attempt: doubling from the one to the other."""

DAY = 24 * 3600.0


class Backoff:
    """Kept beside the tokens while there is any."""

    def __init__(self, key_values: KeyValues, now: Callable[[], float], random: Callable[[], float]) -> None:
        self._key_values = key_values
        self._now = now
        self._random = random

    @property
    def failures(self) -> int:
        """How often it has failed running."""
        return int(self._kept().get("failures", 0))

    @property
    def retry_at(self) -> float:
        """Seconds since the epoch before which it is not asked."""
        return float(self._kept().get("retry_at", 0.0))

    @property
    def cause(self) -> str:
        """The cause's code of the last failure."""
        return str(self._kept().get("cause", ""))

    @property
    def detail(self) -> str:
        """The last failure in words."""
        return str(self._kept().get("detail", ""))

    @property
    def is_doubt(self) -> bool:
        """Whether it is not the endpoint that failed: amoCRM refused the token that it had given."""
        return bool(self._kept().get("doubt"))

    def refused_for(self, cause: str) -> float:
        """Seconds since the first of the failures running for this cause."""
        kept = self._kept()
        now = self._now()
        return now - float(kept.get("since", now)) if kept.get("cause") == cause else 0.0

    def note(self, error: DeliveryError, wait: float | None = None, doubt: bool = False) -> None:
        """Remember a failure for all processes, so that they do not all knock. wait: seconds, in place of the usual.

        The error learns the wait: a pause that ended before it would spend its probe on a question that is not asked.
        """
        failures = self.failures + 1
        if wait is None:
            wait = max(min(FIRST * 2 ** (min(failures, 10) - 1), LONGEST), error.retry_after or 0.0)
            wait *= 1 + 0.1 * self._random()
        error.retry_after = max(error.retry_after or 0.0, wait)
        now = self._now()
        kept = {
            "doubt": doubt,
            "since": now - self.refused_for(error.cause),
            "failures": failures,
            "at": now,
            "retry_at": now + wait,
            "cause": error.cause,
            "detail": error.message,
            "kind": error.pause or PauseKind.OUTAGE,
            "params": dict(error.params),
            "disprovable": error.disprovable,
        }
        self._key_values.put(*PLACE, kept)

    def respect(self) -> None:
        """Raises DeliveryError while the endpoint is not to be asked."""
        kept = self._kept()  # read once: another process may write between two readings
        left = float(kept.get("retry_at", 0.0)) - self._now()
        if 0 < left <= DAY:  # more than that was written before the clock was set back
            raise DeliveryError(
                str(kept["detail"]),
                cause=str(kept["cause"]),
                pause=PauseKind(str(kept["kind"])),
                retry_after=left,
                disprovable=bool(kept.get("disprovable")),
                params=kept["params"],
            )

    def clear(self) -> None:
        """It works again, or somebody wants it to be asked now."""
        self._key_values.delete(PLACE[0], [PLACE[1]])

    def _kept(self) -> dict[str, Any]:
        entry = self._key_values.get(*PLACE)
        if entry is None or not isinstance(entry.value, dict) or from_future(entry.updated_at, self._now()):
            return {}
        return entry.value
