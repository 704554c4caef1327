"""Lines on their way to a log or a terminal: whoever writes one never waits for its reader, and never fails."""

from __future__ import annotations

import atexit
import os
import queue
import signal
import sys
import threading
import time
import weakref
from contextlib import suppress

LINES = 10_000
"""How many lines wait at most. Those that come then are dropped and counted."""

AT_ONCE = 64 * 1024
"""Bytes that are written together."""

MANY, GATHER = 4, 0.01
"""After so many lines at once the next ones are gathered for so many seconds."""

LAST_WORDS = 2.0
"""Seconds that the end of a process may wait for a reader that has stopped reading."""


class LogWriter:
    """Writes to a file descriptor from a thread of its own: a full disk, a reader that is gone or one that has stopped
    reading costs lines and nothing else. After a fork the child has a queue and a thread of its own.
    """

    def __init__(self, file: int, lines: int = LINES) -> None:
        self._file, self._lines = file, lines
        self._anew()
        itself = weakref.ref(self)

        def forked() -> None:
            if writer := itself():
                writer._anew()

        os.register_at_fork(after_in_child=forked)
        atexit.register(self.flush)

    def _anew(self) -> None:
        # SimpleQueue may be used by a signal's handler that interrupts itself.
        self._queue: queue.SimpleQueue[str | threading.Event] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._dropped = 0
        self._patience = LAST_WORDS
        self.broken = False
        """Whether the last write failed for good: the reader is gone."""

    def write(self, line: str) -> None:
        """A line, without its end."""
        if self._queue.qsize() >= self._lines:
            self._dropped += 1
        else:
            self._queue.put(line)
        if self._thread is None:
            self._start()

    def flush(self) -> None:
        """Wait until everything is written, but not for long, and no second time for a reader that has stopped."""
        if self._thread is not None:
            written = threading.Event()
            self._queue.put(written)
            if not written.wait(self._patience):
                self._patience = 0.0

    def _start(self) -> None:
        if self._starting.acquire(blocking=False):  # whoever has it is about to do it
            try:
                if self._thread is None:
                    thread = threading.Thread(target=self._run, args=[self._queue], daemon=True, name="log")
                    with suppress(RuntimeError):  # too late: the interpreter is ending
                        thread.start()
                        self._thread = thread
            finally:
                self._starting.release()

    def _run(self, lines: queue.SimpleQueue[str | threading.Event]) -> None:
        # Signals are for the main thread, which may have put them off.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        texts: list[str] = []
        while True:
            if len(texts) > MANY:
                time.sleep(GATHER)  # to be woken by each of many lines costs those who write them
            texts = []
            size, waiting = 0, lines.get()
            while isinstance(waiting, str):
                texts.append(waiting)
                size += len(waiting)
                if size > AT_ONCE or lines.empty():
                    break
                waiting = lines.get()
            count = len(texts)
            if self._dropped:
                lost, self._dropped = self._dropped, 0
                count += lost
                at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                texts.append(f"{at} {lost} lines of the log were dropped")
            if texts and not self._put("\n".join(texts) + "\n"):
                self._dropped += count  # no more in this sum: a writer's own could come in between, and be lost
            if isinstance(waiting, threading.Event):
                waiting.set()

    def _put(self, text: str) -> bool:
        data = memoryview(text.encode("utf-8", "backslashreplace"))
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except BlockingIOError:
            time.sleep(0.05)  # another program made the terminal non-blocking
            return False
        except OSError:
            self.broken = True
            return False
        self.broken = False
        return True


# Where a process was started without one, the number may soon be a client's connection.
STDERR = LogWriter(2 if sys.stderr else os.open(os.devnull, os.O_WRONLY))
