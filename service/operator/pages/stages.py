"""Pipelines and stages as last read from amoCRM, and each lesson's stage: a choice made here, else the setting."""

from __future__ import annotations

from typing import Any

from service.amocrm.account_facts import AccountFacts
from service.amocrm.choices import FunnelChoice, StageChoice, StageChoices
from service.amocrm.lesson_stages import LessonStage
from service.amocrm.payloads import Pipeline, Stage
from service.closed_stages import CLOSED, LOST
from service.current import Dealpost
from service.situations.gather import known_lessons

Lesson = LessonStage


def known(dealpost: Dealpost) -> tuple[Pipeline, ...]:
    """Without asking amoCRM."""
    return AccountFacts(dealpost.store.key_values, dealpost.store.now).pipelines() or ()


def funnel_id(dealpost: Dealpost) -> int | None:
    """Of the funnel that is set or chosen."""
    return StageChoices(dealpost.store.key_values).funnel_id(dealpost.settings.amocrm.pipeline_id)


def ours(dealpost: Dealpost) -> Pipeline | None:
    """The pipeline whose deals we move."""
    wanted = funnel_id(dealpost)
    return next((one for one in known(dealpost) if one.id == wanted), None)


def name_of(dealpost: Dealpost, status_id: Any, pipeline_id: Any = None) -> str:
    """A stage's name, "" while it is not known. 142 and 143 bear another name in each pipeline."""
    for pipeline in known(dealpost):
        if pipeline_id in (None, pipeline.id) or status_id not in CLOSED:
            for stage in pipeline.stages:
                if stage.id == status_id:
                    return stage.name
    return ""


def settable(pipeline: Pipeline | None) -> tuple[Stage, ...]:
    """The stages that a request can set: not the incoming one, not the lost one."""
    return tuple(one for one in pipeline.stages if one.type != 1 and one.id != LOST) if pipeline else ()


def lessons(dealpost: Dealpost) -> list[Lesson]:
    return known_lessons(dealpost)


def choose_funnel(dealpost: Dealpost, pipeline_id: int, who: str) -> tuple[Pipeline, list[int]] | None:
    """Store whose deals are moved. -> the funnel, and the lessons that need another stage now; None: amoCRM has no such
    funnel in use."""
    found = next((one for one in known(dealpost) if one.id == pipeline_id and not one.is_archive), None)
    if found is None:
        return None
    choice = FunnelChoice(found.id, found.name, who, dealpost.store.now())
    lost = StageChoices(dealpost.store.key_values).put_funnel(choice)
    dealpost.store.operations.log_action(who, "choose_funnel", 1, {"funnel": found.name, "pipeline_id": found.id})
    return found, lost


def choose(dealpost: Dealpost, lesson: int, status_id: int, who: str) -> Stage | None:
    """Store an operator's choice; None: the pipeline has no such stage. It goes before the setting."""
    pipeline = ours(dealpost)
    stage = next((one for one in settable(pipeline) if one.id == status_id), None)
    if stage is None or pipeline is None:
        return None
    choice = StageChoice(lesson, stage.id, pipeline.id, stage.name, who, dealpost.store.now())
    StageChoices(dealpost.store.key_values).put(choice)
    dealpost.store.operations.log_action(
        who, "choose_stage", 1, {"lesson": lesson, "stage": stage.name, "status_id": stage.id}
    )
    return stage


def unchoose(dealpost: Dealpost, lesson: int, who: str) -> None:
    """Back to the setting."""
    StageChoices(dealpost.store.key_values).remove(lesson)
    dealpost.store.operations.log_action(who, "choose_stage", 1, {"lesson": lesson, "stage": ""})
