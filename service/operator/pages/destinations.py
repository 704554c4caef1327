"""How each destination stands: working, resting, waiting for a person, not set up; and what concerns the whole page."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from flask_babel import gettext as _

from outbox.message import State
from outbox.outcome import PauseKind
from outbox.pauses import Paused
from outbox.queries import Tally
from service.amocrm.choices import ON_PAGE
from service.current import Dealpost
from service.operator import words
from service.operator.pages.standing import signals, situations
from service.operator.titles import title as title
from service.routing import AMOCRM, ERP
from service.situations.rules import pause_need
from service.situations.signals import Need

NAMES = (AMOCRM, ERP)
EMPTY = Tally({}, None, None, 0, 0, None, None)


@dataclass(frozen=True)
class DestinationStatus:
    """One destination, as the page sees it. missing: the settings that it lacks. silent: nothing sends to it."""

    name: str
    title: str
    host: str
    tally: Tally
    rest: Paused | None
    missing: tuple[str, ...]
    silent: bool = False

    @property
    def to_set(self) -> tuple[str, ...]:
        """The settings that the developer has to give: the others are done on the page as well."""
        return tuple(name for name in self.missing if name not in ON_PAGE)

    @property
    def waiting(self) -> int:
        return self.tally.states.get(State.PENDING, 0) + self.tally.states.get(State.SENDING, 0)

    @property
    def dead(self) -> int:
        return self.tally.states.get(State.DEAD, 0)

    @property
    def passes(self) -> bool:
        """It rests, and goes on by itself."""
        return self.rest is not None and pause_need(self.rest) is Need.TIME

    def state(self, now: float) -> tuple[str, str, str]:
        """(icon, tone, words), as states.chip."""
        if self.missing:
            return "plug", "quiet", _("Not set up")
        if self.rest is not None and self.rest.kind is PauseKind.RECONNECT:
            return "alert", "bad", _("Reconnect")
        if self.silent:
            return "alert", "bad", _("Nothing is sent")
        if self.rest is None:
            return "tick", "ok", _("Working")
        if self.rest.kind is PauseKind.OPERATOR:
            return "pause", "warn", _("Paused by %(who)s", who=self.rest.who) if self.rest.who else _("Paused by you")
        if not self.passes:
            return "alert", "bad", _("Stopped, needs you")
        if self.rest.until is None or self.rest.until <= now:
            return "pause", "warn", _("Paused, trying now")
        return "pause", "warn", _("Paused, %(time)s left", time=words.duration(int(self.rest.until - now)))


def look(dealpost: Dealpost) -> list[DestinationStatus]:
    """All destinations, amoCRM first."""
    tallies = signals(dealpost).tallies
    hosts = {AMOCRM: dealpost.settings.amocrm.base_url, ERP: dealpost.settings.erp.url}
    silent = any(one.code == "worker" for one in situations(dealpost))
    return [
        DestinationStatus(
            name=one.name,
            title=title(one.name, dealpost),
            host=urlsplit(hosts.get(one.name, "")).netloc,
            tally=tallies.get(one.name, EMPTY),
            rest=one.pause,
            missing=one.missing,
            silent=silent,
        )
        for one in signals(dealpost).destinations
    ]


def missing(dealpost: Dealpost, name: str) -> tuple[str, ...]:
    destination = dealpost.wiring.destinations.get(name)
    return tuple(destination.missing()) if destination else ()
