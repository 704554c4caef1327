"""Whether events can be stored, and whether somebody sends them."""

from __future__ import annotations

from collections.abc import Iterator

from flask_babel import gettext as _

from outbox.message import State
from service.checks.check import FAULT, NOTE, OK, Check
from service.current import Dealpost
from service.heartbeat import SILENT, Processes
from service.operator.words.numbers import ngettext
from service.status import write_probe


def checks(dealpost: Dealpost) -> Iterator[Check]:
    name = _("store")
    try:
        write_probe(dealpost.store)
        tallies = dealpost.store.reading.tallies()
    except Exception as error:
        mend = _("Look at the disk's space and rights, and whether another program holds the file.")
        yield Check(name, FAULT, type(error).__name__, mend)
        return
    dead = sum(tally.states.get(State.DEAD, 0) for tally in tallies.values())
    yield Check(name, OK, _("events can be stored"))
    if dead:
        words = ngettext("%(num)s delivery did not arrive", "%(num)s deliveries did not arrive", dead)
        mend = _("They are on the page, under Deliveries, and in `flask outbox list --state dead`.")
        yield Check(name, NOTE, words, mend)
    age = Processes(dealpost.store.key_values).worker_age(dealpost.store.now())
    if age is not None and age <= SILENT:
        yield Check(_("worker"), OK, _("heard %(seconds)s s ago", seconds=round(age)))
    else:
        yield Check(_("worker"), NOTE, _("does not run"), _("Start it: python scheduler.py"))
