"""What went wrong, what it means, who mends it and what to do, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask_babel import gettext as _

from service.causes import CAUSES, N_, Cause
from service.operator.words.numbers import number


class _Holes(dict[str, Any]):
    """Params where a text's missing place shows as a dash, never as an error."""

    def __missing__(self, key: str) -> str:
        return "—"


def fill(text: str, params: Mapping[str, Any]) -> str:
    """Translate and put the params in their places."""
    if not text:
        return ""
    shown = {key: number(value) if isinstance(value, float) else value for key, value in params.items()}
    return str(_(text)) % _Holes(shown)


def cause_of(code: str) -> Cause:
    """What is known of a cause; one that the page does not know names itself."""
    return CAUSES.get(code) or Cause(title=N_("A failure that has no words yet"), means="", who="", todo="")


def cause_title(code: str, params: Mapping[str, Any]) -> str:
    if code == "stage_deleted" and params.get("stage"):
        funnel = params.get("pipeline")
        if funnel:
            return _("The stage “%(stage)s” is gone from the funnel “%(funnel)s”", stage=params["stage"], funnel=funnel)
        return _("The stage “%(stage)s” is gone from the funnel", stage=params["stage"])
    if code == "stage_deleted" and not params.get("lesson"):
        return _("A lesson's stage is gone from the funnel")
    return fill(cause_of(code).title, params)


def cause_means(code: str, params: Mapping[str, Any]) -> str:
    return fill(cause_of(code).means, params)


def cause_who(code: str) -> str:
    return fill(cause_of(code).who, {})


def cause_todo(code: str, params: Mapping[str, Any]) -> str:
    return fill(cause_of(code).todo, params)
