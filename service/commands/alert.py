"""`flask alert-test`: whether an alert reaches anybody."""

from __future__ import annotations

from dataclasses import replace

import click
from flask_babel import gettext as _

from service.alerts import by_apprise
from service.commands.terminal import N_, Command, fail, operator, say
from service.current import current


@click.command(
    "alert-test", cls=Command, help=N_("Send a test alert to ALERT_URLS. Exit code 1 if one did not arrive.")
)
def alert_test() -> None:
    dealpost = current()
    urls = dealpost.settings.alert_urls
    if not urls:
        fail(_("ALERT_URLS is not set; expected addresses such as tgram://token/chat, comma separated."))
    title, text = _("Dealpost: a test"), _("This is a test alert, sent from a terminal. Nothing has to be done.")
    dealpost.store.operations.log_action(operator(), "alert", len(urls), {})
    deaf = []
    for place, url in enumerate(urls, 1):
        try:
            told = by_apprise(replace(dealpost.settings, alert_urls=(url,)))(title, text)
        except Exception:  # whatever a messenger's plugin raises
            told = False
        if told:
            say(_("Address %(place)s of %(count)s took the test alert.", place=place, count=len(urls)))
        else:
            deaf.append(str(place))
    if deaf:
        places = ", ".join(deaf)
        fail(_("Of ALERT_URLS these took nothing: %(places)s (counted from 1). Correct them.", places=places))
