"""The server's clock, known without asking it each time: how far it is from this machine's monotonic one."""

from __future__ import annotations

FRESH = 10.0
"""Seconds for which one answer of the server is enough."""

DRIFT = 0.001
"""Seconds by which two clocks may come apart in one second."""


class ServerClock:
    """Each answer tells that the server's clock was then somewhere between two bounds; what all of them allow is
    narrow, even when a process was stopped between question and answer. One that contradicts: the clock was set."""

    def __init__(self) -> None:
        self._known: tuple[float, float, float] | None = None  # the lowest and highest difference, and when

    def heard(self, server: float, sent: float, received: float) -> None:
        """server: seconds since the epoch; sent, received: of the monotonic clock, around the question."""
        low, high = server - received, server - sent
        if self._known is not None:
            before, after, at = self._known
            drift = max(0.0, received - at) * DRIFT
            narrow = max(low, before - drift), min(high, after + drift)
            if narrow[0] <= narrow[1]:
                low, high = narrow
        self._known = low, high, received

    def now(self, monotonic: float) -> float | None:
        """Seconds since the epoch by the server's clock; None: it has to be asked again."""
        if self._known is None or monotonic - self._known[2] > FRESH:
            return None
        return monotonic + (self._known[0] + self._known[1]) / 2
