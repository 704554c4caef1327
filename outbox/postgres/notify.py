"""Hearing at once what another process has committed: a connection of its own that listens."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import psycopg

from outbox.message import StoreUnavailable

if TYPE_CHECKING:
    from outbox.postgres.connection import Connection

log = logging.getLogger(__name__)

CHANNEL = "dealpost"
PROBE = 5.0
"""Seconds within which a notification of our own must come back."""

POLL = 1.0
"""Seconds between two looks where notifications do not come."""

POLLING = 300.0
"""Seconds after which it is tried again whether they come."""

SILENCE = 10.0
"""Seconds after which a silent connection is asked whether it still lives."""


class Listener:
    """A thread that rings at each notification of another process, or every second where none would come: behind a
    transaction pooler a session that listens is not ours. name: of this process, in its own notifications."""

    def __init__(
        self, name: str, connect: Callable[[], Connection], probe: Callable[[str], None], ring: Callable[[], None]
    ) -> None:
        self._name = name
        self._connect = connect
        self._probe = probe
        self._ring = ring
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._known = threading.Event()
        self._over = threading.Event()
        self._works = False
        self._told = False

    def works(self) -> bool:
        """Whether notifications come. Starts the thread, and the first time waits until that is known."""
        with self._guard:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
                self._thread.start()
        self._known.wait(PROBE + 5.0)
        return self._works

    def close(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(2.0)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                with self._connect() as connection:
                    connection.execute(f"LISTEN {CHANNEL}".encode())
                    self._works = self._comes_back(connection)
                    self._ring()  # for what came while nobody listened; before anybody goes on who waits for `works`
                    self._known.set()
                    if self._works:
                        self._listen(connection)
                if not self._over.is_set():
                    self._poll()
            except (psycopg.Error, StoreUnavailable) as error:
                log.warning("Notifications of PostgreSQL: %s", (str(error).strip() or repr(error)).splitlines()[0])
                self._known.set()
                self._over.wait(POLL)

    def _comes_back(self, connection: Connection) -> bool:
        """By another connection: behind a pooler one's own would come back by chance."""
        payload = f"probe {uuid.uuid4().hex}"
        self._probe(payload)
        end = time.monotonic() + PROBE
        while (left := end - time.monotonic()) > 0 and not self._over.is_set():
            for heard in connection.notifies(timeout=min(left, 0.2), stop_after=1):
                if heard.payload == payload:
                    return True
        return False

    def _listen(self, connection: Connection) -> None:
        connection.limit = 5.0
        silent = time.monotonic()
        while not self._over.is_set():
            for heard in connection.notifies(timeout=0.5, stop_after=1):
                silent = time.monotonic()
                if heard.payload != self._name and not heard.payload.startswith("probe "):
                    self._ring()
            if time.monotonic() - silent > SILENCE:
                connection.execute(b"SELECT 1")
                silent = time.monotonic()

    def _poll(self) -> None:
        if not self._told:
            log.warning(
                "PostgreSQL passes on no notifications (a transaction pooler stands in between?): waiting deliveries "
                "are looked for every %g s instead of at once",
                POLL,
            )
            self._told = True
        end = time.monotonic() + POLLING
        while time.monotonic() < end and not self._over.wait(POLL):
            self._ring()
