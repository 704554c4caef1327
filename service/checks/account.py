"""amoCRM: the access, the account, the clock, the pipelines and stages, the webhook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

from flask_babel import gettext as _

from outbox.outcome import DeliveryError
from service.amocrm.choices import ON_PAGE
from service.amocrm.oauth.endpoint import host_of
from service.amocrm.oauth.tokens import TokenStatus
from service.causes import CAUSES
from service.checks import pipelines
from service.checks.check import DEADLINE, FAULT, NOTE, OK, Check, Remaining, failed, not_set_up
from service.current import Dealpost
from service.network.exchange import Exchange
from service.routing import AMOCRM
from service.status import iso

CLOCK_OFF = 60.0
"""Seconds by which our clock may differ from amoCRM's before somebody should set it."""

SLOW = 3.0
"""Seconds for an answer from which on amoCRM, or the way to it, is called slow."""

SOON = 14 * 86400.0
"""Seconds before the end of a long-lived token from which on somebody should make another."""


def checks(dealpost: Dealpost) -> Iterator[Check]:
    missing = dealpost.wiring.destinations[AMOCRM].missing()
    if set(missing) - set(ON_PAGE):  # those are told of below, each with its own mend
        one = dealpost.settings.amocrm
        given = (one.base_url, one.client_id, one.client_secret, one.refresh_token, one.access_token, one.pipeline_id)
        yield not_set_up("amoCRM", missing, any_set=any(given))
        return
    account, left = dealpost.wiring.amocrm, Remaining()
    status = account.tokens.status()
    yield from _access(status, dealpost.store.now())
    if not status.usable:
        return
    exchanges: list[Exchange] = []
    client = account.client.bound(record=exchanges.append, deadline=DEADLINE)
    try:
        found = client.account()
    except DeliveryError as error:
        yield failed(_("amoCRM, account"), error)
        return
    told = {name: str(found.get(name) or "") for name in ("id", "name", "subdomain")}
    yield _account(dealpost, told, account.tokens.status().host)
    yield from _speed(exchanges)
    yield from _clock(exchanges)
    yield from pipelines.checks(dealpost, client)
    yield from _hook(dealpost, left)


def _access(status: TokenStatus, now: float) -> Iterator[Check]:
    name = _("amoCRM, access")
    if not status.usable:
        mend = _("Open /outbox and press Connect, or put new tokens in with `flask tokens import`.")
        yield Check(name, FAULT, _no_access(status), mend)
        return
    long_lived = status.state == "long_lived"
    kind = _("a long-lived token") if long_lived else _("a pair of tokens that renews itself")
    until = _("good until %(time)s", time=iso(status.expires_at)) if status.expires_at else ""
    without_use = ""
    if status.refresh_expires_at:
        without_use = _("can be renewed until %(time)s", time=iso(status.refresh_expires_at))
    words = ", ".join(filter(None, (f"{kind} ({status.state})", until, without_use)))
    if long_lived and status.expires_at and status.expires_at - now < SOON:
        yield Check(name, NOTE, words, _("It ends soon: make another in the integration, then `flask tokens import`."))
    else:
        yield Check(name, OK, words)


def _no_access(status: TokenStatus) -> str:
    if status.state not in ("reconnect", "expired"):
        return ": ".join(filter(None, (status.state, status.detail)))
    known = CAUSES["amocrm_reconnect"]
    return " ".join(filter(None, (_(known.title), f"({status.detail})" if status.detail else "")))


def _account(dealpost: Dealpost, told: dict[str, str], host: str) -> Check:
    settings = dealpost.settings.amocrm
    configured = host_of(settings.base_url)
    name = _("amoCRM, account")
    if configured and host and host != configured:
        words = _("it is at %(host)s now; the settings say %(old)s", host=host, old=configured)
        return Check(name, FAULT, words, _("It was renamed or moved: put its new address into the settings."))
    if settings.subdomain and told["subdomain"] and told["subdomain"].lower() != settings.subdomain:
        words = _("the account is named %(name)s now, not %(ours)s", name=told["subdomain"], ours=settings.subdomain)
        return Check("AMOCRM_SUBDOMAIN", FAULT, words, f"AMOCRM_SUBDOMAIN={told['subdomain']}")
    return Check(name, OK, f"{told['name']} ({told['id']}), {host}")


def _speed(exchanges: list[Exchange]) -> Iterator[Check]:
    answered = [one.seconds for one in exchanges if one.status is not None]
    if not answered:
        return
    seconds = answered[-1]
    words = _("answers in %(seconds)s s", seconds=f"{seconds:.2f}")
    if seconds > SLOW:
        mend = _("Look at this machine's network, or at HTTPS_PROXY; otherwise amoCRM is slow today.")
        yield Check(_("amoCRM, speed"), NOTE, words, mend)
    else:
        yield Check(_("amoCRM, speed"), OK, words)


def _clock(exchanges: list[Exchange]) -> Iterator[Check]:
    try:
        headers = {name.lower(): value for name, value in exchanges[-1].response_headers.items()}
        differs = exchanges[-1].at - parsedate_to_datetime(headers["date"]).timestamp()
    except (IndexError, KeyError, ValueError, TypeError):
        return
    if abs(differs) > CLOCK_OFF:
        words = _("differs from amoCRM's by %(seconds)s s", seconds=round(differs))
        yield Check(_("clock"), FAULT, words, _("Set this machine's clock (NTP)."))
    else:
        yield Check(_("clock"), OK, _("agrees with amoCRM's"))


def _hook(dealpost: Dealpost, left: Remaining) -> Iterator[Check]:
    name = _("webhook")
    if not dealpost.settings.webhook_secrets:
        yield Check(name, NOTE, _("not set up: changes of stage make no records"), _("Set WEBHOOK_SECRET."))
        return
    try:
        hooks = dealpost.wiring.webhook.ours(left())
    except DeliveryError as error:
        if error.cause == "webhooks_closed":  # a tariff or a right: nothing of the deals hangs on it
            yield Check(name, NOTE, _(CAUSES[error.cause].title), _(CAUSES[error.cause].todo))
            return
        yield failed(name, error)
        return
    mend = _("Press Subscribe on the page, or run `flask webhook subscribe`.")
    if not hooks:
        yield Check(name, FAULT, _("amoCRM has no webhook with our secret"), mend)
    elif all(hook.get("disabled") for hook in hooks):
        yield Check(name, FAULT, _("amoCRM has switched it off"), mend)
    elif not any("status_lead" in (hook.get("settings") or ()) for hook in hooks if not hook.get("disabled")):
        yield Check(name, FAULT, _("it does not tell of changes of stage"), mend)
    elif any(event not in _told(hooks) for event in dealpost.wiring.webhook.events):
        words = _("it does not tell of deals made on a stage; we find them in the log of events")
        yield Check(name, NOTE, words, mend)
    else:
        yield Check(name, OK, _("registered and switched on"))


def _told(hooks: Sequence[Mapping[str, Any]]) -> set[str]:
    """What the webhooks that are switched on tell of."""
    return {event for hook in hooks if not hook.get("disabled") for event in hook.get("settings") or ()}
