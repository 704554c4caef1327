"""The sandbox's time: the machine's clock with an offset, or one that a test moves by hand."""

import threading
import time


class Clock:
    """Wall and monotonic time in seconds; `offset` moves only what the fake services believe, never the request log."""

    def __init__(self) -> None:
        self.offset = 0.0

    def real(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return self.real() + self.offset

    def now(self) -> int:
        """The services' time in whole seconds, as amoCRM writes it."""
        return int(self.time())


class ManualClock(Clock):
    """A clock that stands still until `advance` is called."""

    def __init__(self, start: float = 1_790_000_000.0) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._start = start
        self._passed = 0.0

    def real(self) -> float:
        return self._start + self._passed

    def monotonic(self) -> float:
        return self._passed

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._passed += seconds
