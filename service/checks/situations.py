"""What is not as it should be among the deliveries, in the words of the page."""

from __future__ import annotations

from collections.abc import Iterator

from flask_babel import gettext as _

from service.checks.check import FAULT, NOTE, Check
from service.current import Dealpost
from service.operator import words
from service.operator.titles import title
from service.situations.gather import gather
from service.situations.rules import find

LOOKED_UP = ("store", "worker", "dead", "bare", "stage", "hook")
"""Situations that a check of its own has just looked up."""


def checks(dealpost: Dealpost) -> Iterator[Check]:
    try:
        signals = gather(dealpost)
    except Exception:
        return  # the store's own line has told
    for one in find(signals):
        if one.code not in LOOKED_UP:
            told = words.as_sentence(words.situation_title(one, signals.now, title(one.destination, dealpost)))
            mend = words.situation_todo(one, signals.now)
            state = FAULT if one.code == "stopped" else NOTE
            yield Check(_("deliveries"), state, f"{told} {words.what_next(one, signals.now)}", mend)
