"""The pace towards amoCRM: one for all processes, slower for a while after amoCRM asked for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from outbox.outcome import DeliveryError, PauseKind
from service.amocrm.errors import LONGEST_WAIT
from service.amocrm.pace_store import PaceStore

if TYPE_CHECKING:
    from outbox.shared import KeyValues, RateLimiter

NAME = "amocrm"
RAMP = 120.0
"""Seconds in which half speed becomes full speed again."""

SLOWEST = 1 / 8
"""Never slower than this part of AMOCRM_RPS, however often amoCRM complains."""


class Pace:
    """Hands out the right to send one request. wait(seconds) may raise Stopping."""

    def __init__(
        self,
        rate_limiter: RateLimiter,
        key_values: KeyValues,
        now: Callable[[], float],
        rps: float,
        wait: Callable[[float], None],
    ) -> None:
        self._rate_limiter = rate_limiter
        self._store = PaceStore(key_values)
        self._now = now
        self._rps = rps
        self._wait = wait

    @contextmanager
    def turn(self, until: float | None = None) -> Iterator[None]:
        """Wait for the right to send one request; it counts as on its way until the block ends.

        until: the time (by `now`) after which waiting is given up. Raises DeliveryError, also while a wait that amoCRM
        asked for is running.
        """
        while True:
            self._refuse_early()
            ticket, seconds = self._rate_limiter.reserve(NAME, self.per_second())
            if ticket:
                break
            if until is not None and self._now() + seconds > until:
                raise DeliveryError(
                    "There was no room for this request in the pace that amoCRM allows; try again in a moment",
                    cause="amocrm_slow_down",
                    pause=PauseKind.RATE,
                    params={"seconds": seconds, "detail": "our own pace"},
                )
            self._wait(seconds)
        try:
            yield
        finally:
            self._rate_limiter.done(NAME, ticket)

    def is_busy(self) -> bool:
        """Whether requests have been going out steadily: at two a second or more for the last ten seconds."""
        return self._rate_limiter.used(NAME, 10.0) >= 20

    def rest(self, requests: float) -> None:
        """Let the time pass in which so many requests may go, a second at most. May raise Stopping."""
        self._wait(min(1.0, requests / self._rps))

    def per_second(self) -> float:
        """The speed that holds now, requests a second."""
        kept = self._store.limits(self._now())
        return self._rps * self._factor(kept)

    def slow_down(self, seconds: float | None) -> None:
        """amoCRM complained: send nothing for so many seconds, then go on at half the speed and grow."""
        kept = self._store.limits(self._now())
        now = self._now()
        until = max(now + (seconds or 0.0), float(kept.get("until", 0.0)))
        waiting = float(kept.get("until", 0.0)) > now  # two that were on their way together count once
        factor = float(kept["factor"]) if waiting else max(self._factor(kept) / 2, SLOWEST)
        self._store.keep_limits(factor, until, until)

    def hold(self, seconds: float) -> None:
        """Send nothing for so many seconds: an answer other than 429 asked for that."""
        kept = self._store.limits(self._now())
        until = max(self._now() + seconds, float(kept.get("until", 0.0)))
        self._store.keep_limits(float(kept.get("factor", 1.0)), float(kept.get("since", 0.0)), until)

    def _refuse_early(self) -> None:
        left = float(self._store.limits(self._now()).get("until", 0.0)) - self._now()
        if 0 < left <= LONGEST_WAIT:  # more than that was written before the clock was set back
            raise DeliveryError(
                f"amoCRM asked to wait; {left:.0f} s of that are left",
                cause="amocrm_slow_down",
                pause=PauseKind.RATE,
                retry_after=left,
                params={"seconds": left, "detail": "the wait that amoCRM asked for"},
            )

    def _factor(self, kept: dict[str, Any]) -> float:
        factor = float(kept.get("factor", 1.0))
        grown = max(self._now() - float(kept.get("since", 0.0)), 0.0) / RAMP
        return min(1.0, factor + (1.0 - factor) * grown)
