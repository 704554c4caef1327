"""amoCRM's pace: so many requests in any one second, then 429; too many of those, then 403 until support lifts it."""

import threading
from collections import deque

from sandbox.amocrm.problems import problem
from sandbox.clock import Clock
from sandbox.settings import Settings
from sandbox.wire import Response, gateway_page


class Limits:
    """Counts only requests that were let through: one that got a 429 does not use up the next second."""

    def __init__(self, clock: Clock, settings: Settings) -> None:
        self._clock = clock
        self._settings = settings
        self._lock = threading.Lock()
        self._let_through: deque[float] = deque()
        self._overruns: deque[float] = deque()
        self.blocked = False

    def refusal(self) -> Response | None:
        """The answer in place of the real one, or None when the request may pass."""
        settings, now = self._settings, self._clock.monotonic()
        with self._lock:
            if self.blocked:
                return gateway_page(403)
            if not settings.limit_on:
                return None
            while self._let_through and now - self._let_through[0] >= 1.0:
                self._let_through.popleft()
            if len(self._let_through) < settings.limit_rps:
                self._let_through.append(now)
                return None
            self._overruns.append(now)
            while now - self._overruns[0] >= settings.block_window:
                self._overruns.popleft()
            if settings.block_after and len(self._overruns) >= settings.block_after:
                self.blocked = True
        if settings.limit_html:
            return gateway_page(429)
        return problem(429, "Превышен лимит запросов", retry_after=settings.limit_retry_after)

    def block(self) -> None:
        self.blocked = True

    def unblock(self) -> None:
        """What only amoCRM's support can do."""
        with self._lock:
            self.blocked = False
            self._let_through.clear()
            self._overruns.clear()
