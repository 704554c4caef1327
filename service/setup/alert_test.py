"""A test alert to each of ALERT_URLS, whoever asks for it: a person on the page or at a terminal."""

from __future__ import annotations

from dataclasses import replace

from flask_babel import gettext as _

from service.alerts import by_apprise
from service.config import Settings
from service.current import Dealpost
from service.setup.notes import SetupNotes
from service.setup.steps import AlertTry


def send_test_alert(dealpost: Dealpost, who: str, words: str) -> list[int]:
    """-> which of the addresses took nothing, counted from 1. The set-up remembers whether any did."""
    urls = dealpost.settings.alert_urls
    dealpost.store.operations.log_action(who, "alert", len(urls), {})
    deaf = [place for place, url in enumerate(urls, 1) if not _takes(dealpost.settings, url, words)]
    SetupNotes(dealpost.store.key_values).put_alert(AlertTry(dealpost.store.now(), heard=len(deaf) < len(urls)))
    return deaf


def _takes(settings: Settings, url: str, words: str) -> bool:
    try:
        return by_apprise(replace(settings, alert_urls=(url,)))(_("Dealpost: a test"), words)
    except Exception:  # whatever a messenger's plugin raises
        return False
