"""Whether secrets travel, and lie, where others could read them; and whose addresses are believed."""

from __future__ import annotations

from collections.abc import Iterator

from flask_babel import gettext as _

from service.checks.check import NOTE, Check
from service.current import Dealpost
from service.exposure import is_open, readable_by_others


def checks(dealpost: Dealpost) -> Iterator[Check]:
    settings = dealpost.settings
    for name, address in (
        ("PUBLIC_URL", settings.public_url),
        ("AMOCRM_REDIRECT_URI", settings.amocrm.redirect_uri),
        ("AMOCRM_BASE_URL", settings.amocrm.base_url),
        ("CRM_API_URL", settings.erp.url),
    ):
        if not settings.sandbox and is_open(address):
            said = _("begins with http: whoever is on the way reads the passwords and tokens")
            yield Check(name, NOTE, said, _("Take an https:// address."))
    if settings.on_sqlite and (open_to := readable_by_others(settings.database_path)):
        said = _("other users of this machine can read %(names)s", names=", ".join(open_to))
        yield Check("DATABASE_URL", NOTE, said, f"chmod 700 {settings.database_path.parent}")
    if not settings.trusted_proxies and dealpost.wiring.unexpected.lately():
        yield Check(
            "TRUSTED_PROXIES",
            NOTE,
            _("requests come with X-Forwarded-For, and no web server in front is expected: all count as one address"),
            _("If one of yours stands in front, set TRUSTED_PROXIES=1. If not, somebody makes them up: nothing to do."),
        )
