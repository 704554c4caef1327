"""Telling a person: by Apprise, in the log and in the store's memory; never with anything about a student."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask
from flask_babel import force_locale
from flask_babel import gettext as _

from outbox.clock import was_before
from outbox.message import StoreUnavailable
from outbox.store import Store
from service.causes import CAUSES
from service.config import Settings
from service.counters import ALERTS
from service.current import current
from service.operator import words
from service.operator.words.numbers import ngettext
from service.situations.signals import Need, Situation

logger = logging.getLogger(__name__)

NAMESPACE = "alerts"
KEPT = 100
AGAIN = 3600.0
"""Seconds for which the same alert is not repeated."""

SHOWN = (
    "destination", "missing", "account", "address", "since", "lesson", "lessons", "job", "count", "state", "cause",
    "stage", "pipeline", "ends", "usual", "source", "event_name", "free", "fault",
)  # fmt: skip
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
        self._told: dict[str, float] = {}  # for as long as the store does not answer
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
        """cause: a code of service/causes.py, or not_delivered. The same is told once an hour. -> whether it was."""
        shown = _harmless(params)
        key = f"{cause}:{shown.get('destination') or shown.get('job') or ''}"
        now = self._store.now()
        if was_before(self._last(key), now, AGAIN):
            return False
        self._told[key] = now
        title, text = self.words(cause, params)
        logger.warning("Alert: %s %s", title, text)
        self._waiting.put((title, text))
        try:
            self._store.key_values.put(NAMESPACE, key, {"at": now, "cause": cause, "params": shown, "title": title})
            self._tidy()
            self._counters.add(ALERTS, cause)
        except StoreUnavailable as error:
            logger.error("The alert is not kept, as the store does not answer: %s", error)
        return True

    def _last(self, key: str) -> float | None:
        """When this was told the last time, also by other processes, and also while nothing can be read or written."""
        told = self._told.get(key)
        try:
            kept = self._store.key_values.get(NAMESPACE, key)
        except StoreUnavailable:
            return told
        return max((at for at in (told, kept.value["at"] if kept else None) if at is not None), default=None)

    def words(self, cause: str, params: Mapping[str, Any]) -> tuple[str, str]:
        """(title, what it means and who mends it), in the school's language."""
        shown = _harmless(params)
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
            one = self._situation(cause, shown)
            now = self._store.now()
            parts = [words.situation_means(one, now), words.who_mends(one), words.situation_todo(one, now)]
            if self._settings.public_url:
                parts.append(f"{self._settings.public_url}/outbox/sign-in?back=/outbox")
            return words.situation_title(one, now), " ".join(filter(None, parts))

    def _situation(self, cause: str, shown: Mapping[str, Any]) -> Situation:
        """What the pages would say of this cause. Of five alike it is the cause that they have in common."""
        inner = str(shown.get("cause") or "")
        if cause == "same_cause" and inner in CAUSES:
            cause = inner
        if cause not in CAUSES:
            cause = "internal"
        code = "job" if cause.startswith("job_") else "source" if cause == "source_silent" else "stopped"
        return Situation(code, Need.PERSON, cause, params=shown)

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


def _harmless(params: Mapping[str, Any]) -> dict[str, Any]:
    """Only what tells nothing of a student; of five alike also what they have in common."""
    inner = params.get("params")
    both = {**params, **(inner if isinstance(inner, Mapping) else {})}
    return {name: value for name, value in both.items() if name in SHOWN}


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
