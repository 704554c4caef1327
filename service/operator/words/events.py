"""What happened and who sent it: events, sources, and what a person did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask_babel import gettext as _

from service.operator.words.numbers import ngettext, number


def event_words(name: str, data: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> str:
    """What happened, in a few words: "finished lesson 2", "deal moved to “Paid”"."""
    if name == "lesson.completed":
        lesson = lesson_of(data, facts)
        return _("finished lesson %(lesson)s", lesson=lesson) if lesson else _("finished a lesson")
    if name == "amocrm/webhook":
        stage = (facts or {}).get("stage")
        return _("deal moved to “%(stage)s”", stage=stage) if stage else _("deal changed its stage")
    if name == "crm/create-deal":
        return _("new deal “%(name)s”", name=data["dealName"]) if data.get("dealName") else _("new deal")
    if name == "erp/task.create":
        return _("record for “%(name)s”", name=data["dealName"]) if data.get("dealName") else _("record for the ERP")
    return name


def event_kind(name: str) -> str:
    """The event's name for filters and lists."""
    return {
        "lesson.completed": _("lesson finished"),
        "amocrm/webhook": _("stage changed in amoCRM"),
        "crm/create-deal": _("new deal"),
        "erp/task.create": _("record for the ERP"),
    }.get(name, name)


def lesson_of(data: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> Any:
    """The event's own; what a destination learnt may be about all lessons of a student that went together."""
    return data.get("lesson") or (facts or {}).get("lesson")


def source_title(source: str, event_name: str) -> str:
    """Who sends what: "Platform: lessons"."""
    if source in ("lessons", "events", "inngest") and event_name == "lesson.completed":
        return _("Platform: lessons")
    if source == "webhook":
        return _("amoCRM: stage changes")
    if event_name == "crm/create-deal":
        return _("Website: new deals")
    if event_name == "erp/task.create":
        return _("Website: records for the ERP")
    if source == "reconcile":
        return _("Comparing with amoCRM")
    if source == "operator":
        return _("Sent by hand")
    return event_name


def source_words(source: str) -> str:
    return {
        "lessons": _("the platform"),
        "events": _("the platform"),
        "inngest": _("the platform, by Inngest"),
        "webhook": _("amoCRM, by its webhook"),
        "reconcile": _("comparing with amoCRM"),
        "operator": _("by hand"),
    }.get(source, source)


def action_words(what: str) -> str:
    return {
        "retry": _("sent again"),
        "discard": _("cancelled"),
        "pause": _("paused"),
        "resume": _("resumed"),
        "try": _("tried one"),
        "trial": _("sent a trial lesson"),
        "undo": _("took back a deed"),
        "correct": _("corrected and sent"),
        "connect": _("connected amoCRM"),
        "disconnect": _("disconnected amoCRM"),
        "choose_stage": _("chose a stage"),
        "choose_funnel": _("chose the funnel"),
        "subscribe": _("subscribed the webhook"),
        "forget": _("erased a person"),
        "import": _("brought in a token"),
        "refresh": _("renewed the access"),
        "prune": _("cleared old records"),
        "alert": _("sent a test alert"),
    }.get(what, what)


def counted(count: int, kind: str) -> str:
    """The head of a list: "14 deliveries", "14 deliveries of this cause"."""
    if kind == "cause":
        return ngettext(
            "%(count)s delivery of this cause", "%(count)s deliveries of this cause", count, count=number(count)
        )
    return ngettext("%(count)s delivery", "%(count)s deliveries", count, count=number(count))
