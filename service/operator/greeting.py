"""What `make run` says once everything runs, in the language of the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Flask
from flask.ctx import AppContext
from flask_babel import gettext as _

from service.config import Settings
from service.operator import language


def practice(settings: Settings) -> str:
    """Said first where no account is configured."""
    with _speaking(settings):
        return _(
            "No account is configured: this is practice, with SANDBOX=1. The amoCRM account and the ERP are only\n"
            "played by a sandbox on this machine, and nothing leaves it. Real ones: see .env.example."
        )


def greeting(settings: Settings, url: str, password: str, key: str, sandbox: str) -> str:
    """url: where the web is. password, key: those that this run has made, "" where they are configured. sandbox: its
    address, "" without one."""
    with _speaking(settings):
        rows = [
            (_("Status page"), f"{url}/outbox/sign-in"),
            (_("Sign-in"), f"{settings.admin_username} / " + (password or _("ADMIN_PASSWORD as configured"))),
            (_("API key"), key or _("those in API_KEYS")),
        ]
        if sandbox:
            rows.append((_("Troubles"), f"{url}/outbox/practice  " + _("(play each, and see what the page says)")))
            rows.append((_("Sandbox"), f"{sandbox}/  " + _("(deals on their stages, ERP records)")))
            rows.append((_("Commands"), ".venv/bin/flask check  " + _("(while this runs, they act on this sandbox)")))
        shown_key = key or _("<API key>")
        example = [
            "  " + _("Try it:"),
            f"    curl {url}/api/tripwire/complete \\",
            f"      -H 'Authorization: Bearer {shown_key}' -H 'Content-Type: application/json' \\",
            """      -d '{"email": "student-2@example.com", "lesson": 1}'""",
        ]
        ends = [*_listed(rows), "", *example, "", _("Ctrl-C stops everything."), ""]
        return "\n".join(["", _("Dealpost runs."), "", *ends])


def _listed(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = max(12, *(len(title) for title, _text in rows))
    return [f"  {title:{width}} {text}" for title, text in rows]


def _speaking(settings: Settings) -> AppContext:
    app = Flask(__name__, static_folder=None)
    language.register(app, settings)
    return app.app_context()
