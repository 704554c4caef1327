"""The settings: where each comes from, what is missing, and what is left of an example."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from flask_babel import gettext as _

from service.checks.check import FAULT, NOTE, OK, Check
from service.config import Settings
from service.current import Dealpost
from service.network.redaction import masked_url
from service.operator.words.numbers import ngettext
from service.secret_strength import short_ones
from service.settings_reader import Origin


def checks(dealpost: Dealpost) -> Iterator[Check]:
    settings = dealpost.settings
    if settings.sandbox:
        yield Check("SANDBOX", NOTE, _("practice mode: nothing real is changed"))
    yield from _database(dealpost)
    yield from _own(settings)
    yield from _examples(settings)


def others(settings: Settings, told: Collection[str], every: bool = False) -> Iterator[Check]:
    """The settings that no check has told of by their names. every: also each that is not set; else all in one line."""
    unset = []
    for name, origin in sorted(settings.origins.items()):
        if name in told:
            continue
        if origin.key:
            yield Check(name, OK, masked_url(origin.value) if "://" in origin.value else origin.value or _("set"))
        elif every:
            yield Check(name, OK, _("not set"))
        else:
            unset.append(name)
    if unset:
        yield Check(_("not set"), OK, ", ".join(unset))


def source_words(origin: Origin) -> str:
    """Where a setting's value comes from."""
    if not origin.key:
        return _("default")
    if origin.key.endswith("_FILE"):
        return _("file named by %(name)s", name=origin.key)
    return _("environment") if origin.source in ("", "environment") else origin.source


def _database(dealpost: Dealpost) -> Iterator[Check]:
    settings = dealpost.settings
    yield Check(
        "DATABASE_URL", OK, _("SQLite file") + f" {settings.database_path}" if settings.on_sqlite else "PostgreSQL"
    )
    if not dealpost.store.lanes.notified():
        yield Check(
            "DATABASE_URL",
            NOTE,
            _("PostgreSQL passes on no notifications: waiting deliveries are looked for every second"),
            _("Behind a transaction pooler that is how it is; a direct address lets them go out at once."),
        )
    if settings.database_hint:
        yield Check(
            "DATABASE_URL",
            NOTE,
            _("three slashes count from the project's folder"),
            _("For a path from the root, such as /data, write four: sqlite:////data/dealpost.db"),
        )


def _own(settings: Settings) -> Iterator[Check]:
    for name in () if settings.sandbox else settings.unknown:
        yield Check(name, NOTE, _("no setting of this name"), _("Correct the name in .env, or take the line out."))
    for name in [] if settings.sandbox else short_ones(settings):
        yield Check(name, NOTE, _("short: it could be guessed"), _("Take a longer random value."))
    if settings.api_keys:
        names = ", ".join(key.name + (_(" (may only send)") if key.ingest_only else "") for key in settings.api_keys)
        yield Check("API_KEYS", OK, names)
    else:
        yield Check(
            "API_KEYS",
            FAULT,
            _("nobody can send events"),
            _("Set API_KEYS=name:key, a long random key for each sender."),
        )
    if settings.users:
        named = ", ".join(f"{one.name} ({one.role})" for one in settings.users)
        yield Check("USERS", OK, _("the page is open to %(name)s", name=named))
    if settings.admin_password:
        yield Check("ADMIN_PASSWORD", OK, _("the page is open to %(name)s", name=settings.admin_username))
    elif not settings.users:
        yield Check("ADMIN_PASSWORD", NOTE, _("the page is closed"), _("Set ADMIN_PASSWORD to look at it."))
    if settings.public_url:
        yield Check("PUBLIC_URL", OK, masked_url(settings.public_url))
    else:
        mend = _("Set it so that alerts and webhooks name the right address.")
        yield Check("PUBLIC_URL", NOTE, _("not set"), mend)
    if settings.alert_urls:
        count = len(settings.alert_urls)
        yield Check("ALERT_URLS", OK, ngettext("%(num)s address", "%(num)s addresses", count))
    else:
        yield Check("ALERT_URLS", NOTE, _("not set"), _("Set it to hear of what needs a person."))
    yield Check(
        "LESSON_MAP",
        OK,
        ", ".join(f"{lesson_id} → {lesson}" for lesson_id, lesson in settings.amocrm.lesson_map.items()),
    )


def _examples(settings: Settings) -> Iterator[Check]:
    for name, origin in settings.origins.items():
        if origin.example:
            words = _("still has an example's value, which counts as not set")
            yield Check(name, NOTE, words, _("Put your own value there, or leave it empty."))
