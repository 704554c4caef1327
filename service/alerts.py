"""Telling a person: by Apprise, in the log and in the store's memory; never with anything about a student."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask
from flask_babel import force_locale, ngettext
from flask_babel import gettext as _

from outbox.store import Store
from service.causes import CAUSES, N_
from service.config import Settings
from service.counters import ALERTS
from service.current import current

logger = logging.getLogger(__name__)

NAMESPACE = "alerts"
KEPT = 100
AGAIN = 3600.0
"""Seconds for which the same alert is not repeated."""

SHOWN = ("destination", "missing", "account", "address", "since", "lesson", "job", "count", "state")
"""Params that an alert may show: none of them tells of a student."""

Send = Callable[[str, str], bool]


class Alerts:
    """Sends from a thread of its own, so that no lane waits for a messenger. Needs `start` and `stop`."""

    def __init__(self, app: Flask, send: Send | None = None) -> None:
        self._app = app
        with app.app_context():
            dealpost = current()
        self._store: Store = dealpost.store
        self._settings: Settings = dealpost.settings
        self._counters = dealpost.wiring.counters
        self._send = by_apprise(dealpost.settings) if send is None else send
        self._waiting: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True, name="alerts")

    def start(self) -> None:
        self._thread.start()

    def stop(self, within: float = 5.0) -> None:
        """Send what waits, and end."""
        self._waiting.put(None)
        self._thread.join(within)

    def __call__(self, cause: str, params: Mapping[str, Any]) -> bool:
        """cause: a code of service/causes.py or of TITLES. The same one is told once an hour. -> whether it was."""
        shown = {name: value for name, value in params.items() if name in SHOWN}
        key = f"{cause}:{shown.get('destination') or shown.get('job') or ''}"
        now = self._store.now()
        before = self._store.key_values.get(NAMESPACE, key)
        if before is not None and now - before.value["at"] < AGAIN:
            return False
        title, words = self.words(cause, params)
        logger.warning("Alert: %s %s", title, words)
        self._store.key_values.put(NAMESPACE, key, {"at": now, "cause": cause, "params": shown, "title": title})
        self._tidy()
        self._counters.add(ALERTS, cause)
        self._waiting.put((title, words))
        return True

    def words(self, cause: str, params: Mapping[str, Any]) -> tuple[str, str]:
        """(title, what it means and who mends it), in the school's language."""
        shown = _Known({name: value for name, value in params.items() if name in SHOWN})
        with self._app.app_context(), force_locale(self._settings.locale or "ru"):
            if cause == "not_delivered":
                count = int(params.get("count") or 0)
                title = ngettext(
                    "Dealpost: %(count)s delivery did not arrive",
                    "Dealpost: %(count)s deliveries did not arrive",
                    count,
                    count=count,
                )
                return title, _("Look at the page: it says why, who mends it and what to press. Nothing is lost.")
            if cause in TITLES:
                title, text = TITLES[cause]
                return _(title) % shown, _(text) % shown
            if cause not in CAUSES:
                cause = "internal"
            known = CAUSES[cause]
            parts = [_(known.means) % shown, _("Who mends it: %(who)s.", who=_(known.who))]
            if known.todo:
                parts.append(_(known.todo) % shown)
            if self._settings.public_url:
                parts.append(f"{self._settings.public_url}/outbox")
            return _(known.title) % shown, " ".join(parts)

    def _tidy(self) -> None:
        entries = self._store.key_values.items(NAMESPACE)
        if len(entries) > KEPT:
            oldest = sorted(entries, key=lambda key: entries[key].updated_at)[: len(entries) - KEPT]
            self._store.key_values.delete(NAMESPACE, oldest)

    def _run(self) -> None:
        while (message := self._waiting.get()) is not None:
            try:
                if not self._send(*message):
                    logger.error("An alert did not reach anybody; check ALERT_URLS")
            except Exception as error:
                logger.error("An alert could not be sent: %s", type(error).__name__)


TITLES: dict[str, tuple[str, str]] = {
    "job_failed": (
        N_("Dealpost: the job %(job)s failed"),
        N_("It is tried again by itself. The log has the details; the school's developer should look at it."),
    ),
    "hook_silent": (
        N_("amoCRM no longer sends its webhooks to Dealpost"),
        N_("Changes of stage are fetched by themselves, but later. Set it up again: flask webhook subscribe"),
    ),
}


class _Known(dict[str, Any]):
    """A missing place in a text stays empty instead of breaking the alert."""

    def __missing__(self, name: str) -> str:
        return "…"


def by_apprise(settings: Settings) -> Send:
    """Sends to ALERT_URLS. Reference: https://github.com/caronc/apprise/wiki"""

    def send(title: str, words: str) -> bool:
        if not settings.alert_urls:
            return True
        import apprise  # heavy, and most of the time not needed

        messenger = apprise.Apprise()
        for url in settings.alert_urls:
            messenger.add(url)
        return bool(messenger.notify(title=title, body=words))

    return send
