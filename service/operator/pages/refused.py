"""Refused at the door: who sends what Dealpost does not take, how often and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from service.current import current
from service.operator import words
from service.operator.pages.blueprint import bp
from service.refusals import RefusalRun

SHOWN = 6


@dataclass(frozen=True)
class Row:
    title: str
    mend: str
    last: str
    last_at: float
    reasons: tuple[str, ...]


@bp.app_context_processor
def known() -> dict[str, Any]:
    return {"refused_at_the_door": rows}


def rows() -> list[Row]:
    """Of the last day, newest first."""
    dealpost = current()
    now = dealpost.store.now()
    dealpost.wiring.figures.flush()
    return [_row(run, now) for run in dealpost.wiring.refusals.all()[:SHOWN]]


def _row(run: RefusalRun, now: float) -> Row:
    reasons = tuple(dict.fromkeys(reason.words for reason in run.reasons))
    return Row(
        words.refusal_title(run, now), words.refusal_mend(run), words.ago(run.last_at, now), run.last_at, reasons
    )
