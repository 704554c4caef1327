"""`flask alert-test`: whether an alert reaches anybody."""

from __future__ import annotations

import click
from flask_babel import gettext as _

from service.commands.terminal import N_, Command, fail, operator, say
from service.current import current
from service.setup.alert_test import send_test_alert


@click.command(
    "alert-test", cls=Command, help=N_("Send a test alert to ALERT_URLS. Exit code 1 if one did not arrive.")
)
def alert_test() -> None:
    dealpost = current()
    urls = dealpost.settings.alert_urls
    if not urls:
        fail(_("ALERT_URLS is not set; expected addresses such as tgram://token/chat, comma separated."))
    words = _("This is a test alert, sent from a terminal. Nothing has to be done.")
    deaf = send_test_alert(dealpost, operator(), words)
    for place in range(1, len(urls) + 1):
        if place not in deaf:
            say(_("Address %(place)s of %(count)s took the test alert.", place=place, count=len(urls)))
    if deaf:
        places = ", ".join(map(str, deaf))
        fail(_("Of ALERT_URLS these took nothing: %(places)s (counted from 1). Correct them.", places=places))
